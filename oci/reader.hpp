// Reads OCI runtime documents. Strict: wrong types, unknown enumeration values, embedded NUL,
// numbers out of range, duplicate keys, too deep or too large input are errors that name the JSON
// path; all faults of a document are reported at once (one line each). Unknown keys are accepted,
// as the specification demands, but not keys that differ from known ones in case only.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::oci {

inline constexpr std::size_t kMaxConfigBytes = 16U << 20U;

// `name` is what messages call the document: "config.json".
Result<Spec> parse_spec(std::string_view json, std::string_view name);
Result<Process> parse_process(std::string_view json, std::string_view name);  // exec --process
Result<Resources> parse_resources(std::string_view json,
                                  std::string_view name);  // update --resources

// The faults that need a view of the whole document: a namespace twice, mappings without a user
// namespace, sysctl outside of its namespace, ... All at once. It looks at nothing but the
// document: whether a namespace joined by path is the host's, or a file exists, is seen by who
// opens it. An absent process is no fault (create allows it, start does not).
Result<void> check(const Spec& spec, std::string_view name = "config.json");
Result<void> check(const Process& process, std::string_view name);
Result<void> check(const Resources& resources, std::string_view name);

}  // namespace vrun::oci
