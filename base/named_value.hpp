// Tables of kernel constants by name, and the words for a name that is in none of them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.hpp"

namespace vrun {

struct NamedValue {
  std::string_view name;
  std::uint64_t value;
};

inline std::optional<std::uint64_t> find_value(std::span<const NamedValue> table,
                                               std::string_view name) {
  for (const NamedValue& row : table) {
    if (row.name == name) return row.value;
  }
  return std::nullopt;
}

inline std::vector<std::string> names_of(std::span<const NamedValue> table) {
  std::vector<std::string> names;
  names.reserve(table.size());
  for (const NamedValue& row : table)
    names.emplace_back(row.name);
  return names;
}

// "'CAP_KIL' is not a capability, did you mean 'CAP_KILL'?"
inline std::string unknown_name(std::span<const NamedValue> table, std::string_view name,
                                std::string_view what) {
  std::vector<std::string_view> names;
  names.reserve(table.size());
  for (const NamedValue& row : table)
    names.push_back(row.name);
  std::string text = quote(name) + " is not " + std::string(what);
  if (const auto near = nearest(name, names)) text += ", did you mean " + quote(*near) + "?";
  return text;
}

}  // namespace vrun
