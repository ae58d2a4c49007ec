// The facts of engine/doctor.hpp: looked up, and tried where that does no harm.
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/helper.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"
#include "cgroups/host_view.hpp"
#include "engine/doctor.hpp"
#include "engine/guest_setup.hpp"
#include "engine/guests.hpp"
#include "engine/id_ranges.hpp"
#include "engine/micro_vm.hpp"
#include "engine/rootless.hpp"
#include "images/overlay.hpp"
#include "network/rootless.hpp"
#include "rootfs/id_map.hpp"

namespace vrun::engine {
namespace {

constexpr std::uint32_t kSomeIds = 524288;

std::string text_of(const Result<void>& tried) {
  return tried ? "" : tried.error().text();
}

std::vector<oci::IdMapping> some_mapping() {
  return {{.container_id = 0, .host_id = kSomeIds, .size = kIdsPerGuest}};
}

std::string filesystem_name(std::uint64_t magic) {
  struct Row {
    std::uint64_t magic;
    const char* name;
  };
  constexpr std::array<Row, 7> kRows{{{EXT4_SUPER_MAGIC, "ext4"},
                                      {XFS_SUPER_MAGIC, "xfs"},
                                      {BTRFS_SUPER_MAGIC, "btrfs"},
                                      {TMPFS_MAGIC, "tmpfs"},
                                      {OVERLAYFS_SUPER_MAGIC, "overlayfs"},
                                      {NFS_SUPER_MAGIC, "nfs"},
                                      {0x2fc12fc1, "zfs"}}};
  for (const Row& row : kRows) {
    if (row.magic == magic) return row.name;
  }
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  for (; magic != 0; magic >>= 4U)
    text.insert(text.begin(), kHex[magic & 15U]);
  return "0x" + text;
}

// The data directory may not have been made yet: what it will be made in.
std::string nearest_existing(std::string path) {
  while (path.size() > 1 && !sys::stat(At::cwd(), path))
    path = fs::dir_name(path);
  return path;
}

void look_at_kernel(HostFacts& facts) {
  utsname name{};
  if (::uname(&name) != 0) return;
  facts.kernel = name.release;
  const auto parts = split(facts.kernel, '.');
  if (parts.size() < 2) return;
  facts.kernel_major = static_cast<unsigned>(parse_u64(parts[0]).value_or(0));
  const std::size_t digits = std::min(parts[1].find_first_not_of("0123456789"), parts[1].size());
  facts.kernel_minor = static_cast<unsigned>(parse_u64(parts[1].substr(0, digits)).value_or(0));
}

Result<void> try_id_map(const std::string& dir) {
  rootfs::IdMaps maps;
  const int ids = TRY(maps.user_namespace(some_mapping(), some_mapping()));
  const Fd mount = TRY(sys::open_tree(At::cwd(), dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.propagation = MS_PRIVATE;
  attributes.userns_fd = static_cast<std::uint64_t>(ids);
  return sys::mount_setattr(mount.get(), attributes, 0, dir);
}

// An overlay as a guest's: of a layer and a writable directory, id-mapped if there are `ids`.
Result<void> try_overlay(const std::string& dir, const std::vector<oci::IdMapping>& ids) {
  const std::string name = ".vrun-doctor-" + std::to_string(::getpid());
  const Fd parent = TRY(sys::open_dir(At::cwd(), dir));
  TRY(sys::make_dir(parent, name, 0700));
  const Undo remove([&] { static_cast<void>(fs::remove_tree(parent, name)); });
  const Fd top = TRY(sys::open_dir(parent, name));
  for (const char* part : {"layer", "upper", "work"})
    TRY(sys::make_dir(top, part, 0755));
  images::OverlayRequest request{
      .layers = {}, .writable = top, .uids = ids, .gids = ids, .keep_after_crash = false};
  request.layers.push_back(TRY(sys::open(top, "layer", O_PATH | O_DIRECTORY)));
  TRY(images::mount_overlay(request));
  return {};
}

void look_at_data(const Places& places, HostFacts& facts) {
  facts.data = places.data;
  const std::string dir = nearest_existing(places.data);
  struct statfs about {};
  if (::statfs(dir.c_str(), &about) == 0) {
    facts.data_filesystem = filesystem_name(static_cast<std::uint64_t>(about.f_type));
    facts.data_free =
        static_cast<std::uint64_t>(about.f_bavail) * static_cast<std::uint64_t>(about.f_bsize);
  }
  if (!facts.rootless) {
    facts.id_map_failure = text_of(try_id_map(dir));
    facts.overlay_failure = text_of(try_overlay(dir, some_mapping()));
  } else if (facts.entry_failure.empty()) {
    facts.overlay_failure = text_of(try_overlay(dir, {}));
  } else {
    facts.overlay_failure = "cannot be tried without a user namespace";
  }
}

// NFT_MSG_GETGEN, which changes nothing: answered by every kernel with nf_tables (and it loads the
// module).
bool has_nftables() {
  const Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!socket) return false;
  struct {
    nlmsghdr header;
    nfgenmsg message;
  } ask{};
  ask.header.nlmsg_len = sizeof ask;
  ask.header.nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN;
  ask.header.nlmsg_flags = NLM_F_REQUEST;
  if (::send(socket.get(), &ask, sizeof ask, 0) != static_cast<ssize_t>(sizeof ask)) return false;
  std::array<char, 1024> answer{};
  pollfd wait{socket.get(), POLLIN, 0};
  if (sys::poll({&wait, 1}, 2000).value_or(0) != 1) return false;
  const ssize_t n = ::recv(socket.get(), answer.data(), answer.size(), 0);
  nlmsghdr header{};
  if (n < static_cast<ssize_t>(sizeof header)) return false;
  std::memcpy(&header, answer.data(), sizeof header);
  return header.nlmsg_type != NLMSG_ERROR;
}

void look_at_micro_vms(const Places& places, const Host& host, HostFacts& facts) {
  facts.micro_vms = micro_vm_facts(host);
  Result<vm::HostKernel> kernel = vm::find_kernel(kernel_places(places), "");
  if (kernel) {
    facts.guest_kernel = kernel->release;
  } else {
    facts.guest_kernel_failure = kernel.error().text();
    facts.guest_kernel_remedy = kernel.error().hint();
  }
}

bool in_path(const Host& host, const std::string& program) {
  for (const std::string_view dir : split(host.variable("PATH"), ':')) {
    if (!dir.empty() && ::access(fs::join(dir, program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

void look_at_ids(const Host& host, HostFacts& facts) {
  facts.max_user_namespaces =
      parse_u64(trim(fs::read_file(At::cwd(), host.proc + "/sys/user/max_user_namespaces", 64)
                         .value_or("")))
          .value_or(0);
  if (!facts.rootless) {
    rootfs::IdMaps maps;
    const Result<int> made = maps.user_namespace(some_mapping(), some_mapping());
    if (!made) facts.user_namespace_failure = made.error().text();
  }
  const IdSpace space = id_space();
  for (std::uint64_t start = space.first; start + kIdsPerGuest <= space.end;
       start += kIdsPerGuest) {
    if (space.is_free(start)) ++facts.free_id_ranges;
  }
}

}  // namespace

HostFacts look_at_host(const Places& places, const Host& caller) {
  HostFacts facts;
  Host host = caller;
  const Result<NamespaceMember> member = NamespaceMember::enter(places, host);
  facts.rootless = caller.rootless() || caller.nested();
  if (!member) {
    facts.entry_failure = member.error().text();
    facts.entry_remedy = member.error().hint();
  }
  facts.own_ids = host.nested_ids;
  const network::RootlessTools uplinks = network::RootlessTools::find(host);
  facts.has_uplink = !uplinks.pasta.empty() || !uplinks.slirp4netns.empty();
  look_at_kernel(facts);
  cgroups::HostView groups = cgroups::look_at(host);
  facts.has_cgroup_tree = groups.has_tree;
  facts.one_cgroup_tree = groups.one_tree;
  facts.cgroup_words = std::move(groups.words);
  facts.controllers = std::move(groups.controllers);
  facts.group_failure = text_of(cgroups::try_group(kDefaultTenant, host));
  look_at_ids(host, facts);
  look_at_data(places, facts);
  facts.has_nftables = has_nftables();
  facts.has_seccomp =
      sys::stat(At::cwd(), host.proc + "/sys/kernel/seccomp/actions_avail").has_value();
  look_at_micro_vms(places, host, facts);
  facts.has_criu = in_path(host, "criu") || ::access("/usr/sbin/criu", X_OK) == 0;
  for (const char* name : kHelpers) {
    if (!helper_path(name)) facts.missing_helpers.emplace_back(name);
  }
  return facts;
}

}  // namespace vrun::engine
