// `vrun debug`: a process with files of its own among the processes of a running guest.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

// The label of a debug shell, with the name of its guest: whoever finds one whose command was
// killed ends it.
inline constexpr const char* kDebugLabel = "vrun.debug";

struct DebugRequest {
  std::string image;                 // where its files come from
  std::vector<std::string> command;  // empty: the image's own
  bool tty = false;
};

// The command has a mount namespace and a root of its own; processes, network, IPC, host name and
// ids are the guest's. Its group lies inside the guest's, so the guest's limits hold for it. It may
// look at every process of the guest (CAP_SYS_PTRACE in there): the guest's files are below
// $GUEST_ROOT (/proc/1/root, but for a guest with the host's processes). Answers its exit code;
// then nothing is left of it, nor of what it started.
Result<int> debug_guest(const Guests& guests, const GuestRecord& record,
                        const DebugRequest& request);

}  // namespace vrun::engine
