#include "process/limits.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include <sys/resource.h>

#include "base/capability.hpp"
#include "base/named_value.hpp"
#include "process/plan.hpp"

namespace vrun::process {
namespace {

// getrlimit(2)
constexpr std::array<NamedValue, 16> kLimits{{{"RLIMIT_AS", RLIMIT_AS},
                                              {"RLIMIT_CORE", RLIMIT_CORE},
                                              {"RLIMIT_CPU", RLIMIT_CPU},
                                              {"RLIMIT_DATA", RLIMIT_DATA},
                                              {"RLIMIT_FSIZE", RLIMIT_FSIZE},
                                              {"RLIMIT_LOCKS", RLIMIT_LOCKS},
                                              {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
                                              {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
                                              {"RLIMIT_NICE", RLIMIT_NICE},
                                              {"RLIMIT_NOFILE", RLIMIT_NOFILE},
                                              {"RLIMIT_NPROC", RLIMIT_NPROC},
                                              {"RLIMIT_RSS", RLIMIT_RSS},
                                              {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
                                              {"RLIMIT_RTTIME", RLIMIT_RTTIME},
                                              {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
                                              {"RLIMIT_STACK", RLIMIT_STACK}}};

std::string path_of(std::string_view where, std::size_t index) {
  return std::string(where) + ".rlimits[" + std::to_string(index) + "]";
}

Error raise_error(int sys_errno, const oci::Rlimit& limit, const std::string& where) {
  Error error = Error::system(sys_errno, "raise the hard limit " + limit.type + " to " +
                                             std::to_string(limit.hard))
                    .at(where);
  if (sys_errno != EPERM) return error;
  if (limit.type == "RLIMIT_NOFILE")
    return std::move(error).hint(
        "raising it needs CAP_SYS_RESOURCE, and no more than fs.nr_open; ask for less, or raise "
        "the limit of the caller");
  return std::move(error).hint(
      "raising it needs CAP_SYS_RESOURCE; ask for less, or raise the limit of the caller");
}

}  // namespace

std::vector<steps::RlimitEntry> check_rlimits(const oci::Process& process, std::string_view where,
                                              Faults& faults) {
  std::vector<steps::RlimitEntry> entries;
  for (std::size_t i = 0; i < process.rlimits.size(); ++i) {
    const oci::Rlimit& limit = process.rlimits[i];
    const auto resource = find_value(kLimits, limit.type);
    if (!resource) {
      faults.add(path_of(where, i) + ".type",
                 unknown_name(kLimits, limit.type, "a resource limit"));
      continue;
    }
    const auto same = [&](const oci::Rlimit& other) { return other.type == limit.type; };
    if (std::any_of(process.rlimits.begin(),
                    process.rlimits.begin() + static_cast<std::ptrdiff_t>(i), same))
      faults.add(path_of(where, i) + ".type", limit.type + " is given twice");
    if (limit.soft > limit.hard)
      faults.add(
          path_of(where, i) + ".soft",
          std::to_string(limit.soft) + " is above the hard limit " + std::to_string(limit.hard));
    entries.push_back({static_cast<std::int32_t>(*resource), limit.soft, limit.hard});
  }
  return entries;
}

bool is_late(const steps::RlimitEntry& limit) {
  return limit.resource == RLIMIT_NOFILE && limit.soft < kFewDescriptors;
}

Result<void> raise_hard_limits(const oci::Process& process, std::string_view where) {
  for (std::size_t i = 0; i < process.rlimits.size(); ++i) {
    const oci::Rlimit& limit = process.rlimits[i];
    const auto resource = find_value(kLimits, limit.type);
    if (!resource)
      return Error(Code::kInvalid, path_of(where, i) + ".type: " +
                                       unknown_name(kLimits, limit.type, "a resource limit"));
    const auto kind = static_cast<__rlimit_resource>(*resource);
    rlimit64 now{};
    if (::prlimit64(0, kind, nullptr, &now) != 0)
      return Error::system(errno, "read the limit " + limit.type).at(path_of(where, i));
    if (limit.hard <= now.rlim_max) continue;
    now.rlim_max = limit.hard;
    // Whoever works for a tenant with a disk budget has put the right to do this aside.
    const bool had = TRY(sys::set_capability(CAP_SYS_RESOURCE, true));
    const int failed = ::prlimit64(0, kind, &now, nullptr) == 0 ? 0 : errno;
    if (!had) TRY(sys::set_capability(CAP_SYS_RESOURCE, false));
    if (failed != 0) return raise_error(failed, limit, path_of(where, i));
  }
  return {};
}

std::vector<std::string> rlimit_names() {
  return names_of(kLimits);
}

}  // namespace vrun::process
