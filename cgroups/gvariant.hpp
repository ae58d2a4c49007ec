// Values of unit properties in GVariant text form ("uint64 5", "['a', 'b']"), as annotations
// org.systemd.property.* carry them and as the systemd helper is told them.
//
// Of the grammar: booleans, numbers with and without a type word, strings, byte strings, arrays,
// tuples, variants, dictionaries and @type annotations; no maybe types, which D-Bus lacks. Foreign
// bytes: depth and length are bounded.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vrun::cgroups {

// A D-Bus value. Scalars have `text` (numbers in decimal, "true"/"false", strings as they are);
// containers have `items` (a dictionary entry has two).
struct BusValue {
  std::string signature;
  std::string text;
  std::vector<BusValue> items;
  bool operator==(const BusValue&) const = default;
};

Result<BusValue> parse_gvariant(std::string_view text);
// A text that parses to the same value whatever its type.
std::string to_gvariant(const BusValue& value);

// Makers for what we say ourselves.
BusValue bus_u64(std::uint64_t value);
BusValue bus_bool(bool value);
BusValue bus_string(std::string value);
BusValue bus_array(std::string element_signature, std::vector<BusValue> items);

// Length of the first complete type of a signature; 0 if it is none.
std::size_t complete_type(std::string_view signature);

}  // namespace vrun::cgroups
