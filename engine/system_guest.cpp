#include "engine/system_guest.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/host_view.hpp"
#include "engine/guest_network.hpp"
#include "process/plan.hpp"

namespace vrun::engine {
namespace {

// Asked of the initial user namespace alone (capabilities(7)), or of a namespace that the guest
// shares with the host (time, audit).
constexpr std::array<std::string_view, 14> kOfTheMachine{
    "CAP_AUDIT_CONTROL", "CAP_AUDIT_READ", "CAP_AUDIT_WRITE",  "CAP_BLOCK_SUSPEND",
    "CAP_BPF",           "CAP_MAC_ADMIN",  "CAP_MAC_OVERRIDE", "CAP_PERFMON",
    "CAP_SYSLOG",        "CAP_SYS_MODULE", "CAP_SYS_PACCT",    "CAP_SYS_RAWIO",
    "CAP_SYS_TIME",      "CAP_WAKE_ALARM"};

constexpr std::array<const char*, 2> kDevices{"/dev/fuse", "/dev/net/tun"};

Error refused(const std::string& flag, const char* why) {
  return Error(Code::kInvalid, flag + " and --system: " + why);
}

// SIGRTMIN of the C library: the kernel's is 32, and glibc and musl keep the first two or three.
constexpr int kRtMin = 34;

// Until it goes, files are made as the guest's root makes them. setfsuid(2) away from 0 takes the
// rights over files of others; back at 0 they are there again (capabilities(7)).
class AsGuestRoot {
 public:
  explicit AsGuestRoot(std::uint32_t owner) {
    ::setfsgid(owner);
    ::setfsuid(owner);
  }
  AsGuestRoot(const AsGuestRoot&) = delete;
  AsGuestRoot& operator=(const AsGuestRoot&) = delete;
  ~AsGuestRoot() {
    ::setfsuid(::geteuid());
    ::setfsgid(::getegid());
  }
};

oci::Mount mount_of(std::string destination, std::string type, std::vector<std::string> options) {
  oci::Mount made;
  made.destination = std::move(destination);
  made.source = made.type = std::move(type);
  made.options = std::move(options);
  return made;
}

}  // namespace

Result<void> check_system(const RunRequest& request) {
  const std::array<std::pair<const char*, const std::string*>, 4> shared{
      {{"--userns", &request.userns},
       {"--pid", &request.pid},
       {"--uts", &request.uts},
       {"--cgroupns", &request.cgroupns}}};
  for (const auto& [flag, text] : shared) {
    if (!text->empty() && *text != "private")
      return refused(std::string(flag) + " " + *text, "its init needs namespaces of its own");
  }
  if (request.network == "host")
    return refused("--network host", "its init would set up the host's network");
  if (request.init) return refused("--init", "the init is the image's own");
  if (!request.user.empty() && request.user != "0" && request.user != "root") {
    return refused("--user " + request.user, "an init is root")
        .hint("`vrun shell --user` and `vrun exec --user` work as another user");
  }
  return {};
}

Result<void> check_system_host(const RunRequest& request, const GuestFacts& facts,
                               const Host& host) {
  if (!is_system(request)) return {};
  if (facts.no_cgroup) {
    return Error(Code::kUnsupported,
                 "--system: no cgroup is delegated to this user, and the guest's init needs one")
        .hint(
            "run vrun below a delegated unit: systemd-run --user --scope -p Delegate=yes vrun "
            "...");
  }
  if (cgroups::look_at(host).has_tree) return {};
  return Error(Code::kUnsupported,
               "--system: this host has no cgroup v2 tree, and nothing else can be delegated to "
               "the guest's init")
      .hint(
          "mount one: mkdir /sys/fs/cgroup/unified && mount -t cgroup2 none "
          "/sys/fs/cgroup/unified");
}

void settle_system(RunRequest& request, bool has_terminal) {
  request.tty = true;
  request.interactive = request.detach || (has_terminal && request.interactive.value_or(true));
}

std::vector<std::string> system_capabilities() {
  std::vector<std::string> names = process::capability_names();
  std::erase_if(names, [](const std::string& name) {
    return std::find(kOfTheMachine.begin(), kOfTheMachine.end(), name) != kOfTheMachine.end();
  });
  return names;
}

void add_system_mounts(const RunRequest& request, std::vector<oci::Mount>& mounts) {
  mounts.push_back(mount_of("/run", "tmpfs", {"nosuid", "nodev", "mode=755"}));
  mounts.push_back(
      mount_of("/run/lock", "tmpfs", {"nosuid", "nodev", "noexec", "mode=1777", "size=5m"}));
  mounts.push_back(mount_of("/tmp", "tmpfs", {"nosuid", "nodev", "mode=1777"}));
  mounts.push_back(
      mount_of("/dev/.vrun", "tmpfs", {"nosuid", "nodev", "noexec", "mode=700", "size=4k"}));
  mounts.push_back(mount_of("/dev/.vrun/proc", "proc", {"nosuid", "nodev", "noexec"}));
  // A sysfs belongs to a network namespace, and may be mounted by who owns that.
  if (shares_network(request)) return;
  mounts.push_back(mount_of("/dev/.vrun/sys", "sysfs", {"nosuid", "nodev", "noexec"}));
}

std::vector<std::string> system_environment(const GuestFacts& facts) {
  std::vector<std::string> entries{"container=vrun"};
  if (facts.machine_id.size() != 32) return entries;
  std::string uuid = facts.machine_id;
  for (const std::size_t at : {8U, 13U, 18U, 23U})
    uuid.insert(at, 1, '-');
  entries.push_back("container_uuid=" + uuid);
  return entries;
}

std::vector<DeviceGrant> system_devices(const RunRequest& request) {
  std::vector<DeviceGrant> grants;
  for (const std::string device : kDevices) {
    const auto names = [&](const std::string& asked) { return asked.starts_with(device); };
    if (std::any_of(request.devices.begin(), request.devices.end(), names)) continue;
    // A node that belongs to root alone is of no use inside, where that is nobody.
    const Result<struct stat> node = sys::stat(At::cwd(), device);
    if (!node || (node->st_mode & 0006U) != 0006U) continue;
    if (Result<DeviceGrant> grant = parse_device(device + ":" + device + ":rw"))
      grants.push_back(*std::move(grant));
  }
  return grants;
}

bool is_system_device(const oci::Mount& mount) {
  return mount.source == mount.destination &&
         std::find(kDevices.begin(), kDevices.end(), mount.source) != kDevices.end();
}

std::string machine_id_of(std::string_view guest_id) {
  if (guest_id.size() < 32) return {};
  std::string id(guest_id.substr(0, 32));
  id[12] = '4';  // version and variant of RFC 9562
  constexpr std::string_view kVariants = "89ab";
  id[16] = kVariants[static_cast<unsigned char>(id[16]) & 3U];
  return id;
}

Result<void> write_machine_id(const Fd& root, const std::string& machine_id, std::uint32_t owner) {
  constexpr std::uint64_t kInside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const AsGuestRoot as_guest(owner);
  Result<Fd> etc = sys::open2(root, "etc", O_PATH | O_DIRECTORY | O_CLOEXEC, kInside);
  if (!etc && etc.error().code() == Code::kNotFound) {
    if (::mkdirat(root.get(), "etc", 0755) != 0) return Error::system(errno, "make /etc");
    etc = sys::open2(root, "etc", O_PATH | O_DIRECTORY | O_CLOEXEC, kInside);
  }
  if (!etc) return std::move(etc).error().during("machine id");
  const auto now = fs::read_file(*etc, "machine-id", 64, fs::Kind::kRegularOnly);
  if (now && trim(*now) == machine_id) return {};
  // Whatever the image has there, a link included, makes way.
  static_cast<void>(sys::unlink(*etc, "machine-id"));
  Result<Fd> file =
      sys::open(*etc, "machine-id", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
  if (!file) return std::move(file).error().during("machine id");
  return sys::write_all(file->get(), machine_id + "\n");
}

int stop_signal_of_init(std::string_view program) {
  const std::string_view name = program.substr(program.rfind('/') + 1);
  if (name == "busybox") return SIGUSR2;  // power off; SIGTERM reboots
  if (name == "init") return SIGPWR;      // System V init, and what takes its place
  return kRtMin + 3;                      // systemd(1): halt
}

std::optional<PowerDown> power_down_of(const RunRequest& request, std::optional<int> status) {
  if (!is_system(request) || !status || !WIFSIGNALED(*status)) return std::nullopt;
  if (WTERMSIG(*status) == SIGHUP) return PowerDown::kReboot;
  if (WTERMSIG(*status) == SIGINT) return PowerDown::kOff;
  return std::nullopt;
}

}  // namespace vrun::engine
