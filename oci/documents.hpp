// The documents that vrun writes: state, and the spec of `spec` (features: features.hpp).
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::oci {

inline constexpr std::string_view kOciVersion =
    "1.3.0";  // of runtime-spec, what this build follows

std::string to_json(const State& state, bool pretty);
// The whole spec back to JSON (what create keeps as its snapshot after a rewrite, what `spec`
// prints). parse_spec() of it gives an equal spec.
std::string to_json(const Spec& spec, bool pretty);
// Parts of it, for snapshots.
std::string to_json(const Process& process, bool pretty);
std::string to_json(const Resources& resources, bool pretty);

// Where the spec that is printed depends on the host, as in runc.
struct SpecChoice {
  bool cgroup_namespace = false;  // on pure cgroup-v2 hosts
};
// What `vrun-oci spec` writes: runc's defaults.
Spec default_spec(SpecChoice choice = {});
// With a user namespace that maps `uid`/`gid` to root, no network namespace of its own, no limits,
// /sys by bind.
Spec rootless_spec(Uid uid, Gid gid, SpecChoice choice = {});

}  // namespace vrun::oci
