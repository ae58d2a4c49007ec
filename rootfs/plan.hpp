// The container's file tree: from root, mounts, devices and masks of the config to steps.
#pragma once

#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/host.hpp"
#include "base/result.hpp"
#include "cgroups/group.hpp"
#include "oci/spec.hpp"
#include "steps/builder.hpp"

namespace vrun::rootfs {

struct Options {
  const Fd* bundle = nullptr;  // relative sources and root.path start here
  std::string bundle_path;
  bool new_user_namespace = false;   // or joined: no mknod, host nodes are bound
  bool parent_opens_sources = true;  // false when we are unprivileged: the stage opens them
  bool no_pivot = false;
  int console_socket = -1;  // process.terminal: where the pty master goes; -1: over the wire
  const cgroups::Group* cgroup = nullptr;  // for mounts of type cgroup
  bool cgroup_namespace = true;            // a new one: cgroup mounts are fresh mounts, not binds
  Fd* overlay_root =
      nullptr;  // a detached mount that is the root (vrun's own guests); else root.path
};

// Everything before the createContainer hooks: kRoot, mounts, devices, console.
Result<void> plan_mounts(const oci::Spec& spec, const Options& options, const Host& host,
                         steps::Builder& builder);
// After them: pivot, root attributes, sysctls, masked and read-only paths.
Result<void> plan_enter(const oci::Spec& spec, const Options& options, const Host& host,
                        steps::Builder& builder);

// What the user can do about the fault `sys_errno` of a step of this folder; empty if nothing is
// known.
std::string hint_for(const steps::Step& step, int sys_errno);

// Every mount option this build knows, for `features`.
std::vector<std::string> mount_options();

}  // namespace vrun::rootfs
