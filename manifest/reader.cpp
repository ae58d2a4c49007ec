#include "manifest/reader.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "base/json_writer.hpp"
#include "base/text.hpp"
#include "manifest/references.hpp"
#include "manifest/settings.hpp"
#include "manifest/values.hpp"
#include "manifest/yaml.hpp"

namespace vrun::manifest {
namespace {

constexpr std::string_view kHead[] = {"apiVersion", "kind", "name"};

// A single value of the same rules as the elements of a list of them.
Field element_of(const Field& field) {
  Field element = field;
  element.type = field.type == Type::kPublishes   ? Type::kPublish
                 : field.type == Type::kChoiceMap ? Type::kChoice
                                                  : Type::kText;
  return element;
}

// Checks one tree by its rows.
class Checker {
 public:
  explicit Checker(Faults& faults) : faults_(faults) {}

  void object(const Node& node, std::span<const Field> fields, const std::string& path,
              bool is_document) {
    if (!node.is_map()) {
      return fault(node, path, std::string("should be a map, is ") + kind_words(node.kind));
    }
    std::vector<std::string_view> meant;  // by keys that are misspelt
    for (const auto& [key, value] : node.entries) {
      if (is_document && std::find(std::begin(kHead), std::end(kHead), key.text) != std::end(kHead))
        continue;
      const Field* field = find_field(fields, key.text);
      if (field == nullptr) {
        if (const auto near = unknown(key, fields, path, is_document)) meant.push_back(*near);
      } else if (!value.is_null()) {
        check(value, *field, path + "." + key.text);
      } else if (field->required || !field->unless.empty()) {
        fault(key, path + "." + key.text, "is empty");
      }
    }
    for (const Field& field : fields) {
      const bool misspelt = std::find(meant.begin(), meant.end(), field.name) != meant.end();
      if (field.required && !misspelt && node.find(field.name) == nullptr)
        fault(node, path, "field " + std::string(field.name) + " is missing");
    }
    check_alternatives(node, fields, meant, path);
  }

 private:
  // Fields of which exactly one is there.
  void check_alternatives(const Node& node, std::span<const Field> fields,
                          const std::vector<std::string_view>& meant, const std::string& path) {
    const auto is_there = [&](std::string_view name) {
      return node.find(name) != nullptr ||
             std::find(meant.begin(), meant.end(), name) != meant.end();
    };
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const Field& field = fields[i];
      const Field* const other = find_field(fields.first(i), field.unless);
      if (other == nullptr) continue;  // none, or both are said by the second
      if (!is_there(field.name) && !is_there(other->name))
        fault(node, path, "field " + std::string(other->name) + " is missing");
      const Node* const second = node.find(field.name);
      if (second != nullptr && node.find(other->name) != nullptr)
        fault(*second, path + "." + std::string(field.name),
              "there is " + std::string(other->name) + ", too: only one of the two can be");
    }
  }

  void fault(const Node& at, const std::string& path, std::string text) {
    faults_.push_back({at.place, path, std::move(text)});
  }

  // Answers the field that was meant, if there is one near it.
  std::optional<std::string_view> unknown(const Node& key, std::span<const Field> fields,
                                          const std::string& path, bool is_document) {
    std::vector<std::string_view> names;
    for (const Field& field : fields)
      names.push_back(field.name);
    if (is_document) names.insert(names.end(), std::begin(kHead), std::end(kHead));
    std::string text = "unknown field " + quote(key.text) + near_words(key.text, names);
    if (is_document && (key.text == "metadata" || key.text == "spec")) {
      text = "unknown field " + quote(key.text) +
             ": fields stand beside kind and name; `vrun convert` reads Kubernetes files";
    }
    fault(key, path, std::move(text));
    return nearest(key.text, names);
  }

  void wrong_kind(const Node& node, const Field& field, const std::string& path) {
    fault(node, path,
          "should be " + std::string(type_words(field.type)) + ", is " + kind_words(node.kind));
  }

  void single(const Node& node, const Field& field, const std::string& path) {
    if (!node.is_scalar()) return wrong_kind(node, field, path);
    std::string why = value_fault(field, node.text, node.quoted);
    if (!why.empty()) fault(node, path, std::move(why));
  }

  void list(const Node& node, const Field& field, const std::string& path) {
    if (!node.is_list()) return wrong_kind(node, field, path);
    const Field element = element_of(field);
    for (std::size_t i = 0; i < node.items.size(); ++i)
      single(node.items[i], element, path + "[" + std::to_string(i) + "]");
  }

  void map(const Node& node, const Field& field, const std::string& path) {
    if (!node.is_map()) return wrong_kind(node, field, path);
    const Field element = element_of(field);
    for (const auto& [key, value] : node.entries) {
      if (key.text.empty() || key.text.find('=') != std::string::npos) {
        fault(key, path, quote(key.text) + " cannot be a name here");
      } else if (field.type == Type::kFileMap && !is_file_name(key.text)) {
        fault(key, path, quote(key.text) + " is no name of a file: it may hold no '/'");
      } else {
        single(value, element, path + "." + key.text);
      }
    }
  }

  void variables(const Node& node, const Field& field, const std::string& path) {
    if (!node.is_list()) return map(node, field, path);
    list(node, field, path);
    std::map<std::string, bool> seen;
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const Node& item = node.items[i];
      const std::size_t sign = item.text.find('=');
      const std::string at = path + "[" + std::to_string(i) + "]";
      if (!item.is_scalar()) continue;
      if (sign == 0 || sign == std::string::npos) {
        fault(item, at, quote(item.text) + " is not NAME=VALUE");
      } else if (!seen.emplace(item.text.substr(0, sign), true).second) {
        fault(item, at, quote(item.text.substr(0, sign)) + " is here twice");
      }
    }
  }

  void check(const Node& node, const Field& field, const std::string& path) {
    switch (field.type) {
      case Type::kTexts:
      case Type::kPublishes:
        return list(node, field, path);
      case Type::kMap:
      case Type::kFileMap:
      case Type::kChoiceMap:
        return map(node, field, path);
      case Type::kMapOrList:
        return variables(node, field, path);
      case Type::kObject:
        object(node, field.fields, path, false);
        return probe(node, field, path);
      case Type::kObjects:
        if (!node.is_list()) return wrong_kind(node, field, path);
        for (std::size_t i = 0; i < node.items.size(); ++i)
          object(node.items[i], field.fields, path + "[" + std::to_string(i) + "]", false);
        return;
      default:
        return single(node, field, path);
    }
  }

  // Exactly one of exec, http and tcp.
  void probe(const Node& node, const Field& field, const std::string& path) {
    if (find_field(field.fields, "http") == nullptr || !node.is_map()) return;
    int ways = 0;
    for (const char* way : {"exec", "http", "tcp"})
      ways += node.find(way) != nullptr ? 1 : 0;
    if (ways != 1) fault(node, path, "should say one of exec, http and tcp");
  }

  Faults& faults_;
};

// ---- canonical JSON ----

void write_object(json::Writer& writer, const Node& node, std::span<const Field> fields);

void write_map(json::Writer& writer, const Node& node) {
  std::map<std::string, std::string> sorted;
  for (const auto& [key, value] : node.entries)
    sorted[key.text] = value.text;
  for (const Node& item : node.items) {
    const std::size_t sign = item.text.find('=');
    sorted[item.text.substr(0, sign)] = item.text.substr(sign + 1);
  }
  writer.begin_object();
  for (const auto& [key, value] : sorted)
    writer.member(key, value);
  writer.end_object();
}

void write_value(json::Writer& writer, const Node& node, const Field& field) {
  switch (field.type) {
    case Type::kBool:
      writer.value(node.text == "true");
      return;
    case Type::kInteger:
    case Type::kPort:
      writer.value(parse_i64(node.text).value_or(0));
      return;
    case Type::kTexts:
    case Type::kPublishes:
      writer.begin_array();
      for (const Node& item : node.items)
        writer.value(item.text);
      writer.end_array();
      return;
    case Type::kMap:
    case Type::kFileMap:
    case Type::kMapOrList:
    case Type::kChoiceMap:
      return write_map(writer, node);
    case Type::kObject:
      return write_object(writer, node, field.fields);
    case Type::kObjects:
      writer.begin_array();
      for (const Node& item : node.items)
        write_object(writer, item, field.fields);
      writer.end_array();
      return;
    default:
      writer.value(node.text);
  }
}

void write_object(json::Writer& writer, const Node& node, std::span<const Field> fields) {
  writer.begin_object();
  for (const Field& field : fields) {
    const Node* value = node.find(field.name);
    if (value == nullptr || value->is_null()) continue;
    writer.key(field.name);
    write_value(writer, *value, field);
  }
  writer.end_object();
}

// ---- documents ----

class Reader {
 public:
  explicit Reader(Manifest& manifest) : manifest_(manifest) {}

  void document(Node tree) {
    if (!tree.is_map()) {
      return fault(tree, "",
                   std::string("a document should be a map, is ") + kind_words(tree.kind));
    }
    if (is_foreign(tree)) return;
    check_version(tree);
    const Node* kind = tree.find("kind");
    if (kind == nullptr) return fault(tree, "", "field kind is missing");
    const KindRow* row = find_kind(kind->text);
    if (row == nullptr) {
      std::vector<std::string_view> names;
      for (const KindRow& one : kinds())
        names.push_back(one.name);
      return fault(*kind, "kind",
                   quote(kind->text) + " is unknown" + near_words(kind->text, names));
    }
    const Node* name = tree.find("name");
    const bool is_text = name != nullptr && name->is_scalar();
    std::string why = name == nullptr ? "field name is missing"
                      : is_text       ? name_fault(name->text)
                                      : "name should be text";
    if (!why.empty()) {
      fault(name == nullptr ? tree : *name, std::string(row->plural), std::move(why));
      return Checker(manifest_.faults).object(tree, row->fields, std::string(row->plural), true);
    }
    add({std::string(row->name), name->text, tree.place, std::move(tree), ""}, name->place);
  }

  void check_objects() {
    Checker checker(manifest_.faults);
    for (const Object& object : manifest_.objects)
      checker.object(object.tree, find_kind(object.kind)->fields, path_of(object), true);
  }

 private:
  void fault(const Node& at, const std::string& path, std::string text) {
    manifest_.faults.push_back({at.place, path, std::move(text)});
  }

  // One word for what is for somebody else; all that is wrong with it besides would be noise.
  bool is_foreign(const Node& tree) {
    const Node* version = tree.find("apiVersion");
    const Node* services = tree.find("services");
    const std::string way =
        ": `vrun convert -f " + printable(tree.place.file) + "` makes one of it";
    if (version == nullptr && tree.find("kind") == nullptr && services != nullptr) {
      fault(*services, "", "a Compose file is no manifest of vrun" + way);
      return true;
    }
    const bool is_ours = version != nullptr && version->text.starts_with("vrun");
    if (version == nullptr || is_ours || tree.find("metadata") == nullptr) return false;
    fault(*version, "apiVersion",
          quote(version->text) + ": a Kubernetes file is no manifest of vrun" + way);
    return true;
  }

  void check_version(const Node& tree) {
    const Node* version = tree.find("apiVersion");
    if (version == nullptr)
      return fault(tree, "", "field apiVersion is missing: " + std::string(kApiVersion));
    if (version->is_scalar() && version->text == kApiVersion) return;
    std::string text = quote(version->text) + " should be " + std::string(kApiVersion);
    if (version->text == "v1" || version->text == "apps/v1" || version->text == "batch/v1")
      text += "; `vrun convert` reads Kubernetes files";
    fault(*version, "apiVersion", std::move(text));
  }

  void add(Object object, const Place& name_place) {
    for (const Object& other : manifest_.objects) {
      if (other.kind != object.kind || other.name != object.name) continue;
      manifest_.faults.push_back({name_place, path_of(object),
                                  "is described twice, first in " + printable(other.place.file) +
                                      ":" + std::to_string(other.place.line)});
      return;
    }
    manifest_.objects.push_back(std::move(object));
  }

  Manifest& manifest_;
};

void sort_faults(Faults& faults) {
  std::stable_sort(faults.begin(), faults.end(), [](const Fault& a, const Fault& b) {
    return std::tie(a.place.file, a.place.line, a.place.column) <
           std::tie(b.place.file, b.place.line, b.place.column);
  });
}

}  // namespace

std::string path_of(const Object& object) {
  const KindRow* row = find_kind(object.kind);
  return std::string(row == nullptr ? "" : row->plural) + "." + object.name;
}

Manifest read_manifest(std::span<const Source> sources, std::span<const std::string> settings,
                       std::span<const std::string> known) {
  constexpr std::size_t kMostObjects = 5000;
  Manifest manifest;
  Reader reader(manifest);
  for (const Source& source : sources) {
    const std::size_t before = manifest.objects.size() + manifest.faults.size();
    for (Node& tree : read_yaml(source.text, source.name, manifest.faults)) {
      if (manifest.objects.size() >= kMostObjects) {
        manifest.faults.push_back({tree.place, "", "more than 5000 objects"});
        break;
      }
      reader.document(std::move(tree));
    }
    if (manifest.objects.size() + manifest.faults.size() == before)
      manifest.faults.push_back({{source.name, 0, 0}, "", "has no documents"});
  }
  apply_settings(manifest.objects, settings, manifest.faults);
  reader.check_objects();
  check_references(manifest.objects, known, manifest.faults);
  sort_faults(manifest.faults);
  if (!manifest.faults.empty()) return manifest;
  for (Object& object : manifest.objects) {
    json::Writer writer;
    write_object(writer, object.tree, find_kind(object.kind)->fields);
    object.spec = writer.take();
  }
  return manifest;
}

}  // namespace vrun::manifest
