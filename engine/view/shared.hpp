// What the two processes of a view share: a page of memory and one table of descriptors.
//
// One of the two serves, the other waits for its end; when either is killed, the one that is left
// makes a new other. What the serving one had taken from the kernel and not answered lies in the
// buffers here, so its successor answers it: no reader waits for ever, and none sees an error.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <linux/seccomp.h>

namespace vrun::view {

inline constexpr std::size_t kMostListeners = 256;
inline constexpr std::size_t kRequestBytes = 16384;  // FUSE wants 8192 at least

struct Shared {
  // Descriptors, in the table that both have.
  int fuse = -1, listen = -1, guest = -1;
  std::array<int, kMostListeners> listeners;

  // In work.
  int notified = -1;  // the listener that `notice` came from
  seccomp_notif notice;
  alignas(8) std::array<char, kRequestBytes> request;

  unsigned tries = 0;  // processes that ended over it

  // The load averages, and when they were counted and asked for (seconds of CLOCK_BOOTTIME).
  double load[3] = {};
  double counted = 0, asked = 0;
  std::uint64_t running = 0, threads = 0;
  std::uint64_t next_handle = 1;
};

}  // namespace vrun::view
