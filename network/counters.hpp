// What has gone through a guest's interfaces, as the guest sees it: `in` is what it received.
#pragma once

#include <cstdint>

namespace vrun::network {

struct Counters {
  std::uint64_t in_bytes = 0, in_packets = 0, in_dropped = 0;
  std::uint64_t out_bytes = 0, out_packets = 0, out_dropped = 0;
  bool operator==(const Counters&) const = default;
  Counters& operator+=(const Counters& more);
};

}  // namespace vrun::network
