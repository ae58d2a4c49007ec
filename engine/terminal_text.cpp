#include "engine/terminal_text.hpp"

#include <utility>

namespace vrun::engine {
namespace {

std::string escaped(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += "\\x";
    out += "0123456789abcdef"[byte >> 4U];
    out += "0123456789abcdef"[byte & 15U];
  }
  return out;
}

// Bytes of the UTF-8 sequence that begins `text`; 0: none does, so far as the text goes.
std::size_t sequence_length(unsigned char lead) {
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  return lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
}

// Neither longer than need be, nor a surrogate, nor beyond the last character (RFC 3629, 4).
bool is_sequence(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  for (std::size_t i = 1; i < bytes.size(); ++i) {
    if ((at(i) & 0xC0U) != 0x80) return false;
  }
  if (bytes.size() < 2) return true;
  const unsigned char lead = at(0);
  const unsigned char second = at(1);
  return !((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second >= 0xA0) ||
           (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second >= 0x90));
}

struct Shown {
  std::size_t bytes;  // 0: what follows decides
  bool as_it_is;
};

// Colours change nothing but colours; every other sequence can move, ask or type.
Shown show_escape(std::string_view text, bool whole) {
  constexpr std::size_t kLongestColour = 32;
  const std::size_t end =
      text.substr(0, 2) == "\x1b[" ? text.find_first_not_of("0123456789;", 2) : 1;
  const bool open = text.size() == 1 || end == std::string_view::npos;
  if (open && !whole && text.size() < kLongestColour) return {0, false};
  const bool colour = end != std::string_view::npos && end > 1 && text[end] == 'm';
  return colour ? Shown{end + 1, true} : Shown{1, false};
}

Shown show_first(std::string_view text, bool whole) {
  const auto byte = static_cast<unsigned char>(text[0]);
  if (byte == 0x1B) return show_escape(text, whole);
  // Lines of other systems end with one; anywhere else it writes over what was there.
  if (byte == '\r' && text.size() == 1) return whole ? Shown{1, true} : Shown{0, false};
  if (byte < 0x80) return {1, (byte >= 0x20 && byte != 0x7F) || byte == '\t'};
  const std::size_t length = sequence_length(byte);
  if (length == 0) return {1, false};  // 0x80 to 0x9F alone are controls of 8-bit terminals
  const std::string_view sequence = text.substr(0, length);
  if (!is_sequence(sequence)) return {1, false};
  if (sequence.size() < length) return whole ? Shown{1, false} : Shown{0, false};
  // U+0080 to U+009F are controls, too.
  return {length, !(byte == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0)};
}

}  // namespace

std::string TerminalText::take(std::string_view text, bool whole) {
  const std::string all = std::exchange(held_, "") + std::string(text);
  std::string out;
  for (std::string_view rest = all; !rest.empty();) {
    const Shown shown = show_first(rest, whole);
    if (shown.bytes == 0) {
      held_ = rest;
      break;
    }
    const std::string_view bytes = rest.substr(0, shown.bytes);
    out += shown.as_it_is ? std::string(bytes) : escaped(bytes);
    rest.remove_prefix(shown.bytes);
  }
  return out;
}

std::string harmless(std::string_view text) {
  return TerminalText().take(text, true);
}

}  // namespace vrun::engine
