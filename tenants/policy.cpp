#include "tenants/policy.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <arpa/inet.h>

#include "base/fs.hpp"
#include "base/text.hpp"
#include "process/plan.hpp"

namespace vrun::tenants {
namespace {

using Names = std::vector<std::string>;

struct ListRow {
  std::string_view flag, rule;
  Names Policy::*member;
};
constexpr std::array kLists{
    ListRow{"allow-cap", "capabilities", &Policy::capabilities},
    ListRow{"allow-mount", "mounts", &Policy::mounts},
    ListRow{"allow-device", "devices", &Policy::devices},
    ListRow{"allow-host", "namespaces", &Policy::namespaces},
    ListRow{"allow-sysctl", "sysctls", &Policy::sysctls},
    ListRow{"only-registry", "registries", &Policy::registries},
    ListRow{"only-network", "networks", &Policy::networks},
    ListRow{"allow-port", "ports", &Policy::ports},
    ListRow{"only-address", "addresses", &Policy::addresses},
    ListRow{"allow-unsafe", "unsafe", &Policy::unsafe},
};

constexpr std::array<std::string_view, 6> kNamespaces{"network", "pid",  "ipc",
                                                      "uts",     "user", "cgroup"};
constexpr std::array<std::string_view, 3> kUnsafe{"privileged", "seccomp", "apparmor"};
// The file systems that vrun itself gives a guest; none of them shows anything of the host.
constexpr std::array<std::string_view, 7> kOwnTypes{"proc",   "sysfs",  "tmpfs",  "devpts",
                                                    "mqueue", "cgroup", "cgroup2"};

bool has(const auto& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

// What a guest without a namespace of its own gets instead of a fresh mount: the rule of namespaces
// decides about it.
bool is_view_of_host(const oci::Mount& mount, const oci::Linux& linux) {
  struct Row {
    std::string_view path;
    oci::NamespaceType type;
    bool read_only;
  };
  constexpr std::array<Row, 4> kRows{{{"/proc", oci::NamespaceType::kPid, false},
                                      {"/sys", oci::NamespaceType::kNetwork, true},
                                      {"/dev/shm", oci::NamespaceType::kIpc, false},
                                      {"/dev/mqueue", oci::NamespaceType::kIpc, false}}};
  return std::any_of(kRows.begin(), kRows.end(), [&](const Row& row) {
    return mount.source == row.path && mount.destination == row.path &&
           oci::find_namespace(linux, row.type) == nullptr &&
           (!row.read_only || has(mount.options, "rro"));
  });
}

// "/srv/a" is below "/srv" and below itself, but not below "/sr".
bool is_below(std::string_view path, std::string_view prefix) {
  if (prefix == "/") return true;
  return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

// "net.ipv4.*" stands for everything that begins so.
bool matches(std::string_view name, std::string_view pattern) {
  if (!pattern.ends_with('*')) return name == pattern;
  return name.starts_with(pattern.substr(0, pattern.size() - 1));
}

// "80" or "100-200"; those from 1024 on need nobody's leave.
constexpr std::uint32_t kFirstFree = 1024;
struct PortRange {
  std::uint64_t first = 0, last = 0;
};
std::optional<PortRange> parse_ports(std::string_view text) {
  const std::size_t dash = std::min(text.find('-'), text.size());
  const auto first = parse_u64(text.substr(0, dash));
  const auto last = dash == text.size() ? first : parse_u64(text.substr(dash + 1));
  if (!first || !last || *first == 0 || *first > *last || *last >= kFirstFree) return std::nullopt;
  return PortRange{*first, *last};
}

bool allows_port(const Names& allowed, std::uint32_t port) {
  return std::any_of(allowed.begin(), allowed.end(), [&](const std::string& text) {
    const auto range = parse_ports(text);
    return range && range->first <= port && port <= range->last;
  });
}

// In the one form in which it is compared; empty: it is none.
std::string as_address(const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  std::array<char, INET6_ADDRSTRLEN> plain{};
  for (const int family : {AF_INET, AF_INET6}) {
    if (::inet_pton(family, text.c_str(), bytes.data()) != 1) continue;
    return ::inet_ntop(family, bytes.data(), plain.data(), plain.size());
  }
  return {};
}

// ---- reading ----

std::string fault_of(std::string_view flag, const std::string& text) {
  const auto among = [&](std::span<const std::string_view> names) -> std::string {
    if (has(names, text)) return {};
    std::string all;
    for (const std::string_view name : names)
      all += (all.empty() ? "" : ", ") + std::string(name);
    std::string fault = quote(text) + " is none of " + all;
    if (const auto near = nearest(text, names)) fault += ", did you mean " + quote(*near) + "?";
    return fault;
  };
  if (flag == "allow-cap" && text != "ALL") {
    const std::vector<std::string> known = process::capability_names();
    const std::vector<std::string_view> names(known.begin(), known.end());
    if (has(names, text)) return {};
    const auto near = nearest(text, names);
    return quote(text) + " is no capability" +
           (near ? ", did you mean " + quote(*near) + "?" : std::string());
  }
  if (flag == "allow-host") return among(kNamespaces);
  if (flag == "allow-unsafe") return among(kUnsafe);
  const bool is_path = flag == "allow-mount" || flag == "allow-device";
  if (is_path && (!text.starts_with('/') || fs::clean(text) != text)) {
    return quote(text) + " is not an absolute path without '.', '..' and doubled slashes";
  }
  if (flag == "allow-device" && !text.starts_with("/dev/"))
    return quote(text) + " is not below /dev";
  if (flag == "allow-port" && !parse_ports(text))
    return quote(text) + " is no port below 1024 and no range of them such as 80-90";
  if (flag == "only-address" && as_address(text) != text)
    return quote(text) + " is no address such as 192.0.2.1 or fd00::1";
  if (text.empty()) return "an empty name allows nothing";
  return {};
}

std::string as_capability(std::string text) {
  for (char& c : text)
    c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return text == "ALL" || text.starts_with("CAP_") ? text : "CAP_" + text;
}

void read_list(const ListRow& row, const std::string& text, Policy& policy, json::Faults& faults) {
  Names& list = policy.*row.member;
  if (text == "none") return list.clear();
  std::string name = row.flag == "allow-cap" ? as_capability(text) : text;
  if (row.flag == "only-address" && !as_address(text).empty()) name = as_address(text);
  if (const std::string fault = fault_of(row.flag, name); !fault.empty()) {
    faults.add("--" + std::string(row.flag), fault);
  } else if (!has(list, name)) {
    list.push_back(name);
  }
}

void read_guest_limit(const FlagText& one, Policy& policy, json::Faults& faults) {
  // The same units, ranges and words as those of the tenant's own budget.
  Budget budget;
  json::Faults own("");
  const std::vector<FlagText> as_budget{
      {one.flag.substr(std::string_view("guest-").size()), one.text}};
  read_budget(as_budget, budget, own);
  if (!own.empty()) {
    std::string text = own.error().text();
    text.erase(0, text.find('\''));
    return faults.add("--" + one.flag, text);
  }
  if (one.flag == "guest-memory") policy.guest_memory = budget.memory;
  if (one.flag == "guest-cpus") policy.guest_cpu_milli = budget.cpu_milli;
  if (one.flag == "guest-pids") policy.guest_pids = budget.pids;
}

// ---- checking ----

class Check {
 public:
  explicit Check(const Policy& policy) : policy_(policy) {}

  void refuse(std::string_view rule, std::string text, std::string flag) {
    refusals_.push_back({std::string(rule), std::move(text), std::move(flag)});
  }

  void capabilities(const oci::Spec& spec, const HostFacts& facts) {
    if (!spec.process || !spec.process->capabilities || has(policy_.capabilities, "ALL")) return;
    const oci::Capabilities& sets = *spec.process->capabilities;
    Names extra;
    for (const Names* set :
         {&sets.bounding, &sets.effective, &sets.permitted, &sets.inheritable, &sets.ambient}) {
      for (const std::string& name : *set) {
        const bool fine = has(facts.usual_capabilities, name) || has(policy_.capabilities, name);
        if (!fine && !has(extra, name)) extra.push_back(name);
      }
    }
    for (const std::string& name : extra)
      refuse("capabilities", name, "--allow-cap " + name);
  }

  void mounts(const oci::Spec& spec, const HostFacts& facts) {
    for (const oci::Mount& mount : spec.mounts) {
      const bool bind =
          mount.type == "bind" || has(mount.options, "bind") || has(mount.options, "rbind");
      if (bind) {
        bind_mount(mount, spec.linux, facts);
      } else if (!has(kOwnTypes, mount.type)) {
        refuse("mounts",
               "a file system of type " + quote(mount.type) + " on " + quote(mount.destination),
               "");
      }
    }
  }

  void namespaces(const oci::Spec& spec) {
    struct Row {
      oci::NamespaceType type;
      std::string_view name;
    };
    constexpr std::array<Row, 6> kRows{{{oci::NamespaceType::kNetwork, "network"},
                                        {oci::NamespaceType::kPid, "pid"},
                                        {oci::NamespaceType::kIpc, "ipc"},
                                        {oci::NamespaceType::kUts, "uts"},
                                        {oci::NamespaceType::kUser, "user"},
                                        {oci::NamespaceType::kCgroup, "cgroup"}}};
    for (const Row& row : kRows) {
      if (oci::find_namespace(spec.linux, row.type) != nullptr) continue;
      if (has(policy_.namespaces, row.name)) continue;
      refuse("namespaces", "the " + std::string(row.name) + " namespace of the host",
             "--allow-host " + std::string(row.name));
    }
    if (oci::find_namespace(spec.linux, oci::NamespaceType::kMount) == nullptr)
      refuse("namespaces", "the mounts of the host", "");
  }

  void sysctls(const oci::Spec& spec) {
    for (const auto& [name, value] : spec.linux.sysctl) {
      const bool usual = name == "net.ipv4.ping_group_range";  // vrun's own, and harmless
      const auto allows = [&name = name](const std::string& one) { return matches(name, one); };
      if (usual || std::any_of(policy_.sysctls.begin(), policy_.sysctls.end(), allows)) continue;
      refuse("sysctls", name, "--allow-sysctl " + name);
    }
  }

  // What a privileged guest is without: a filter, masks, a device filter.
  void walls(const oci::Spec& spec) {
    if (has(policy_.unsafe, "privileged")) return;
    if (!spec.linux.seccomp && !has(policy_.unsafe, "seccomp"))
      refuse("unsafe", "no seccomp filter", "--allow-unsafe seccomp");
    if (spec.linux.masked_paths.empty() || spec.linux.readonly_paths.empty())
      refuse("unsafe", "no masked paths (--privileged)", "--allow-unsafe privileged");
    if (spec.process && spec.process->apparmor_profile == "unconfined" &&
        !has(policy_.unsafe, "apparmor"))
      refuse("unsafe", "no AppArmor profile", "--allow-unsafe apparmor");
    if (spec.process && spec.process->oom_score_adj.value_or(0) < 0)
      refuse("unsafe", "an --oom-score-adj below 0, for which others would be killed",
             "--allow-unsafe privileged");
    if (!spec.linux.resources) return;
    for (const oci::DeviceRule& rule : spec.linux.resources->devices) {
      if (rule.allow &&
          (rule.type == 'a' || !rule.major || *rule.major < 0 || !rule.minor || *rule.minor < 0)) {
        return refuse("unsafe", "every device (--privileged)", "--allow-unsafe privileged");
      }
    }
  }

  void limits(const oci::Resources& limits) {
    const auto memory = limits.memory ? limits.memory->limit.value_or(-1) : -1;
    const auto over = [](std::int64_t asked, std::uint64_t most) {
      return most != 0 && (asked <= 0 || static_cast<std::uint64_t>(asked) > most);
    };
    if (over(memory, policy_.guest_memory))
      refuse("limits per guest", "--memory has to be given, at most " + most("guest-memory"),
             "--guest-memory SIZE");
    if (over(limits.pids_limit.value_or(-1), policy_.guest_pids))
      refuse("limits per guest", "--pids-limit has to be given, at most " + most("guest-pids"),
             "--guest-pids NUMBER");
    std::int64_t milli = -1;
    if (limits.cpu && limits.cpu->quota.value_or(-1) > 0) {
      const auto period = static_cast<std::int64_t>(limits.cpu->period.value_or(100'000));
      milli = *limits.cpu->quota * 1000 / std::max<std::int64_t>(period, 1);
    }
    if (over(milli, policy_.guest_cpu_milli))
      refuse("limits per guest", "--cpus has to be given, at most " + most("guest-cpus"),
             "--guest-cpus NUMBER");
  }

  void hooks(const oci::Spec& spec) {
    if (spec.hooks != oci::Hooks())
      refuse("hooks", "programs of the host run beside the guest", "");
  }

  void wishes(const Wishes& wishes) {
    if (!wishes.registry.empty() && !policy_.registries.empty() &&
        !has(policy_.registries, wishes.registry))
      refuse("registries", "images of " + quote(wishes.registry),
             "--only-registry " + wishes.registry);
    for (const std::string& name : wishes.networks) {
      if (!policy_.networks.empty() && !has(policy_.networks, name))
        refuse("networks", "network " + quote(name), "--only-network " + name);
    }
    for (const Wishes::Port& port : wishes.ports)
      published(port);
    if (wishes.own_filter && !has(policy_.unsafe, "seccomp") && !has(policy_.unsafe, "privileged"))
      refuse("unsafe", "a seccomp filter of its own", "--allow-unsafe seccomp");
    if (wishes.privileged && !has(policy_.unsafe, "privileged"))
      refuse("unsafe", "--privileged", "--allow-unsafe privileged");
    if (policy_.vm_required && wishes.isolation != "vm")
      refuse("isolation", "guests have to be micro-VMs: --isolation vm", "--require-vm=false");
    if (policy_.system_forbidden && wishes.isolation == "system")
      refuse("isolation", "system guests: they may call more of the kernel than others",
             "--forbid-system=false");
  }

  std::vector<Refusal> take() { return std::move(refusals_); }

 private:
  // As root has written it.
  std::string most(std::string_view limit) const {
    for (BudgetLine& line : words_of(policy_))
      if (line.name == limit) return std::move(line.value);
    return "none";
  }

  void published(const Wishes::Port& port) {
    for (std::uint32_t one = port.first; one != 0 && one < kFirstFree; ++one) {
      if (one >= port.first + port.count) break;
      if (allows_port(policy_.ports, one)) continue;
      const std::string number = std::to_string(one);
      refuse("ports", "port " + number + " of the host, which is below 1024",
             "--allow-port " + number);
      break;
    }
    if (policy_.addresses.empty() || has(policy_.addresses, port.address)) return;
    if (port.address.empty()) {
      refuse("addresses",
             "a port on all addresses of the host: name one of " + join(policy_.addresses, ", "),
             "--only-address none");
      return;
    }
    refuse("addresses", "a port on " + port.address + " of the host",
           "--only-address " + port.address);
  }

  void bind_mount(const oci::Mount& mount, const oci::Linux& linux, const HostFacts& facts) {
    if (facts.is_own(mount) || is_view_of_host(mount, linux)) return;
    // Below /dev/shm there are files as elsewhere.
    const bool device = is_below(mount.source, "/dev") && !mount.source.starts_with("/dev/shm/");
    const Names& allowed = device ? policy_.devices : policy_.mounts;
    const auto covers = [&](const std::string& one) {
      return device ? mount.source == one : is_below(mount.source, one);
    };
    // As it is written, without "..": what links could make of it is refused when it is opened.
    const bool plain = fs::clean(mount.source) == mount.source;
    if (plain && std::any_of(allowed.begin(), allowed.end(), covers)) return;
    refuse(device ? "devices" : "mounts",
           quote(mount.source) + " of the host on " + quote(mount.destination),
           (device ? "--allow-device " : "--allow-mount ") + fs::clean(mount.source));
  }

  const Policy& policy_;
  std::vector<Refusal> refusals_;
};

}  // namespace

std::vector<std::string_view> policy_flags() {
  std::vector<std::string_view> flags;
  for (const ListRow& row : kLists)
    flags.push_back(row.flag);
  for (const std::string_view flag :
       {"guest-memory", "guest-cpus", "guest-pids", "require-vm", "forbid-system"})
    flags.push_back(flag);
  return flags;
}

void read_policy(std::span<const FlagText> given, Policy& policy, json::Faults& faults) {
  for (const FlagText& one : given) {
    for (const ListRow& row : kLists) {
      if (row.flag == one.flag) read_list(row, one.text, policy, faults);
    }
    if (one.flag.starts_with("guest-")) read_guest_limit(one, policy, faults);
    if (one.flag != "require-vm" && one.flag != "forbid-system") continue;
    if (one.text == "true" || one.text == "false") {
      (one.flag == "require-vm" ? policy.vm_required : policy.system_forbidden) =
          one.text == "true";
    } else {
      faults.add("--" + one.flag, quote(one.text) + " is not true or false");
    }
  }
}

std::vector<BudgetLine> words_of(const Policy& policy) {
  std::vector<BudgetLine> lines;
  for (const ListRow& row : kLists) {
    const Names& list = policy.*row.member;
    if (!list.empty()) lines.push_back({std::string(row.flag), join(list, ", ")});
  }
  if (policy.vm_required) lines.push_back({"require-vm", "true"});
  if (policy.system_forbidden) lines.push_back({"forbid-system", "true"});
  Budget guest;
  guest.memory = policy.guest_memory;
  guest.cpu_milli = policy.guest_cpu_milli;
  guest.pids = policy.guest_pids;
  for (BudgetLine& line : words_of(guest)) {
    if (line.value != "none") lines.push_back({"guest-" + line.name, std::move(line.value)});
  }
  return lines;
}

std::vector<Refusal> constrain(const Policy& policy, const oci::Spec& spec,
                               const HostFacts& facts) {
  Check check(policy);
  check.capabilities(spec, facts);
  check.mounts(spec, facts);
  check.namespaces(spec);
  check.sysctls(spec);
  check.walls(spec);
  check.limits(spec.linux.resources.value_or(oci::Resources()));
  check.hooks(spec);
  return check.take();
}

std::vector<Refusal> constrain_limits(const Policy& policy, const oci::Resources& limits) {
  Check check(policy);
  check.limits(limits);
  return check.take();
}

std::vector<Refusal> constrain_mounts(const Policy& policy, const std::vector<oci::Mount>& mounts,
                                      const HostFacts& facts) {
  Check check(policy);
  oci::Spec spec;
  spec.mounts = mounts;
  check.mounts(spec, facts);
  return check.take();
}

std::vector<Refusal> constrain(const Policy& policy, const Wishes& wishes) {
  Check check(policy);
  check.wishes(wishes);
  return check.take();
}

const std::string* covering_prefix(const Policy& policy, std::string_view path) {
  for (const std::string& prefix : policy.mounts) {
    if (is_below(path, prefix)) return &prefix;
  }
  return nullptr;
}

Error to_error(const std::string& tenant, const std::vector<Refusal>& refusals) {
  json::Faults faults("the policy of tenant " + quote(tenant) + " refuses");
  for (const Refusal& one : refusals) {
    faults.add("rule " + one.rule, one.text);
  }
  std::string flags;
  for (const Refusal& one : refusals) {
    if (one.flag.empty() || (flags + " ").find(" " + one.flag + " ") != std::string::npos) continue;
    flags += " " + one.flag;
  }
  std::string who = "ask root of this host, as only root may change a policy";
  if (!flags.empty()) who += ": vrun tenant update " + tenant + flags;
  faults.hint(who);
  return faults.error().with_code(Code::kDenied);
}

}  // namespace vrun::tenants
