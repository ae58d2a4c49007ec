// For a call that vrun-broker runs: paths of the host are opened with the rights of the user who
// asked (VRUN_CALLER_UID, _GID, _GROUPS), not with root's.
#pragma once

#include <vector>

#include <sys/types.h>

#include "base/host.hpp"
#include "base/result.hpp"

namespace vrun::engine {

// While it lives, the calling thread looks at files as the caller does: setfsuid(2) also takes the
// capabilities that pass over permissions. Without a caller nothing changes.
class CallerRights {
 public:
  static Result<CallerRights> take(const Host& host);
  CallerRights(CallerRights&& other) noexcept;
  CallerRights(const CallerRights&) = delete;
  CallerRights& operator=(const CallerRights&) = delete;
  CallerRights& operator=(CallerRights&&) = delete;
  ~CallerRights();

  // Is there a caller other than root?
  bool are_less() const { return active_; }

 private:
  CallerRights() = default;
  bool active_ = false;
  std::vector<gid_t> groups_;  // root's own, to be given back
};

}  // namespace vrun::engine
