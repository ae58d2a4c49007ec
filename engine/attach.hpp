// The client of a guest's monitor: `run` in the foreground and `attach`.
#pragma once

#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

// "ctrl-p,ctrl-q" to the bytes that are typed; empty text: none.
Result<std::string> parse_detach_keys(std::string_view text);
inline constexpr const char* kDefaultDetachKeys = "ctrl-p,ctrl-q";

struct AttachRequest {
  Fd connection;
  bool tty = false;   // the guest has a terminal: ours becomes raw
  bool input = true;  // our stdin goes to the guest
  bool forward_signals = true;
  std::string detach_keys;  // bytes
};

struct AttachEnd {
  bool detached = false;  // by the keys: the guest goes on
  int code = 0;           // exit code of the guest; -1: not known
};
// Until the guest has ended and its end has been written down, or the user detached.
Result<AttachEnd> attach(AttachRequest request);

// A connection to the monitor of a running guest; all of its output comes.
Result<Fd> connect_to_monitor(const Guests& guests, const GuestRecord& record);

}  // namespace vrun::engine
