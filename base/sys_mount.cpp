#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fault_injection.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::sys {
namespace {

// What the kernel wrote into the log of a file-system context: "e tmpfs: Bad value for 'size'".
std::string context_log(int context) {
  std::string words;
  std::array<char, 512> line{};
  for (int lines = 0; lines < 8; ++lines) {
    const ssize_t n = ::read(context, line.data(), line.size());
    if (n <= 2) break;
    if (!words.empty()) words += "; ";
    words += printable(trim(std::string_view(line.data() + 2, static_cast<std::size_t>(n) - 2)));
  }
  return words;
}

Error context_failed(int context, const std::string& action) {
  Error error = Error::system(errno, action);
  const std::string words = context_log(context);
  if (!words.empty()) return std::move(error).hint("the kernel says: " + words);
  return error;
}

}  // namespace

Result<Fd> open_tree(At at, const std::string& path, unsigned flags) {
  const long fd = VRUN_CALL(
      "open_tree", ::syscall(SYS_open_tree, at.get(), path.c_str(), flags | OPEN_TREE_CLOEXEC));
  if (fd < 0) return Error::system(errno, "open mount " + quote(path));
  return Fd(static_cast<int>(fd));
}

Result<void> mount_setattr(int mount, const mount_attr& attr, unsigned flags,
                           std::string_view what) {
  mount_attr copy = attr;
  if (VRUN_CALL("mount_setattr", ::syscall(SYS_mount_setattr, mount, "", flags | AT_EMPTY_PATH,
                                           &copy, sizeof copy)) != 0) {
    return Error::system(errno, "set mount attributes of " + std::string(what));
  }
  return {};
}

Result<void> move_mount(int mount, At to, const std::string& path, unsigned flags) {
  if (VRUN_CALL("move_mount", ::syscall(SYS_move_mount, mount, "", to.get(), path.c_str(),
                                        flags | MOVE_MOUNT_F_EMPTY_PATH)) != 0) {
    return Error::system(errno, "attach mount at " + quote(path));
  }
  return {};
}

Result<Fd> make_mount(const std::string& type,
                      std::span<const std::pair<std::string, std::string>> options,
                      std::uint64_t attributes) {
  const std::string action = "mount " + type;
  Fd context(
      static_cast<int>(VRUN_CALL("fsopen", ::syscall(SYS_fsopen, type.c_str(), FSOPEN_CLOEXEC))));
  if (!context) return Error::system(errno, action);
  for (const auto& [key, value] : options) {
    const bool is_flag = value.empty();
    const long done =
        ::syscall(SYS_fsconfig, context.get(), is_flag ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING,
                  key.c_str(), is_flag ? nullptr : value.c_str(), 0);
    if (done != 0)
      return context_failed(context.get(),
                            action + " (" + printable(key) + "=" + printable(value) + ")");
  }
  if (VRUN_CALL("fsconfig", ::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr,
                                      nullptr, 0)) != 0) {
    return context_failed(context.get(), action);
  }
  Fd mount(static_cast<int>(
      VRUN_CALL("fsmount", ::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, attributes))));
  if (!mount) return context_failed(context.get(), action);
  return mount;
}

Result<void> umount(const std::string& path, int flags) {
  if (::umount2(path.c_str(), flags) != 0) return Error::system(errno, "unmount " + quote(path));
  return {};
}

}  // namespace vrun::sys
