// Pieces of BPF code as a graph in which equal pieces are one node.
//
// A node is an instruction with what follows it; two nodes are equal exactly if they do the same,
// instruction by instruction. So "the same behaviour" is a comparison of two numbers.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

namespace vrun::seccomp {

using NodeId = std::uint32_t;

struct Node {
  std::uint16_t code = 0;  // as in struct sock_filter
  std::uint32_t k = 0;
  NodeId yes = 0;  // jumps: taken; other instructions: the next one; returns: unused
  NodeId no = 0;   // jumps only
  auto operator<=>(const Node&) const = default;
};

class Nodes {
 public:
  NodeId add(const Node& node) {
    const auto [at, is_new] = ids_.try_emplace(node, static_cast<NodeId>(nodes_.size()));
    if (is_new) nodes_.push_back(node);
    return at->second;
  }
  // By value: a reference would not survive the next add().
  Node operator[](NodeId id) const { return nodes_[id]; }
  std::size_t size() const { return nodes_.size(); }

 private:
  std::vector<Node> nodes_;
  std::map<Node, NodeId> ids_;
};

}  // namespace vrun::seccomp
