// What a guest's flags say about its life: restart policy, health check, log limits, how it is
// stopped. Pure; every fault names its flag.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "engine/monitor_call.hpp"
#include "engine/request.hpp"
#include "oci/image.hpp"

namespace vrun::engine {

// "300ms", "1.5s", "2m", "1h30m", in milliseconds; a number alone is `unit` times itself.
std::optional<std::int64_t> parse_milliseconds(std::string_view text, std::int64_t unit);

struct RestartPolicy {
  enum class Kind : std::uint8_t { kNo, kOnFailure, kAlways, kUnlessStopped } kind = Kind::kNo;
  std::uint64_t most = 0;  // on-failure:N; 0: no limit
  // After a life that nobody asked to end. `restarts`: how many there were already.
  bool wants_restart(int exit_code, std::uint32_t restarts) const;
};
Result<RestartPolicy> parse_restart(const std::string& text);
// 0.1 s doubled for each quick end in a row, at most a minute.
std::int64_t restart_delay_ms(std::uint32_t quick_ends);
// A life that lasted as long as this was none.
inline constexpr std::int64_t kLongLifeMs = 10000;

Result<LogLimits> log_limits(const RunRequest& request);

// From the flags and, where they are silent, the image.
Result<HealthRules> health_rules(const RunRequest& request, const oci::ImageConfig& image);
// Of all four: postStart is a probe that must be good at once, or the guest is killed.
Result<std::array<HealthRules, kProbes>> probe_rules(const RunRequest& request,
                                                     const oci::ImageConfig& image);
// postStart has no time limit of its own in Kubernetes; here nothing in a guest hangs for ever.
inline constexpr std::int64_t kPostStartMs = 300000;
// What a probe asks; of postStart only its command means something.
HealthRequest asked_of(const RunRequest& request, Probe probe);
// The command of the check, for exec in the guest; empty: there is none.
std::vector<std::string> health_command(const RunRequest& request, const oci::ImageConfig& image,
                                        Probe probe = Probe::kLiveness);

struct StopRules {
  int signal;
  std::int64_t timeout_ms = 10000;  // < 0: no limit
};
Result<StopRules> stop_rules(const RunRequest& request, const oci::ImageConfig& image);

// All of the above without an image.
Result<void> check_policies(const RunRequest& request);

}  // namespace vrun::engine
