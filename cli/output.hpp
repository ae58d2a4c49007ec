// What everyday verbs print, in one place: rows as a table, documents as JSON or YAML, filters.
//
// Nothing here prints: texts are answered. Control characters of values never come out raw,
// whatever the form: a guest chooses many of the values, and a terminal would obey them.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "cli/options.hpp"

namespace vrun::cli {

enum class Form { kTable, kJson, kYaml };
// --format: table, json or yaml.
Result<Form> form_of(const Arguments& arguments);

// A JSON text (of json::Writer) as that form; kTable is taken for kJson. Ends with a newline.
Result<std::string> document(Form form, std::string json);

// Block style; texts that YAML could take for something else are quoted. No newline where the
// document is empty.
std::string to_yaml(const json::Value& value);

// --filter NAME=VALUE, given again and again.
class Filters {
 public:
  // An unknown name is an error with the nearest known one.
  static Result<Filters> parse(const std::vector<std::string>& texts,
                               std::span<const std::string_view> known);
  // Filters of one name are alternatives; of different names, all hold.
  using Match = std::function<bool(std::string_view name, std::string_view value)>;
  bool hold(const Match& match) const;

 private:
  struct One {
    std::string name, value;
  };
  std::vector<One> all_;
};

// "1.5MiB": in binary units, as limits are given.
std::string binary_size(std::uint64_t bytes);
// "12.35%", two digits after the point.
std::string percent(double value);

}  // namespace vrun::cli
