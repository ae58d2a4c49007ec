// Manifests as text, for convert: written line by line, values as JSON (which is YAML).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "manifest/node.hpp"

namespace vrun::manifest {

// A quoted text.
std::string quoted(std::string_view text);

// Trees in the making.
Node scalar(std::string text, bool quoted = true);
Node list_of(const std::vector<std::string>& texts);
Node map_node();
void put(Node& map, std::string key, Node value);
void put_text(Node& map, std::string key, const std::string& text);   // not when it is empty
void put_plain(Node& map, std::string key, const std::string& text);  // a number or switch
void put_list(Node& map, std::string key, const std::vector<std::string>& texts);

// A document with apiVersion, kind and name; the body's entries follow. Empty maps are left out.
std::string document(std::string_view kind, std::string_view name, const Node& body);

}  // namespace vrun::manifest
