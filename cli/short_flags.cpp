#include "cli/everyday.hpp"

namespace vrun::cli {

std::vector<std::string> spread_short_flags(std::span<const Flag> flags,
                                            std::span<const std::string> words) {
  std::vector<std::string> out;
  std::size_t i = 0;
  for (; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.size() < 2 || word[0] != '-' || word == "--") break;
    const std::string name =
        word.substr(word[1] == '-' ? 2 : 1, word.find('=') - (word[1] == '-' ? 2 : 1));
    const Flag* flag = find_flag(flags, name);
    const bool known_long = word[1] == '-' || flag != nullptr;
    if (known_long) {
      out.push_back(word);
      const bool takes_next = flag != nullptr && flag->kind != Kind::kSwitch &&
                              word.find('=') == std::string::npos && i + 1 < words.size();
      if (takes_next) out.push_back(words[++i]);
      continue;
    }
    // One letter after the other, until one takes the rest as its value.
    std::size_t at = 1;
    for (; at < word.size(); ++at) {
      const Flag* letter = find_flag(flags, word.substr(at, 1));
      if (letter == nullptr) break;
      out.push_back("-" + word.substr(at, 1));
      if (letter->kind == Kind::kSwitch) continue;
      if (at + 1 < word.size()) {
        out.push_back(word.substr(at + 1));
      } else if (i + 1 < words.size()) {
        out.push_back(words[++i]);
      }
      at = word.size();
    }
    if (at < word.size())
      out.push_back(at == 1 ? word : "-" + word.substr(at));  // unknown: for the parser to say
  }
  out.insert(out.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
  return out;
}

}  // namespace vrun::cli
