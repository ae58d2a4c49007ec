#include "images/overlay.hpp"

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"
#include "rootfs/id_map.hpp"

namespace vrun::images {
namespace {

constexpr std::uint64_t kOverlayMagic = 0x794c7630;
// fsconfig(2) copies a string of at most 256 bytes with its NUL.
constexpr std::size_t kLongestOption = 255;

using Options = std::vector<std::pair<std::string, std::string>>;

// While it lives, files are made as the guest's root. overlayfs works with the credentials of its
// mounter, and inside an id-mapped upper layer our uid 0 does not exist (EOVERFLOW, then a silent
// read-only mount).
class GuestRootIdentity {
 public:
  static Result<GuestRootIdentity> take(Uid uid, Gid gid) {
    GuestRootIdentity identity;
    if (::syscall(SYS_capget, &identity.header_, identity.saved_.data()) != 0) {
      return Error::system(errno, "read capabilities");
    }
    ::setfsgid(gid.value);
    ::setfsuid(uid.value);
    // Leaving fsuid 0 clears CAP_CHOWN, CAP_DAC_OVERRIDE ... (capabilities(7)): take them back.
    if (::syscall(SYS_capset, &identity.header_, identity.saved_.data()) != 0) {
      return Error::system(errno, "keep capabilities");
    }
    return identity;
  }
  GuestRootIdentity(GuestRootIdentity&& other) noexcept
      : saved_(other.saved_), armed_(std::exchange(other.armed_, false)) {}
  GuestRootIdentity(const GuestRootIdentity&) = delete;
  GuestRootIdentity& operator=(const GuestRootIdentity&) = delete;
  GuestRootIdentity& operator=(GuestRootIdentity&&) = delete;
  ~GuestRootIdentity() {
    if (!armed_) return;
    ::setfsuid(::geteuid());
    ::setfsgid(::getegid());
    ::syscall(SYS_capset, &header_, saved_.data());
  }

 private:
  GuestRootIdentity() = default;
  __user_cap_header_struct header_{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> saved_{};
  bool armed_ = true;
};

Result<Fd> id_mapped_clone(const Fd& dir, int user_namespace) {
  Fd mount = TRY(sys::open_tree(dir, "", OPEN_TREE_CLONE | AT_EMPTY_PATH));
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.propagation = MS_PRIVATE;
  attributes.userns_fd = static_cast<std::uint64_t>(user_namespace);
  Result<void> mapped = sys::mount_setattr(mount.get(), attributes, 0, "an image layer");
  if (mapped) return mount;
  if (mapped.error().sys_errno() != EINVAL) return std::move(mapped).error();
  return std::move(mapped).error().hint(
      "the filesystem of the data directory has no id-mapped mounts: use one on ext4, xfs or btrfs "
      "(--data-dir DIR)");
}

std::string number(const Fd& fd) {
  return std::to_string(fd.get());
}

// Options with descriptor numbers as relative paths: the caller's directory is /proc/self/fd.
Result<Options> layer_options(const std::vector<Fd>& layers, const Fd& writable) {
  std::string joined;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {  // overlayfs: top first
    if (!joined.empty()) joined += ':';
    joined += number(*layer);
  }
  Options options;
  if (joined.size() <= kLongestOption) {
    options.emplace_back("lowerdir", joined);
  } else {
    for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
      options.emplace_back("lowerdir+", number(*layer));  // since Linux 6.5
    }
  }
  options.emplace_back("upperdir", number(writable) + "/upper");
  options.emplace_back("workdir", number(writable) + "/work");
  return options;
}

// What the guest's id 0 is outside.
std::uint32_t outside_root(const std::vector<oci::IdMapping>& mappings) {
  for (const oci::IdMapping& one : mappings) {
    if (one.container_id == 0) return one.host_id;
  }
  return 0;
}

Result<Fd> mount_layers(const OverlayRequest& request, const std::vector<Fd>& layers,
                        const Fd& writable) {
  Options options = TRY(layer_options(layers, writable));
  options.emplace_back("source", "overlay");  // what mountinfo shows
  if (request.uids.empty()) options.emplace_back("userxattr", "");
  if (!request.keep_after_crash) options.emplace_back("volatile", "");
  const Fd here = TRY(sys::open(At::cwd(), ".", O_PATH | O_DIRECTORY));
  if (::chdir("/proc/self/fd") != 0) return Error::system(errno, "enter '/proc/self/fd'");
  const Undo back([&here] {
    if (::fchdir(here.get()) != 0) ::_exit(125);  // relative paths would mean something else
  });
  const GuestRootIdentity identity = TRY(
      GuestRootIdentity::take(Uid(outside_root(request.uids)), Gid(outside_root(request.gids))));
  return sys::make_mount("overlay", options, MOUNT_ATTR_NODEV);
}

// Linux before 6.15 takes only layers that are attached in the caller's mount namespace: they are
// stacked over the guest's directory in a namespace that ends with this function.
Result<Fd> mount_layers_attached(const OverlayRequest& request, const std::vector<Fd>& layers,
                                 const Fd& writable) {
  const Fd here = TRY(sys::open(At::cwd(), ".", O_PATH | O_DIRECTORY));
  const Fd ours = TRY(sys::open(At::cwd(), "/proc/self/ns/mnt", O_RDONLY));
  TRY(sys::unshare(CLONE_NEWNS));
  // To stay in this namespace would show others' mounts late: going back must not fail.
  const Undo back([&] {
    if (!sys::set_namespace(ours.get(), CLONE_NEWNS) || ::fchdir(here.get()) != 0) ::abort();
  });
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return Error::system(errno, "make mounts private");
  }
  const std::string path =
      TRY(sys::read_link(At::cwd(), "/proc/self/fd/" + number(request.writable)));
  for (const Fd& layer : layers)
    TRY(sys::move_mount(layer.get(), At::cwd(), path, 0));
  TRY(sys::move_mount(writable.get(), At::cwd(), path, 0));
  return mount_layers(request, layers, writable);
}

}  // namespace

Result<Fd> mount_overlay(const OverlayRequest& request) {
  if (request.uids.empty()) {
    Result<Fd> plain = mount_layers(request, request.layers, request.writable);
    if (plain) return plain;
    return std::move(plain)
        .error()
        .during("join layers without root")
        .hint(
            "the data directory must be on a file system that can be an upper layer for users: "
            "ext4, "
            "xfs, btrfs, or tmpfs since Linux 6.6 (--data-dir DIR)");
  }
  rootfs::IdMaps maps;
  const int user_namespace = TRY(maps.user_namespace(request.uids, request.gids));
  std::vector<Fd> layers;
  for (const Fd& layer : request.layers) {
    layers.push_back(TRY(id_mapped_clone(layer, user_namespace)));
  }
  const Fd writable = TRY(id_mapped_clone(request.writable, user_namespace));
  Result<Fd> mount = mount_layers(request, layers, writable);
  if (!mount && mount.error().sys_errno() == EINVAL) {
    mount = mount_layers_attached(request, layers, writable);
  }
  if (!mount)
    return std::move(mount).error().during("join " + std::to_string(layers.size()) + " layers");
  return mount;
}

Result<void> check_can_carry_guests(const Fd& dir, const std::string& path) {
  if (sys::fs_magic(dir.get()) != kOverlayMagic) return {};
  return Error(Code::kUnsupported, "data directory " + quote(path) +
                                       " is itself on overlayfs, which cannot carry guests")
      .hint(
          "use a directory on a disk or tmpfs: --data-dir DIR, or VRUN_DATA_DIR in the "
          "environment");
}

}  // namespace vrun::images
