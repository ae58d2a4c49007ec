#include "engine/caller_rights.hpp"

#include <cerrno>
#include <utility>

#include <grp.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "base/text.hpp"

namespace vrun::engine {
namespace {

constexpr const char* kUid = "VRUN_CALLER_UID";

Error bad() {
  return Error(Code::kInternal,
               "VRUN_CALLER_UID, _GID and _GROUPS are not what vrun-broker writes");
}

}  // namespace

Result<CallerRights> CallerRights::take(const Host& host) {
  CallerRights rights;
  if (host.rootless() || host.variable(kUid).empty() || host.variable(kUid) == "0") return rights;
  const auto uid = parse_u64(host.variable(kUid));
  const auto gid = parse_u64(host.variable("VRUN_CALLER_GID"));
  if (!uid || !gid || *uid >= 0xFFFFFFFFU || *gid >= 0xFFFFFFFFU) return bad();
  std::vector<gid_t> groups;
  for (const std::string_view word : split(host.variable("VRUN_CALLER_GROUPS"), ',')) {
    const auto group = parse_u64(word);
    if (!group || *group >= 0xFFFFFFFFU) return bad();
    groups.push_back(static_cast<gid_t>(*group));
  }
  const int count = ::getgroups(0, nullptr);
  rights.groups_.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  if (count > 0 && ::getgroups(count, rights.groups_.data()) < 0)
    return Error::system(errno, "get groups");
  if (::setgroups(groups.size(), groups.data()) != 0) return Error::system(errno, "set groups");
  rights.active_ = true;
  ::setfsgid(static_cast<gid_t>(*gid));
  ::setfsuid(static_cast<uid_t>(*uid));  // last: it takes what the others need
  // Neither call says whether it worked (setfsuid(2)): asked again with what cannot be, it does.
  if (::setfsuid(static_cast<uid_t>(-1)) != static_cast<int>(*uid) ||
      ::setfsgid(static_cast<gid_t>(-1)) != static_cast<int>(*gid)) {
    return bad();
  }
  return rights;
}

CallerRights::CallerRights(CallerRights&& other) noexcept
    : active_(std::exchange(other.active_, false)), groups_(std::move(other.groups_)) {}

CallerRights::~CallerRights() {
  if (!active_) return;
  ::setfsuid(0);
  ::setfsgid(0);
  static_cast<void>(::setgroups(groups_.size(), groups_.data()));
}

}  // namespace vrun::engine
