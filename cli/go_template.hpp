// --format as scripts write it for Docker: text with {{.State.Status}} in it.
//
// What can stand between the braces: a path (".State.Status", "." alone), "json PATH", and
// "range PATH" ... "end" over a list or the members of an object. Everything else of Go's templates
// is refused by name, never printed as it stands. Names of members match whatever their case, so
// that Docker's names find ours. \t and \n are a tabulator and a new line, as for Docker.
#pragma once

#include <string>
#include <string_view>

#include "base/json.hpp"
#include "base/json_writer.hpp"
#include "base/result.hpp"

namespace vrun::cli {

// Has `text` such braces at all? ("json", "state.status" have none.)
bool is_template(std::string_view text);
Result<std::string> fill_template(std::string_view text, const json::Value& root);

// A document's member by a path such as "state.status"; unknown ones suggest the nearest.
Result<const json::Value*> member_at(const json::Value& root, std::string_view path);
// A text without quotes and control characters, anything else as JSON.
std::string shown(const json::Value& value);
void copy_value(const json::Value& from, json::Writer& to);

// "table {{.Names}}\t{{.Status}}": a table with a heading, a row for each element of `list`;
// without "table" a line for each.
Result<std::string> fill_rows(std::string_view text, const json::Value& list);

}  // namespace vrun::cli
