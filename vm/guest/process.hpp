// A process of the guest and its connection: streams, terminal size, signals, end.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/sys.hpp"
#include "oci/spec.hpp"
#include "vm/guest/connection.hpp"

namespace vrun::vm {

// The ends of three pipes: the agent's, and those that the process gets.
struct Pipes {
  std::array<Fd, 3> ours, theirs;
  // They belong to the process's user: programs open /dev/stdout again by name.
  static Result<Pipes> create(const oci::User& user);
  std::array<int, 3> numbers() const { return {theirs[0].get(), theirs[1].get(), theirs[2].get()}; }
};

void set_size(const Fd& console, std::uint32_t rows, std::uint32_t columns);

// How a relay ended.
struct Relayed {
  bool host_gone = false;
  sys::Exit exit;  // without host_gone
};

// Between a running process and the host, until one of them ends. What the process has said when it
// ends is sent before; what its children say later is not waited for. A host that is gone takes the
// streams away and nothing else.
class Relay {
 public:
  // With a terminal: `console` is its master, and `ours` of the pipes are not open.
  Relay(Connection& connection, sys::Child child, Fd console, std::array<Fd, 3> ours);
  Result<Relayed> run();
  const sys::Child& child() const { return child_; }

 private:
  void take_frames();
  void take(const Frame& frame);
  void write_input();
  void tell_taken();
  // Whether there may be more to read.
  bool read_output(Fd& from, FrameType type);
  void drain();

  Connection& connection_;
  sys::Child child_;
  Fd console_, input_, output_, errors_;
  std::string to_process_;
  std::size_t taken_ = 0;  // of the input, not told yet
  bool input_ended_ = false;
};

}  // namespace vrun::vm
