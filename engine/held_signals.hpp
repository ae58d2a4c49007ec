// SIGINT, SIGTERM and SIGHUP wait while this lives: what would end us must not leave a guest that
// stands still, or half a copy. Long work asks interrupted() now and then and ends with an error;
// when everything is undone the signal ends the process as it would have at first.
#pragma once

#include <signal.h>

#include "base/result.hpp"

namespace vrun::engine {

class HeldSignals {
 public:
  HeldSignals();
  ~HeldSignals();
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

  // Code::kState when one of them waits.
  static Result<void> interrupted();

 private:
  sigset_t before_{};
};

}  // namespace vrun::engine
