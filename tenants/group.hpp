// The cgroup of a tenant, the parent of everything that runs for it:
//
//   .../vrun/TENANT            the budget
//   .../vrun/TENANT/guests     all guests, one group each below; frozen, thawed, killed by one
//   write
//   .../vrun/TENANT/monitors   the processes of vrun that work for the tenant
//
// Where it is gets recorded in run/tenants/TENANT/group.json by whoever needs it first after a
// boot: on a host whose hierarchies let us make groups only below our own, that is below the first
// caller's, and all later ones find it there.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"
#include "cgroups/group.hpp"
#include "oci/spec.hpp"

namespace vrun::tenants {

class TenantGroup {
 public:
  // The recorded one, or kNotFound.
  static Result<TenantGroup> find(const std::string& run_dir, const std::string& tenant,
                                  const Host& host);
  // Makes what is missing and applies the limits if it was not there. Under a lock of its own.
  static Result<TenantGroup> ensure(const std::string& run_dir, const std::string& tenant,
                                    const oci::Resources& limits, const Host& host);

  const cgroups::Location& all() const { return all_; }
  cgroups::Location guests() const { return cgroups::sub_group(all_, "guests"); }
  cgroups::Location monitors() const { return cgroups::sub_group(all_, "monitors"); }

  Result<void> set_limits(const oci::Resources& limits) const;
  // One write each; a frozen tenant's guests can be killed.
  Result<void> freeze(bool frozen) const;
  Result<bool> is_frozen() const;
  Result<void> kill_guests() const;
  // Moves a process of ours in.
  Result<void> join(Pid pid) const;
  Result<std::size_t> process_count() const;
  Result<cgroups::Stats> stats() const;
  // Ends what is left in it and takes it away with its record.
  Result<void> destroy() const;

 private:
  TenantGroup(cgroups::Location all, std::string record_dir, const Host& host)
      : all_(std::move(all)), record_dir_(std::move(record_dir)), host_(host) {}
  Result<std::unique_ptr<cgroups::Group>> open(const cgroups::Location& location) const;
  static Result<TenantGroup> make(const std::string& record_dir, const std::string& tenant,
                                  const oci::Resources& limits, const Host& host);
  cgroups::Location all_;
  std::string record_dir_;
  Host host_;
};

// Which of the limits this host cannot hold for a whole tenant, and why. Pure looking.
struct Unenforceable {
  std::string flag, why;
};
std::vector<Unenforceable> unenforceable_limits(const oci::Resources& limits, const Host& host);

}  // namespace vrun::tenants
