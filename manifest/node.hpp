// A YAML document as a tree that knows where each value stands, and the faults found in it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vrun::manifest {

// Lines and columns count from 1; 0: no place of its own.
struct Place {
  std::string file;
  std::size_t line = 0, column = 0;
};

// One fault as a user reads it: "shop.yaml:7:3: guests.web.limits.memory: '5x' is no size".
struct Fault {
  Place place;
  std::string path, text;
  std::string line() const;
};
using Faults = std::vector<Fault>;

struct Entry;
struct Node {
  enum class Kind { kNull, kScalar, kList, kMap } kind = Kind::kNull;
  std::string text;     // kScalar
  bool quoted = false;  // kScalar: a text whatever it looks like
  Place place;
  std::vector<Node> items;     // kList
  std::vector<Entry> entries;  // kMap, in order; keys are scalars

  bool is_null() const { return kind == Kind::kNull; }
  bool is_scalar() const { return kind == Kind::kScalar; }
  bool is_list() const { return kind == Kind::kList; }
  bool is_map() const { return kind == Kind::kMap; }
  // The entry's value; nullptr when there is none or this is no map.
  const Node* find(std::string_view key) const;
  Node* find(std::string_view key);
  // The text of a scalar entry; empty for everything else.
  std::string text_of(std::string_view key) const;
};

struct Entry {
  Node first, second;
};

// "a list", "text"; for messages.
const char* kind_words(Node::Kind kind);

}  // namespace vrun::manifest
