#include "namespaces/plan.hpp"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace vrun::namespaces {
namespace {

struct TypeRow {
  oci::NamespaceType type;
  std::uint64_t flag;
  const char* config_name;
  const char* proc_name;
};

constexpr std::array<TypeRow, 8> kTypes{{
    {oci::NamespaceType::kPid, CLONE_NEWPID, "pid", "pid"},
    {oci::NamespaceType::kNetwork, CLONE_NEWNET, "network", "net"},
    {oci::NamespaceType::kMount, CLONE_NEWNS, "mount", "mnt"},
    {oci::NamespaceType::kIpc, CLONE_NEWIPC, "ipc", "ipc"},
    {oci::NamespaceType::kUts, CLONE_NEWUTS, "uts", "uts"},
    {oci::NamespaceType::kUser, CLONE_NEWUSER, "user", "user"},
    {oci::NamespaceType::kCgroup, CLONE_NEWCGROUP, "cgroup", "cgroup"},
    {oci::NamespaceType::kTime, CLONE_NEWTIME, "time", "time"},
}};

const TypeRow& row_of(oci::NamespaceType type) {
  for (const TypeRow& row : kTypes) {
    if (row.type == type) return row;
  }
  return kTypes[0];
}

const TypeRow& row_of_flag(std::uint64_t flag) {
  for (const TypeRow& row : kTypes) {
    if (row.flag == flag) return row;
  }
  return kTypes[0];
}

Result<Fd> open_namespace(const oci::Namespace& ns, const std::string& where) {
  Result<Fd> fd = sys::open(At::cwd(), ns.path, O_RDONLY);
  if (!fd) return std::move(fd).error().at(where);
  const int type = ::ioctl(fd->get(), NS_GET_NSTYPE);
  if (type < 0)
    return Error(Code::kInvalid, "join " + quote(ns.path) + ": not a namespace").at(where);
  if (static_cast<std::uint64_t>(static_cast<unsigned>(type)) != flag_of(ns.type)) {
    return Error(Code::kInvalid, "join " + quote(ns.path) + ": not a " +
                                     std::string(config_name_of(ns.type)) + " namespace")
        .at(where);
  }
  return fd;
}

// The namespace that this process is already in needs no join: setns to one's own user namespace
// fails, and an engine that names /proc/self/ns/X means just that.
bool is_our_own(const Fd& ns, const char* proc_name) {
  const Result<struct stat> own = sys::stat(At::cwd(), std::string("/proc/self/ns/") + proc_name);
  const Result<struct stat> other = sys::stat(ns.get());
  return own && other && own->st_ino == other->st_ino && own->st_dev == other->st_dev;
}

Result<void> add_join(Plan& plan, const oci::Namespace& ns, const std::string& where,
                      bool privileged) {
  Fd fd = TRY(open_namespace(ns, where));
  if (is_our_own(fd, proc_name_of(ns.type))) {
    plan.ours |= flag_of(ns.type);
    return {};
  }
  Join join{flag_of(ns.type), std::move(fd), where};
  if (ns.type == oci::NamespaceType::kUser) {
    plan.joined_user = true;
    plan.stage_joins.insert(plan.stage_joins.begin(), std::move(join));
  } else if (ns.type == oci::NamespaceType::kMount || !privileged) {
    plan.respawn |= ns.type == oci::NamespaceType::kPid;
    plan.stage_joins.push_back(std::move(join));
  } else {
    plan.parent_joins.push_back(std::move(join));
  }
  return {};
}

Result<void> write_time_offsets(const std::vector<oci::TimeOffset>& offsets) {
  std::string lines;
  for (const oci::TimeOffset& offset : offsets) {
    lines += offset.clock + " " + std::to_string(offset.secs) + " " +
             std::to_string(offset.nanosecs) + "\n";
  }
  if (lines.empty()) return {};
  Result<void> written = fs::write_value(At::cwd(), "/proc/self/timens_offsets", lines);
  if (!written) return std::move(written).error().at("linux.timeOffsets");
  return {};
}

}  // namespace

std::uint64_t flag_of(oci::NamespaceType type) {
  return row_of(type).flag;
}
const char* proc_name_of(oci::NamespaceType type) {
  return row_of(type).proc_name;
}
const char* config_name_of(oci::NamespaceType type) {
  return row_of(type).config_name;
}

Result<Plan> plan(const oci::Linux& linux, const Host& host) {
  Plan plan;
  // The parent goes back to its own namespaces: those are the machine's.
  const bool privileged = !host.rootless() && !host.nested();
  for (std::size_t i = 0; i < linux.namespaces.size(); ++i) {
    const oci::Namespace& ns = linux.namespaces[i];
    if (!ns.path.empty()) {
      TRY(add_join(plan, ns, "linux.namespaces[" + std::to_string(i) + "]", privileged));
      continue;
    }
    plan.fresh |= flag_of(ns.type);
  }
  plan.new_user = plan.makes(CLONE_NEWUSER);
  plan.time_offsets = linux.time_offsets;
  if (plan.new_user) {
    plan.uid_mappings = linux.uid_mappings;
    plan.gid_mappings = linux.gid_mappings;
  }
  // A time namespace only holds processes that are born into it: the parent makes it (ParentScope).
  const std::uint64_t made = plan.fresh & ~static_cast<std::uint64_t>(CLONE_NEWTIME);
  (plan.joined_user ? plan.later : plan.clone_flags) = made;
  plan.respawn |= (plan.later & CLONE_NEWPID) != 0;
  return plan;
}

void add_steps(Plan& plan, steps::Builder& builder, std::uint32_t ask_id_maps) {
  using steps::Op;
  const auto join = [&](Join& ns) {
    builder.add(Op::kJoinNamespace,
                steps::JoinNamespaceArgs{builder.inherit(std::move(ns.fd)), ns.type},
                {ns.where, ""});
  };
  std::size_t next = 0;
  if (plan.joined_user) {
    join(plan.stage_joins[next++]);
    builder.add(Op::kBecomeRoot, {"linux.namespaces", ""});
  }
  if (plan.new_user) {
    builder.add(Op::kAsk, steps::AskArgs{ask_id_maps, false},
                {"linux.uidMappings", "write the id maps"});
    builder.add(Op::kBecomeRoot, {"linux.uidMappings", ""});
  }
  // The mount namespace comes last: paths mean something else after it.
  for (std::size_t i = next; i < plan.stage_joins.size(); ++i) {
    if (plan.stage_joins[i].type != CLONE_NEWNS) join(plan.stage_joins[i]);
  }
  if (plan.respawn) {
    builder.add(Op::kRespawn, steps::RespawnArgs{plan.later}, {"linux.namespaces", ""});
  } else if (plan.later != 0) {
    builder.add(Op::kUnshare, steps::UnshareArgs{plan.later}, {"linux.namespaces", ""});
  }
  for (std::size_t i = next; i < plan.stage_joins.size(); ++i) {
    if (plan.stage_joins[i].type == CLONE_NEWNS) join(plan.stage_joins[i]);
  }
}

Result<ParentScope> ParentScope::enter(const Plan& plan) {
  ParentScope scope;
  const auto remember = [&](std::uint64_t type, const std::string& name) -> Result<void> {
    Fd own = TRY(sys::open(At::cwd(), "/proc/self/ns/" + name, O_RDONLY));
    scope.back_.push_back({std::move(own), type});
    return {};
  };
  for (const Join& join : plan.parent_joins) {
    const TypeRow& row = row_of_flag(join.type);
    // setns to a pid or time namespace changes what children get; the way back is the namespace for
    // children.
    TRY(remember(join.type, row.proc_name));
    Result<void> joined = sys::set_namespace(join.fd.get(), join.type);
    if (!joined) return std::move(joined).error().at(join.where);
  }
  if (plan.makes(CLONE_NEWTIME)) {
    TRY(remember(CLONE_NEWTIME, "time"));
    Result<void> made = sys::unshare(CLONE_NEWTIME);
    if (!made) return std::move(made).error().at("linux.namespaces");
    TRY(write_time_offsets(plan.time_offsets));
  }
  return scope;
}

ParentScope::~ParentScope() {
  for (auto back = back_.rbegin(); back != back_.rend(); ++back) {
    if (!sys::set_namespace(back->fd.get(), back->type)) ::_exit(125);
  }
}

}  // namespace vrun::namespaces
