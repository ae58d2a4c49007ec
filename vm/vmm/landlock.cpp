#include "vm/vmm/landlock.hpp"

#include <cerrno>
#include <cstdint>

#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.hpp"

namespace vrun::vmm::landlock {
namespace {

// struct landlock_ruleset_attr as of version 6; a kernel takes a longer one whose rest is zero.
struct Ruleset {
  std::uint64_t files, network, scopes;
};

constexpr std::uint64_t kTcpBind = 1, kTcpConnect = 2;         // LANDLOCK_ACCESS_NET_*
constexpr std::uint64_t kScopeSockets = 1, kScopeSignals = 2;  // LANDLOCK_SCOPE_*

// All rights over files that the version knows: a bit each.
std::uint64_t all_rights(int version) {
  int bits = 13;                // LANDLOCK_ACCESS_FS_EXECUTE to MAKE_SYM
  if (version >= 2) bits = 14;  // REFER
  if (version >= 3) bits = 15;  // TRUNCATE
  if (version >= 5) bits = 16;  // IOCTL_DEV
  return (std::uint64_t{1} << bits) - 1;
}

Ruleset ruleset(int version, const Wish& wish) {
  Ruleset rules{.files = all_rights(version), .network = 0, .scopes = 0};
  if (version >= 4) rules.network = kTcpBind | kTcpConnect;
  // Before Linux 6.15 the scope of signals also parts threads of one process.
  if (version >= 6) rules.scopes = kScopeSockets | (wish.signals ? 0 : kScopeSignals);
  return rules;
}

}  // namespace

int version() {
  const long known =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return known < 0 ? 0 : static_cast<int>(known);
}

Result<void> give_up_paths(const Wish& wish) {
  const int known = version();
  if (known == 0) return {};
  const Ruleset rules = ruleset(known, wish);
  const Fd domain(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0)));
  if (!domain) return Error::system(errno, "make a Landlock ruleset");
  if (::syscall(SYS_landlock_restrict_self, domain.get(), 0) != 0)
    return Error::system(errno, "give up paths (Landlock)");
  return {};
}

}  // namespace vrun::vmm::landlock
