#include "cgroups/stats_parse.hpp"

#include <charconv>
#include <limits>

#include "base/text.hpp"

namespace vrun::cgroups {
namespace {

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> found;
  for (std::string_view word : split(line, ' ')) {
    if (!word.empty()) found.push_back(word);
  }
  return found;
}

std::optional<std::pair<std::string_view, std::string_view>> key_value(std::string_view word) {
  std::size_t equals = word.find('=');
  if (equals == std::string_view::npos || equals == 0) return std::nullopt;
  return std::pair(word.substr(0, equals), word.substr(equals + 1));
}

// Percentages such as "1.53": std::from_chars for doubles takes them without a locale.
double percentage(std::string_view text) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool fits =
      error == std::errc() && end == text.data() + text.size() && value >= 0 && value <= 100;
  return fits ? value : 0;
}

bool parse_pressure_line(std::string_view line, Pressure& pressure) {
  bool any = false;
  for (std::string_view word : words(line)) {
    auto pair = key_value(word);
    if (!pair) continue;
    any = true;
    if (pair->first == "avg10") pressure.avg10 = percentage(pair->second);
    if (pair->first == "avg60") pressure.avg60 = percentage(pair->second);
    if (pair->first == "avg300") pressure.avg300 = percentage(pair->second);
    if (pair->first == "total") pressure.total_us = parse_u64(pair->second).value_or(0);
  }
  return any;
}

}  // namespace

std::optional<std::uint64_t> parse_single(std::string_view text) {
  std::string_view word = trim(text);
  if (word == "max") return std::numeric_limits<std::uint64_t>::max();
  return parse_u64(word);
}

std::map<std::string, std::uint64_t> parse_flat_keyed(std::string_view text) {
  std::map<std::string, std::uint64_t> values;
  for (std::string_view line : split(text, '\n')) {
    std::vector<std::string_view> parts = words(line);
    if (parts.size() != 2) continue;
    if (std::optional<std::uint64_t> value = parse_single(parts[1])) {
      values[std::string(parts[0])] = *value;
    }
  }
  return values;
}

std::vector<NestedLine> parse_nested_keyed(std::string_view text) {
  std::vector<NestedLine> lines;
  for (std::string_view line : split(text, '\n')) {
    std::vector<std::string_view> parts = words(line);
    if (parts.empty()) continue;
    NestedLine nested{std::string(parts[0]), {}};
    for (std::size_t i = 1; i < parts.size(); ++i) {
      auto pair = key_value(parts[i]);
      if (!pair) continue;
      if (std::optional<std::uint64_t> value = parse_single(pair->second)) {
        nested.values[std::string(pair->first)] = *value;
      }
    }
    lines.push_back(std::move(nested));
  }
  return lines;
}

std::optional<PressureStall> parse_pressure(std::string_view text) {
  PressureStall stall;
  bool any = false;
  for (std::string_view line : split(text, '\n')) {
    if (line.starts_with("some ")) any |= parse_pressure_line(line, stall.some);
    if (line.starts_with("full ")) any |= parse_pressure_line(line, stall.full);
  }
  if (!any) return std::nullopt;
  return stall;
}

std::optional<std::pair<std::uint64_t, std::uint64_t>> parse_device(std::string_view text) {
  std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::optional<std::uint64_t> major = parse_u64(text.substr(0, colon));
  std::optional<std::uint64_t> minor = parse_u64(text.substr(colon + 1));
  if (!major || !minor) return std::nullopt;
  return std::pair(*major, *minor);
}

std::vector<BlkioEntry> parse_blkio(std::string_view text) {
  std::vector<BlkioEntry> entries;
  for (std::string_view line : split(text, '\n')) {
    std::vector<std::string_view> parts = words(line);
    if (parts.size() != 3) continue;
    auto device = parse_device(parts[0]);
    std::optional<std::uint64_t> value = parse_u64(parts[2]);
    if (!device || !value || parts[1] == "Total") continue;
    entries.push_back({device->first, device->second, std::string(parts[1]), *value});
  }
  return entries;
}

}  // namespace vrun::cgroups
