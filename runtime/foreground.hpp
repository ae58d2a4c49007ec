// Waiting for a guest's process in the foreground: signals go to it, its terminal is ours.
#pragma once

#include <memory>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/sys.hpp"
#include "oci/spec.hpp"

namespace vrun::runtime {

// Of our stdin; zeros where that is no terminal. A program gets its terminal in this size, so that
// the first look at it is right already.
oci::ConsoleSize terminal_size();

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

  // What signals to us mean beyond being handed on. A guest's first process ignores those it has no
  // handler for (pid_namespaces(7)), so a person needs another way to end it.
  enum class Ending {
    kByGuest,  // nothing: as runc
    kByUser,   // the third SIGINT, SIGTERM or SIGQUIT kills, and so does the tenth second after
               // SIGHUP
  };
  // Until the process ends. With a console (pty master) our stdin and stdout are relayed to and
  // from it: raw mode if stdin is a terminal, its size kept in step.
  Result<sys::Exit> wait(int pidfd, Fd console, Ending ending = Ending::kByGuest);

 private:
  struct Saved;
  explicit Foreground(std::unique_ptr<Saved> saved, Fd signals);
  bool forward_signals(int pidfd, int console);
  void heed(int pidfd, int signal);
  Result<void> relay(int pidfd, Fd console);
  std::unique_ptr<Saved> saved_;
  Fd signals_;
};

}  // namespace vrun::runtime
