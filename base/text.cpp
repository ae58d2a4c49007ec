#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/printable.hpp"

namespace vrun {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

void append_escaped(std::string& out, char c) {
  const auto byte = static_cast<unsigned char>(c);
  out += "\\x";
  out += kHex[byte >> 4U];
  out += kHex[byte & 15U];
}

unsigned char byte_at(std::string_view text, std::size_t i) {
  return static_cast<unsigned char>(text[i]);
}

bool continues(std::string_view text, std::size_t i) {
  return i < text.size() && (byte_at(text, i) & 0xC0U) == 0x80U;
}

std::string escape(std::string_view text, std::string_view also) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t bytes = printable_bytes(text, i);
    if (bytes == 0 || also.find(text[i]) != std::string_view::npos) {
      append_escaped(out, text[i++]);
    } else {
      out += text.substr(i, bytes);
      i += bytes;
    }
  }
  return out;
}

template <typename T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

// Letters to insert, remove or change, or neighbours to swap, to make `b` of `a`.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);  // two rows back: for swaps
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before.swap(last);
    last.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] =
          std::min({row[j - 1] + 1, last[j] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

// U+2028 to U+202E and U+2066 to U+2069: lines and directions that are not seen, and show what
// follows as something else.
bool turns_text(std::string_view character) {
  if (character.size() != 3 || byte_at(character, 0) != 0xE2) return false;
  const unsigned char middle = byte_at(character, 1), last = byte_at(character, 2);
  return (middle == 0x80 && last >= 0xA8 && last <= 0xAE) ||
         (middle == 0x81 && last >= 0xA6 && last <= 0xA9);
}

// Of a word of three letters nothing is left after two mistakes.
std::size_t tolerance(std::size_t letters) {
  constexpr std::size_t kShort = 4;
  return letters < kShort ? 1 : std::max<std::size_t>(2, letters / 3);
}

}  // namespace

std::size_t printable_bytes(std::string_view text, std::size_t i) {
  const unsigned char first = byte_at(text, i);
  if (first < 0x80) return first < 0x20 || first == 0x7F ? 0 : 1;
  const std::size_t bytes = first >= 0xF5   ? 0
                            : first >= 0xF0 ? 4
                            : first >= 0xE0 ? 3
                            : first >= 0xC2 ? 2
                                            : 0;
  for (std::size_t n = 1; n < bytes; ++n) {
    if (!continues(text, i + n)) return 0;
  }
  const bool c1 = first == 0xC2 && byte_at(text, i + 1) < 0xA0;
  return c1 || turns_text(text.substr(i, bytes)) ? 0 : bytes;
}

std::string quote(std::string_view text) {
  return "'" + escape(text, "'\\") + "'";
}

std::string printable(std::string_view text) {
  return escape(text, "");
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string join(std::span<const std::string> parts, std::string_view separator) {
  std::string out;
  for (const std::string& part : parts) {
    if (!out.empty()) out += separator;
    out += part;
  }
  return out;
}

std::optional<std::uint64_t> parse_u64(std::string_view text) {
  return parse_number<std::uint64_t>(text);
}

std::optional<std::int64_t> parse_i64(std::string_view text) {
  return parse_number<std::int64_t>(text);
}

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc() || number < 0) return std::nullopt;
  std::string unit(end, text.data() + text.size());
  for (char& c : unit)
    c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  constexpr std::array<std::array<std::string_view, 4>, 6> kUnits{{{"", "b", "", ""},
                                                                   {"k", "kb", "ki", "kib"},
                                                                   {"m", "mb", "mi", "mib"},
                                                                   {"g", "gb", "gi", "gib"},
                                                                   {"t", "tb", "ti", "tib"},
                                                                   {"p", "pb", "pi", "pib"}}};
  for (std::size_t power = 0; power < kUnits.size(); ++power) {
    if (std::find(kUnits[power].begin(), kUnits[power].end(), unit) == kUnits[power].end())
      continue;
    if (power == 0) return parse_u64(text.substr(0, static_cast<std::size_t>(end - text.data())));
    const double bytes = std::ldexp(number, static_cast<int>(10 * power));
    if (bytes >= 0x1p63) return std::nullopt;
    return static_cast<std::uint64_t>(bytes);
  }
  return std::nullopt;
}

std::optional<std::string_view> nearest(std::string_view word,
                                        std::span<const std::string_view> candidates) {
  std::size_t best = tolerance(word.size()) + 1;
  std::optional<std::string_view> found;
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best && distance < candidate.size()) {
      best = distance;
      found = candidate;
    }
  }
  return found;
}

}  // namespace vrun
