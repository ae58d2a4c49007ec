// Text of a guest for the reader's terminal: control characters but tab, CR at the end of a line
// and the SGR colours are shown as \xNN, and so is what is no UTF-8 (some terminals obey 8-bit
// controls).
#pragma once

#include <string>
#include <string_view>

namespace vrun::engine {

// For one stream that comes in pieces: what a piece ends with is held back until it is known what
// it is the beginning of, so that no two harmless pieces make a harmful whole.
class TerminalText {
 public:
  // `whole`: the line ends here.
  std::string take(std::string_view text, bool whole);

 private:
  std::string held_;
};

// Of one whole line.
std::string harmless(std::string_view text);

}  // namespace vrun::engine
