#include "seccomp/emit.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <optional>

#include <linux/seccomp.h>

namespace vrun::seccomp {
namespace {

// Numbers that differ from the range around them are tested one after the other, up to so many:
// each costs one instruction, where a range of its own costs two.
constexpr std::size_t kMaxPoints = 4;

// ---- the search tree ----

// Neighbouring ranges that are `base` but for some single numbers.
struct Group {
  std::size_t begin = 0, end = 0;  // ranges, end excluded
  NodeId base = 0;
  std::size_t points = 0;
};

class Search {
 public:
  Search(const Ranges& ranges, Nodes& nodes) : ranges_(ranges), nodes_(nodes) {}

  NodeId build() {
    choose_groups();
    return tree(0, groups_.size());
  }

 private:
  bool is_single(std::size_t i) const {
    return i + 1 < ranges_.size() ? ranges_[i + 1].first - ranges_[i].first == 1
                                  : ranges_[i].first == std::numeric_limits<std::uint32_t>::max();
  }

  // With `base` for all but the single ones: how many are those? None if a wide one differs.
  std::optional<std::size_t> points_with(std::size_t begin, std::size_t end, NodeId base) const {
    std::size_t points = 0;
    for (std::size_t i = begin; i < end; ++i) {
      if (ranges_[i].node == base) continue;
      if (!is_single(i) || ++points > kMaxPoints) return std::nullopt;
    }
    return points;
  }

  std::optional<Group> best_group(std::size_t begin, std::size_t end) const {
    std::optional<Group> best;
    for (std::size_t i = begin; i < end; ++i) {
      const auto points = points_with(begin, end, ranges_[i].node);
      if (points && (!best || *points < best->points))
        best = Group{begin, end, ranges_[i].node, *points};
    }
    return best;
  }

  // The division into groups with the fewest instructions: one for each point, one for each group.
  void choose_groups() {
    const std::size_t count = ranges_.size();
    std::vector<std::size_t> cost(count + 1, 0);
    std::vector<Group> choice(count);
    for (std::size_t begin = count; begin-- > 0;) {
      cost[begin] = std::numeric_limits<std::size_t>::max();
      const std::size_t furthest = std::min(count, begin + 2 * kMaxPoints + 1);
      for (std::size_t end = begin + 1; end <= furthest; ++end) {
        const auto group = best_group(begin, end);
        if (!group || group->points + 1 + cost[end] >= cost[begin]) continue;
        cost[begin] = group->points + 1 + cost[end];
        choice[begin] = *group;
      }
    }
    for (std::size_t i = 0; i < count; i = choice[i].end)
      groups_.push_back(choice[i]);
  }

  NodeId jump(std::uint16_t op, std::uint32_t k, NodeId yes, NodeId no) {
    if (yes == no) return yes;
    return nodes_.add({static_cast<std::uint16_t>(BPF_JMP | op | BPF_K), k, yes, no});
  }

  NodeId tree(std::size_t begin, std::size_t end) {
    if (end - begin == 1) return chain(groups_[begin]);
    const std::size_t middle = begin + (end - begin) / 2;
    const NodeId high = tree(middle, end);
    const NodeId low = tree(begin, middle);
    return jump(BPF_JGE, ranges_[groups_[middle].begin].first, high, low);
  }

  NodeId chain(const Group& group) {
    std::vector<Range> points;
    for (std::size_t i = group.begin; i < group.end; ++i) {
      if (ranges_[i].node != group.base) points.push_back(ranges_[i]);
    }
    // this machine's own architecture is asked for first
    std::stable_partition(points.begin(), points.end(),
                          [](const Range& point) { return point.first == seccomp_arch_native(); });
    NodeId node = group.base;
    for (auto point = points.rbegin(); point != points.rend(); ++point)
      node = jump(BPF_JEQ, point->first, point->node, node);
    return node;
  }

  const Ranges& ranges_;
  Nodes& nodes_;
  std::vector<Group> groups_;
};

NodeId load_and_search(std::uint32_t offset, const Ranges& ranges, Nodes& nodes) {
  const NodeId tree = Search(ranges, nodes).build();
  if (ranges.size() == 1) return tree;  // nothing to look at
  return nodes.add({BPF_LD | BPF_W | BPF_ABS, offset, tree, 0});
}

// ---- layout ----

// BPF jumps only forward, and conditional ones at most 255 instructions far. So the code is laid
// down from its end: whatever is jumped to is there already, and too far a target gets a stepping
// stone, a copy of a return or an unconditional jump.
class Layout {
 public:
  explicit Layout(const Nodes& nodes) : nodes_(nodes), position_(nodes.size(), kNowhere) {}

  Program run(NodeId root) {
    place(root);
    std::reverse(code_.begin(), code_.end());
    return std::move(code_);
  }

 private:
  static constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t kReach = 255;

  static bool is_return(const Node& node) { return BPF_CLASS(node.code) == BPF_RET; }

  void put(NodeId id, sock_filter instruction) {
    position_[id] = code_.size();
    code_.push_back(instruction);
  }

  // Instructions between the next one to be put and the node.
  std::size_t distance(NodeId id) const { return code_.size() - position_[id] - 1; }

  void step_to(NodeId id) {
    const Node node = nodes_[id];
    if (is_return(node)) {
      put(id, {node.code, 0, 0, node.k});
    } else {
      put(id, {BPF_JMP | BPF_JA, 0, 0, static_cast<std::uint32_t>(distance(id))});
    }
  }

  void place(NodeId id) {
    if (position_[id] != kNowhere) return;
    const Node node = nodes_[id];
    if (is_return(node)) {
      put(id, {node.code, 0, 0, node.k});
    } else if (BPF_CLASS(node.code) == BPF_JMP) {
      place_jump(id, node);
    } else {
      place(node.yes);
      if (distance(node.yes) != 0) step_to(node.yes);
      put(id, {node.code, 0, 0, node.k});
    }
  }

  void place_jump(NodeId id, const Node& node) {
    place(node.yes);
    place(node.no);
    // a stone for one may push the other out of reach
    while (distance(node.yes) > kReach || distance(node.no) > kReach)
      step_to(distance(node.yes) > kReach ? node.yes : node.no);
    put(id, {node.code, static_cast<std::uint8_t>(distance(node.yes)),
             static_cast<std::uint8_t>(distance(node.no)), node.k});
  }

  const Nodes& nodes_;
  std::vector<std::size_t> position_;
  Program code_;  // the last instruction first
};

}  // namespace

Program emit(const Decisions& decisions, Nodes& nodes) {
  Ranges archs;
  for (const ArchRange& arch : decisions)
    archs.push_back({arch.first, load_and_search(offsetof(seccomp_data, nr), arch.calls, nodes)});
  const NodeId root = load_and_search(offsetof(seccomp_data, arch), archs, nodes);
  return Layout(nodes).run(root);
}

}  // namespace vrun::seccomp
