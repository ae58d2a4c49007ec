#include "engine/places.hpp"

#include <algorithm>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::engine {
namespace {

Result<std::string> absolute(const std::string& path, std::string_view what) {
  if (path.starts_with('/')) return fs::clean(path);
  return Error(Code::kInvalid, std::string(what) + " " + quote(path) + ": not an absolute path");
}

std::string first_of(std::string a, std::string b) {
  return a.empty() ? std::move(b) : std::move(a);
}

// XDG Base Directory Specification: $XDG_DATA_HOME, else ~/.local/share.
Result<std::string> user_data_dir(const Host& host) {
  const std::string_view told = host.variable("XDG_DATA_HOME");
  if (told.starts_with('/')) return fs::join(told, "vrun");
  const std::string_view home = host.variable("HOME");
  if (home.starts_with('/')) return fs::join(home, ".local/share/vrun");
  return Error(Code::kInvalid, "no place for images and guests: HOME is not set")
      .hint("set HOME, XDG_DATA_HOME or VRUN_DATA_DIR");
}

// Where nobody made /run/user/UID (no login session): a directory that others cannot enter, and
// that nobody else can have made for us.
Result<std::string> user_run_dir(const Host& host) {
  const std::string session(fs::dir_name(host.runtime_dir));
  if (sys::stat(At::cwd(), session)) return host.runtime_dir;
  const std::string dir = "/tmp/vrun-" + std::to_string(host.euid.value);
  Result<void> made = sys::make_dir(At::cwd(), dir, 0700);
  if (!made && made.error().code() != Code::kExists) return std::move(made).error();
  const struct stat st = TRY(sys::stat(At::cwd(), dir, AT_SYMLINK_NOFOLLOW));
  if (S_ISDIR(st.st_mode) && st.st_uid == host.euid.value && (st.st_mode & 0077U) == 0) return dir;
  return Error(Code::kDenied, quote(dir) + " belongs to somebody else, or is open to others")
      .hint("set XDG_RUNTIME_DIR to a directory of your own");
}

}  // namespace

Result<Places> Places::find(const Host& host, const std::string& data_dir) {
  const std::string program = TRY(sys::read_link(At::cwd(), host.proc + "/self/exe"));
  Places places;
  const std::string prefix(fs::dir_name(fs::dir_name(program)));
  const std::string data = first_of(data_dir, std::string(host.variable("VRUN_DATA_DIR")));
  std::string run(host.variable("VRUN_RUN_DIR"));
  if (run.empty()) run = host.rootless() ? TRY(user_run_dir(host)) : host.runtime_dir;
  places.data = !data.empty()     ? TRY(absolute(data, "data directory"))
                : host.rootless() ? TRY(user_data_dir(host))
                                  : "/var/lib/vrun";
  places.run = TRY(absolute(run, "VRUN_RUN_DIR"));
  places.images = fs::join(prefix, "share/vrun/images");
  return places;
}

}  // namespace vrun::engine
