#include "engine/probe_state.hpp"

#include <algorithm>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::engine {
namespace {

constexpr std::array<std::string_view, kProbes> kFiles{"post-start", "startup", "readiness",
                                                       "health"};
constexpr std::array<std::string_view, kProbes> kNames{"postStart", "startup", "readiness",
                                                       "liveness"};
constexpr std::size_t kMostBytes = 4096;

std::string reason_of(const std::string& monitor_dir, const ProbeState& state) {
  if (state.last == "late") return "it took too long and was killed";
  if (state.last != "bad") return {};
  return fs::read_file(At::cwd(), monitor_dir + "/" + std::string(file_of(state.probe)) + ".reason",
                       kMostBytes)
      .value_or("");
}

}  // namespace

std::string_view file_of(Probe probe) {
  return kFiles[static_cast<std::size_t>(probe)];
}

std::string_view name_of(Probe probe) {
  return kNames[static_cast<std::size_t>(probe)];
}

std::vector<ProbeState> read_probe_states(const std::string& monitor_dir) {
  std::vector<ProbeState> all;
  for (std::size_t i = 0; i < kProbes; ++i) {
    ProbeState state;
    state.probe = static_cast<Probe>(i);
    const Result<std::string> text =
        fs::read_file(At::cwd(), monitor_dir + "/" + std::string(file_of(state.probe)), kMostBytes);
    if (!text) continue;
    const std::vector<std::string_view> lines = split(*text, '\n');
    constexpr std::size_t kLines = 4;
    if (lines.size() < kLines) continue;
    state.state = lines[0];
    state.failures = parse_u64(lines[1]).value_or(0);
    state.last = lines[2];
    state.checked = parse_u64(lines[3]).value_or(0);
    state.reason = reason_of(monitor_dir, state);
    all.push_back(std::move(state));
  }
  return all;
}

bool is_ready(const std::vector<ProbeState>& probes) {
  return std::all_of(probes.begin(), probes.end(), [](const ProbeState& one) {
    return one.probe == Probe::kLiveness || one.state == "healthy";
  });
}

void note_probe_reason(const std::string& monitor_dir, Probe probe, const std::string& reason) {
  const Result<Fd> dir = sys::open_dir(At::cwd(), monitor_dir);
  if (dir) {
    static_cast<void>(
        fs::replace_file(*dir, std::string(file_of(probe)) + ".reason", reason.substr(0, 512)));
  }
}

}  // namespace vrun::engine
