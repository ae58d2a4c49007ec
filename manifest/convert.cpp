#include "manifest/convert.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "manifest/yaml.hpp"

namespace vrun::manifest {
namespace {

std::vector<std::string> shell_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool inside = false;
  char open = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (open != 0) {
      if (c == open) {
        open = 0;
      } else if (c == '\\' && open == '"' && i + 1 < text.size()) {
        word += text[++i];
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      open = c;
      inside = true;
    } else if (c == '\\' && i + 1 < text.size()) {
      word += text[++i];
      inside = true;
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (inside) words.push_back(std::move(word));
      word.clear();
      inside = false;
    } else {
      word += c;
      inside = true;
    }
  }
  if (inside) words.push_back(std::move(word));
  return words;
}

bool is_kubernetes(const Node& document) {
  return document.find("kind") != nullptr && document.find("apiVersion") != nullptr;
}

// ---- where in the source a fault of the result comes from ----

const Node* node_at(const Node& node, const Place& place) {
  const auto is_here = [&](const Node& one) {
    return one.place.line == place.line && one.place.column == place.column;
  };
  if (node.is_scalar() && is_here(node)) return &node;
  for (const Node& item : node.items)
    if (const Node* found = node_at(item, place)) return found;
  for (const auto& [key, value] : node.entries) {
    if (is_here(key)) return &key;
    if (const Node* found = node_at(value, place)) return found;
  }
  return nullptr;
}

const Node* text_in(const Node& node, const std::string& text) {
  if (node.is_scalar()) return node.text == text ? &node : nullptr;
  for (const Node& item : node.items)
    if (const Node* found = text_in(item, text)) return found;
  for (const auto& [key, value] : node.entries) {
    if (const Node* found = text_in(value, text)) return found;
    if (key.text == text) return &key;
  }
  return nullptr;
}

// A service, volume or network of that name, or an object with it in its metadata.
const Node* object_named(const Node& document, const std::string& name) {
  const Node* metadata = document.find("metadata");
  if (metadata != nullptr && metadata->text_of("name") == name) return &document;
  for (const auto& [section, members] : document.entries) {
    if (!members.is_map()) continue;
    for (const auto& [key, value] : members.entries)
      if (key.text == name) return value.place.line > 0 ? &value : &key;
  }
  return nullptr;
}

// The same text in the object of the same name, or anywhere; or else that object; or the file.
Place source_of(const Place& place, std::span<const Node> result, std::span<const Node> sources) {
  const Node* at = nullptr;
  std::string name;
  for (const Node& document : result) {
    if (document.place.line > place.line) break;
    name = document.text_of("name");
    at = node_at(document, place);
  }
  const Node* object = nullptr;
  for (const Node& source : sources) {
    if (object == nullptr) object = object_named(source, name);
  }
  const Node* found = object != nullptr && at != nullptr ? text_in(*object, at->text) : nullptr;
  for (const Node& source : sources) {
    if (found == nullptr && at != nullptr) found = text_in(source, at->text);
  }
  if (found == nullptr) found = object;
  if (found == nullptr && !sources.empty()) found = &sources.front();
  return found != nullptr ? found->place : place;
}

// What we write must be what we read; what is wrong with it was wrong in the source.
Faults faults_of_result(const std::string& text, std::span<const Node> sources) {
  const std::vector<Source> result{{"the result", text}};
  Faults faults = read_manifest(result).faults;
  if (faults.empty()) return faults;
  Faults ignored;
  const std::vector<Node> documents = read_yaml(text, "the result", ignored);
  for (Fault& fault : faults)
    fault.place = source_of(fault.place, documents, sources);
  return faults;
}

}  // namespace

void Notes::add(const Node& at, const std::string& path, const std::string& why) {
  out_.push_back(Fault{at.place, path, why}.line());
}

void Notes::unknown(const Node& map, const std::string& path,
                    std::span<const std::string_view> known) {
  for (const auto& [key, value] : map.entries) {
    if (std::find(known.begin(), known.end(), key.text) == known.end())
      add(key, path + "." + key.text, "has no counterpart");
  }
}

std::vector<std::string> words_of(const Node* node) {
  std::vector<std::string> words;
  if (node == nullptr) return words;
  if (node->is_scalar()) return shell_words(node->text);
  for (const Node& item : node->items)
    words.push_back(item.text);
  return words;
}

Converted convert(std::span<const Source> sources) {
  Converted converted;
  std::vector<Node> objects, all;
  for (const Source& source : sources) {
    for (Node& document : read_yaml(source.text, source.name, converted.faults)) {
      all.push_back(document);
      if (is_kubernetes(document)) {
        objects.push_back(std::move(document));
      } else if (document.find("services") != nullptr) {
        converted.text += convert_compose(document, Notes(converted.notes));
      } else {
        converted.faults.push_back(
            {document.place, "",
             "is neither Compose (services) nor Kubernetes (apiVersion, kind)"});
      }
    }
  }
  if (!converted.faults.empty()) return converted;
  converted.text += convert_kubernetes(objects, Notes(converted.notes));
  if (converted.text.empty()) {
    converted.faults.push_back({{sources.empty() ? "" : sources[0].name, 0, 0},
                                "",
                                "has nothing that a manifest can say"});
    return converted;
  }
  converted.faults = faults_of_result(converted.text, all);
  return converted;
}

}  // namespace vrun::manifest
