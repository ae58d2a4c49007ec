#include "manifest/values.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/text.hpp"

namespace vrun::manifest {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_decimal(std::string_view text) {
  const std::size_t dot = std::min(text.find('.'), text.size());
  const auto digits = [](std::string_view part) {
    return !part.empty() && part.size() < 10 && std::all_of(part.begin(), part.end(), is_digit);
  };
  if (dot == text.size()) return digits(text);
  return digits(text.substr(0, dot)) && digits(text.substr(dot + 1));
}

// "1h30m", "1.5s", "300ms", "10".
bool is_duration(std::string_view text) {
  if (text.empty()) return false;
  if (is_decimal(text)) return true;
  while (!text.empty()) {
    std::size_t number = 0;
    while (number < text.size() && (is_digit(text[number]) || text[number] == '.'))
      ++number;
    if (!is_decimal(text.substr(0, number))) return false;
    text.remove_prefix(number);
    std::size_t unit = 0;
    while (unit < text.size() && is_letter(text[unit]))
      ++unit;
    constexpr std::array<std::string_view, 4> kUnits{"ms", "s", "m", "h"};
    if (std::find(kUnits.begin(), kUnits.end(), text.substr(0, unit)) == kUnits.end()) return false;
    text.remove_prefix(unit);
  }
  return true;
}

bool is_port(std::string_view text) {
  const auto number = parse_u64(text);
  return number && *number >= 1 && *number <= 65535;
}

bool is_port_range(std::string_view text) {
  const std::size_t dash = std::min(text.find('-'), text.size());
  if (dash == text.size()) return is_port(text);
  return is_port(text.substr(0, dash)) && is_port(text.substr(dash + 1)) &&
         *parse_u64(text.substr(0, dash)) <= *parse_u64(text.substr(dash + 1));
}

// Addresses are read by the network itself; here only the form.
bool is_publish(std::string_view text) {
  const std::size_t slash = std::min(text.find('/'), text.size());
  const std::string_view protocol = slash < text.size() ? text.substr(slash + 1) : "tcp";
  if (protocol != "tcp" && protocol != "udp") return false;
  text = text.substr(0, slash);
  const std::size_t last = text.rfind(':');
  if (last == std::string_view::npos) return is_port_range(text);
  if (!is_port_range(text.substr(last + 1))) return false;
  text = text.substr(0, last);
  const std::size_t bracket = text.rfind(']');
  const std::size_t colon = text.rfind(':');
  const bool address =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  const std::string_view host = address ? text.substr(colon + 1) : text;
  return (address && host.empty()) || is_port_range(host);
}

bool is_none(const Field& field, std::string_view text) {
  return field.or_none && text == "-1";
}

std::string integer_fault(const Field& field, std::string_view text, bool quoted) {
  if (quoted) return quote(text) + " should be a whole number, plain and without quotes";
  const auto number = parse_i64(text);
  if (!number) return quote(text) + " is not a whole number";
  if (*number >= field.least && *number <= field.most) return {};
  return std::string(text) + " is not from " + std::to_string(field.least) + " to " +
         std::to_string(field.most);
}

std::string choice_fault(const Field& field, std::string_view text) {
  const auto choices = choices_of(field);
  if (std::find(choices.begin(), choices.end(), text) != choices.end()) return {};
  constexpr std::string_view kContainer = "container:";
  const bool shares = field.type == Type::kShares;
  if (shares && text.starts_with(kContainer) && name_fault(text.substr(kContainer.size())).empty())
    return {};
  std::string words;
  for (std::size_t i = 0; i < choices.size(); ++i)
    words += (i == 0 ? "" : i + 1 == choices.size() ? " or " : ", ") + std::string(choices[i]);
  if (shares) words = "private, host or container:GUEST";
  return quote(text) + " should be " + words + near_words(text, choices);
}

// As --bandwidth: whole numbers from 8k to 1000G (network/wishes.hpp).
bool is_bits(std::string_view text) {
  constexpr std::uint64_t kLeast = 8000, kMost = 1'000'000'000'000;
  std::uint64_t unit = 1;
  if (!text.empty()) {
    const std::size_t place = std::string_view("kmg").find(static_cast<char>(text.back() | 0x20));
    if (place != std::string_view::npos) text.remove_suffix(1);
    for (std::size_t i = 0; place != std::string_view::npos && i <= place; ++i)
      unit *= 1000;
  }
  const auto number = parse_u64(text);
  return number && *number <= kMost / unit && *number * unit >= kLeast;
}

bool leads_up(std::string_view path) {
  const auto parts = split(path, '/');
  return std::find(parts.begin(), parts.end(), "..") != parts.end();
}

bool fits(Type type, std::string_view text, bool quoted) {
  switch (type) {
    case Type::kBool:
      return !quoted && (text == "true" || text == "false");
    case Type::kDecimal:
      return is_decimal(text);
    case Type::kSize:
    case Type::kRate:
      return parse_bytes(text).has_value();
    case Type::kBits:
      return is_bits(text);
    case Type::kDuration:
      return is_duration(text);
    case Type::kPath:
      return text.starts_with('/');
    case Type::kPort:
      return !quoted && is_port(text);
    case Type::kPublish:
      return is_publish(text);
    default:
      return true;
  }
}

}  // namespace

std::string near_words(std::string_view word, const std::vector<std::string_view>& known) {
  const auto near = nearest(word, known);
  return near ? ", did you mean " + std::string(*near) + "?" : "";
}

std::string name_fault(std::string_view name) {
  if (name.empty()) return "a name is empty";
  if (name.size() > 63) return quote(name) + " is longer than 63 letters";
  const bool good = (is_letter(name[0]) || is_digit(name[0])) &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '.';
                    });
  if (good) return {};
  return quote(name) + " is no name: letters, digits, '-', '_' and '.', a letter or digit first";
}

bool is_file_name(std::string_view name) {
  constexpr std::size_t kLongest = 255;
  return !name.empty() && name.size() <= kLongest && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos;
}

std::string value_fault(const Field& field, std::string_view text, bool quoted) {
  if (is_none(field, text) && !(quoted && field.type == Type::kInteger)) return {};
  if (field.type == Type::kChoice || field.type == Type::kShares) return choice_fault(field, text);
  if (field.type == Type::kInteger) return integer_fault(field, text, quoted);
  if (field.type == Type::kName) return name_fault(text);
  if (field.type == Type::kPath && text.starts_with('/') && leads_up(text)) {
    return quote(text) + " has '..' in it";
  }
  if (fits(field.type, text, quoted)) return {};
  const std::string_view words = type_words(field.type);
  if (field.type == Type::kBool) {
    const bool other = text == "yes" || text == "on" || text == "no" || text == "off" || quoted;
    return quote(text) + " should be true or false" + (other ? ", plain and without quotes" : "");
  }
  return quote(text) + " is not " + std::string(words);
}

}  // namespace vrun::manifest
