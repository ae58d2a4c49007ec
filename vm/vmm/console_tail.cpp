#include "vm/vmm/console_tail.hpp"

#include <algorithm>
#include <vector>

#include "base/text.hpp"

namespace vrun::vmm {

void ConsoleTail::add(std::string_view text) {
  const std::lock_guard guard(lock_);
  text_.append(text);
  if (text_.size() > kMost) text_.erase(0, text_.size() - kMost);
}

std::string ConsoleTail::last(std::size_t lines) const {
  const std::lock_guard guard(lock_);
  std::vector<std::string> all;
  for (const std::string_view line : split(text_, '\n')) {
    if (const std::string_view words = trim(line); !words.empty()) all.push_back(printable(words));
  }
  const std::size_t first = all.size() - std::min(lines, all.size());
  return join(std::span(all).subspan(first), "\n");
}

std::string ConsoleTail::panic() const {
  return line_behind("Kernel panic - not syncing: ");
}

std::string ConsoleTail::boot_failure() const {
  return line_behind("vrun-guest: ");
}

std::string ConsoleTail::line_behind(std::string_view sign) const {
  const std::lock_guard guard(lock_);
  const std::size_t at = text_.find(sign);
  if (at == text_.npos) return {};
  const std::string_view words = std::string_view(text_).substr(at + sign.size());
  return printable(trim(words.substr(0, words.find('\n'))));
}

}  // namespace vrun::vmm
