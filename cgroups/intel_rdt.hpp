// linux.intelRdt: a class of service (cache and memory bandwidth shares) and a monitoring group in
// the resctrl filesystem.
//
// With closID the class of that name is used: it has to exist already unless the config says what
// to write into it, and one that was there before is never removed. Without, the class has the
// container's id and lives and dies with it. What the config asks for is written or is an error
// that names the field; the kernel's own words (info/last_cmd_status) come along.
#pragma once

#include <string>
#include <string_view>

#include "base/host.hpp"
#include "base/id.hpp"
#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::cgroups {

// What is kept in the container's state. Empty: nothing was asked for.
struct RdtLocation {
  std::string clos;     // "/sys/fs/resctrl/web"
  std::string monitor;  // "/sys/fs/resctrl/web/mon_groups/web"
  bool made_clos = false;
};

class IntelRdt {
 public:
  // Checks the config and finds where resctrl is mounted. Makes nothing.
  static Result<IntelRdt> plan(const oci::IntelRdt& config, const ContainerId& id,
                               const Host& host);
  static IntelRdt open(RdtLocation location);

  // Known after plan(); create() settles made_clos.
  const RdtLocation& location() const { return location_; }
  const std::string& closid() const { return closid_; }
  bool is_ours() const { return location_.made_clos; }  // the class did not exist before
  // Makes the groups and writes the schemata; on failure nothing is left.
  Result<void> create();
  Result<void> write_schemata();
  Result<void> join(Pid pid) const;
  // Removes what the container made. Idempotent.
  Result<void> destroy() const;

 private:
  Result<void> fill();
  Error with_kernel_words(Error error) const;

  std::string root_, closid_;
  oci::IntelRdt config_;
  RdtLocation location_;
};

// For a container that is known by its record only. A class takes its monitoring groups along; one
// that is not ours keeps its own and loses ours.
Result<void> remove_intel_rdt(const std::string& closid, const Host& host);
Result<void> remove_rdt_monitor(const std::string& closid, const ContainerId& id, const Host& host);
// Writes new schemata (`update --l3-cache-schema --mem-bw-schema`).
Result<void> update_intel_rdt(const std::string& closid, const oci::IntelRdt& config,
                              const Host& host);

// Where resctrl is mounted according to mountinfo text; empty if it is not.
std::string find_resctrl(std::string_view mountinfo);

// The lines for the schemata file: l3CacheSchema, memBwSchema, schemata, in this order (a later
// line wins). MB: lines of l3CacheSchema give way to memBwSchema.
std::string combined_schemata(const oci::IntelRdt& config);

// Can this host do it? For `features`.
bool has_resctrl(const Host& host);

}  // namespace vrun::cgroups
