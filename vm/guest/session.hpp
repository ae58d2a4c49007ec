// One connection from its hello to its end. Runs in a process of its own, so that nothing that one
// host connection does or waits for touches another.
#pragma once

#include <string>

#include "base/fd.hpp"
#include "runtime/container.hpp"
#include "vm/guest/adoption.hpp"

namespace vrun::vm {

inline constexpr const char* kGuestName = "guest";  // the runtime's name of the one container

struct Settings {
  runtime::Context runtime;
  std::string root;                      // the guest's root directory as the agent sees it
  bool booted = false;                   // the machine is ours: its network, clock and power too
  bool system = false;                   // a system with an init of its own, which we serve
  const Adoptions* adoptions = nullptr;  // for a guest's own process that loses its host
};

// What the agent does after a session.
enum class After : int { kGoOn = 0, kEnd = 42 };

After serve(const Settings& settings, Fd socket);

}  // namespace vrun::vm
