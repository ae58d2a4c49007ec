#include "vm/qemu_root.hpp"

#include <algorithm>
#include <array>
#include <chrono>

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/digest.hpp"
#include "base/fs.hpp"
#include "base/spawn.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"

namespace vrun::vm {
namespace {

constexpr const char* kLoader = "/lib64/ld-linux-x86-64.so.2";
constexpr const char* kModule = "accel-tcg-x86_64.so";
constexpr const char* kHalf = "half.qemu";
constexpr const char* kForm = "1";  // of the folder
constexpr std::array<const char*, 4> kFirmware{"bios-256k.bin", "kvmvapic.bin", "linuxboot_dma.bin",
                                               "pvh.bin"};
constexpr std::array<const char*, 3> kFirmwareDirs{"/usr/share/qemu", "/usr/share/seabios",
                                                   "/usr/share/qemu-firmware"};
constexpr std::array<const char*, 3> kModuleDirs{"/usr/lib/x86_64-linux-gnu/qemu",
                                                 "/usr/lib64/qemu", "/usr/lib/qemu"};
constexpr const char* kRemedy = "apt install --reinstall qemu-system-x86 qemu-system-data seabios";

bool is_there(const std::string& path) {
  return ::access(path.c_str(), R_OK) == 0;
}

std::string first_with(std::span<const char* const> dirs, const char* name) {
  for (const char* dir : dirs)
    if (std::string path = fs::join(dir, name); is_there(path)) return path;
  return "";
}

Result<std::vector<std::string>> libraries_needed(const std::string& file) {
  Command command;
  command.path = kLoader;
  command.argv = {kLoader, "--list", file};
  command.timeout = std::chrono::seconds(30);
  const Finished finished = TRY(run(command));
  if (finished.exit.code() == 0) return libraries_of(finished.output);
  return Error(Code::kNotFound,
               "libraries of " + quote(file) + ": " + printable(std::string(trim(finished.output))))
      .hint(kRemedy);
}

Result<void> copy(const std::string& from, const Fd& dir, const std::string& name, mode_t mode) {
  const Fd in = TRY(sys::open(At::cwd(), from, O_RDONLY));
  if (::faccessat(dir.get(), name.c_str(), F_OK, 0) == 0) return {};  // two want the same library
  const Fd file = TRY(sys::open(dir, name, O_WRONLY | O_CREAT | O_EXCL, mode));
  const off_t size = TRY(sys::stat(in.get())).st_size;
  for (off_t at = 0; at < size;) {
    if (::sendfile(file.get(), in.get(), &at, static_cast<std::size_t>(size - at)) <= 0)
      return Error::system(errno, "copy " + quote(from));
  }
  if (::fsync(file.get()) != 0) return Error::system(errno, "copy " + quote(from));
  return {};
}

Result<void> copy_into(const Fd& folder, const char* dir, const std::vector<std::string>& files) {
  TRY(fs::make_dirs(folder, dir, 0755));
  const Fd inside = TRY(sys::open_dir(folder, dir));
  for (const std::string& file : files)
    TRY(copy(file, inside, std::string(fs::base_name(file)), 0644));
  return {};
}

// A copy where it is on another file system, as an initramfs of the user's may be.
Result<void> link_open_file(const Fd& file, const Fd& folder, const char* name) {
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  if ((TRY(sys::stat(file.get())).st_mode & S_IROTH) == 0) {
    return Error(Code::kDenied, std::string(name) + ": QEMU, which has no rights, cannot read it")
        .hint("chmod o+r, if what is in it may be read by all");
  }
  if (::linkat(AT_FDCWD, path.c_str(), folder.get(), name, AT_SYMLINK_FOLLOW) == 0) return {};
  if (errno == EXDEV) return copy(path, folder, name, 0644);
  return Error::system(errno, std::string("link ") + name + " for QEMU");
}

Result<void> fill(const QemuRequest& request, const Fd& folder) {
  std::vector<std::string> libraries = TRY(libraries_needed(request.program)), modules, firmware;
  if (const std::string module = first_with(kModuleDirs, kModule); !module.empty()) {
    modules.push_back(module);
    const std::vector<std::string> its = TRY(libraries_needed(module));
    libraries.insert(libraries.end(), its.begin(), its.end());
  }
  for (const char* name : kFirmware) {
    firmware.push_back(first_with(kFirmwareDirs, name));
    if (firmware.back().empty())
      return Error(Code::kNotFound, std::string("QEMU's firmware ") + name + " is not there")
          .hint(kRemedy);
  }
  TRY(copy_into(folder, "lib", libraries));
  TRY(copy_into(folder, "modules", modules));
  TRY(copy_into(folder, "firmware", firmware));
  TRY(copy(kLoader, folder, "ld.so", 0755));
  TRY(copy(request.program, folder, "qemu", 0755));
  TRY(link_open_file(request.boot.vmlinux, folder, "vmlinux"));
  return link_open_file(request.boot.initramfs, folder, "initramfs");
}

std::string identity(const struct stat& file) {
  std::string text;
  for (const auto number : {static_cast<std::int64_t>(file.st_dev),
                            static_cast<std::int64_t>(file.st_ino), std::int64_t{file.st_size},
                            std::int64_t{file.st_mtim.tv_sec}, std::int64_t{file.st_mtim.tv_nsec}})
    text += std::to_string(number) + '\n';
  return text;
}

Result<std::string> name_of(const QemuRequest& request) {
  const std::string text = kForm + identity(TRY(sys::stat(At::cwd(), request.program))) +
                           identity(TRY(sys::stat(request.boot.vmlinux.get()))) +
                           identity(TRY(sys::stat(request.boot.initramfs.get())));
  return sha256_hex(text) + ".qemu";
}

Result<void> make(const QemuRequest& request, const Fd& cache, const std::string& name) {
  const Fd lock = TRY(sys::open(cache, "lock", O_RDWR | O_CREAT, 0600));
  TRY(sys::lock(lock.get(), LOCK_EX, "the kernels of micro-VMs"));
  if (sys::open_dir(cache, name)) return {};  // another one made it while we waited
  const auto clear = [&] { static_cast<void>(fs::remove_tree(cache, kHalf)); };
  clear();
  Undo undo(clear);
  TRY(fs::make_dirs(cache, kHalf, 0755));
  const Fd folder = TRY(sys::open_dir(cache, kHalf));
  TRY(fill(request, folder));
  TRY(sys::rename(cache, kHalf, cache, name));
  undo.commit();
  return {};
}

}  // namespace

std::vector<std::string> libraries_of(std::string_view list) {
  std::vector<std::string> files;
  for (const std::string_view line : split(list, '\n')) {
    const std::size_t from = line.find('/');
    const std::size_t to = line.rfind(" (0x");
    if (from == line.npos || to == line.npos || to < from) continue;
    files.emplace_back(line.substr(from, to - from));
  }
  return files;
}

Result<std::string> qemu_folder_name(const QemuRequest& request) {
  return name_of(request);
}

Result<Fd> qemu_root(const QemuRequest& request) {
  const std::string path = fs::join(request.data, "vm/cache");
  const Fd cache = TRY(sys::open_dir(At::cwd(), path));
  const std::string name = TRY(name_of(request));
  // Its time says to cache_prune.hpp that somebody is about to have it.
  if (::utimensat(cache.get(), name.c_str(), nullptr, 0) != 0) TRY(make(request, cache, name));
  Result<Fd> there = sys::open_tree(At(cache), name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (!there && there.error().sys_errno() == ENOENT) {
    TRY(make(request, cache, name));
    there = sys::open_tree(At(cache), name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  }
  Fd mount = TRY(std::move(there));
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  TRY(sys::mount_setattr(mount.get(), attr, 0, "QEMU's folder"));
  return mount;
}

}  // namespace vrun::vm
