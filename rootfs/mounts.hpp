// From one entry of `mounts` to its step.
#pragma once

#include <cstddef>
#include <string>

#include "rootfs/id_map.hpp"
#include "rootfs/options.hpp"
#include "rootfs/plan.hpp"

namespace vrun::rootfs {

// What the mounts of one container are planned with.
struct MountPlanner {
  const oci::Spec& spec;
  const Options& options;
  const Host& host;
  steps::Builder& builder;
  std::uint64_t host_propagation;
  IdMaps id_maps{};

  // Adds the step of spec.mounts[index]; opens the source of a bind if that is the parent's part.
  Result<void> plan(std::size_t index);
};

// The absolute, cleaned destination.
std::string target_of(const oci::Mount& mount);
// Is it a bind, by its options or by its type?
bool is_bind(const oci::Mount& mount, const MountOptions& options);
// A read-only tmpfs is mounted writable, so that targets can be made in it, and becomes read-only
// after the pivot.
bool is_readonly_later(const oci::Mount& mount, const MountOptions& options);

// The parts of a mount of type "cgroup" (cgroup_mounts.cpp).
Result<void> plan_cgroup_mount(MountPlanner& planner, const oci::Mount& mount,
                               const MountOptions& options, const std::string& where);

// Copies a planned mount into the program.
struct FilesystemMount {
  std::string type;
  std::string source;
  std::string target;
  std::uint32_t flags = 0;
  AttributeChange attributes;
  std::uint64_t propagation = 0;
  std::vector<FilesystemOption> options;
  std::string data;
};
void add_filesystem_mount(steps::Builder& builder, const FilesystemMount& mount,
                          const std::string& where, bool copy_up = false);

}  // namespace vrun::rootfs
