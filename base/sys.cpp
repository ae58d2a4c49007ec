#include "base/sys.hpp"

#include <cerrno>
#include <cstring>

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fault_injection.hpp"
#include "base/text.hpp"

namespace vrun::sys {
namespace {

Error failed(const char* action, const std::string& path) {
  return Error::system(errno, std::string(action) + " " + quote(path));
}

std::string name_of(int fd) {
  return "descriptor " + std::to_string(fd);
}

}  // namespace

Result<Fd> open(At at, const std::string& path, int flags, mode_t mode) {
  long fd;
  do {
    fd = VRUN_CALL("openat", ::openat(at.get(), path.c_str(), flags | O_CLOEXEC, mode));
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return failed((flags & O_CREAT) != 0 ? "create" : "open", path);
  return Fd(static_cast<int>(fd));
}

Result<Fd> open2(At at, const std::string& path, std::uint64_t flags, std::uint64_t resolve,
                 mode_t mode) {
  struct open_how how {};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = resolve;
  long fd;
  do {  // EAGAIN: a rename or mount raced with ".." (openat2(2)); the walk is then simply repeated
    fd = VRUN_CALL("openat2", ::syscall(SYS_openat2, at.get(), path.c_str(), &how, sizeof how));
  } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  if (fd < 0) return failed("open", path);
  return Fd(static_cast<int>(fd));
}

Result<Fd> open_dir(At at, const std::string& path) {
  return open(at, path, O_RDONLY | O_DIRECTORY);
}

Result<Fd> duplicate(int fd) {
  const int copy = static_cast<int>(VRUN_CALL("fcntl", ::fcntl(fd, F_DUPFD_CLOEXEC, 3)));
  if (copy < 0) return Error::system(errno, "duplicate " + name_of(fd));
  return Fd(copy);
}

Result<Fd> reopen(int fd, int flags) {
  return open(At::cwd(), "/proc/self/fd/" + std::to_string(fd), flags);
}

Result<std::size_t> read(int fd, std::span<char> buffer) {
  ssize_t n;
  do {
    n = VRUN_CALL("read", ::read(fd, buffer.data(), buffer.size()));
  } while (n < 0 && errno == EINTR);
  if (n < 0) return Error::system(errno, "read " + name_of(fd));
  return static_cast<std::size_t>(n);
}

Result<void> write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = VRUN_CALL("write", ::write(fd, bytes.data(), bytes.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::system(errno, "write " + name_of(fd));
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<struct stat> stat(At at, const std::string& path, int flags) {
  struct stat st {};
  if (VRUN_CALL("fstatat", ::fstatat(at.get(), path.c_str(), &st, flags)) != 0)
    return failed("stat", path);
  return st;
}

Result<struct stat> stat(int fd) {
  struct stat st {};
  if (VRUN_CALL("fstat", ::fstat(fd, &st)) != 0) return Error::system(errno, "stat " + name_of(fd));
  return st;
}

Result<void> make_dir(At at, const std::string& path, mode_t mode) {
  if (VRUN_CALL("mkdirat", ::mkdirat(at.get(), path.c_str(), mode)) != 0)
    return failed("create directory", path);
  return {};
}

Result<void> unlink(At at, const std::string& path) {
  if (VRUN_CALL("unlinkat", ::unlinkat(at.get(), path.c_str(), 0)) != 0)
    return failed("remove", path);
  return {};
}

Result<void> remove_dir(At at, const std::string& path) {
  if (VRUN_CALL("unlinkat", ::unlinkat(at.get(), path.c_str(), AT_REMOVEDIR)) != 0) {
    return failed("remove directory", path);
  }
  return {};
}

Result<void> rename(At from_at, const std::string& from, At to_at, const std::string& to) {
  if (VRUN_CALL("renameat", ::renameat(from_at.get(), from.c_str(), to_at.get(), to.c_str())) !=
      0) {
    return Error::system(errno, "rename " + quote(from) + " to " + quote(to));
  }
  return {};
}

Result<bool> rename_new(At from_at, const std::string& from, At to_at, const std::string& to) {
  if (VRUN_CALL("renameat2", ::renameat2(from_at.get(), from.c_str(), to_at.get(), to.c_str(),
                                         RENAME_NOREPLACE)) == 0) {
    return true;
  }
  if (errno == EEXIST) return false;
  return Error::system(errno, "rename " + quote(from) + " to " + quote(to));
}

Result<void> make_symlink(const std::string& text, At at, const std::string& path) {
  if (VRUN_CALL("symlinkat", ::symlinkat(text.c_str(), at.get(), path.c_str())) != 0) {
    return failed("create link", path);
  }
  return {};
}

Result<std::string> read_link(At at, const std::string& path) {
  std::string target(4096, '\0');
  const ssize_t n = ::readlinkat(at.get(), path.c_str(), target.data(), target.size());
  if (n < 0) return failed("read link", path);
  target.resize(static_cast<std::size_t>(n));
  return target;
}

Result<void> chown(At at, const std::string& path, Uid uid, Gid gid) {
  if (VRUN_CALL("fchownat", ::fchownat(at.get(), path.c_str(), uid.value, gid.value,
                                       AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) != 0) {
    return failed("change owner of", path);
  }
  return {};
}

Result<void> chmod(int fd, mode_t mode) {
  if (VRUN_CALL("fchmod", ::fchmod(fd, mode)) != 0)
    return Error::system(errno, "change mode of " + name_of(fd));
  return {};
}

Result<std::vector<std::string>> list_dir(int fd) {
  Fd copy = TRY(open_dir(At::borrowed(fd), "."));
  DIR* dir = ::fdopendir(copy.get());
  if (dir == nullptr) return Error::system(errno, "list directory");
  static_cast<void>(copy.release());  // owned by dir now
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  const int error = errno;
  ::closedir(dir);
  if (error != 0) return Error::system(error, "list directory");
  return names;
}

std::uint64_t fs_magic(int fd) {
  struct statfs fs {};
  if (::fstatfs(fd, &fs) != 0) return 0;
  return static_cast<std::uint32_t>(fs.f_type);
}

Result<void> lock(int fd, int operation, std::string_view what) {
  int result;
  do {
    result = static_cast<int>(VRUN_CALL("flock", ::flock(fd, operation)));
  } while (result != 0 && errno == EINTR);
  if (result != 0) return Error::system(errno, "lock " + std::string(what));
  return {};
}

Result<Fd> memfd(const char* name) {
  // MFD_EXEC (6.3) is asked for where it is known, so that vm.memfd_noexec=1 does not take the bit
  // away.
  constexpr unsigned kMfdExec = 0x10;
  int fd = static_cast<int>(
      VRUN_CALL("memfd_create", ::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | kMfdExec)));
  if (fd < 0 && errno == EINVAL) fd = ::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return Error::system(errno, "create memory file");
  return Fd(fd);
}

Result<void> seal(int fd) {
  if (VRUN_CALL("fcntl", ::fcntl(fd, F_ADD_SEALS,
                                 F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)) != 0) {
    return Error::system(errno, "seal memory file");
  }
  return {};
}

Result<void> set_inheritable(int fd, bool inheritable) {
  if (VRUN_CALL("fcntl", ::fcntl(fd, F_SETFD, inheritable ? 0 : FD_CLOEXEC)) != 0) {
    return Error::system(errno, "set flags of " + name_of(fd));
  }
  return {};
}

}  // namespace vrun::sys
