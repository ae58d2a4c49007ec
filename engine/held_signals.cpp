#include "engine/held_signals.hpp"

#include <array>

namespace vrun::engine {
namespace {

constexpr std::array kEnding{SIGINT, SIGTERM, SIGHUP};

}  // namespace

HeldSignals::HeldSignals() {
  sigset_t ending;
  ::sigemptyset(&ending);
  for (const int signal : kEnding)
    ::sigaddset(&ending, signal);
  ::sigprocmask(SIG_BLOCK, &ending, &before_);
}

HeldSignals::~HeldSignals() {
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

Result<void> HeldSignals::interrupted() {
  sigset_t waiting;
  if (::sigpending(&waiting) != 0) return {};
  for (const int signal : kEnding) {
    if (::sigismember(&waiting, signal) == 1) return Error(Code::kState, "interrupted");
  }
  return {};
}

}  // namespace vrun::engine
