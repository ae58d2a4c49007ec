// The VMM as the guest's own process to the outside: its stdin, stdout, stderr and terminal, the
// signals it gets and its exit status are those of that process.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/agent/failure.hpp"
#include "vm/vmm/console_tail.hpp"
#include "vm/vmm/vsock.hpp"

namespace vrun::vmm {

// The machine or its agent ended before the guest's process did.
struct Lost {
  std::string why;      // one line
  std::string console;  // its last words
};

// How the guest's process ended.
struct Ended {
  int status = 0;  // of the process, 128 + n for a signal
  std::uint32_t signal = 0;
  std::uint32_t memory_kills = 0;      // told by the guest, of its own kernel
  std::optional<vm::Failure> failure;  // the process could not be begun
  std::optional<Lost> lost;
  bool saved = false;  // it has not: the machine was saved, and stands still for good
};

// Blocks the signals that are the process's in this thread and those made from here on, and gives
// them as a descriptor. To be called before there is any other thread. Blocked signals reach even
// the first process of a pid namespace, which would else be spared them (pid_namespaces(7)).
Result<Fd> take_signals();

struct MainProcess {
  std::string request;  // kRun
  // The process runs already, in a machine that goes on from a snapshot: kAdopt, made when it is
  // sent, for it has the time in it. Instead of `request`.
  std::function<std::string()> adoption;
  // For the agent's first word: of the clock for a guest that does nothing, of processors' time for
  // one that does, and ten times as long at most.
  std::chrono::seconds wait{60};
  const Fd* signals = nullptr;
  const Fd* machine_ended = nullptr;
  std::function<std::string()> how_ended;  // of a machine that did: one line
  std::function<bool()> was_saved;         // the same: it stands still for good; none: it cannot
  const ConsoleTail* console = nullptr;
};

// Waits for the agent, has it run the process and stays with it until its end. The machine runs
// already and still does afterwards.
Result<Ended> run_main_process(Vsock& vsock, const MainProcess& wishes);

}  // namespace vrun::vmm
