// The back-end for hosts whose controllers are all in the cgroup v2 tree.
#pragma once

#include <memory>

#include "cgroups/apply.hpp"
#include "cgroups/devices.hpp"
#include "cgroups/group.hpp"
#include "cgroups/layout.hpp"
#include "cgroups/oom_watch.hpp"
#include "cgroups/tree.hpp"

namespace vrun::cgroups {

class UnifiedGroup final : public Group {
 public:
  struct Options {
    std::vector<Need> needs;  // what create() has to enable
    bool rootless = false;
    // Without permission for cgroups and with nothing asked of them, a rootless container runs
    // without a group of its own.
    bool may_do_without = false;
  };
  UnifiedGroup(std::string mount, std::string path, Options options);

  // A group that exists already (or existed): destroy() applies to it.
  static std::unique_ptr<UnifiedGroup> existing(std::string mount, std::string path, bool rootless);

  const Location& location() const override { return location_; }
  Result<void> create() override;
  int clone_target() const override;
  bool needs_join() const override { return false; }
  Result<void> join(Pid pid) override;
  Result<void> set(const oci::Resources& resources) override;
  Result<void> set_devices(const std::vector<oci::DeviceRule>& rules) override;
  Result<void> delegate(Uid owner) override;
  Result<void> freeze(bool frozen) override;
  Result<bool> is_frozen() const override;
  Result<void> signal_all(int signal) override;
  Result<std::vector<Pid>> processes() const override;
  Result<Stats> stats() const override;
  Result<bool> wait_oom(int timeout_ms) override;
  Result<void> destroy() override;
  std::vector<MountPart> mount_parts() const override;

 private:
  Target target() const;
  // The error for an operation on a container that does without a group.
  Error no_group(std::string_view action) const;

  Tree tree_;
  Options options_;
  Location location_;
  OomWatch oom_;
  bool ours_ = false;     // created by us, or opened as an existing one
  bool without_ = false;  // runs without a group
};

}  // namespace vrun::cgroups
