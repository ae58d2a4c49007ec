// The back-end for hosts that still bind controllers to v1 hierarchies.
//
// Limits and statistics of bound controllers go to the v1 directories; where the v2 tree is mounted
// as well (a hybrid host), freezing, killing, the list of processes, the device filter, pressure
// and all controllers that v1 does not hold stay there, and a clone lands in its group. Without a
// v2 tree the v1 freezer and devices controllers do that work.
#pragma once

#include <memory>
#include <optional>

#include "cgroups/apply.hpp"
#include "cgroups/group.hpp"
#include "cgroups/layout.hpp"
#include "cgroups/legacy_tree.hpp"
#include "cgroups/oom_watch.hpp"
#include "cgroups/tree.hpp"

namespace vrun::cgroups {

class LegacyGroup final : public Group {
 public:
  struct Options {
    std::vector<Need> needs;
    bool rootless = false;
    bool may_do_without = false;  // as in UnifiedGroup
    std::string proc = "/proc";
  };
  LegacyGroup(std::optional<Tree> v2, std::vector<LegacyDir> dirs, Options options);

  // A group that exists already (or existed): destroy() applies to it.
  static std::unique_ptr<LegacyGroup> existing(std::optional<Tree> v2, std::vector<LegacyDir> dirs,
                                               Options options);

  const Location& location() const override { return location_; }
  Result<void> create() override;
  int clone_target() const override;
  // For directories that somebody else (systemd) began: makes those that are missing.
  Result<void> adopt();
  bool needs_join() const override { return !without_; }
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
  const LegacyDir* find(std::string_view controller) const;
  bool bound(std::string_view controller) const { return find(controller) != nullptr; }
  Result<void> make_all();
  Result<void> check_needs(std::vector<Need>& of_v2) const;
  Target target() const;
  Error missing(const Write& write) const;
  Error no_group(std::string_view action) const;
  Result<void> set_unified_map(const oci::Resources& resources, const Target& files);
  Result<const LegacyDir*> required(std::string_view controller, std::string_view action) const;
  Result<void> signal_without_v2(int signal);

  std::optional<Tree> v2_;
  std::vector<LegacyDir> dirs_;
  Options options_;
  Location location_;
  OomWatch oom_;
  bool ours_ = false;
  bool without_ = false;
};

}  // namespace vrun::cgroups
