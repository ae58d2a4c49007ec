// The parent's end of the wire: does its part of the program until the stage is ready, then lets it
// go.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/sys.hpp"
#include "runtime/listener.hpp"
#include "steps/builder.hpp"

namespace vrun::runtime {

// What the parent is asked for (AskArgs::what).
enum class Ask : std::uint32_t { kJoinCgroup, kIdMaps, kNetDevices, kHooks, kCount };

struct Serving {
  Fd wire;
  sys::Child child;  // replaced when the program goes on in a new process (kRespawn)
  Fd console;        // pty master, when it came over the wire
  const steps::Builder* builder = nullptr;
  const std::vector<std::string>* argv = nullptr;  // for the words of an exec failure
  std::function<Result<void>(Ask)> on_ask;
  const ListenerRequest* listener = nullptr;
};

// Until kReady: asks are answered in the program's order. A fault, or the end of the stage, is an
// error.
Result<void> serve_until_ready(Serving& serving);
// Answers kReady.
Result<void> let_go(Serving& serving);
// After let_go of a program without a gate: until the exec has succeeded.
Result<void> serve_until_exec(Serving& serving);

}  // namespace vrun::runtime
