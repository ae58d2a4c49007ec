#include "tenants/loop_disk.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/spawn.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::tenants {
namespace {

constexpr std::chrono::minutes kPatience{5};
// Where the file system is not mounted, this makes the collection of images stop (a guest whose
// record cannot be read): layers of guests that cannot be seen now must not go.
constexpr const char* kMarker = "not-mounted";
constexpr const char* kReserved = "images";
constexpr std::uint64_t kPiece = 16U << 20U;

Result<void> run_tool(const std::string& path, std::vector<std::string> argv) {
  Command command;
  command.path = path;
  command.argv = std::move(argv);
  command.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  command.timeout = kPatience;
  Result<Finished> done = run(command);
  if (!done && done.error().code() == Code::kNotFound)
    return std::move(done).error().hint("install e2fsprogs");
  if (!done) return std::move(done).error();
  if (done->exit.code() == 0) return {};
  return Error(Code::kSystem, command.argv[0] + ": " + std::string(trim(done->output)));
}

Result<void> set_size(const std::string& image, std::uint64_t bytes) {
  const Fd file = TRY(sys::open(At::cwd(), image, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (::ftruncate(file.get(), static_cast<off_t>(bytes)) == 0) return {};
  return Error::system(errno, "make " + quote(image));
}

std::string device_path(std::int64_t number) {
  return "/dev/loop" + std::to_string(number);
}

// The loop device that has this file already, whatever path it was given by: two of one file would
// be two file systems that do not know each other.
Result<Fd> find_loop(const struct stat& image, std::string& path) {
  const Fd block = TRY(sys::open_dir(At::cwd(), "/sys/block"));
  for (const std::string& name : TRY(sys::list_dir(block.get()))) {
    if (!name.starts_with("loop") || !sys::stat(block, name + "/loop/backing_file")) continue;
    Result<Fd> device = sys::open(At::cwd(), "/dev/" + name, O_RDWR);
    if (!device) continue;
    loop_info64 info{};
    if (::ioctl(device->get(), LOOP_GET_STATUS64, &info) != 0) continue;
    if (info.lo_device != image.st_dev || info.lo_inode != image.st_ino) continue;
    path = "/dev/" + name;
    return device;
  }
  return Error(Code::kNotFound, "no loop device has it");
}

Result<Fd> attach_loop(const Fd& image, std::string& path) {
  const Fd control = TRY(sys::open(At::cwd(), "/dev/loop-control", O_RDWR));
  loop_config config{};
  config.fd = static_cast<std::uint32_t>(image.get());
  // Given back by the kernel when nothing is mounted from it any more. Past the cache of the file
  // below, where that file system can: pages would be kept twice, and copied by workers of the
  // kernel that no tenant's group pays for (loop(4); ignored where it cannot be).
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
  constexpr int kMostTries = 64;  // others take the free one between our two calls
  for (int i = 0; i < kMostTries; ++i) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return Error::system(errno, "get a loop device");
    path = device_path(number);
    Fd device = TRY(sys::open(At::cwd(), path, O_RDWR));
    if (::ioctl(device.get(), LOOP_CONFIGURE, &config) == 0) return device;
    if (errno != EBUSY) return Error::system(errno, "set up " + path);
  }
  return Error(Code::kSystem, "no loop device is free");
}

Result<Fd> open_loop(const std::string& image, std::string& path) {
  const Fd file = TRY(sys::open(At::cwd(), image, O_RDWR | O_NOFOLLOW));
  const struct stat st = TRY(sys::stat(file.get()));
  Result<Fd> present = find_loop(st, path);
  if (present) return present;
  return attach_loop(file, path);
}

Result<bool> is_mounted(const std::string& path) {
  const Result<struct stat> here = sys::stat(At::cwd(), path);
  if (!here && here.error().code() == Code::kNotFound) return false;
  if (!here) return Error(here.error().code(), here.error().text());
  const struct stat above = TRY(sys::stat(At::cwd(), std::string(fs::dir_name(path))));
  return here->st_dev != above.st_dev;
}

Result<void> mount_top(const DiskPlaces& places) {
  if (TRY(is_mounted(places.top))) return {};
  TRY(fs::make_dirs(At::cwd(), places.top, 0700));
  std::string device;
  const Fd loop = TRY(open_loop(places.image, device));  // held until it is mounted
  const std::array<std::pair<std::string, std::string>, 1> options{{{"source", device}}};
  const Fd mount = TRY(sys::make_mount("ext4", options, 0));
  return sys::move_mount(mount.get(), At::cwd(), places.top, 0);
}

Result<void> mark(const std::string& dir) {
  // Once is enough: on a full disk it could not be written anew.
  if (sys::stat(At::cwd(), dir + "/" + kMarker + "/guest.json")) return {};
  TRY(fs::make_dirs(At::cwd(), dir + "/" + kMarker, 0700));
  const Fd marker = TRY(sys::open_dir(At::cwd(), dir + "/" + kMarker));
  return fs::replace_file(marker, "guest.json", "the disk of this tenant is not mounted\n");
}

Result<void> bind(const std::string& source, const std::string& target) {
  if (TRY(is_mounted(target))) return {};
  TRY(fs::make_dirs(At::cwd(), source, 0700));
  TRY(mark(target));
  const Fd tree = TRY(sys::open_tree(At::cwd(), source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  return sys::move_mount(tree.get(), At::cwd(), target, 0);
}

Result<Fd> lock_disk(const DiskPlaces& places) {
  Fd lock = TRY(sys::open(At::cwd(), places.image + ".lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  TRY(sys::lock(lock.get(), LOCK_EX, "disk of a tenant"));
  return lock;
}

Result<void> mount_all(const DiskPlaces& places) {
  if (TRY(is_mounted(places.guests)) && TRY(is_mounted(places.volumes))) return {};
  const Fd lock = TRY(lock_disk(places));
  TRY(mount_top(places));
  TRY(bind(places.top + "/guests", places.guests));
  return bind(places.top + "/volumes", places.volumes);
}

Result<std::uint64_t> reserved_now(const DiskPlaces& places) {
  const Result<struct stat> file = sys::stat(At::cwd(), places.top + "/" + kReserved);
  constexpr std::uint64_t kBlock = 512;  // of st_blocks
  if (file) return static_cast<std::uint64_t>(file->st_blocks) * kBlock;
  if (file.error().code() == Code::kNotFound) return std::uint64_t{0};
  return Error(file.error().code(), file.error().text());
}

// Room in this file system that images use elsewhere: blocks of a file that nobody ever writes, so
// that they take nothing from the disk below (fallocate(2)). Where guests were quicker and the room
// is not there, what is left of it is taken, and the rest when there is some.
Result<void> reserve(const DiskPlaces& places, std::uint64_t bytes) {
  const std::string path = places.top + "/" + kReserved;
  constexpr std::uint64_t kMiB = 1U << 20U;
  const std::uint64_t wanted = (bytes + kMiB - 1) / kMiB * kMiB;
  if (TRY(reserved_now(places)) / kMiB == wanted / kMiB) return {};
  const Fd lock = TRY(lock_disk(places));
  const Fd file = TRY(sys::open(At::cwd(), path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (::ftruncate(file.get(), static_cast<off_t>(wanted)) != 0)
    return Error::system(errno, "reserve room for images");
  for (std::uint64_t at = 0; at < wanted; at += std::min(wanted - at, kPiece)) {
    const auto piece = static_cast<off_t>(std::min(wanted - at, kPiece));
    if (::fallocate(file.get(), 0, static_cast<off_t>(at), piece) == 0) continue;
    if (errno == ENOSPC) return {};
    return Error::system(errno, "reserve room for images");
  }
  return {};
}

}  // namespace

Result<std::uint64_t> LoopDisk::take_id(const DiskPlaces& /*places*/,
                                        std::span<const std::uint64_t> /*taken*/) const {
  return std::uint64_t{0};
}

Result<void> LoopDisk::make(const DiskPlaces& places, std::uint64_t bytes) const {
  TRY(set_size(places.image, bytes));
  return run_tool("mkfs.ext4", {"mkfs.ext4", "-q", "-F", "-m", "0", "-E",
                                "lazy_itable_init=1,lazy_journal_init=1,nodiscard", places.image});
}

Result<void> LoopDisk::open(const DiskPlaces& places, std::uint64_t /*bytes*/,
                            std::uint64_t reserved) const {
  TRY(mount_all(places));
  return reserve(places, reserved);
}

Result<void> LoopDisk::resize(const DiskPlaces& places, std::uint64_t bytes,
                              std::uint64_t reserved) const {
  const struct stat now = TRY(sys::stat(At::cwd(), places.image));
  if (static_cast<std::uint64_t>(now.st_size) == bytes) return {};
  if (static_cast<std::uint64_t>(now.st_size) > bytes) {
    return Error(Code::kUnsupported, "a tenant's disk can grow, not shrink")
        .hint("make a new tenant with a smaller one");
  }
  TRY(open(places, bytes, reserved));
  const Fd lock = TRY(lock_disk(places));
  TRY(set_size(places.image, bytes));
  std::string device;
  const Fd loop = TRY(open_loop(places.image, device));
  if (::ioctl(loop.get(), LOOP_SET_CAPACITY) != 0) return Error::system(errno, "grow " + device);
  Result<void> grown = run_tool("resize2fs", {"resize2fs", device});
  if (grown) return grown;
  static_cast<void>(set_size(places.image, static_cast<std::uint64_t>(now.st_size)));
  static_cast<void>(::ioctl(loop.get(), LOOP_SET_CAPACITY));
  return std::move(grown).error().hint("a mounted file system grows only for CAP_SYS_RESOURCE");
}

Result<void> LoopDisk::loosen(const DiskPlaces& places, std::uint64_t /*bytes*/) const {
  TRY(mount_all(places));
  return reserve(places, 0);
}

Result<void> LoopDisk::close(const DiskPlaces& places) const {
  for (const std::string* path : {&places.guests, &places.volumes, &places.top}) {
    if (TRY(is_mounted(*path))) TRY(sys::umount(*path, 0));
  }
  return {};
}

// The file goes with the tenant's directory.
Result<void> LoopDisk::forget(const DiskPlaces& /*places*/) const {
  return {};
}

Result<DiskUse> LoopDisk::use(const DiskPlaces& places) const {
  TRY(mount_all(places));
  struct statvfs fs {};
  if (::statvfs(places.top.c_str(), &fs) != 0)
    return Error::system(errno, "look at " + quote(places.top));
  const std::uint64_t used = (fs.f_blocks - fs.f_bfree) * fs.f_frsize;
  return DiskUse{without(used, TRY(reserved_now(places))), fs.f_files - fs.f_ffree};
}

}  // namespace vrun::tenants
