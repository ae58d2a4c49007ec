// Compose files and Kubernetes objects into manifests.
//
// What is understood becomes a document; what is not is a note with its place, never a silent loss.
// The result is read by the strict reader before it is handed out.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "manifest/node.hpp"
#include "manifest/reader.hpp"

namespace vrun::manifest {

struct Converted {
  std::string text;
  std::vector<std::string> notes;  // what is not carried over: "file:line:column: path: why"
  Faults faults;
};

Converted convert(std::span<const Source> sources);

// ---- the two kinds of sources ----

// Where notes are collected; knows which keys were used.
class Notes {
 public:
  explicit Notes(std::vector<std::string>& out) : out_(out) {}
  void add(const Node& at, const std::string& path, const std::string& why);
  // A note for each key of `map` that is not among `known`.
  void unknown(const Node& map, const std::string& path, std::span<const std::string_view> known);

 private:
  std::vector<std::string>& out_;
};

std::string convert_compose(const Node& root, Notes notes);
std::string convert_kubernetes(std::span<const Node> documents, Notes notes);

// The texts of a list, or the words of a text as a shell would split it.
std::vector<std::string> words_of(const Node* node);

}  // namespace vrun::manifest
