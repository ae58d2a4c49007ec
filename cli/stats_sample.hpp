// One look at what a guest uses, and what two looks say: plain values and pure functions. And the
// view on a terminal that is renewed in place.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "cgroups/group.hpp"

namespace vrun::cli {

struct Traffic {
  std::uint64_t in = 0, out = 0;  // bytes; of a disk: read and written
  bool operator==(const Traffic&) const = default;
};

struct Sample {
  std::string id, name;
  std::optional<cgroups::Stats> stats;  // absent: it does not run
  std::int64_t at_ns = 0;               // monotonic
  std::optional<Traffic> network;
};

struct Usage {
  std::string id, name;
  bool runs = false;
  std::optional<double> cpu_percent;  // of one CPU
  std::optional<std::uint64_t> cpu_ns, memory, pids;
  std::uint64_t memory_limit = 0;  // the host's memory where there is none
  std::uint64_t pids_limit = 0;    // 0: none
  std::optional<Traffic> network, block;
  std::optional<double> cpu_stall, memory_stall, io_stall;  // percent of the last 10 s
};

// `before` may be null: no cpu percent then.
Usage usage_between(const Sample* before, const Sample& now, std::uint64_t host_memory);

// Sum of all interfaces of /proc/PID/net/dev but lo; none: no network.
std::optional<Traffic> parse_net_dev(std::string_view text);

// Text that replaces what it wrote before. Plain output where it is not `live`.
class LiveView {
 public:
  explicit LiveView(bool live) : live_(live) {}
  Result<void> show(const std::string& text);

 private:
  bool live_;
  bool first_ = true;
};
// What LiveView writes for one renewal.
std::string renewed(std::string_view text, bool first);

}  // namespace vrun::cli
