// Single values of a manifest: what a text must look like to be a size, a time, a port ...
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "manifest/table.hpp"

namespace vrun::manifest {

// Why `text` is none of the field's type: "'5x' is no size such as 64m"; empty: it is one. Only for
// the types of a single value.
std::string value_fault(const Field& field, std::string_view text, bool quoted);

// One name in a directory: no '/', not '.' or '..', at most 255 bytes.
bool is_file_name(std::string_view name);
// Why this is no name of an object; empty: it is one.
std::string name_fault(std::string_view name);

// ", did you mean x?" when something is near, else nothing.
std::string near_words(std::string_view word, const std::vector<std::string_view>& known);

}  // namespace vrun::manifest
