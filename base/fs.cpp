#include "base/fs.hpp"

#include <array>
#include <cerrno>
#include <span>
#include <vector>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::fs {
namespace {

Result<void> check_regular(int fd, const std::string& path) {
  const struct stat st = TRY(sys::stat(fd));
  if (S_ISREG(st.st_mode)) return {};
  return Error(Code::kInvalid, "read " + quote(path) + ": not a regular file");
}

Error too_large(const std::string& path, std::size_t limit) {
  return Error(Code::kInvalid,
               "read " + quote(path) + ": larger than " + std::to_string(limit) + " bytes");
}

// A tree that is being removed. Its maker may have nested directories without end: those that lie
// deep are moved up beside the others, so that neither descriptors nor stack run out.
struct Removal {
  const Fd& top;
  dev_t device;
  unsigned moved = 0;
};
constexpr int kDeep = 64;

Result<void> remove_entry(At at, const std::string& name, Removal& removal, int depth);

Result<void> empty_dir(const Fd& dir, Removal& removal, int depth) {
  for (const std::string& name : TRY(sys::list_dir(dir.get()))) {
    TRY(remove_entry(dir, name, removal, depth + 1));
  }
  return {};
}

Result<void> move_up(At at, const std::string& name, Removal& removal) {
  // The tree's own names may look the same: the next number is tried.
  while (true) {
    const std::string up = ".deep-" + std::to_string(removal.moved++);
    Result<void> moved = sys::rename(at, name, removal.top, up);
    const int why = moved ? 0 : moved.error().sys_errno();
    if (why != ENOTEMPTY && why != EEXIST && why != ENOTDIR) return moved;
  }
}

Result<void> remove_entry(At at, const std::string& name, Removal& removal, int depth) {
  if (::unlinkat(at.get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return Error::system(errno, "remove " + quote(name));
  if (::unlinkat(at.get(), name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  const Fd dir = TRY(sys::open(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  const struct stat st = TRY(sys::stat(dir.get()));
  if (st.st_dev != removal.device) {
    return Error(Code::kState, "remove " + quote(name) + ": something is mounted there");
  }
  if (depth >= kDeep) return move_up(at, name, removal);
  TRY(empty_dir(dir, removal, depth));
  if (::unlinkat(at.get(), name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  return Error::system(errno, "remove directory " + quote(name));
}

Result<void> remove_dir_tree(At at, const std::string& name) {
  const Fd top = TRY(sys::open(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  const struct stat st = TRY(sys::stat(top.get()));
  Removal removal{top, st.st_dev};
  while (true) {
    const unsigned before = removal.moved;
    TRY(empty_dir(top, removal, 0));
    if (removal.moved == before) break;  // else: what was moved up is still there
  }
  if (::unlinkat(at.get(), name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  return Error::system(errno, "remove directory " + quote(name));
}

}  // namespace

Result<std::string> read_file(At at, const std::string& path, std::size_t limit, Kind kind) {
  // O_NONBLOCK: opening a fifo must not hang. It means nothing for regular files.
  Fd file = TRY(sys::open(at, path, O_RDONLY | (kind == Kind::kRegularOnly ? O_NONBLOCK : 0)));
  if (kind == Kind::kRegularOnly) TRY(check_regular(file.get(), path));
  std::string bytes;
  std::size_t used = 0;
  bytes.resize(std::min<std::size_t>(limit + 1, 16384));
  while (true) {
    Result<std::size_t> n = sys::read(file.get(), std::span(bytes).subspan(used));
    if (!n) return std::move(n).error().during("read " + quote(path));
    if (*n == 0) break;
    used += *n;
    if (used > limit) return too_large(path, limit);
    if (used == bytes.size()) bytes.resize(std::min(limit + 1, bytes.size() * 4));
  }
  bytes.resize(used);
  return bytes;
}

Result<std::string_view> read_kernel_file(At at, const std::string& path, std::span<char> buffer) {
  const Fd file = TRY(sys::open(at, path, O_RDONLY));
  Result<std::size_t> n = sys::read(file.get(), buffer);
  if (!n) return std::move(n).error().during("read " + quote(path));
  return std::string_view(buffer.data(), *n);
}

Result<void> write_value(At at, const std::string& path, std::string_view value) {
  Fd file = TRY(sys::open(at, path, O_WRONLY));
  ssize_t n;
  do {
    n = ::write(file.get(), value.data(), value.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) return Error::system(errno, "write " + quote(value) + " to " + quote(path));
  return {};
}

Result<void> replace_file(At dir, const std::string& name, std::string_view bytes, unsigned mode) {
  const std::string temporary = "." + name + "." + std::to_string(::getpid()) + ".tmp";
  {
    Fd file = TRY(sys::open(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
    Result<void> written = sys::write_all(file.get(), bytes);
    if (!written) {
      static_cast<void>(sys::unlink(dir, temporary));
      return std::move(written).error().during("write " + quote(name));
    }
  }
  Result<void> renamed = sys::rename(dir, temporary, dir, name);
  if (!renamed) static_cast<void>(sys::unlink(dir, temporary));
  return renamed;
}

Result<void> make_dirs(At at, const std::string& path, unsigned mode) {
  if (::mkdirat(at.get(), path.c_str(), mode) == 0 || errno == EEXIST) return {};
  if (errno != ENOENT) return Error::system(errno, "create directory " + quote(path));
  const std::string parent(dir_name(path));
  if (parent == path || parent.empty() || parent == ".")
    return Error::system(ENOENT, "create directory " + quote(path));
  TRY(make_dirs(at, parent, mode));
  if (::mkdirat(at.get(), path.c_str(), mode) == 0 || errno == EEXIST) return {};
  return Error::system(errno, "create directory " + quote(path));
}

Result<void> remove_tree(At at, const std::string& name) {
  struct stat st {};
  if (::fstatat(at.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return Error::system(errno, "stat " + quote(name));
  }
  if (S_ISDIR(st.st_mode)) return remove_dir_tree(at, name);
  if (::unlinkat(at.get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
  return Error::system(errno, "remove " + quote(name));
}

std::string join(std::string_view a, std::string_view b) {
  std::string path(a);
  while (path.size() > 1 && path.back() == '/')
    path.pop_back();
  while (!b.empty() && b.front() == '/')
    b.remove_prefix(1);
  if (b.empty()) return path;
  if (path.empty() || path.back() != '/') path += '/';
  return path.append(b);
}

std::string clean(std::string_view path) {
  const bool absolute = !path.empty() && path.front() == '/';
  std::vector<std::string_view> kept;
  for (const std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      kept.push_back(part);
    } else if (!kept.empty() && kept.back() != "..") {
      kept.pop_back();
    } else if (!absolute) {
      kept.push_back(part);
    }
  }
  std::string out = absolute ? "/" : "";
  for (const std::string_view part : kept) {
    if (!out.empty() && out.back() != '/') out += '/';
    out += part;
  }
  return out.empty() ? "." : out;
}

std::string_view base_name(std::string_view path) {
  while (path.size() > 1 && path.back() == '/')
    path.remove_suffix(1);
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos || path.size() == 1 ? path : path.substr(slash + 1);
}

std::string_view dir_name(std::string_view path) {
  while (path.size() > 1 && path.back() == '/')
    path.remove_suffix(1);
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace vrun::fs
