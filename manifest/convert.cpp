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
  std::vector<Node> objects;
  for (const Source& source : sources) {
    for (Node& document : read_yaml(source.text, source.name, converted.faults)) {
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
  // What we write must be what we read.
  const std::vector<Source> result{{"the result", converted.text}};
  converted.faults = read_manifest(result).faults;
  return converted;
}

}  // namespace vrun::manifest
