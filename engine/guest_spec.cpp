#include "engine/guest_spec.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "base/fs.hpp"
#include "base/text.hpp"
#include "engine/disk.hpp"
#include "engine/environment.hpp"
#include "engine/guest_network.hpp"
#include "engine/guest_view.hpp"
#include "engine/limits.hpp"
#include "engine/rights.hpp"
#include "engine/system_guest.hpp"
#include "images/pull.hpp"
#include "network/address.hpp"
#include "process/plan.hpp"
#include "seccomp/seccomp.hpp"

namespace vrun::engine {
namespace {

constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// What ordinary services need to bind low ports, change to their user and own their files, and
// ping (the one of BusyBox wants a raw socket; with a network of the guest's own: see
// capabilities_of()). Of Docker's fourteen, left out: MKNOD (no
// effect in a user namespace) and AUDIT_WRITE (the audit system is the host's).
constexpr std::array<std::string_view, 12> kDefaultCapabilities{
    "CAP_CHOWN",  "CAP_DAC_OVERRIDE",     "CAP_FOWNER",  "CAP_FSETID",
    "CAP_KILL",   "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP",
    "CAP_SETGID", "CAP_SETPCAP",          "CAP_SETUID",  "CAP_SYS_CHROOT"};

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
// The same but for /proc/sys: an init sets the knobs of its own namespaces, and the kernel lets the
// root of a user namespace write no other.
constexpr std::array<std::string_view, 4> kSystemReadonly{"/proc/bus", "/proc/fs", "/proc/irq",
                                                          "/proc/sysrq-trigger"};

oci::Mount mount(std::string destination, std::string type, std::string source,
                 std::vector<std::string> options) {
  oci::Mount made;
  made.destination = std::move(destination);
  made.type = std::move(type);
  made.source = std::move(source);
  made.options = std::move(options);
  return made;
}

constexpr std::string_view kInitInside = "/dev/.vrun-init";

oci::Mount shared_memory(const RunRequest& request) {
  if (request.ipc == "host") {
    return mount("/dev/shm", "bind", "/dev/shm", {"bind", "nosuid", "noexec", "nodev"});
  }
  const std::uint64_t bytes = parse_bytes(request.shm_size).value_or(64U << 20U);
  return mount("/dev/shm", "tmpfs", "shm",
               {"nosuid", "noexec", "nodev", "mode=1777", "size=" + std::to_string(bytes)});
}

std::ptrdiff_t depth_of(const std::string& destination) {
  const std::string path = fs::clean(destination);
  return std::count(path.begin(), path.end(), '/');
}

std::vector<oci::Mount> base_mounts(const RunRequest& request, const GuestFacts& facts) {
  std::vector<oci::Mount> mounts{
      mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount("/dev/pts", "devpts", "devpts",
            {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      shared_memory(request)};
  // Group tty of the guest, where it has more groups than its root's.
  const bool root_only = facts.gids.size() == 1 && facts.gids[0].size == 1;
  if (root_only) std::erase(mounts[2].options, "gid=5");
  if (request.ipc != "host") {
    mounts.push_back(mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
  } else if (facts.host_has_mqueue) {
    mounts.push_back(
        mount("/dev/mqueue", "bind", "/dev/mqueue", {"bind", "nosuid", "noexec", "nodev"}));
  }
  // A fresh procfs belongs to a pid namespace, and this guest has none of its own.
  if (request.pid == "host") {
    mounts[0] = mount("/proc", "bind", "/proc", {"rbind", "rprivate", "nosuid", "noexec", "nodev"});
  }
  if (shares_network(request)) {
    // A fresh sysfs belongs to a network namespace, and this guest has none of its own.
    mounts.push_back(
        mount("/sys", "bind", "/sys", {"rbind", "rprivate", "nosuid", "noexec", "nodev", "rro"}));
  } else {
    mounts.push_back(mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}));
  }
  if (is_system(request)) add_system_mounts(request, mounts);
  if (facts.no_cgroup) return mounts;
  if (is_system(request)) {
    // One tree whatever the host has, and the guest's to divide.
    mounts.push_back(
        mount("/sys/fs/cgroup", "cgroup2", "cgroup2", {"nosuid", "noexec", "nodev", "relatime"}));
    return mounts;
  }
  mounts.push_back(
      mount("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}));
  return mounts;
}

std::vector<oci::Mount> mounts_of(const RunRequest& request, const GuestFacts& facts) {
  std::vector<oci::Mount> mounts = base_mounts(request, facts);
  for (const std::string_view name : {"hosts", "hostname", "resolv.conf"}) {
    if (facts.files_dir.empty()) break;
    mounts.push_back(mount("/etc/" + std::string(name), "bind", fs::join(facts.files_dir, name),
                           {"bind", "rprivate", "nosuid", "noexec", "nodev"}));
  }
  std::vector<oci::Mount> asked = facts.tmpfs;
  asked.insert(asked.end(), facts.volumes.begin(), facts.volumes.end());
  // What lies deeper comes later, or it would be buried.
  std::stable_sort(asked.begin(), asked.end(), [](const oci::Mount& a, const oci::Mount& b) {
    return depth_of(a.destination) < depth_of(b.destination);
  });
  mounts.insert(mounts.end(), asked.begin(), asked.end());
  if (!facts.init_program.empty()) {
    mounts.push_back(mount(std::string(kInitInside), "bind", facts.init_program,
                           {"bind", "rprivate", "nosuid", "nodev", "ro"}));
  }
  // Without a user namespace there is nothing to map to.
  for (oci::Mount& one : mounts) {
    if (shares_user(request)) std::erase(one.options, "ridmap");
    const bool mapped =
        std::find(one.options.begin(), one.options.end(), "ridmap") != one.options.end();
    if (mapped && !facts.joined.user.empty()) {
      one.uid_mappings = facts.uids;
      one.gid_mappings = facts.gids;
    }
  }
  return mounts;
}

std::vector<oci::Namespace> namespaces_of(const RunRequest& request, const GuestFacts& facts) {
  using enum oci::NamespaceType;
  std::vector<oci::Namespace> list;
  const auto own = [&](oci::NamespaceType type, const std::string& asked,
                       const std::string& path = {}) {
    if (asked != "host") list.push_back({.type = type, .path = path});
  };
  own(kUser, request.userns, facts.joined.user);
  own(kPid, request.pid, facts.joined.pid);
  own(kMount, "");
  own(kIpc, request.ipc, facts.joined.ipc);
  own(kUts, request.uts);
  own(kCgroup, request.cgroupns);
  if (request.network != "host") list.push_back({.type = kNetwork, .path = facts.network_path});
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
  if (is_system(request)) {
    for (const std::string& entry : system_environment(facts))
      TRY(environment.add(entry));
  }
  return environment.entries();
}

Result<oci::Process> process_of(const oci::ImageConfig& image, const RunRequest& request,
                                const GuestFacts& facts,
                                const std::vector<std::string>& capabilities) {
  oci::Process process;
  process.terminal = facts.terminal;
  process.user = facts.account.user;
  process.args = TRY(command_of(image, request));
  if (!facts.init_program.empty()) {
    process.args.insert(process.args.begin(), {std::string(kInitInside), "--"});
  }
  process.env = TRY(environment_of(image, request, facts));
  process.cwd =
      fs::clean(fs::join("/", request.workdir.empty() ? image.working_dir : request.workdir));
  oci::Capabilities sets;
  sets.bounding = capabilities;
  // Another user than root starts without any, as after setuid(2); set-id programs may regain them.
  if (process.user.uid == Uid(0)) sets.effective = sets.permitted = capabilities;
  process.capabilities = std::move(sets);
  const Security security = TRY(parse_security(request));
  process.no_new_privileges = security.no_new_privileges;
  process.apparmor_profile = security.apparmor;
  process.rlimits = TRY(parse_ulimits(request));
  process.oom_score_adj = TRY(parse_oom_score(request));
  return process;
}

template <std::size_t N>
std::vector<std::string> to_strings(const std::array<std::string_view, N>& list) {
  return {list.begin(), list.end()};
}

Result<oci::Linux> linux_of(const RunRequest& request, const GuestFacts& facts,
                            const std::vector<std::string>& capabilities) {
  oci::Linux linux;
  if (!shares_user(request) && facts.joined.user.empty()) {
    linux.uid_mappings = facts.uids;
    linux.gid_mappings = facts.gids;
  }
  linux.namespaces = namespaces_of(request, facts);
  linux.cgroups_path = facts.cgroups_path;
  if (!request.privileged) {
    linux.masked_paths = to_strings(kMasked);
    linux.readonly_paths = is_system(request) ? to_strings(kSystemReadonly) : to_strings(kReadonly);
  }
  linux.resources = TRY(to_resources(request));
  oci::DeviceRule rest;
  rest.access = "rwm";
  rest.allow = request.privileged;
  linux.resources->devices = {rest};  // the usual devices are allowed by the runtime
  linux.resources->devices.insert(linux.resources->devices.end(), facts.device_rules.begin(),
                                  facts.device_rules.end());
  linux.sysctl = TRY(parse_sysctls(request));
  const Security security = TRY(parse_security(request));
  if (facts.seccomp) {
    linux.seccomp = facts.seccomp;
  } else if (!request.privileged && !security.unconfined) {
    linux.seccomp = TRY(seccomp::default_profile(capabilities, is_system(request)
                                                                   ? seccomp::GuestKind::kSystem
                                                                   : seccomp::GuestKind::kProgram));
  }
  const bool asked = std::any_of(linux.sysctl.begin(), linux.sysctl.end(), [](const auto& knob) {
    return knob.first == "net.ipv4.ping_group_range";
  });
  // With the host's procfs there is no writable /proc/sys of its own.
  const bool can_set = !shares_network(request) && !shares_user(request) && request.pid != "host";
  if (can_set && !asked) {
    // ping without CAP_NET_RAW, for every group of the guest.
    const bool root_only = facts.gids.size() == 1 && facts.gids[0].size == 1;
    linux.sysctl.emplace_back("net.ipv4.ping_group_range", root_only ? "0 0" : "0 65535");
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

// It stands in the guest's hosts file: hostname(7), and what sethostname(2) takes.
Result<void> check_hostname(const std::string& hostname) {
  if (hostname.size() > 64) {
    return Error(Code::kInvalid,
                 "--hostname " + quote(hostname.substr(0, 80)) + ": longer than 64 bytes");
  }
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  };
  if (std::all_of(hostname.begin(), hostname.end(), fits)) return {};
  return Error(Code::kInvalid, "--hostname " + quote(hostname) + ": not a host name")
      .hint("letters, digits, '-', '_' and '.'");
}

}  // namespace

Result<void> check_request(const RunRequest& request) {
  if (request.isolation != "container" && request.isolation != "vm" && !is_system(request)) {
    return Error(Code::kInvalid, "--isolation " + quote(request.isolation) + ": unknown")
        .hint("there are: container, system, vm");
  }
  TRY(check_disks(request));
  if (is_system(request)) TRY(check_system(request));
  TRY(images::parse_pull_policy(request.pull));
  if (!request.shm_size.empty() && !parse_bytes(request.shm_size)) {
    return Error(Code::kInvalid, "--shm-size " + quote(request.shm_size) + ": not a size")
        .hint("such as 64m");
  }
  TRY(check_rights(request));
  TRY(check_view(request));
  for (const std::string& label : request.labels) {
    if (label.empty() || label[0] == '=') {
      return Error(Code::kInvalid, "--label " + quote(label) + ": not NAME=VALUE");
    }
  }
  for (const std::string& entry : request.add_hosts) {
    const std::size_t colon = entry.find(':');
    if (colon == 0 || colon == std::string::npos || colon + 1 == entry.size()) {
      return Error(Code::kInvalid, "--add-host " + quote(entry) + ": not NAME:ADDRESS");
    }
  }
  for (const std::string& server : request.dns) {
    if (network::parse_ipv4(server) || network::parse_ipv6(server)) continue;
    return Error(Code::kInvalid, "--dns " + quote(server) + ": not an address");
  }
  return check_hostname(request.hostname);
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
  if (is_system(request) && !request.entrypoint) return std::vector<std::string>{"/sbin/init"};
  if (request.entrypoint && !image.cmd.empty()) {
    return Error(Code::kInvalid, "no command: --entrypoint takes the image's command away as well")
        .hint("name one after the image: vrun run --entrypoint PROGRAM IMAGE COMMAND");
  }
  return Error(Code::kInvalid, "no command: the image has none and none was given")
      .hint("name one after the image: vrun run IMAGE COMMAND");
}

Result<std::vector<std::string>> capabilities_of(const RunRequest& request) {
  std::vector<std::string> set(kDefaultCapabilities.begin(), kDefaultCapabilities.end());
  if (is_system(request)) set = system_capabilities();
  // Raw packets into a namespace that others share could be forged in their name.
  if (shares_network(request)) std::erase(set, "CAP_NET_RAW");
  if (request.privileged) set = process::capability_names();
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
  return check_host_cpus(request);
}

Result<oci::Spec> build_spec(const oci::ImageConfig& image, const RunRequest& request,
                             const GuestFacts& facts) {
  const std::vector<std::string> capabilities = TRY(capabilities_of(request));
  oci::Spec spec;
  spec.oci_version = "1.3.0";
  spec.root = {.path = "/", .readonly = request.read_only};
  if (request.uts != "host") {
    spec.hostname = request.hostname.empty() ? facts.name : request.hostname;
  }
  if (request.uts != "host") spec.domainname = request.domainname;
  spec.annotations = TRY(parse_annotations(request));
  spec.process = TRY(process_of(image, request, facts, capabilities));
  spec.mounts = mounts_of(request, facts);
  spec.linux = TRY(linux_of(request, facts, capabilities));
  return spec;
}

}  // namespace vrun::engine
