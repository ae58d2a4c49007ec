#include "base/journal.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.hpp"
#include "base/fs.hpp"
#include "base/json_writer.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"

namespace vrun {
namespace {

constexpr off_t kMostBytes = 10 << 20;

std::string to_line(const Happening& what) {
  json::Writer writer;
  writer.begin_object();
  writer.member("time", now_text()).member("type", what.type).member("action", what.action);
  writer.member("id", what.id).member("name", what.name).member("tenant", what.tenant);
  if (!what.image.empty()) writer.member("image", what.image);
  writer.key("attributes").begin_object();
  for (const auto& [key, value] : what.attributes)
    writer.member(key, value);
  writer.end_object().end_object();
  return writer.take() + "\n";
}

Result<void> append(const std::string& path, const std::string& line) {
  Fd file = TRY(sys::open(At::cwd(), path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0640));
  const struct stat about = TRY(sys::stat(file.get()));
  if (about.st_size >= kMostBytes) {
    // Two that come here at once: the second one finds a short file under the name.
    TRY(sys::lock(file.get(), LOCK_EX, "events"));
    const Result<struct stat> now = sys::stat(At::cwd(), path);
    if (now && now->st_ino == about.st_ino) {
      TRY(sys::rename(At::cwd(), path, At::cwd(), path + ".1"));
    }
    file = TRY(sys::open(At::cwd(), path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0640));
  }
  return sys::write_all(file.get(), line);
}

}  // namespace

std::string journal_path(const std::string& data_dir) {
  return fs::join(data_dir, "events.jsonl");
}

void note_happening(const std::string& data_dir, const Happening& what) {
  Result<void> noted = append(journal_path(data_dir), to_line(what));
  if (!noted) log::warning(std::move(noted).error().during("note an event").text());
}

}  // namespace vrun
