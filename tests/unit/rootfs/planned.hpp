// A spec to start from, and its planned program as text.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "oci/spec.hpp"
#include "rootfs/plan.hpp"

namespace vrun::rootfs {

// A cgroup that is only asked what a guest's /sys/fs/cgroup is made of.
class FakeGroup : public cgroups::Group {
 public:
  explicit FakeGroup(std::vector<MountPart> parts) : parts_(std::move(parts)) {}
  const cgroups::Location& location() const override { return location_; }
  Result<void> create() override { return {}; }
  int clone_target() const override { return -1; }
  bool needs_join() const override { return false; }
  Result<void> join(Pid) override { return {}; }
  Result<void> set(const oci::Resources&) override { return {}; }
  Result<void> set_devices(const std::vector<oci::DeviceRule>&) override { return {}; }
  Result<void> delegate(Uid) override { return {}; }
  Result<void> freeze(bool) override { return {}; }
  Result<bool> is_frozen() const override { return false; }
  Result<void> signal_all(int) override { return {}; }
  Result<std::vector<Pid>> processes() const override { return std::vector<Pid>{}; }
  Result<cgroups::Stats> stats() const override { return cgroups::Stats{}; }
  Result<bool> wait_oom(int) override { return false; }
  Result<void> destroy() override { return {}; }
  std::vector<MountPart> mount_parts() const override { return parts_; }

 private:
  cgroups::Location location_;
  std::vector<MountPart> parts_;
};

inline oci::Spec empty_spec() {
  oci::Spec spec;
  spec.root.path = "/";
  spec.linux.namespaces = {{oci::NamespaceType::kMount, ""}};
  return spec;
}

inline oci::Mount mount_of(std::string destination, std::string type, std::string source,
                           std::vector<std::string> options = {}) {
  return {.destination = std::move(destination),
          .type = std::move(type),
          .source = std::move(source),
          .options = std::move(options),
          .uid_mappings = {},
          .gid_mappings = {}};
}

inline oci::Spec spec_with(oci::Mount mount) {
  oci::Spec spec = empty_spec();
  spec.mounts = {std::move(mount)};
  return spec;
}

// Sources opened by the stage: planning needs no rights then.
inline Options unprivileged_options() {
  Options options;
  options.bundle_path = "/bundle";
  options.parent_opens_sources = false;
  return options;
}

// A host without /proc/kcore, on every machine.
inline Host test_host() {
  Host host;
  host.proc = "/nonexistent";
  return host;
}

struct Planned {
  std::string mounts, enter;
};

inline Result<Planned> plan_both(const oci::Spec& spec, const Options& options) {
  Planned planned;
  {
    steps::Builder builder = TRY(steps::Builder::create());
    TRY(plan_mounts(spec, options, test_host(), builder));
    planned.mounts = builder.dump();
  }
  steps::Builder builder = TRY(steps::Builder::create());
  TRY(plan_enter(spec, options, test_host(), builder));
  planned.enter = builder.dump();
  return planned;
}

// The line of the first mount: between that of the root and those of the devices.
inline std::string planned_mount(const oci::Mount& mount,
                                 const Options& options = unprivileged_options()) {
  auto planned = plan_both(spec_with(mount), options);
  if (!planned) return "error: " + planned.error().text();
  const std::size_t start = planned->mounts.find('\n') + 1;
  return planned->mounts.substr(start, planned->mounts.find('\n', start) - start);
}

}  // namespace vrun::rootfs
