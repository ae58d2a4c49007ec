// Waiting for a guest's process in the foreground: signals go to it, its terminal is ours.
#pragma once

#include <memory>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/sys.hpp"

namespace vrun::runtime {

// From its construction on, signals to us are held back and then handed to the process, so none is
// lost between the clone and the wait. Restores mask and terminal on drop.
class Foreground {
 public:
  static Result<Foreground> create();
  Foreground(Foreground&&) noexcept;
  Foreground(const Foreground&) = delete;
  Foreground& operator=(const Foreground&) = delete;
  Foreground& operator=(Foreground&&) = delete;
  ~Foreground();

  // Until the process ends. With a console (pty master) our stdin and stdout are relayed to and
  // from it: raw mode if stdin is a terminal, its size kept in step.
  Result<sys::Exit> wait(int pidfd, Fd console);

 private:
  struct Saved;
  explicit Foreground(std::unique_ptr<Saved> saved, Fd signals);
  Result<void> forward_signals(int pidfd, int console);
  std::unique_ptr<Saved> saved_;
  Fd signals_;
};

}  // namespace vrun::runtime
