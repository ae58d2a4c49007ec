// The parts of check() (reader.hpp): each adds its faults, with JSON paths that start with `at`.
#pragma once

#include <string>

#include "base/json.hpp"
#include "oci/spec.hpp"

namespace vrun::oci {

void check_process(const Process& process, const std::string& at, json::Faults& faults);
void check_scheduler(const Scheduler& scheduler, const std::string& at, json::Faults& faults);
void check_resources(const Resources& resources, const std::string& at, json::Faults& faults);
void check_namespaces(const Spec& spec, json::Faults& faults);
void check_id_mappings(const std::vector<IdMapping>& mappings, const std::string& at,
                       json::Faults& faults);
void check_net_devices(const Linux& linux, json::Faults& faults);
void check_sysctl(const Spec& spec, json::Faults& faults);
void check_memory_policy(const MemoryPolicy& policy, json::Faults& faults);
void check_intel_rdt(const IntelRdt& rdt, json::Faults& faults);

// "a[3]"
std::string element(const std::string& at, std::size_t index);
// A fault unless `path` starts at /.
void check_absolute(const std::string& path, const std::string& at, json::Faults& faults);
// Lists as in cpuset(7): "0-3,8".
bool is_number_list(std::string_view text);

}  // namespace vrun::oci
