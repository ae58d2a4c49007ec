#include "engine/told_end.hpp"

#include <array>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"

namespace vrun::engine {
namespace {

constexpr const char* kFile = "exit";

}  // namespace

Result<Fd> open_told_end(const Guests& guests, const GuestRecord& record) {
  const Fd dir = TRY(sys::open_dir(At::cwd(), guests.monitor_dir(record)));
  return sys::open(dir, kFile, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
}

Result<Fd> make_told_end(const Guests& guests) {
  TRY(fs::make_dirs(At::cwd(), guests.places().run, 0711));
  return sys::open(At::cwd(), guests.places().run, O_TMPFILE | O_RDWR, 0600);
}

Result<void> name_told_end(const Guests& guests, const GuestRecord& record, const Fd& file) {
  const Fd dir = TRY(sys::open_dir(At::cwd(), guests.monitor_dir(record)));
  const std::string own = "/proc/self/fd/" + std::to_string(file.get());  // open(2), O_TMPFILE
  if (::linkat(AT_FDCWD, own.c_str(), dir.get(), kFile, AT_SYMLINK_FOLLOW) == 0) return {};
  return Error::system(errno, "link the file of the guest's end");
}

void tell_end(const Guests& guests, const GuestRecord& record) {
  const std::string path = guests.monitor_dir(record) + "/" + kFile;
  const Result<Fd> file = sys::open(At::cwd(), path, O_WRONLY | O_NOFOLLOW);
  if (file) static_cast<void>(sys::write_all(file->get(), to_json(record.last)));
}

std::optional<LastExit> told_end(const Fd& file) {
  std::array<char, 65536> text{};
  const ssize_t n = file ? ::pread(file.get(), text.data(), text.size(), 0) : 0;
  if (n <= 0) return std::nullopt;
  Result<LastExit> end =
      parse_last_exit(std::string_view(text.data(), static_cast<std::size_t>(n)), kFile);
  if (!end) return std::nullopt;
  return *std::move(end);
}

}  // namespace vrun::engine
