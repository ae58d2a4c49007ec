// Hands a container's seccomp listener to the agent at linux.seccomp.listenerPath.
//
// The stage cannot send the descriptor itself: every system call after the filter was loaded may be
// one that the agent has to answer. So it announces the listener before, stores its number in the
// shared block after, and spins until the parent has fetched it (pidfd_getfd(2)). No system call of
// the stage lies between filter and exec.
#pragma once

#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::runtime {

struct ListenerRequest {
  std::string path;      // unix socket of the agent
  std::string metadata;  // linux.seccomp.listenerMetadata
  oci::State state;      // of the container
};

// `block`: the program block as the stage sent it. Waits at most five seconds for the number to
// appear.
Result<void> deliver_listener(const ListenerRequest& request, int pidfd, const Fd& block);

}  // namespace vrun::runtime
