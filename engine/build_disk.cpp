#include "engine/build_disk.hpp"

#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/helper.hpp"
#include "base/spawn.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"
#include "engine/disk_extras.hpp"
#include "engine/guest_setup.hpp"
#include "engine/micro_vm.hpp"
#include "engine/staged_dir.hpp"
#include "images/store.hpp"
#include "vm/agent/service.hpp"

namespace vrun::engine {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
constexpr std::uint64_t kRoomByDefault = 1024 * kMiB, kLeastDisk = 8 * kMiB;
constexpr std::uint64_t kLargestDisk = std::uint64_t{16} << 40U;  // of ext4 with 4 KiB blocks
constexpr std::chrono::minutes kPatience{30};
constexpr std::uint64_t kInside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

Result<void> run_tool(Command command) {
  command.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  command.timeout = kPatience;
  Result<Finished> done = run(command);
  if (!done && done.error().code() == Code::kNotFound)
    return std::move(done).error().hint("install e2fsprogs");
  if (!done) return std::move(done).error();
  if (done->exit.code() == 0) return {};
  return Error(Code::kSystem, command.argv[0] + ": " + printable(trim(done->output)));
}

// The tree that becomes the disk.
struct Tree {
  Fd root;
  std::optional<StagedDir> staged;  // of an image: what its layers are joined with
};

Result<Tree> tree_of_image(const Guests& guests, const std::string& name) {
  RunRequest request;
  request.image = name;
  const images::Store store = TRY(images::Store::open(guests.places().data));
  const Fd in_use = TRY(store.use());
  const images::Image image = TRY(find_image(request, guests));
  TRY(bring_layers(store, image, guests.host()));
  Tree tree;
  tree.staged.emplace(TRY(StagedDir::create(guests, "disk")));
  for (const char* part : {"upper", "work"})
    static_cast<void>(TRY(tree.staged->make(part)));
  const std::vector<oci::IdMapping> as_it_is{
      {.container_id = 0, .host_id = 0, .size = 0xFFFFFFFFU}};
  tree.root = TRY(make_root(store, {image.config, tree.staged->dir(), as_it_is, false}));
  return tree;
}

Result<Tree> open_tree(const Guests& guests, const BuildDisk& wish) {
  if (wish.from.find('/') == std::string::npos && wish.from != ".") {
    Result<Tree> tree = tree_of_image(guests, wish.from);
    const bool is_directory = ::access(wish.from.c_str(), F_OK) == 0;
    if (!tree && is_directory)
      return std::move(tree).error().hint("the directory here is --from ./" + wish.from);
    return tree;
  }
  Tree tree;
  Result<Fd> root = sys::open(At::cwd(), wish.from, O_RDONLY | O_DIRECTORY);
  if (!root) return std::move(std::move(root).error().during("--from"));
  tree.root = *std::move(root);
  return tree;
}

bool has(const Fd& root, const std::string& path) {
  return sys::open2(root, path, O_PATH | O_CLOEXEC, kInside).has_value();
}

Result<void> check_init(const Fd& root, const std::string& from) {
  for (const char* init : {"sbin/init", "etc/init", "bin/init", "usr/lib/systemd/systemd"})
    if (has(root, init)) return {};
  return Error(Code::kInvalid, "--from " + quote(from) + ": it has no init, so nothing would start")
      .hint("a whole system: of debootstrap, or an image with systemd or another /sbin/init");
}

// Room that files take, hard links once.
Result<std::uint64_t> bytes_below(const Fd& dir) {
  std::uint64_t bytes = 0;
  for (const std::string& name : TRY(sys::list_dir(dir.get()))) {
    const struct stat facts = TRY(sys::stat(dir, name, AT_SYMLINK_NOFOLLOW));
    const auto size = static_cast<std::uint64_t>(facts.st_blocks) * 512;
    bytes += size / std::max<std::uint64_t>(facts.st_nlink, 1) + 512;  // its inode and name
    if (!S_ISDIR(facts.st_mode)) continue;
    const Fd below = TRY(sys::open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    bytes += TRY(bytes_below(below));
  }
  return bytes;
}

// Regular files of the host below `dir`; links (build, source) lead out of it and are left.
Result<void> add_files(const std::string& dir, const std::string& inside,
                       std::vector<DiskExtra>& extras) {
  const Fd opened = TRY(sys::open_dir(At::cwd(), dir));
  extras.push_back({.kind = DiskExtra::Kind::kDirectory, .path = inside, .source = {}});
  for (const std::string& name : TRY(sys::list_dir(opened.get()))) {
    const struct stat facts = TRY(sys::stat(opened, name, AT_SYMLINK_NOFOLLOW));
    const std::string from = fs::join(dir, name), to = inside + "/" + name;
    if (!is_plain_path(from)) continue;
    if (S_ISDIR(facts.st_mode)) TRY(add_files(from, to, extras));
    if (S_ISREG(facts.st_mode)) extras.push_back({.path = to, .source = from});
  }
  return {};
}

bool is_link(const Fd& root, const std::string& path) {
  const Result<struct stat> facts = sys::stat(root, path, AT_SYMLINK_NOFOLLOW);
  return facts && S_ISLNK(facts->st_mode);
}

// A file of ours goes in from a directory of ours.
Result<void> add_text(const StagedDir& own, const std::string& path, std::string_view text,
                      unsigned mode, std::vector<DiskExtra>& extras) {
  const std::string name = std::to_string(extras.size());
  TRY(fs::replace_file(own.dir(), name, text));
  extras.push_back({.path = path, .source = fs::join(own.path(), name), .mode = mode});
  return {};
}

// Without udev (trees made for containers) systemd never sees a device: it would wait for the
// serial port, and nobody hears the power button.
constexpr std::string_view kListener =
    "[Unit]\nDescription=Power button\nDefaultDependencies=no\n\n[Service]\n"
    "ExecStart=/bin/sh -c 'for e in /dev/input/event*; do "
    "(head -c 24 $$e >/dev/null && systemctl poweroff) & done; wait'\n";

std::string autologin_on(const std::string& terminal) {
  return "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear --keep-baud " +
         terminal + " 115200,38400,9600 $TERM\n";
}

// The agent, so that the host can run programs in the system. Answers its size.
Result<std::uint64_t> add_agent(const Fd& root, std::vector<DiskExtra>& extras) {
  const std::string program = TRY(helper_path("vrun-guest"));
  extras.push_back({.path = vm::kServiceProgram,
                    .source = program,
                    .mode = 0755,
                    .replaces = has(root, vm::kServiceProgram + 1)});
  return static_cast<std::uint64_t>(TRY(sys::stat(At::cwd(), program, 0)).st_size);
}

// The init of busybox alone: a console, and its listener for the power button.
constexpr std::string_view kInittab =
    "::sysinit:/bin/mount -o remount,rw /\n"
    "::sysinit:/bin/mkdir -p /dev/pts\n"
    "::sysinit:/bin/mount -t devpts devpts /dev/pts\n"
    "::respawn:-/bin/sh\n"
    "::respawn:/sbin/acpid -f\n"
    "::shutdown:/bin/umount -a -r\n";
constexpr std::string_view kPowerButton = "#!/bin/sh\nexec /sbin/poweroff\n";

bool is_busybox(const Fd& root) {
  const Result<Fd> init = sys::open2(root, "sbin/init", O_PATH | O_CLOEXEC, kInside);
  const Result<Fd> box = sys::open2(root, "bin/busybox", O_PATH | O_CLOEXEC, kInside);
  if (!init || !box) return false;
  const Result<struct stat> one = sys::stat(init->get()), other = sys::stat(box->get());
  return one && other && one->st_ino == other->st_ino && one->st_dev == other->st_dev;
}

// A table of the system's own keeps its lines.
Result<void> add_inittab_line(const Fd& root, const StagedDir& own,
                              std::vector<DiskExtra>& extras) {
  constexpr std::size_t kMost = 64 << 10;
  const Fd file = TRY(sys::open2(root, "etc/inittab", O_RDONLY | O_CLOEXEC | O_NONBLOCK, kInside));
  std::string text =
      TRY(fs::read_file(At::cwd(), "/proc/self/fd/" + std::to_string(file.get()), kMost));
  if (text.find(vm::kServiceProgram) != text.npos || is_link(root, "etc/inittab")) return {};
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  TRY(add_text(own, "/etc/inittab", text + std::string(vm::kServiceLine), 0644, extras));
  extras.back().replaces = true;
  return {};
}

Result<void> add_busybox(const Fd& root, const StagedDir& own, std::vector<DiskExtra>& extras) {
  if (!is_busybox(root)) return {};
  if (has(root, "etc/inittab")) return add_inittab_line(root, own, extras);
  TRY(add_text(own, "/etc/inittab", std::string(kInittab) + std::string(vm::kServiceLine), 0644,
               extras));
  return add_text(own, "/etc/acpi/PWRF/00000080", kPowerButton, 0755, extras);
}

void add_link(const std::string& path, const std::string& target, std::vector<DiskExtra>& extras) {
  extras.push_back({.kind = DiskExtra::Kind::kLink, .path = path, .source = target});
}

Result<void> add_systemd(const Fd& root, const StagedDir& own, bool autologin,
                         std::vector<DiskExtra>& extras) {
  const std::string units = "/etc/systemd/system/";
  if (!has(root, "lib/systemd/systemd")) return {};
  TRY(add_text(own, units + "vrun-guest.service", vm::kServiceUnit, 0644, extras));
  extras.back().replaces = has(root, "etc/systemd/system/vrun-guest.service");
  if (!has(root, "etc/systemd/system/sysinit.target.wants/vrun-guest.service"))
    add_link(units + "sysinit.target.wants/vrun-guest.service", units + "vrun-guest.service",
             extras);
  const bool has_udev = has(root, "lib/systemd/systemd-udevd");
  const std::string getty = has_udev ? "serial-getty@ttyS0.service" : "console-getty.service";
  if (autologin)
    TRY(add_text(own, units + getty + ".d/vrun.conf", autologin_on(has_udev ? "%I" : "console"),
                 0644, extras));
  if (has_udev) return {};
  if (!has(root, "etc/systemd/system/serial-getty@ttyS0.service"))
    add_link(units + "serial-getty@ttyS0.service", "/dev/null", extras);
  if (!has(root, "etc/systemd/system/getty.target.wants/console-getty.service"))
    add_link(units + "getty.target.wants/console-getty.service",
             "/lib/systemd/system/console-getty.service", extras);
  TRY(add_text(own, units + "vrun-power-button.service", kListener, 0644, extras));
  add_link(units + "sysinit.target.wants/vrun-power-button.service",
           units + "vrun-power-button.service", extras);
  return {};
}

struct Extras {
  std::vector<DiskExtra> list;
  std::uint64_t bytes = 0;
};

Result<void> add_modules(const Guests& guests, const BuildDisk& wish, const Fd& root,
                         Extras& extras) {
  const vm::KernelPlaces places = kernel_places(guests.places());
  const Result<vm::HostKernel> kernel = vm::find_kernel(places, wish.kernel);
  if (!kernel && !wish.kernel.empty())
    return Error(kernel.error().code(), kernel.error().text()).hint(kernel.error().hint());
  // Nobody would load them without modprobe; what the root needs is in the initramfs.
  if (!kernel || kernel->modules.empty() || !has(root, "sbin/modprobe")) return {};
  const std::string release(fs::base_name(kernel->modules));
  if (has(root, "lib/modules/" + release)) return {};
  const std::string lib = is_link(root, "lib") ? "/usr/lib" : "/lib";
  TRY(add_files(kernel->modules, lib + "/modules/" + release, extras.list));
  const Fd modules = TRY(sys::open_dir(At::cwd(), kernel->modules));
  extras.bytes += TRY(bytes_below(modules));
  return {};
}

Result<Extras> extras_of(const Guests& guests, const BuildDisk& wish, const Fd& root,
                         const StagedDir& own) {
  Extras extras;
  TRY(add_modules(guests, wish, root, extras));
  if (!is_link(root, "etc/resolv.conf")) {
    extras.list.push_back({.kind = DiskExtra::Kind::kLink,
                           .path = "/etc/resolv.conf",
                           .source = "../run/vrun/resolv.conf",
                           .replaces = has(root, "etc/resolv.conf")});
  }
  // Where the initramfs moves its mounts to.
  for (const char* place : {"dev", "proc", "sys", "run"})
    if (!has(root, place))
      extras.list.push_back(
          {.kind = DiskExtra::Kind::kDirectory, .path = std::string("/") + place, .source = {}});
  extras.bytes += TRY(add_agent(root, extras.list));
  TRY(add_systemd(root, own, wish.autologin, extras.list));
  TRY(add_busybox(root, own, extras.list));
  return extras;
}

Result<void> check_size(const BuildDisk& wish, std::uint64_t needed) {
  if (wish.size == 0) return {};
  if (wish.size > kLargestDisk) return Error(Code::kInvalid, "--size: more than 16 TiB");
  if (wish.size >= std::max(needed, kLeastDisk)) return {};
  return Error(Code::kInvalid, "--size: " + std::to_string(needed / kMiB + 1) +
                                   " MiB of files do not fit into " +
                                   std::to_string(wish.size / kMiB) + " MiB")
      .hint("leave --size away: the file has holes where nothing is written");
}

Result<void> fill(const std::string& image, const Fd& root, const std::string& script) {
  Command make;
  make.path = "mkfs.ext4";
  make.argv = {"mkfs.ext4",
               "-q",
               "-F",
               "-m",
               "1",
               "-L",
               std::string(vm::kServiceLabel),
               "-E",
               "lazy_itable_init=1,nodiscard",
               "-d",
               "/proc/self/fd/" + std::to_string(root.get()),
               image};
  make.keep = {root.get()};
  TRY(run_tool(std::move(make)));
  if (script.empty()) return {};
  Command change;
  change.path = "debugfs";
  change.argv = {"debugfs", "-w", "-f", "-", image};
  change.input = script;
  TRY(run_tool(std::move(change)));
  Command check;  // debugfs tells no failure by its status: a full disk, for one
  check.path = "e2fsck";
  check.argv = {"e2fsck", "-f", "-n", image};
  return run_tool(std::move(check));
}

Result<void> set_size(const Fd& file, std::uint64_t bytes) {
  if (::ftruncate(file.get(), static_cast<off_t>(bytes)) == 0) return {};
  return Error::system(errno, "make a disk of " + std::to_string(bytes / kMiB) + " MiB");
}

}  // namespace

Result<void> build_disk(const Guests& guests, const BuildDisk& wish) {
  const Fd dir = TRY(sys::open_dir(At::cwd(), std::string(fs::dir_name(wish.output))));
  const std::string name(fs::base_name(wish.output));
  if (sys::stat(dir, name, AT_SYMLINK_NOFOLLOW))
    return Error(Code::kExists, "-o " + quote(wish.output) + ": something has that name")
        .hint("remove it, or name another file");
  const Tree tree = TRY(open_tree(guests, wish));
  TRY(check_init(tree.root, wish.from));
  const StagedDir own = TRY(StagedDir::create(guests, "extras"));
  const Extras extras = TRY(extras_of(guests, wish, tree.root, own));
  const Fd listed = TRY(sys::open(tree.root, ".", O_RDONLY | O_DIRECTORY));
  const std::uint64_t files = TRY(bytes_below(listed)) + extras.bytes;
  TRY(check_size(wish, files));
  const std::uint64_t size =
      wish.size != 0 ? wish.size / 4096 * 4096 : (files + files / 4 + kRoomByDefault) / kMiB * kMiB;
  const std::string half = "." + name + ".half";
  const Undo undo([&] { static_cast<void>(sys::unlink(dir, half)); });
  const Fd file = TRY(sys::open(dir, half, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  TRY(set_size(file, size));
  const std::string path = fs::join(std::string(fs::dir_name(wish.output)), half);
  TRY(fill(path, listed, debugfs_script(extras.list)));
  if (::fsync(file.get()) != 0) return Error::system(errno, "write the disk image");
  const bool named = TRY(sys::rename_new(dir, half, dir, name));
  if (named) return {};
  return Error(Code::kExists, "-o " + quote(wish.output) + ": something has that name by now");
}

}  // namespace vrun::engine
