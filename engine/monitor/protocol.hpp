// What is said on the attach socket (run/monitors/TENANT/ID/attach, SOCK_SEQPACKET): one packet is
// one message, its first byte says which. Both sides are vrun of one version; a message that is not
// known is passed over.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace vrun::monitor {

// To the monitor.
inline constexpr char kHello = 'h';   // flags: which streams, see below
inline constexpr char kInput = 'i';   // bytes for the guest's stdin
inline constexpr char kNoMore = 'n';  // stdin ends
inline constexpr char kResize = 'w';  // Size
inline constexpr char kSignal = 's';  // uint8_t: for the guest's process

// To the client.
inline constexpr char kOutput = 'o';  // bytes of stdout, or of the terminal
inline constexpr char kError = 'e';   // bytes of stderr
inline constexpr char kExit = 'x';    // End; what follows is the end of the connection, once the
                                      // end has been written down

struct Size {
  uint16_t rows, columns;
};
struct End {
  int32_t code;  // exit status, or 128 + signal; -1: nobody learned it
};

// Under this number `vrun guest-step` finds the lock of the monitor that it was.
inline constexpr int kLockFd = 100;

// Flags of kHello.
inline constexpr char kWantsOutput = 1;
// The guest waits for this reader (`run` in the foreground). Others are let go when they do not
// read for kStallMs.
inline constexpr char kLossless = 2;

inline constexpr size_t kChunk = 32768;  // most bytes of a message behind its first one
inline constexpr int kStallMs = 5000;
inline constexpr int kLastWordsMs = 30000;  // for a lossless reader, after the guest's end

}  // namespace vrun::monitor
