#include "tenants/group.hpp"

#include <array>
#include <utility>

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/location_json.hpp"
#include "cgroups/parents.hpp"

namespace vrun::tenants {
namespace {

constexpr const char* kRecord = "group.json";
constexpr std::size_t kRecordBytes = 65536;

std::string record_dir_of(const std::string& run_dir, const std::string& tenant) {
  return run_dir + "/tenants/" + tenant;
}

Result<cgroups::Location> read_record(const std::string& dir) {
  const std::string path = dir + "/" + kRecord;
  return json::read<cgroups::Location>(
      TRY(fs::read_file(At::cwd(), path, kRecordBytes, fs::Kind::kRegularOnly)), path);
}

bool is_there(const cgroups::Location& location) {
  for (const auto& [hierarchy, dir] : location.paths) {
    if (!sys::stat(At::cwd(), dir)) return false;
  }
  return !location.paths.empty();
}

// The limits of a budget by the flags that ask for them.
std::string flag_of(std::string_view where) {
  struct Row {
    std::string_view field, flag;
  };
  constexpr std::array<Row, 9> kRows{{{"memory.limit", "memory"},
                                      {"cpu.cpus", "cpuset-cpus"},
                                      {"memory.swap", "swap"},
                                      {"cpu.quota", "cpus"},
                                      {"cpu.period", "cpus"},
                                      {"cpu.shares", "cpu-weight"},
                                      {"pids.limit", "pids"},
                                      {"throttleReadBpsDevice", "io-read"},
                                      {"throttleWriteBpsDevice", "io-write"}}};
  for (const Row& row : kRows) {
    if (where.ends_with(row.field)) return std::string(row.flag);
  }
  return std::string(where);
}

Result<std::unique_ptr<cgroups::Group>> plan_top(const std::string& tenant,
                                                 const oci::Resources& limits, const Host& host) {
  cgroups::Request request{.cgroups_path = cgroups::tenant_path(tenant, host),
                           .id = TRY(ContainerId::parse(tenant)),
                           .annotations = {}};
  request.resources = &limits;
  return cgroups::plan(request, host);
}

Result<void> make_part(const cgroups::Location& all, const std::string& name, const Host& host) {
  if (is_there(cgroups::sub_group(all, name))) return {};
  cgroups::Request request{
      .cgroups_path = name, .id = TRY(ContainerId::parse(name)), .annotations = {}};
  request.below = &all;
  return TRY(cgroups::plan(request, host))->create();
}

// To all groups below: from the top down where there is more than before, and from below where
// there is less. Which of them it is, the kernel says.
Result<void> spread_cpus(const std::string& top, const std::string& cpus) {
  const Fd dir = TRY(sys::open_dir(At::cwd(), top));
  for (const std::string& name : TRY(sys::list_dir(dir.get()))) {
    const std::string path = top + "/" + name;
    const Result<struct stat> st = sys::stat(At::cwd(), path, AT_SYMLINK_NOFOLLOW);
    if (!st || !S_ISDIR(st->st_mode)) continue;
    const std::string file = path + "/cpuset.cpus";
    const bool first = fs::write_value(At::cwd(), file, cpus).has_value();
    TRY(spread_cpus(path, cpus));
    if (!first) TRY(fs::write_value(At::cwd(), file, cpus));
  }
  return {};
}

}  // namespace

Result<TenantGroup> TenantGroup::find(const std::string& run_dir, const std::string& tenant,
                                      const Host& host) {
  std::string dir = record_dir_of(run_dir, tenant);
  cgroups::Location all = TRY(read_record(dir));
  if (!is_there(all)) {
    return Error(Code::kNotFound, "tenant " + quote(tenant) + " has no cgroup now");
  }
  return TenantGroup(std::move(all), std::move(dir), host);
}

Result<TenantGroup> TenantGroup::ensure(const std::string& run_dir, const std::string& tenant,
                                        const oci::Resources& limits, const Host& host) {
  Result<TenantGroup> present = find(run_dir, tenant, host);
  if (present && is_there(present->guests()) && is_there(present->monitors())) return present;
  const std::string dir = record_dir_of(run_dir, tenant);
  TRY(fs::make_dirs(At::cwd(), dir, 0700));
  const Fd lock = TRY(sys::open(At::cwd(), dir + "/lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  TRY(sys::lock(lock.get(), LOCK_EX, "the group of tenant " + quote(tenant)));
  return make(dir, tenant, limits, host);
}

Result<TenantGroup> TenantGroup::make(const std::string& record_dir, const std::string& tenant,
                                      const oci::Resources& limits, const Host& host) {
  Result<cgroups::Location> recorded = read_record(record_dir);
  cgroups::Location all;
  if (recorded && is_there(*recorded)) {
    all = *std::move(recorded);
  } else {
    const std::unique_ptr<cgroups::Group> group = TRY(plan_top(tenant, limits, host));
    all = group->location();
    // With guests in it that is the tenant's group already: only the record was lost.
    if (!is_there(all)) TRY(group->create());
    TRY(group->set(limits));
    const Fd dir = TRY(sys::open_dir(At::cwd(), record_dir));
    TRY(fs::replace_file(dir, kRecord, json::write(all)));
  }
  TRY(make_part(all, "guests", host));
  TRY(make_part(all, "monitors", host));
  return TenantGroup(std::move(all), record_dir, host);
}

Result<std::unique_ptr<cgroups::Group>> TenantGroup::open(const cgroups::Location& location) const {
  return cgroups::open(location, host_);
}

Result<void> TenantGroup::set_limits(const oci::Resources& limits) const {
  const std::unique_ptr<cgroups::Group> all = TRY(open(all_));
  Result<void> set = all->set(limits);
  const auto cpuset = all_.paths.find("cpuset");
  if (cpuset == all_.paths.end() || !limits.cpu || limits.cpu->cpus.empty()) return set;
  // Version 1 only: what lies below has a list of its own, which has to be within the one above
  // whenever either is written (cpuset(7)). So all get the old and the new ones first.
  if (!set) {
    constexpr std::size_t kMostBytes = 65536;
    const std::string file = cpuset->second + "/cpuset.cpus";
    const std::string old = TRY(fs::read_file(At::cwd(), file, kMostBytes));
    const std::string both = std::string(trim(old)) + "," + limits.cpu->cpus;
    TRY(fs::write_value(At::cwd(), file, both));
    TRY(spread_cpus(cpuset->second, both));
    TRY(spread_cpus(cpuset->second, limits.cpu->cpus));
    set = all->set(limits);
  }
  if (!set) return set;
  return spread_cpus(cpuset->second, limits.cpu->cpus);
}

Result<void> TenantGroup::freeze(bool frozen) const {
  return TRY(open(guests()))->freeze(frozen);
}

Result<bool> TenantGroup::is_frozen() const {
  return TRY(open(guests()))->is_frozen();
}

Result<void> TenantGroup::kill_guests() const {
  return TRY(open(guests()))->signal_all(SIGKILL);
}

Result<void> TenantGroup::join(Pid pid) const {
  return TRY(open(monitors()))->join(pid);
}

Result<std::size_t> TenantGroup::process_count() const {
  const std::unique_ptr<cgroups::Group> group = TRY(open(all_));
  return TRY(group->processes()).size();
}

Result<cgroups::Stats> TenantGroup::stats() const {
  return TRY(open(all_))->stats();
}

Result<void> TenantGroup::destroy() const {
  const std::unique_ptr<cgroups::Group> group = TRY(open(all_));
  TRY(group->destroy());
  const Result<Fd> parent = sys::open_dir(At::cwd(), std::string(fs::dir_name(record_dir_)));
  if (!parent) return {};
  return fs::remove_tree(*parent, std::string(fs::base_name(record_dir_)));
}

std::vector<Unenforceable> unenforceable_limits(const oci::Resources& limits, const Host& host) {
  std::vector<Unenforceable> found;
  for (cgroups::NotShared& one : cgroups::not_shared(limits, host)) {
    std::string flag = flag_of(one.where);
    if (found.empty() || found.back().flag != flag) {
      found.push_back({std::move(flag), std::move(one.why)});
    }
  }
  return found;
}

}  // namespace vrun::tenants
