// A container in a transient unit (scope or slice) of systemd.
//
// The unit is made with the container's first process, so it cannot exist before: until the first
// join(), set() and set_devices() remember what they are told, and join() writes it when the unit
// is there. systemd gets the limits it knows as properties, the files get all of them, by the
// back-end that fits the host. The bus is spoken by the helper executable vrun-systemd.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "cgroups/group.hpp"
#include "cgroups/systemd_unit.hpp"

namespace vrun::cgroups {

// One request to systemd. The answer is the group's path where the request has one.
struct UnitRequest {
  enum class Verb { kStart, kSet, kStop, kOwnPath };
  Verb verb = Verb::kStart;
  std::string unit;
  std::vector<Property> properties;
};
using SystemdBus = std::function<Result<std::string>(const UnitRequest&)>;

// The text that the helper reads: one line a word, see cgroups/systemd/main.cpp.
std::string request_text(const UnitRequest& request, bool user_bus);
// Runs the helper.
SystemdBus systemd_bus(const Host& host, bool user_bus);

class SystemdGroup final : public Group {
 public:
  // Opens the back-end for the group at `path` of every hierarchy, once systemd has made it.
  // `fresh`: directories that systemd did not make are made.
  using OpenFiles = std::function<Result<std::unique_ptr<Group>>(const Location&, bool fresh)>;
  struct Options {
    UnitName name;
    std::vector<Property> properties;  // of the unit: own ones, limits at the start, annotations
    bool v2 = true;
    bool started = false;  // an existing container
  };
  SystemdGroup(Location location, Options options, SystemdBus bus, OpenFiles open_files);

  const Location& location() const override { return location_; }
  Result<void> create() override;
  int clone_target() const override;
  bool needs_join() const override;
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
  Result<void> start(Pid pid);
  Result<Group*> files() const;

  Location location_;
  Options options_;
  SystemdBus bus_;
  OpenFiles open_files_;
  mutable std::unique_ptr<Group> files_;  // once the unit exists
  bool ours_ = false;
  std::optional<oci::Resources> pending_;
  std::optional<std::vector<oci::DeviceRule>> pending_devices_;
  std::optional<Uid> pending_owner_;
};

}  // namespace vrun::cgroups
