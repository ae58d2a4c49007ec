// Which namespaces are made, which are joined, by whom and in what order.
//
// The rules (namespaces(7), user_namespaces(7)):
//  - New namespaces come with the clone itself. With a joined user namespace they are made after
//  the join, so that
//    they belong to it; a new pid namespace then needs one more process (kRespawn).
//  - With privilege, the parent joins network, ipc, uts, cgroup, time and pid namespaces before the
//  clone and
//    goes back after it: they may belong to a user namespace above the new one, which a process
//    that is already inside could not enter. Without privilege the stage joins them, after the user
//    namespace.
//  - A mount namespace is always joined by the stage, last.
#pragma once

#include <cstdint>
#include <vector>

#include "base/fd.hpp"
#include "base/host.hpp"
#include "base/result.hpp"
#include "oci/spec.hpp"
#include "steps/builder.hpp"

namespace vrun::namespaces {

struct Join {
  std::uint64_t type = 0;  // CLONE_NEW*
  Fd fd;
  std::string where;  // JSON path
};

struct Plan {
  std::uint64_t fresh = 0;        // CLONE_NEW* of all namespaces that are made, by whichever way
  std::uint64_t clone_flags = 0;  // what the clone makes
  std::uint64_t ours = 0;         // named by path, but this process's own: nothing to join
  std::uint64_t later = 0;  // what kUnshare or kRespawn makes after the user namespace was joined
  std::vector<Join> parent_joins;
  std::vector<Join> stage_joins;  // in order
  bool new_user = false;
  bool joined_user = false;
  bool respawn = false;
  std::vector<oci::IdMapping> uid_mappings, gid_mappings;  // of a new user namespace
  std::vector<oci::TimeOffset> time_offsets;               // of a new time namespace

  bool makes(std::uint64_t type) const { return (fresh & type) != 0; }
  bool in_user_namespace() const { return new_user || joined_user; }
};

// Opens the namespaces that are to be joined and checks that each is of its type.
Result<Plan> plan(const oci::Linux& linux, const Host& host);

// The stage's part: joins, the deferred namespaces, becoming root. `ask_id_maps` adds the step at
// which the parent writes the maps of a new user namespace. `defer_cgroup`: the cgroup namespace is
// not made here but by a later kUnshare, once the process is in its cgroup.
void add_steps(Plan& plan, steps::Builder& builder, std::uint32_t ask_id_maps);

// The clone flag of a type, and its name in /proc/PID/ns.
std::uint64_t flag_of(oci::NamespaceType type);
const char* proc_name_of(oci::NamespaceType type);
const char* config_name_of(oci::NamespaceType type);

// While it lives, this process is in the namespaces of plan.parent_joins and its children are born
// into a new time namespace with the plan's offsets. It goes back when it ends; a failure to go
// back is fatal (the process must not go on in a guest's namespace), so it ends the process.
class ParentScope {
 public:
  static Result<ParentScope> enter(const Plan& plan);
  ParentScope(ParentScope&& other) noexcept : back_(std::move(other.back_)) { other.back_.clear(); }
  ParentScope(const ParentScope&) = delete;
  ParentScope& operator=(const ParentScope&) = delete;
  ParentScope& operator=(ParentScope&&) = delete;
  ~ParentScope();

 private:
  ParentScope() = default;
  struct Back {
    Fd fd;
    std::uint64_t type;
  };
  std::vector<Back> back_;
};

}  // namespace vrun::namespaces
