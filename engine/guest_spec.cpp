#include "engine/guest_spec.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "base/fs.hpp"
#include "base/text.hpp"
#include "engine/environment.hpp"
#include "engine/limits.hpp"
#include "process/plan.hpp"
#include "seccomp/seccomp.hpp"

namespace vrun::engine {
namespace {

constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// What ordinary services need to bind low ports, change to their user and own their files. Of
// Docker's fourteen, left out: MKNOD (no effect in a user namespace), AUDIT_WRITE (the audit system
// is the host's) and NET_RAW (forged packets; ping works by the sysctl below).
constexpr std::array<std::string_view, 11> kDefaultCapabilities{
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",    "CAP_FSETID",
    "CAP_KILL",    "CAP_NET_BIND_SERVICE", "CAP_SETFCAP",   "CAP_SETGID",
    "CAP_SETPCAP", "CAP_SETUID",           "CAP_SYS_CHROOT"};

// Host-wide knowledge and knobs that no guest has business with; the list of Docker and Podman.
constexpr std::array<std::string_view, 14> kMasked{"/proc/acpi",
                                                   "/proc/asound",
                                                   "/proc/interrupts",
                                                   "/proc/kcore",
                                                   "/proc/keys",
                                                   "/proc/latency_stats",
                                                   "/proc/sched_debug",
                                                   "/proc/scsi",
                                                   "/proc/timer_list",
                                                   "/proc/timer_stats",
                                                   "/sys/devices/virtual/powercap",
                                                   "/sys/firmware",
                                                   "/sys/fs/selinux",
                                                   "/sys/dev/block"};
constexpr std::array<std::string_view, 5> kReadonly{"/proc/bus", "/proc/fs", "/proc/irq",
                                                    "/proc/sys", "/proc/sysrq-trigger"};

oci::Mount mount(std::string destination, std::string type, std::string source,
                 std::vector<std::string> options) {
  oci::Mount made;
  made.destination = std::move(destination);
  made.type = std::move(type);
  made.source = std::move(source);
  made.options = std::move(options);
  return made;
}

bool shares_host_network(const RunRequest& request) {
  return request.network == "host";
}

std::vector<oci::Mount> base_mounts(const RunRequest& request) {
  std::vector<oci::Mount> mounts{
      mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount("/dev/pts", "devpts", "devpts",
            {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
      mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"})};
  if (shares_host_network(request)) {
    // A fresh sysfs belongs to a network namespace, and this guest has none of its own.
    mounts.push_back(
        mount("/sys", "bind", "/sys", {"rbind", "rprivate", "nosuid", "noexec", "nodev", "rro"}));
  } else {
    mounts.push_back(mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}));
  }
  mounts.push_back(
      mount("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}));
  return mounts;
}

std::vector<oci::Mount> mounts_of(const RunRequest& request, const GuestFacts& facts) {
  std::vector<oci::Mount> mounts = base_mounts(request);
  for (const std::string_view name : {"hosts", "hostname", "resolv.conf"}) {
    if (facts.files_dir.empty()) break;
    mounts.push_back(mount("/etc/" + std::string(name), "bind", fs::join(facts.files_dir, name),
                           {"bind", "rprivate", "nosuid", "noexec", "nodev"}));
  }
  mounts.insert(mounts.end(), facts.tmpfs.begin(), facts.tmpfs.end());
  mounts.insert(mounts.end(), facts.volumes.begin(), facts.volumes.end());
  return mounts;
}

std::vector<oci::Namespace> namespaces_of(const RunRequest& request) {
  using enum oci::NamespaceType;
  std::vector<oci::Namespace> list;
  for (const oci::NamespaceType type : {kUser, kPid, kMount, kIpc, kUts, kCgroup}) {
    list.push_back({.type = type, .path = {}});
  }
  if (!shares_host_network(request)) list.push_back({.type = kNetwork, .path = {}});
  return list;
}

Result<std::vector<std::string>> environment_of(const oci::ImageConfig& image,
                                                const RunRequest& request,
                                                const GuestFacts& facts) {
  Environment environment({});
  for (const std::string& entry : image.env) {
    // An image cannot ask for the caller's variables.
    if (entry.find('=') != std::string::npos) TRY(environment.add(entry));
  }
  for (const std::string& entry : request.env)
    TRY(environment.add(entry));
  environment.add_default("PATH", kDefaultPath);
  environment.add_default("HOME", facts.account.home);
  environment.add_default("HOSTNAME", request.hostname.empty() ? facts.name : request.hostname);
  if (facts.terminal) environment.add_default("TERM", "xterm");
  return environment.entries();
}

Result<oci::Process> process_of(const oci::ImageConfig& image, const RunRequest& request,
                                const GuestFacts& facts,
                                const std::vector<std::string>& capabilities) {
  oci::Process process;
  process.terminal = facts.terminal;
  process.user = facts.account.user;
  process.args = TRY(command_of(image, request));
  process.env = TRY(environment_of(image, request, facts));
  process.cwd =
      fs::clean(fs::join("/", request.workdir.empty() ? image.working_dir : request.workdir));
  oci::Capabilities sets;
  sets.bounding = capabilities;
  // Another user than root starts without any, as after setuid(2); set-id programs may regain them.
  if (process.user.uid == Uid(0)) sets.effective = sets.permitted = capabilities;
  process.capabilities = std::move(sets);
  process.no_new_privileges = request.no_new_privileges;
  return process;
}

template <std::size_t N>
std::vector<std::string> to_strings(const std::array<std::string_view, N>& list) {
  return {list.begin(), list.end()};
}

Result<oci::Linux> linux_of(const RunRequest& request, const GuestFacts& facts,
                            const std::vector<std::string>& capabilities) {
  oci::Linux linux;
  linux.uid_mappings = facts.uids;
  linux.gid_mappings = facts.gids;
  linux.namespaces = namespaces_of(request);
  linux.cgroups_path = facts.cgroups_path;
  linux.masked_paths = to_strings(kMasked);
  linux.readonly_paths = to_strings(kReadonly);
  linux.resources = TRY(to_resources(request));
  oci::DeviceRule deny_all;
  deny_all.access = "rwm";
  linux.resources->devices = {deny_all};  // the usual devices are allowed by the runtime
  linux.seccomp = TRY(seccomp::default_profile(capabilities));
  if (!shares_host_network(request)) {
    // ping without CAP_NET_RAW, for every group of the guest.
    linux.sysctl.emplace_back("net.ipv4.ping_group_range", "0 65535");
  }
  return linux;
}

Result<std::string> capability_name(std::string_view flag, const std::string& word) {
  std::string name = word;
  for (char& c : name)
    c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  if (name == "ALL") return name;
  if (!name.starts_with("CAP_")) name = "CAP_" + name;
  const std::vector<std::string> known = process::capability_names();
  if (std::find(known.begin(), known.end(), name) != known.end()) return name;
  Error error(Code::kInvalid, std::string(flag) + " " + quote(word) + ": no such capability");
  const std::vector<std::string_view> views(known.begin(), known.end());
  const auto near = nearest(name, views);
  if (near) return std::move(error).hint("did you mean " + std::string(*near) + "?");
  return std::move(error).hint("see capabilities(7), or ALL for every one");
}

Error later(const std::string& what) {
  return Error(Code::kUnsupported, what + " comes with a later version");
}

}  // namespace

Result<void> check_request(const RunRequest& request) {
  if (request.isolation == "vm") return later("--isolation vm");
  if (request.isolation != "container") {
    return Error(Code::kInvalid, "--isolation " + quote(request.isolation) + ": unknown")
        .hint("there is: container");
  }
  if (!request.pull.empty()) {
    return later("--pull " + quote(request.pull))
        .hint("for now guests start from the images that `vrun images` lists");
  }
  if (request.network != "none" && request.network != "host") {
    return Error(Code::kUnsupported,
                 "--network " + quote(request.network) + ": not in this version")
        .hint("there are: none (loopback only, the default) and host (the host's own network)");
  }
  if (request.hostname.size() > 64) {
    return Error(Code::kInvalid,
                 "--hostname " + quote(request.hostname.substr(0, 80)) + ": longer than 64 bytes");
  }
  return {};
}

Result<std::vector<std::string>> command_of(const oci::ImageConfig& image,
                                            const RunRequest& request) {
  std::vector<std::string> command;
  if (request.entrypoint) {
    if (!request.entrypoint->empty()) command.push_back(*request.entrypoint);
  } else {
    command = image.entrypoint;
  }
  // The image's arguments belong to the image's entrypoint, not to another one.
  const bool own = request.args.empty() && !request.entrypoint;
  const std::vector<std::string>& rest = own ? image.cmd : request.args;
  command.insert(command.end(), rest.begin(), rest.end());
  if (!command.empty()) return command;
  return Error(Code::kInvalid, "no command: the image has none and none was given")
      .hint("name one after the image: vrun run IMAGE COMMAND");
}

Result<std::vector<std::string>> capabilities_of(const RunRequest& request) {
  std::vector<std::string> set(kDefaultCapabilities.begin(), kDefaultCapabilities.end());
  const auto has = [](const std::vector<std::string>& list, std::string_view name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  std::vector<std::string> added, dropped;
  for (const std::string& word : request.cap_add)
    added.push_back(TRY(capability_name("--cap-add", word)));
  for (const std::string& word : request.cap_drop)
    dropped.push_back(TRY(capability_name("--cap-drop", word)));
  if (has(added, "ALL")) set = process::capability_names();
  if (has(dropped, "ALL")) set.clear();
  // A name that is both added and dropped by itself is dropped; "drop ALL, add X" keeps X.
  for (const std::string& name : added) {
    if (name != "ALL" && !has(set, name)) set.push_back(name);
  }
  std::erase_if(set, [&](const std::string& name) { return has(dropped, name); });
  std::sort(set.begin(), set.end());
  return set;
}

Result<void> check_flags(const oci::ImageConfig& image, const RunRequest& request) {
  TRY(command_of(image, request));
  TRY(capabilities_of(request));
  TRY(to_resources(request));
  return {};
}

Result<oci::Spec> build_spec(const oci::ImageConfig& image, const RunRequest& request,
                             const GuestFacts& facts) {
  const std::vector<std::string> capabilities = TRY(capabilities_of(request));
  oci::Spec spec;
  spec.oci_version = "1.3.0";
  spec.root = {.path = "/", .readonly = request.read_only};
  spec.hostname = request.hostname.empty() ? facts.name : request.hostname;
  spec.process = TRY(process_of(image, request, facts, capabilities));
  spec.mounts = mounts_of(request, facts);
  spec.linux = TRY(linux_of(request, facts, capabilities));
  return spec;
}

}  // namespace vrun::engine
