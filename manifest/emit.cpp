#include "manifest/emit.hpp"

#include "base/json_writer.hpp"

namespace vrun::manifest {
namespace {

bool is_empty(const Node& node) {
  return node.is_null() || (node.is_map() && node.entries.empty()) ||
         (node.is_list() && node.items.empty());
}

bool is_plain_key(std::string_view key) {
  for (const char c : key) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                      (c >= '0' && c <= '9') || c == '-' || c == '.';
    if (!good) return false;
  }
  return !key.empty() && ((key[0] >= 'a' && key[0] <= 'z') || (key[0] >= 'A' && key[0] <= 'Z')) &&
         key != "yes" && key != "no" && key != "on" && key != "off" && key != "null" &&
         key != "true" && key != "false" && key != "y" && key != "n";
}

std::string value_of(const Node& scalar_node) {
  return scalar_node.quoted ? quoted(scalar_node.text) : scalar_node.text;
}

void write(const Node& node, const std::string& indent, std::string& out);

void write_list(const Node& node, const std::string& indent, std::string& out) {
  for (const Node& item : node.items) {
    if (item.is_scalar()) {
      out += indent + "- " + value_of(item) + "\n";
      continue;
    }
    std::string inner;
    write(item, indent + "  ", inner);
    if (!inner.empty()) inner.replace(indent.size(), 2, "- ");
    out += inner;
  }
}

void write(const Node& node, const std::string& indent, std::string& out) {
  if (node.is_list()) return write_list(node, indent, out);
  for (const auto& [key, value] : node.entries) {
    if (is_empty(value)) continue;
    out += indent + (is_plain_key(key.text) ? key.text : quoted(key.text)) + ":";
    if (value.is_scalar()) {
      out += " " + value_of(value) + "\n";
    } else {
      out += "\n";
      write(value, indent + "  ", out);
    }
  }
}

}  // namespace

std::string quoted(std::string_view text) {
  json::Writer writer;
  writer.value(text);
  return writer.take();
}

Node scalar(std::string text, bool is_quoted) {
  Node node;
  node.kind = Node::Kind::kScalar;
  node.text = std::move(text);
  node.quoted = is_quoted;
  return node;
}

Node list_of(const std::vector<std::string>& texts) {
  Node node;
  node.kind = Node::Kind::kList;
  for (const std::string& text : texts)
    node.items.push_back(scalar(text));
  return node;
}

Node map_node() {
  Node node;
  node.kind = Node::Kind::kMap;
  return node;
}

void put(Node& map, std::string key, Node value) {
  map.kind = Node::Kind::kMap;
  map.entries.push_back({scalar(std::move(key)), std::move(value)});
}

void put_text(Node& map, std::string key, const std::string& text) {
  if (!text.empty()) put(map, std::move(key), scalar(text));
}

void put_plain(Node& map, std::string key, const std::string& text) {
  if (!text.empty()) put(map, std::move(key), scalar(text, false));
}

void put_list(Node& map, std::string key, const std::vector<std::string>& texts) {
  if (!texts.empty()) put(map, std::move(key), list_of(texts));
}

std::string document(std::string_view kind, std::string_view name, const Node& body) {
  std::string out =
      "---\napiVersion: vrun/v1\nkind: " + std::string(kind) + "\nname: " + quoted(name) + "\n";
  write(body, "", out);
  return out;
}

}  // namespace vrun::manifest
