#include "engine/events.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fs.hpp"
#include "base/json_writer.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "engine/guest_setup.hpp"

namespace vrun::engine {
namespace {

constexpr off_t kMostBytes = 10 << 20;

std::string to_line(const GuestRecord& record, std::string_view action,
                    const std::map<std::string, std::string>& attributes) {
  json::Writer writer;
  writer.begin_object();
  writer.member("time", now_text()).member("type", "guest").member("action", action);
  writer.member("id", record.id).member("name", record.name).member("tenant", record.tenant);
  writer.member("image", record.image);
  writer.key("attributes").begin_object();
  for (const auto& [key, value] : attributes)
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

std::string events_path(const Places& places) {
  return fs::join(places.data, "events.jsonl");
}

void note_event(const Places& places, const GuestRecord& record, std::string_view action,
                const std::map<std::string, std::string>& attributes) {
  Result<void> noted = append(events_path(places), to_line(record, action, attributes));
  if (!noted) log::warning(std::move(noted).error().during("note an event").text());
}

}  // namespace vrun::engine
