#include "cli/table.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace vrun::cli {
namespace {

constexpr std::size_t kLeast = 12;
constexpr std::size_t kGap = 3;

// Characters, not bytes: continuation bytes of UTF-8 take no room.
std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

}  // namespace

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::vector<std::string>> cells;
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    auto& clean = cells.emplace_back();
    for (std::size_t i = 0; i < row.size(); ++i) {
      clean.push_back(printable(row[i]));
      if (widths.size() <= i) widths.push_back(kLeast);
      widths[i] = std::max(widths[i], width(clean.back()) + kGap);
    }
  }
  std::string out;
  for (const auto& row : cells) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths[i] - width(row[i]), ' ');
    }
    out += '\n';
  }
  return out;
}

}  // namespace vrun::cli
