// The VMM as a whole machine to the outside: its terminal, or stdin and stdout, are the serial
// port, the usual signals of an end are its power button, and a reset boots it again.
//
// Each boot has a process of its own, below one that only waits: so a reset leaves nothing behind,
// and what a boot gives up for its safety cannot be missed by the next one.
#pragma once

#include <functional>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::vmm {

inline constexpr int kResetStatus = 3;  // of a boot: the guest wants the next one

// Runs `boot` in a child until it answers another status than kResetStatus, and answers that (128 +
// n: signal n killed it). `signals` (take_signals()) go on to the boot; one that was asked to go off
// is off (0) when it wants the next boot. `take_news` is called when `news` is readable, and before
// the next boot. There may be no other thread.
Result<int> run_boots(const Fd& signals, const Fd& news, const std::function<void()>& take_news,
                      const std::function<int()>& boot);

// One machine that runs.
struct MachineConsole {
  std::function<std::size_t(std::string_view)> type;  // keys; answers how many were taken
  std::function<void()> flush;                        // what is held back of a line
  const Fd* held = nullptr;                           // an event: something is; may be null
  std::function<Result<void>()> press_button;
  std::function<void(std::string_view)> say;  // a line of ours
  const Fd* ended = nullptr;
};
// Until its end.
Result<void> stay_with(const MachineConsole& machine, const Fd& signals);

// What a signal is to a machine: its power button or nothing.
bool is_power_button(int signal);

}  // namespace vrun::vmm
