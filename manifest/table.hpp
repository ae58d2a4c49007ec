// The kinds of objects and their fields as plain data. The strict reader, the JSON Schema and the
// reference documentation are made from these rows; a field that is not here does not exist.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace vrun::manifest {

enum class Type {
  kText,
  kBool,
  kInteger,
  kDecimal,   // 0.5, 2
  kSize,      // 64m, 2GiB
  kDuration,  // 500ms, 1m30s; a number alone is seconds
  kRate,      // bytes a second: 10m, 100M
  kBits,      // bits a second, decimal: 100M
  kChoice,    // one of `choices`
  kShares,    // one of `choices`, or container:GUEST
  kName,      // of an object: letters, digits, '-', '_', '.'
  kPath,      // absolute, without '..'
  kPort,      // 1 to 65535
  kPublish,   // [[ADDRESS:]HOST:]INSIDE[/PROTOCOL]
  kTexts,     // a list of texts
  kPublishes,
  kMap,        // name: text
  kFileMap,    // name of a file: text
  kMapOrList,  // name: text, or a list of NAME=TEXT
  kChoiceMap,  // name: one of `choices`
  kObject,     // of `fields`
  kObjects,    // a list of objects of `fields`
};

struct Field {
  std::string_view name;
  Type type;
  std::string_view help;
  bool required = false;
  bool live = false;  // a change never restarts a guest
  std::string_view fallback = {};
  std::string_view choices = {};  // "a|b|c"
  std::span<const Field> fields = {};
  long least = 0, most = 1000000000;  // kInteger
  bool or_none = false;               // -1: no bound
  std::string_view unless = {};       // required, or that one: exactly one of the two
};

struct KindRow {
  std::string_view name;    // "Guest"
  std::string_view plural;  // "guests": how paths and --set call them
  std::string_view help;
  std::span<const Field> fields;
};

inline constexpr std::string_view kApiVersion = "vrun/v1";

std::span<const KindRow> kinds();
const KindRow* find_kind(std::string_view name);
const Field* find_field(std::span<const Field> fields, std::string_view name);
std::vector<std::string_view> choices_of(const Field& field);
// "text", "size such as 64m"; for messages and the reference.
std::string_view type_words(Type type);

}  // namespace vrun::manifest
