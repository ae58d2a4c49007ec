// What stands between the caller's terminal and a process in a guest that has none of its own.
//
// A descriptor of a terminal can be read and written by whoever holds it: a program in a guest that
// keeps the one it was given would read what is typed at the next prompt. So such a process gets
// pipes, and a thread of ours moves the bytes; controls of the guest are shown and not obeyed, as
// in `logs`. Descriptors that are no terminals are the caller's own choice and passed as they are.
#pragma once

#include <array>
#include <thread>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::engine {

class ExecStreams {
 public:
  // `stdio`: what the process would get, -1 for ours.
  static Result<ExecStreams> create(std::array<int, 3> stdio);
  ExecStreams(ExecStreams&&) = default;
  ExecStreams& operator=(ExecStreams&&) = delete;
  ~ExecStreams();

  // What to give it; valid until finish().
  const std::array<int, 3>& stdio() const { return stdio_; }
  // Moves bytes from now on. Signals are not taken by the thread.
  Result<void> start();
  // The process has ended: what it has written comes out, what others of the guest still could
  // write does not.
  void finish();

 private:
  ExecStreams() = default;
  std::array<int, 3> stdio_{-1, -1, -1};
  std::array<Fd, 3> given_, kept_;  // ends of the pipes: the process's, ours
  Fd stop_, stopped_;               // a pipe that is closed to say "ended"
  std::thread thread_;
};

}  // namespace vrun::engine
