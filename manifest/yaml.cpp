#include "manifest/yaml.hpp"

#include <algorithm>
#include <exception>
#include <map>
#include <sstream>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "base/text.hpp"

namespace vrun::manifest {
namespace {

// Ends the parsing from within a handler; the fault has been added.
class Stop : public std::exception {};

// A handler that owns the tree in the making.
class Builder final : public YAML::EventHandler {
 public:
  Builder(const std::string& file, Faults& faults, const YamlLimits& limits)
      : file_(file), faults_(faults), limits_(limits) {}

  // The tree of the document that was read.
  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {
    anchors_.clear();
    open_.clear();
    root_ = Node();
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(make(mark, Node::Kind::kNull), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) stop(mark, "an alias of something that contains it");
    if (++aliases_ > limits_.aliases)
      stop(mark, "more than " + std::to_string(limits_.aliases) + " aliases");
    count(mark, found->second.size);
    if (open_.size() + found->second.depth > limits_.depth) too_deep(mark);
    add(found->second.node, 0);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node node = make(mark, Node::Kind::kScalar);
    node.text = value;
    node.quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    if (!node.quoted) check_tag(mark, tag);
    if (value.find('\0') != std::string::npos) stop(mark, "a text with a null byte");
    add(std::move(node), anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    check_tag(mark, tag);
    open(make(mark, Node::Kind::kList), anchor, mark);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    check_tag(mark, tag);
    open(make(mark, Node::Kind::kMap), anchor, mark);
  }
  void OnMapEnd() override { close(); }

  [[noreturn]] void stop(const YAML::Mark& mark, std::string text) {
    faults_.push_back({place_of(mark), "", std::move(text)});
    throw Stop();
  }
  Place place_of(const YAML::Mark& mark) const {
    return {file_, static_cast<std::size_t>(std::max(mark.line, 0)) + 1,
            static_cast<std::size_t>(std::max(mark.column, 0)) + 1};
  }

 private:
  struct Open {
    Node node;
    YAML::anchor_t anchor;
    bool has_key = false;
    Node key;
  };
  struct Anchor {
    Node node;
    std::size_t size, depth;
  };

  static std::size_t size_of(const Node& node) {
    std::size_t size = 1;
    for (const Node& item : node.items)
      size += size_of(item);
    for (const auto& [key, value] : node.entries)
      size += 1 + size_of(value);
    return size;
  }
  static std::size_t depth_of(const Node& node) {
    std::size_t depth = 0;
    for (const Node& item : node.items)
      depth = std::max(depth, depth_of(item));
    for (const auto& [key, value] : node.entries)
      depth = std::max(depth, depth_of(value));
    return depth + 1;
  }

  [[noreturn]] void too_deep(const YAML::Mark& mark) {
    stop(mark, "nested deeper than " + std::to_string(limits_.depth) + " levels");
  }
  void count(const YAML::Mark& mark, std::size_t more) {
    nodes_ += more;
    if (nodes_ > limits_.nodes)
      stop(mark, "more than " + std::to_string(limits_.nodes) + " values once aliases are spread");
  }
  void check_tag(const YAML::Mark& mark, const std::string& tag) {
    constexpr std::string_view kStandard = "tag:yaml.org,2002:";
    if (tag.empty() || tag == "?" || tag == "!" || tag.starts_with(kStandard)) return;
    stop(mark, "unknown tag " + quote(tag));
  }
  Node make(const YAML::Mark& mark, Node::Kind kind) {
    count(mark, 1);
    Node node;
    node.kind = kind;
    node.place = place_of(mark);
    return node;
  }
  void open(Node node, YAML::anchor_t anchor, const YAML::Mark& mark) {
    if (open_.size() >= limits_.depth) too_deep(mark);
    open_.push_back({std::move(node), anchor, false, {}});
  }
  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    if (done.node.is_map()) merge(done.node);
    add(std::move(done.node), done.anchor);
  }
  // "<<: *other": what is said here wins, then the first of a list (YAML 1.1 merge keys).
  void merge(Node& map) {
    const auto found = std::find_if(map.entries.begin(), map.entries.end(), [](const auto& entry) {
      return entry.first.text == "<<" && !entry.first.quoted;
    });
    if (found == map.entries.end()) return;
    const Node merged = std::move(found->second);
    map.entries.erase(found);
    const auto take = [&](const Node& from) {
      if (!from.is_map()) {
        faults_.push_back({from.place, "<<", "should be a map or a list of maps"});
        return;
      }
      for (const auto& entry : from.entries) {
        if (map.find(entry.first.text) == nullptr) map.entries.push_back(entry);
      }
    };
    if (!merged.is_list()) return take(merged);
    for (const Node& from : merged.items)
      take(from);
  }
  void add(Node node, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_.insert_or_assign(anchor, Anchor{node, size_of(node), depth_of(node)});
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& outer = open_.back();
    if (outer.node.is_list()) {
      outer.node.items.push_back(std::move(node));
    } else if (!outer.has_key) {
      take_key(outer, std::move(node));
    } else {
      add_entry(outer, std::move(node));
    }
  }
  void take_key(Open& outer, Node key) {
    if (!key.is_scalar()) {
      faults_.push_back({key.place, "", std::string("a key is ") + kind_words(key.kind)});
      key.text.clear();
    }
    outer.key = std::move(key);
    outer.has_key = true;
  }
  void add_entry(Open& outer, Node value) {
    outer.has_key = false;
    const auto& entries = outer.node.entries;
    // Linear, so bounded: a map of many thousand keys is no manifest.
    if (entries.size() >= 5000) {
      faults_.push_back({outer.key.place, "", "a map of more than 5000 keys"});
      throw Stop();
    }
    for (const auto& [key, old] : entries) {
      if (key.text != outer.key.text) continue;
      faults_.push_back({outer.key.place, "",
                         "key " + quote(key.text) + " stands here again, first in line " +
                             std::to_string(key.place.line)});
      return;
    }
    outer.node.entries.push_back({std::move(outer.key), std::move(value)});
  }

  const std::string& file_;
  Faults& faults_;
  const YamlLimits& limits_;
  Node root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Anchor> anchors_;
  std::size_t nodes_ = 0, aliases_ = 0;
};

// yaml-cpp's sentences in our form.
std::string in_small_letters(std::string text) {
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] + 32);
  return "not YAML: " + printable(text);
}

}  // namespace

std::vector<Node> read_yaml(std::string_view text, const std::string& file, Faults& faults,
                            const YamlLimits& limits) {
  std::vector<Node> documents;
  if (text.size() > limits.bytes) {
    faults.push_back(
        {{file, 0, 0}, "", "is larger than " + std::to_string(limits.bytes >> 20U) + " MiB"});
    return documents;
  }
  Builder builder(file, faults, limits);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
      Node root = builder.take();
      if (!root.is_null()) documents.push_back(std::move(root));
    }
  } catch (const Stop&) {
  } catch (const YAML::Exception& error) {
    faults.push_back({builder.place_of(error.mark), "", in_small_letters(error.msg)});
  } catch (const std::exception& error) {
    faults.push_back({{file, 0, 0}, "", in_small_letters(error.what())});
  }
  return documents;
}

}  // namespace vrun::manifest
