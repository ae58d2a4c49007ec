#include "engine/flag_words.hpp"

#include <algorithm>
#include <array>

namespace vrun::engine {
namespace {

enum class Rest { kDropped, kShown };  // what follows the path: "[2]", "['vm.swappiness']"

struct Row {
  std::string_view path, words;
  Rest rest = Rest::kDropped;
};

constexpr std::string_view kDocument = "config.json: ";
constexpr std::string_view kResources = "linux.resources.";

// What begins another path stands behind it.
constexpr std::array kRows{
    Row{"linux.resources.memory.limit", "--memory"},
    Row{"linux.resources.memory.swap", "--memory-swap"},
    Row{"linux.resources.memory.reservation", "--memory-reservation"},
    Row{"linux.resources.memory", "--memory"},
    Row{"linux.resources.cpu.cpus", "--cpuset-cpus"},
    Row{"linux.resources.cpu.mems", "--cpuset-mems"},
    Row{"linux.resources.cpu.shares", "--cpu-shares or --cpu-weight"},
    Row{"linux.resources.cpu", "--cpus"},
    Row{"linux.resources.pids", "--pids-limit"},
    Row{"linux.resources.blockIO.throttleReadBpsDevice", "--device-read-bps"},
    Row{"linux.resources.blockIO.throttleWriteBpsDevice", "--device-write-bps"},
    Row{"linux.resources.blockIO.throttleReadIOPSDevice", "--device-read-iops"},
    Row{"linux.resources.blockIO.throttleWriteIOPSDevice", "--device-write-iops"},
    Row{"linux.resources.blockIO", "--blkio-weight"},
    Row{"linux.resources.devices", "--device"},
    Row{"linux.sysctl", "--sysctl", Rest::kShown},
    Row{"linux.seccomp", "--security-opt seccomp"},
    Row{"linux.maskedPaths", "the masked paths"},
    Row{"linux.readonlyPaths", "the read-only paths"},
    Row{"linux.uidMappings", "the guest's users (0 to 65535)"},
    Row{"linux.gidMappings", "the guest's groups (0 to 65535)"},
    Row{"process.user.uid", "--user"},
    Row{"process.user.gid", "the group of --user"},
    Row{"process.user.additionalGids", "--group-add"},
    Row{"process.user", "--user"},
    Row{"process.cwd", "--workdir"},
    Row{"process.args", "the command"},
    Row{"process.env", "--env and the image"},
    Row{"process.capabilities", "--cap-add"},
    Row{"process.rlimits", "--ulimit"},
    Row{"process.oomScoreAdj", "--oom-score-adj"},
    Row{"process.apparmorProfile", "--security-opt apparmor"},
};

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

const Row* row_at(std::string_view text, std::size_t at) {
  if (at > 0 && (is_word(text[at - 1]) || text[at - 1] == '.')) return nullptr;
  const auto found = std::find_if(kRows.begin(), kRows.end(), [&](const Row& row) {
    if (!text.substr(at).starts_with(row.path)) return false;
    const std::size_t end = at + row.path.size();
    return end == text.size() || !is_word(text[end]);
  });
  return found == kRows.end() ? nullptr : &*found;
}

// Behind a path: ".more", "[3]", "['a.b']", as often as they come.
std::size_t rest_of(std::string_view text) {
  std::size_t at = 0;
  while (at + 1 < text.size()) {
    if (text[at] == '[') {
      const std::size_t close = text.find(']', at);
      if (close == std::string_view::npos) break;
      at = close + 1;
    } else if (text[at] == '.' && is_word(text[at + 1])) {
      ++at;
      while (at < text.size() && (is_word(text[at]) || text[at] == '-' || text[at] == '/'))
        ++at;
    } else {
      break;
    }
  }
  return at;
}

// "['vm.swappiness']" and ".vm.swappiness": " vm.swappiness".
std::string shown_rest(std::string_view rest) {
  if (rest.starts_with("['") && rest.ends_with("']")) rest = rest.substr(2, rest.size() - 4);
  if (rest.starts_with('.')) rest.remove_prefix(1);
  return rest.empty() ? "" : " " + std::string(rest);
}

}  // namespace

std::string flags_for_paths(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (text.substr(at).starts_with(kDocument)) {
      at += kDocument.size();
      continue;
    }
    const Row* row = row_at(text, at);
    if (row == nullptr) {
      out += text[at++];
      continue;
    }
    at += row->path.size();
    const std::size_t rest = rest_of(text.substr(at));
    out += row->words;
    if (row->rest == Rest::kShown) out += shown_rest(text.substr(at, rest));
    at += rest;
  }
  return out;
}

Error as_flags(Error error) {
  const std::string text = error.text();
  const std::string said = flags_for_paths(text);
  std::string hint = flags_for_paths(error.hint());
  if (said == text && hint == error.hint()) return error;
  const bool host_lacks_it =
      error.code() == Code::kUnsupported && text.find(kResources) != std::string::npos;
  if (host_lacks_it) {
    hint += (hint.empty() ? "" : "; ") + std::string("`vrun doctor` tells what this host lacks");
  }
  Error spoken(error.code(), said);
  if (!hint.empty()) spoken = std::move(spoken).hint(hint);
  if (!error.step().empty()) spoken = std::move(spoken).step(error.step());
  return spoken;
}

}  // namespace vrun::engine
