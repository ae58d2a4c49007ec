#include "manifest/settings.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "manifest/values.hpp"
#include "manifest/yaml.hpp"

namespace vrun::manifest {
namespace {

struct Setting {
  std::string path, value;
};

class Setter {
 public:
  Setter(std::vector<Object>& objects, Faults& faults) : objects_(objects), faults_(faults) {}

  void set(const std::string& text) {
    const std::size_t sign = text.find('=');
    text_ = text;
    if (sign == std::string::npos || sign == 0) return fault("is not PATH=VALUE");
    path_ = text.substr(0, sign);
    std::string_view rest = path_;
    Object* object = find_object(rest);
    if (object == nullptr) return;
    Node value;
    if (!read_value(text.substr(sign + 1), value)) return;
    put(object->tree, rest, std::move(value));
  }

 private:
  void fault(const std::string& words) { faults_.push_back({{"--set " + text_, 0, 0}, "", words}); }

  Object* find_object(std::string_view& rest) {
    const std::size_t dot = rest.find('.');
    const std::string_view plural = rest.substr(0, dot);
    std::vector<std::string_view> plurals;
    for (const KindRow& row : kinds())
      plurals.push_back(row.plural);
    const auto row = std::find_if(kinds().begin(), kinds().end(),
                                  [&](const KindRow& k) { return k.plural == plural; });
    if (row == kinds().end()) {
      fault(quote(plural) + " is no kind" + near_words(plural, plurals));
      return nullptr;
    }
    rest.remove_prefix(std::min(dot, rest.size()));
    return find_named(*row, rest);
  }

  // Names may have dots: the longest that fits counts.
  Object* find_named(const KindRow& row, std::string_view& rest) {
    Object* best = nullptr;
    std::vector<std::string_view> names;
    for (Object& object : objects_) {
      if (object.kind != row.name) continue;
      names.push_back(object.name);
      const std::string prefix = "." + object.name + ".";
      if (rest.starts_with(prefix) && (best == nullptr || object.name.size() > best->name.size()))
        best = &object;
    }
    if (best != nullptr) {
      rest.remove_prefix(best->name.size() + 2);
      return best;
    }
    const std::string_view wanted = rest.empty() ? rest : rest.substr(1, rest.find('.', 1) - 1);
    fault("there is no " + std::string(row.name) + " " + quote(wanted) + " with a field behind it" +
          near_words(wanted, names));
    return nullptr;
  }

  bool read_value(const std::string& text, Node& value) {
    Faults wrong;
    std::vector<Node> read = read_yaml(text, "--set " + path_, wrong);
    for (Fault& one : wrong)
      fault("its value: " + one.text);
    if (!wrong.empty()) return false;
    if (read.size() > 1) {
      fault("its value is more than one document");
      return false;
    }
    if (read.size() == 1) value = std::move(read[0]);
    move_to(value);
    return true;
  }

  void move_to(Node& node) {
    node.place = {"--set " + path_, 0, 0};
    for (Node& item : node.items)
      move_to(item);
    for (auto& [key, value] : node.entries) {
      key.place = node.place;
      move_to(value);
    }
  }

  void put(Node& tree, std::string_view rest, Node value) {
    Node* at = &tree;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('.'), rest.size());
      std::string_view word = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      const std::size_t bracket = std::min(word.find('['), word.size());
      at = entry_of(*at, word.substr(0, bracket));
      word.remove_prefix(bracket);
      while (at != nullptr && !word.empty())
        at = item_of(*at, word);
      if (at == nullptr) return;
    }
    *at = std::move(value);
  }

  Node* entry_of(Node& node, std::string_view key) {
    if (key.empty()) {
      fault("a field without a name");
      return nullptr;
    }
    if (node.is_null()) node.kind = Node::Kind::kMap;
    if (!node.is_map()) {
      fault(quote(key) + " is looked for in what is " + kind_words(node.kind));
      return nullptr;
    }
    if (Node* found = node.find(key)) return found;
    Node name;
    name.kind = Node::Kind::kScalar;
    name.text = key;
    name.place = {"--set " + path_, 0, 0};
    Node value;
    value.place = name.place;
    node.entries.push_back({std::move(name), std::move(value)});
    return &node.entries.back().second;
  }

  Node* item_of(Node& node, std::string_view& word) {
    const std::size_t end = word.find(']');
    const bool closed = word[0] == '[' && end != std::string_view::npos;
    const auto index = parse_u64(closed ? word.substr(1, end - 1) : "");
    if (!index) {
      fault(quote(word) + " is no place of a list such as [0]");
      return nullptr;
    }
    word.remove_prefix(end + 1);
    if (node.is_null()) node.kind = Node::Kind::kList;
    if (!node.is_list() || *index > node.items.size()) {
      fault("the list has no place " + std::to_string(*index));
      return nullptr;
    }
    if (*index == node.items.size()) node.items.emplace_back();
    return &node.items[*index];
  }

  std::vector<Object>& objects_;
  Faults& faults_;
  std::string text_, path_;
};

}  // namespace

void apply_settings(std::vector<Object>& objects, std::span<const std::string> settings,
                    Faults& faults) {
  Setter setter(objects, faults);
  for (const std::string& setting : settings)
    setter.set(setting);
}

}  // namespace vrun::manifest
