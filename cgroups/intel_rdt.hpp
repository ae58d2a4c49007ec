// linux.intelRdt: cache and memory bandwidth by the resctrl file system (Documentation/filesystems/resctrl).
#pragma once

#include <memory>
#include <string>

#include "base/host.hpp"
#include "base/id.hpp"
#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::cgroups {

class IntelRdt {
 public:
  virtual ~IntelRdt() = default;
  // Makes the group (closID, else the container id) and the monitoring group, writes the schemata.
  virtual Result<void> create() = 0;
  virtual Result<void> join(Pid pid) = 0;
  virtual Result<void> destroy() = 0;          // only what create() made
  virtual const std::string& closid() const = 0;
  virtual bool is_ours() const = 0;            // the group did not exist before
};

// Checks the config and where resctrl is mounted; an error names the field when it is not.
Result<std::unique_ptr<IntelRdt>> plan_intel_rdt(const oci::IntelRdt& rdt, const ContainerId& id, const Host& host);
// For a container that is known by its record only.
Result<void> remove_intel_rdt(const std::string& closid, const Host& host);
Result<void> update_intel_rdt(const std::string& closid, const oci::IntelRdt& rdt, const Host& host);

}  // namespace vrun::cgroups
