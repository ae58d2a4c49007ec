#include "manifest/node.hpp"

#include "base/text.hpp"

namespace vrun::manifest {

std::string Fault::line() const {
  std::string out = printable(place.file);
  if (place.line > 0) out += ":" + std::to_string(place.line) + ":" + std::to_string(place.column);
  out += ": ";
  if (!path.empty()) out += printable(path) + ": ";
  return out + text;
}

const Node* Node::find(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    if (name.text == key) return &value;
  }
  return nullptr;
}

Node* Node::find(std::string_view key) {
  for (auto& [name, value] : entries) {
    if (name.text == key) return &value;
  }
  return nullptr;
}

std::string Node::text_of(std::string_view key) const {
  const Node* found = find(key);
  return found != nullptr && found->is_scalar() ? found->text : "";
}

const char* kind_words(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::kNull:
      return "nothing";
    case Node::Kind::kScalar:
      return "one value";
    case Node::Kind::kList:
      return "a list";
    case Node::Kind::kMap:
      return "a map";
  }
  return "";
}

}  // namespace vrun::manifest
