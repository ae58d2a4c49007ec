// Why a guest ended, in words; pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/guest_record.hpp"
#include "engine/system_guest.hpp"

namespace vrun::engine {

struct EndFacts {
  std::optional<int> status;  // as waitpid(2); absent: nobody learned it
  std::uint64_t oom_kills = 0;
  std::string memory_limit;          // as asked: "64m"
  std::string tenant, tenant_limit;  // whose budget was used up, if that killed it: "2GiB"
  std::string killers;       // a line for each signal that vrun sent, and why: "9 vrun stop"
  std::string action;        // of a probe: "unhealthy-kill" ...
  std::string probe;         // which: "health", "startup", "readiness", "post-start"
  std::string probe_reason;  // why it was not good
  std::optional<PowerDown> power_down;  // of a system guest
  std::string machine;                  // why a micro-VM was lost
  bool checkpointed = false;            // it was kept and goes on by `vrun restore`
  std::string syscall;  // what a seccomp filter killed it for, where the kernel's log says it
};

// Fills code, signal, oom, reason and hint of `last`.
void explain_end(const EndFacts& facts, LastExit& last);

}  // namespace vrun::engine
