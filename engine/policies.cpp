#include "engine/policies.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <signal.h>

#include "base/signals.hpp"
#include "base/text.hpp"
#include "engine/disk.hpp"
#include "engine/health_probe.hpp"
#include "engine/system_guest.hpp"

namespace vrun::engine {
namespace {

struct Unit {
  std::string_view name;
  double ms;
};
constexpr std::array<Unit, 6> kUnits{
    {{"ns", 1e-6}, {"us", 1e-3}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}}};

Error bad(const std::string& flag, const std::string& text, const char* why) {
  return Error(Code::kInvalid, flag + " " + quote(text) + ": " + why);
}

Result<std::int64_t> duration(const std::string& flag, const std::string& text,
                              std::int64_t least_ms) {
  const bool has_unit = text == "0" || !parse_u64(text);
  const auto ms = parse_milliseconds(text, 1000);
  if (!ms || !has_unit) {
    return bad(flag, text, has_unit ? "not a time" : "a time needs a unit")
        .hint("such as 30s, 1m30s or 500ms");
  }
  if (*ms < least_ms) return bad(flag, text, "too short").hint("at least 1ms");
  return *ms;
}

Result<std::int64_t> count(const std::string& flag, const std::string& text) {
  const auto number = parse_i64(text);
  if (number && *number >= 1 && *number <= 1'000'000) return *number;
  return bad(flag, text, "not a number from 1 up");
}

std::int64_t to_ms(std::int64_t nanoseconds, std::int64_t fallback) {
  return nanoseconds > 0 ? std::max<std::int64_t>(nanoseconds / 1'000'000, 1) : fallback;
}

Result<int> unhealthy_action(const std::string& text) {
  constexpr std::array<std::string_view, 4> kActions{"none", "kill", "restart", "stop"};
  if (text.empty()) return 0;
  const auto found = std::find(kActions.begin(), kActions.end(), text);
  if (found != kActions.end()) return static_cast<int>(found - kActions.begin());
  return bad("--health-on-failure", text, "unknown").hint("there are: none, kill, restart, stop");
}

// Also where no check will run: a typing error is one whatever the image says.
Result<void> check_health_words(const HealthRequest& asked) {
  if (!asked.interval.empty()) TRY(duration("--health-interval", asked.interval, 1));
  if (!asked.timeout.empty()) TRY(duration("--health-timeout", asked.timeout, 1));
  if (!asked.start_period.empty()) {
    TRY(duration("--health-start-period", asked.start_period, 0));
  }
  if (!asked.retries.empty()) TRY(count("--health-retries", asked.retries));
  return {};
}

bool image_has_check(const oci::ImageConfig& image) {
  return image.health_check && !image.health_check->test.empty() &&
         image.health_check->test[0] != "NONE";
}

}  // namespace

std::optional<std::int64_t> parse_milliseconds(std::string_view text, std::int64_t unit) {
  if (const auto number = parse_u64(text); number && *number <= 100'000'000'000) {
    return static_cast<std::int64_t>(*number) * unit;
  }
  double total = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    double number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc() || number < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const std::size_t letters = std::min(text.find_first_of("0123456789."), text.size());
    const auto named = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& one) {
      return one.name == text.substr(0, letters);
    });
    if (named == kUnits.end()) return std::nullopt;
    total += number * named->ms;
    text.remove_prefix(letters);
  }
  if (!std::isfinite(total) || total > 1e14) return std::nullopt;
  return std::llround(total);
}

bool RestartPolicy::wants_restart(int exit_code, std::uint32_t restarts) const {
  switch (kind) {
    case Kind::kNo:
      return false;
    case Kind::kOnFailure:
      return exit_code != 0 && (most == 0 || restarts < most);
    case Kind::kAlways:
    case Kind::kUnlessStopped:
      return true;
  }
  return false;
}

Result<RestartPolicy> parse_restart(const std::string& text) {
  using Kind = RestartPolicy::Kind;
  if (text.empty() || text == "no") return RestartPolicy{};
  if (text == "always") return RestartPolicy{Kind::kAlways, 0};
  if (text == "unless-stopped") return RestartPolicy{Kind::kUnlessStopped, 0};
  if (text == "on-failure") return RestartPolicy{Kind::kOnFailure, 0};
  constexpr std::string_view kLimited = "on-failure:";
  if (text.starts_with(kLimited)) {
    const auto most = parse_u64(std::string_view(text).substr(kLimited.size()));
    if (most) return RestartPolicy{Kind::kOnFailure, *most};
  }
  return bad("--restart", text, "unknown")
      .hint("there are: no, on-failure, on-failure:N, always, unless-stopped");
}

std::int64_t restart_delay_ms(std::uint32_t quick_ends) {
  constexpr std::int64_t kFirst = 100, kMost = 60000;
  return std::min<std::int64_t>(kFirst << std::min<std::uint32_t>(quick_ends, 20), kMost);
}

Result<LogLimits> log_limits(const RunRequest& request) {
  LogLimits limits;
  constexpr std::array<std::string_view, 4> kFiles{"", "json-file", "local", "k8s-file"};
  const std::string& driver = request.log_driver;
  const bool files = std::find(kFiles.begin(), kFiles.end(), driver) != kFiles.end();
  if (!files && driver != "none") {
    return bad("--log-driver", driver, "unknown")
        .hint("there are: none, and json-file, local or k8s-file, which all are vrun's own files");
  }
  for (const std::string& option : request.log_opts) {
    const std::size_t sign = option.find('=');
    const std::string key = option.substr(0, sign);
    const std::string value = sign == std::string::npos ? "" : option.substr(sign + 1);
    if (key == "max-size") {
      constexpr std::uint64_t kLeast = 65536;
      const auto bytes = parse_bytes(value);
      if (!bytes || *bytes < kLeast || *bytes > (1ULL << 50U)) {
        return bad("--log-opt", option, "not a size").hint("at least 64k, such as max-size=10m");
      }
      limits.bytes = *bytes;
    } else if (key == "max-file") {
      limits.files = static_cast<std::uint64_t>(TRY(count("--log-opt max-file", value)));
    } else {
      return bad("--log-opt", option, "unknown").hint("there are: max-size=SIZE, max-file=COUNT");
    }
  }
  if (driver == "none") limits.bytes = 0;
  return limits;
}

namespace {

Result<HealthRules> rules_of(const HealthRequest& asked, const oci::ImageConfig& image) {
  HealthRules rules;
  rules.on_unhealthy = TRY(unhealthy_action(asked.on_failure));
  TRY(check_health_words(asked));
  const bool asks = !asked.cmd.empty() || !asked.exec.empty();
  if (asked.disabled || (!asks && !image_has_check(image))) return rules;
  const oci::HealthCheck given = image.health_check.value_or(oci::HealthCheck{});
  rules.interval_ms = to_ms(given.interval, 30000);
  rules.timeout_ms = to_ms(given.timeout, 30000);
  rules.start_period_ms = to_ms(given.start_period, 0);
  rules.retries = given.retries > 0 ? given.retries : 3;
  if (!asked.interval.empty()) {
    rules.interval_ms = TRY(duration("--health-interval", asked.interval, 1));
  }
  if (!asked.timeout.empty())
    rules.timeout_ms = TRY(duration("--health-timeout", asked.timeout, 1));
  if (!asked.start_period.empty()) {
    rules.start_period_ms = TRY(duration("--health-start-period", asked.start_period, 0));
  }
  if (!asked.retries.empty()) rules.retries = TRY(count("--health-retries", asked.retries));
  if (!asked.successes.empty()) rules.successes = TRY(count("successes", asked.successes));
  if (!asked.initial_delay.empty())
    rules.initial_delay_ms = TRY(duration("initialDelay", asked.initial_delay, 0));
  return rules;
}

}  // namespace

Result<HealthRules> health_rules(const RunRequest& request, const oci::ImageConfig& image) {
  return rules_of(request.health, image);
}

HealthRequest asked_of(const RunRequest& request, Probe probe) {
  HealthRequest asked;
  switch (probe) {
    case Probe::kPostStart:
      asked.exec = request.post_start;
      return asked;
    case Probe::kStartup:
      return request.startup;
    case Probe::kReadiness:
      return request.readiness;
    case Probe::kLiveness:
      break;
  }
  return request.health;
}

Result<std::array<HealthRules, kProbes>> probe_rules(const RunRequest& request,
                                                     const oci::ImageConfig& image) {
  std::array<HealthRules, kProbes> all;
  const oci::ImageConfig none;
  all[static_cast<std::size_t>(Probe::kStartup)] = TRY(rules_of(request.startup, none));
  all[static_cast<std::size_t>(Probe::kReadiness)] = TRY(rules_of(request.readiness, none));
  all[static_cast<std::size_t>(Probe::kLiveness)] = TRY(rules_of(request.health, image));
  if (request.post_start.empty()) return all;
  HealthRules hook;
  hook.interval_ms = 1000;
  hook.timeout_ms = kPostStartMs;
  hook.retries = 1;
  hook.initial_delay_ms = 0;
  hook.on_unhealthy = 1;
  all[static_cast<std::size_t>(Probe::kPostStart)] = hook;
  return all;
}

std::vector<std::string> health_command(const RunRequest& request, const oci::ImageConfig& image,
                                        Probe probe) {
  const HealthRequest asked = asked_of(request, probe);
  if (asked.disabled) return {};
  if (!asked.exec.empty()) return asked.exec;
  if (!asked.cmd.empty()) return {"/bin/sh", "-c", asked.cmd};
  if (probe != Probe::kLiveness || !image_has_check(image)) return {};
  const std::vector<std::string>& test = image.health_check->test;
  if (test[0] != "CMD-SHELL") return {test.begin() + 1, test.end()};
  std::vector<std::string> command = image.shell;
  if (command.empty()) command = {"/bin/sh", "-c"};
  command.insert(command.end(), test.begin() + 1, test.end());
  return command;
}

Result<StopRules> stop_rules(const RunRequest& request, const oci::ImageConfig& image) {
  StopRules rules{SIGTERM};
  if (is_system(request)) rules = {stop_signal_of_init(""), kSystemStopMs};
  if (is_disk_guest(request)) rules = {SIGTERM, kSystemStopMs};  // its power button
  if (!request.stop_signal.empty()) {
    Result<int> signal = parse_signal(request.stop_signal);
    if (!signal) return std::move(signal).error().during("--stop-signal");
    rules.signal = *signal;
  } else if (!image.stop_signal.empty()) {
    rules.signal = parse_signal(image.stop_signal).value_or(rules.signal);
  }
  if (!request.stop_timeout.empty()) {
    const auto seconds = parse_i64(request.stop_timeout);
    if (!seconds || *seconds < -1 || *seconds > 1'000'000) {
      return bad("--stop-timeout", request.stop_timeout, "not a number of seconds")
          .hint("-1: wait for ever");
    }
    rules.timeout_ms = *seconds * 1000;
  } else if (image.stop_timeout) {
    rules.timeout_ms = *image.stop_timeout * 1000;
  }
  return rules;
}

Result<void> check_policies(const RunRequest& request) {
  const oci::ImageConfig none;
  const RestartPolicy restart = TRY(parse_restart(request.restart));
  if (request.remove && restart.kind != RestartPolicy::Kind::kNo) {
    return Error(Code::kInvalid, "--rm and --restart: a guest that is removed cannot start again");
  }
  if (!request.start_after.empty() && restart.kind == RestartPolicy::Kind::kNo) {
    return Error(Code::kInvalid,
                 "--start-after without --restart: nothing would start the guest at a boot")
        .hint("add --restart unless-stopped");
  }
  TRY(log_limits(request));
  TRY(probe_rules(request, none));
  for (const HealthRequest* asked : {&request.health, &request.readiness, &request.startup})
    TRY(parse_health_probe(asked->cmd));
  TRY(stop_rules(request, none));
  return {};
}

}  // namespace vrun::engine
