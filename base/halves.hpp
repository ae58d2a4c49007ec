// Work on many things in two threads, where what it costs is system calls: those run side by side.
#pragma once

#include <cstddef>
#include <thread>

#include <sched.h>

namespace vrun {

// Calls work(first, end) for the ranges that make up [0, count): once, or for many things twice,
// side by side. The two calls must not share descriptors that they open or what they change: the
// other thread has a copy of the table of descriptors, since one table would be a lock between
// them.
template <typename Work>
void for_each_half(std::size_t count, const Work& work) {
  constexpr std::size_t kWorthAThread = 64;
  const std::size_t half = count < kWorthAThread ? 0 : count / 2;
  std::thread other;
  if (half != 0) {
    other = std::thread([&] {
      ::unshare(CLONE_FILES);
      work(0, half);
    });
  }
  work(half, count);
  if (other.joinable()) other.join();
}

}  // namespace vrun
