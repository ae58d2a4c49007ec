#include "cli/process_row.hpp"

#include <array>
#include <cstdio>
#include <vector>

#include "base/text.hpp"

namespace vrun::cli {
namespace {

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  std::size_t at = 0;
  while ((at = text.find_first_not_of(" \t", at)) != std::string_view::npos) {
    const std::size_t end = std::min(text.find_first_of(" \t", at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

// What follows "Key:" on its line.
std::vector<std::string_view> field(std::string_view status, std::string_view key) {
  for (const std::string_view line : split(status, '\n')) {
    if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == ':') {
      return words_of(line.substr(key.size() + 1));
    }
  }
  return {};
}

std::uint64_t number(const std::vector<std::string_view>& words, std::size_t i) {
  return i < words.size() ? parse_u64(words[i]).value_or(0) : 0;
}

std::string command_of(std::string_view cmdline, const std::vector<std::string_view>& name) {
  while (!cmdline.empty() && cmdline.back() == '\0')
    cmdline.remove_suffix(1);
  if (cmdline.empty()) return "[" + std::string(name.empty() ? "" : name[0]) + "]";
  std::string text(cmdline);
  for (char& c : text) {
    if (c == '\0') c = ' ';
  }
  return text;
}

}  // namespace

std::optional<ProcessRow> parse_process(const ProcessTexts& texts, std::uint32_t first_id,
                                        std::int64_t ticks_per_second) {
  const auto pids = field(texts.status, "NSpid");
  const auto state = field(texts.status, "State");
  if (pids.empty() || state.empty() || ticks_per_second <= 0) return std::nullopt;
  ProcessRow row;
  row.outside = static_cast<std::int64_t>(number(pids, 0));
  // The guest's pid namespace is the one below ours; a guest may have further ones inside.
  row.inside = static_cast<std::int64_t>(number(pids, pids.size() > 1 ? 1 : 0));
  const std::uint64_t uid = number(field(texts.status, "Uid"), 1);
  row.uid = static_cast<std::int64_t>(uid) - first_id;
  row.state = state[0][0];
  row.threads = number(field(texts.status, "Threads"), 0);
  row.memory = number(field(texts.status, "VmRSS"), 0) * 1024;
  // The name in parentheses may hold anything; utime and stime are the 12th and 13th words after it
  // (proc_pid_stat(5), fields 14 and 15).
  const std::size_t end = texts.stat.rfind(')');
  if (end != std::string_view::npos) {
    const auto words = words_of(texts.stat.substr(end + 1));
    row.cpu_ms = (number(words, 11) + number(words, 12)) * 1000 /
                 static_cast<std::uint64_t>(ticks_per_second);
  }
  row.command = command_of(texts.cmdline, field(texts.status, "Name"));
  return row;
}

std::string clock_text(std::uint64_t ms) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%llu:%02llu.%02llu",
                static_cast<unsigned long long>(ms / 60000),
                static_cast<unsigned long long>(ms / 1000 % 60),
                static_cast<unsigned long long>(ms / 10 % 100));
  return text.data();
}

}  // namespace vrun::cli
