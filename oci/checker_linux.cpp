// Checks of namespaces, id mappings, network devices, kernel parameters, resources, memory policy
// and cache allocation.

#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "oci/checker.hpp"
#include "oci/sysctl.hpp"
#include "oci/table_linux.hpp"

namespace vrun::oci {
namespace {

constexpr std::size_t kMaxExtents = 340;  // UID_GID_MAP_MAX_EXTENTS, user_namespaces(7)

std::string_view name_of(NamespaceType type) {
  return kNamespaceNames[static_cast<std::size_t>(type)];
}

bool overlap(std::uint32_t a, std::uint32_t a_size, std::uint32_t b, std::uint32_t b_size) {
  return a < std::uint64_t{b} + b_size && b < std::uint64_t{a} + a_size;
}

bool is_mapped(const std::vector<IdMapping>& mappings, std::uint32_t id) {
  return std::any_of(mappings.begin(), mappings.end(), [id](const IdMapping& m) {
    return id >= m.container_id && id - m.container_id < m.size;
  });
}

// An unmapped id would fail in setuid(2) or setgid(2) with a bare EINVAL.
void check_user_is_mapped(const User& user, const Linux& linux, json::Faults& faults) {
  const auto check = [&](const std::vector<IdMapping>& mappings, std::uint32_t id,
                         const std::string& at, const std::string& list) {
    if (mappings.empty() || is_mapped(mappings, id)) return;
    faults.add(at, std::to_string(id) + " is not mapped by linux." + list);
  };
  check(linux.uid_mappings, user.uid.value, "process.user.uid", "uidMappings");
  check(linux.gid_mappings, user.gid.value, "process.user.gid", "gidMappings");
  for (std::size_t i = 0; i < user.additional_gids.size(); ++i) {
    check(linux.gid_mappings, user.additional_gids[i].value,
          element("process.user.additionalGids", i), "gidMappings");
  }
}

void check_user_namespace(const Spec& spec, json::Faults& faults) {
  const Linux& linux = spec.linux;
  const Namespace* user = find_namespace(linux, NamespaceType::kUser);
  check_id_mappings(linux.uid_mappings, "linux.uidMappings", faults);
  check_id_mappings(linux.gid_mappings, "linux.gidMappings", faults);
  if (user == nullptr) {
    if (!linux.uid_mappings.empty()) faults.add("linux.uidMappings", "need a user namespace");
    if (!linux.gid_mappings.empty()) faults.add("linux.gidMappings", "need a user namespace");
    return;
  }
  if (!user->path.empty()) return;
  if (linux.uid_mappings.empty())
    faults.add("linux.uidMappings", "is empty for a new user namespace");
  if (linux.gid_mappings.empty())
    faults.add("linux.gidMappings", "is empty for a new user namespace");
  if (spec.process) check_user_is_mapped(spec.process->user, linux, faults);
}

void check_time_namespace(const Linux& linux, json::Faults& faults) {
  if (linux.time_offsets.empty()) return;
  const Namespace* time = find_namespace(linux, NamespaceType::kTime);
  if (time == nullptr) return faults.add("linux.timeOffsets", "need a time namespace");
  // time_namespaces(7): offsets can be set only before the first process is inside.
  if (!time->path.empty())
    faults.add("linux.timeOffsets", "need a new time namespace, not one by path");
}

// The kernel's rule (dev_valid_name()), and no '%', which asks for a number.
bool is_interface_name(std::string_view name) {
  return !name.empty() && name.size() < 16 && name != "." && name != ".." &&
         std::none_of(name.begin(), name.end(), [](char c) {
           return c == '/' || c == ':' || c == '%' || static_cast<unsigned char>(c) <= ' ' ||
                  c == 0x7F;
         });
}

bool is_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
         name.find('\n') == std::string_view::npos;
}

std::string keyed(const std::string& at, const std::string& key) {
  return at + "[" + quote(key) + "]";
}

void check_device_rules(const std::vector<DeviceRule>& rules, const std::string& at,
                        json::Faults& faults) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (rules[i].access.find_first_not_of("rwm") == std::string::npos) continue;
    faults.add(element(at, i) + ".access",
               quote(rules[i].access) + " has letters other than r, w, m");
  }
}

}  // namespace

void check_id_mappings(const std::vector<IdMapping>& mappings, const std::string& at,
                       json::Faults& faults) {
  if (mappings.size() > kMaxExtents) {
    return faults.add(at, "has " + std::to_string(mappings.size()) + " entries, the kernel takes " +
                              std::to_string(kMaxExtents));
  }
  for (std::size_t i = 1; i < mappings.size(); ++i) {
    const IdMapping& a = mappings[i];
    for (std::size_t j = 0; j < i; ++j) {
      const IdMapping& b = mappings[j];
      const bool inside = overlap(a.container_id, a.size, b.container_id, b.size);
      if (!inside && !overlap(a.host_id, a.size, b.host_id, b.size)) continue;
      faults.add(element(at, i), std::string("overlaps entry ") + std::to_string(j) + " in " +
                                     (inside ? "containerID" : "hostID"));
    }
  }
}

void check_namespaces(const Spec& spec, json::Faults& faults) {
  std::set<NamespaceType> seen;
  const std::vector<Namespace>& namespaces = spec.linux.namespaces;
  for (std::size_t i = 0; i < namespaces.size(); ++i) {
    const std::string at = element("linux.namespaces", i);
    if (!seen.insert(namespaces[i].type).second) {
      faults.add(at, "is a second " + std::string(name_of(namespaces[i].type)) + " namespace");
    }
    if (!namespaces[i].path.empty()) check_absolute(namespaces[i].path, at + ".path", faults);
  }
  check_user_namespace(spec, faults);
  check_time_namespace(spec.linux, faults);
}

void check_net_devices(const Linux& linux, json::Faults& faults) {
  const std::string at = "linux.netDevices";
  if (!linux.net_devices.empty() && find_namespace(linux, NamespaceType::kNetwork) == nullptr) {
    faults.add(at, "need a network namespace");
  }
  std::set<std::string_view> names;
  for (const NetDevice& device : linux.net_devices) {
    const std::string here = keyed(at, device.host_name);
    const std::string& inside = device.name.empty() ? device.host_name : device.name;
    if (!is_interface_name(device.host_name)) faults.add(here, "is not an interface name");
    // "eth%d" is a template: the kernel puts the next free number in.
    const bool is_template = device.name.ends_with("%d");
    if (!is_interface_name(is_template ? inside.substr(0, inside.size() - 2) + "0" : inside)) {
      faults.add(here + ".name", quote(device.name) + " is not an interface name");
    }
    if (!is_template && !names.insert(inside).second) {
      faults.add(here, quote(inside) + " is the name of two devices");
    }
  }
}

void check_sysctl(const Spec& spec, json::Faults& faults) {
  for (const auto& [name, value] : spec.linux.sysctl) {
    const std::string at = keyed("linux.sysctl", name);
    const std::string path = sysctl_path(name);
    const auto type = sysctl_namespace(path);
    if (path.empty()) {
      faults.add(at, "is not the name of a kernel parameter");
    } else if (!type) {
      faults.add(at, "belongs to the whole host, not to a namespace");
    } else if (find_namespace(spec.linux, *type) == nullptr) {
      const std::string article = *type == NamespaceType::kIpc ? "an " : "a ";
      faults.add(at, "needs " + article + std::string(name_of(*type)) + " namespace");
    } else if (path == "kernel/hostname") {
      faults.add(at, "conflicts with the field hostname; set that");
    } else if (path == "kernel/domainname" && !spec.domainname.empty() &&
               value != spec.domainname) {
      // Docker sets its domain name in this way, so it is allowed as such.
      faults.add(at, "conflicts with the field domainname");
    }
  }
}

void check_resources(const Resources& resources, const std::string& at, json::Faults& faults) {
  check_device_rules(resources.devices, at + "devices", faults);
  for (const auto& [key, value] : resources.unified) {
    if (!is_file_name(key))
      faults.add(keyed(at + "unified", key), "is not the name of a cgroup file");
  }
}

void check_memory_policy(const MemoryPolicy& policy, json::Faults& faults) {
  const std::string at = "linux.memoryPolicy";
  const bool without_nodes = policy.mode == "MPOL_DEFAULT" || policy.mode == "MPOL_LOCAL";
  const bool may_lack_nodes = without_nodes || policy.mode == "MPOL_PREFERRED";
  const auto has_flag = [&](std::string_view flag) {
    return std::find(policy.flags.begin(), policy.flags.end(), flag) != policy.flags.end();
  };
  // set_mempolicy(2)
  if (without_nodes && !policy.nodes.empty())
    faults.add(at + ".nodes", "must be empty for " + policy.mode);
  if (!may_lack_nodes && policy.nodes.empty())
    faults.add(at + ".nodes", "is missing for " + policy.mode);
  if (!policy.nodes.empty() && !is_number_list(policy.nodes)) {
    faults.add(at + ".nodes", quote(policy.nodes) + " is not a list of nodes like 0-3,7");
  }
  if (has_flag("MPOL_F_STATIC_NODES") && has_flag("MPOL_F_RELATIVE_NODES")) {
    faults.add(at + ".flags", "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other");
  }
  if (has_flag("MPOL_F_NUMA_BALANCING") && policy.mode != "MPOL_BIND" &&
      policy.mode != "MPOL_PREFERRED_MANY") {
    faults.add(at + ".flags",
               "MPOL_F_NUMA_BALANCING is for MPOL_BIND and MPOL_PREFERRED_MANY only");
  }
}

void check_intel_rdt(const IntelRdt& rdt, json::Faults& faults) {
  const std::string at = "linux.intelRdt";
  // "/" is the default group of resctrl (runtime-spec 1.3).
  if (!rdt.clos_id.empty() && rdt.clos_id != "/" && !is_file_name(rdt.clos_id)) {
    faults.add(at + ".closID", quote(rdt.clos_id) + " is not the name of a folder");
  }
  for (std::size_t i = 0; i < rdt.schemata.size(); ++i) {
    if (rdt.schemata[i].find('\n') == std::string::npos) continue;
    faults.add(element(at + ".schemata", i), "has more than one line");
  }
}

}  // namespace vrun::oci
