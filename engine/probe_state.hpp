// What a guest's monitor knows by its probes: run/monitors/TENANT/ID/NAME, one file a probe,
// written whole by the monitor (engine/monitor/health.cpp) after each check.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vrun::engine {

// In the order in which they begin: each of the first two holds back those after it.
enum class Probe : std::uint8_t { kPostStart, kStartup, kReadiness, kLiveness };
inline constexpr std::size_t kProbes = 4;

// "post-start", "startup", "readiness", "health": its file, and its word of `guest-step`.
std::string_view file_of(Probe probe);
// "postStart", "startup", "readiness", "liveness": for people.
std::string_view name_of(Probe probe);

struct ProbeState {
  Probe probe = Probe::kLiveness;
  std::string state;           // starting, healthy, unhealthy
  std::uint64_t failures = 0;  // in a row
  std::string last;            // of the last check: none, good, bad, late
  std::uint64_t checked = 0;   // when it ended, in seconds since 1970; 0: never
  std::string reason;          // why it was not good
};

// Those of one guest. A file that is not there or odd is no probe.
std::vector<ProbeState> read_probe_states(const std::string& monitor_dir);
// Nothing that must be good first is not.
bool is_ready(const std::vector<ProbeState>& probes);

// Written by the process that checks, before it ends: the file NAME.reason.
void note_probe_reason(const std::string& monitor_dir, Probe probe, const std::string& reason);

}  // namespace vrun::engine
