#include "manifest/schema.hpp"

#include "base/json_writer.hpp"
#include "manifest/table.hpp"

namespace vrun::manifest {
namespace {

using json::Writer;

void write_fields(Writer& writer, std::span<const Field> fields, const KindRow* kind);

void write_choices(Writer& writer, const Field& field) {
  writer.key("enum").begin_array();
  for (const std::string_view choice : choices_of(field))
    writer.value(choice);
  writer.end_array();
}

// As the name of an object.
constexpr const char* kNamePattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";
constexpr const char* kJoinPattern = "^container:[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";

// YAML lets people leave the quotes away: a text may look like a number or a switch.
void write_any_text(Writer& writer) {
  writer.key("type").begin_array().value("string").value("number").value("boolean").end_array();
}

void write_list(Writer& writer, const char* pattern) {
  writer.member("type", "array").key("items").begin_object();
  write_any_text(writer);
  if (pattern != nullptr) writer.member("pattern", pattern);
  writer.end_object();
}

void write_map(Writer& writer) {
  writer.member("type", "object").key("additionalProperties").begin_object();
  write_any_text(writer);
  writer.end_object();
}

void write_map_or_list(Writer& writer) {
  writer.key("anyOf").begin_array().begin_object();
  write_map(writer);
  writer.end_object().begin_object();
  write_list(writer, "^[^=]+=");
  writer.end_object().end_array();
}

void write_pattern(Writer& writer, const char* pattern) {
  writer.key("type").begin_array().value("string").value("number").end_array();
  writer.member("pattern", pattern);
}

// No ".." among its parts, and no file of that name: without lookahead, which not all have.
constexpr const char* kPathPattern = "^(/(\\.?|\\.?[^./][^/]*|\\.\\.[^/]+))+$";
constexpr const char* kFilePattern = "^(\\.?[^./][^/]*|\\.\\.[^/]+)$";
constexpr const char* kPublishPattern = "^(.*:)?[0-9]+(-[0-9]+)?(/(tcp|udp))?$";

void write_type(Writer& writer, const Field& field) {
  switch (field.type) {
    case Type::kText:
      return write_any_text(writer);
    case Type::kBool:
      writer.member("type", "boolean");
      return;
    case Type::kInteger:
      writer.member("type", "integer").member("minimum", std::int64_t{field.least});
      writer.member("maximum", std::int64_t{field.most});
      return;
    case Type::kDecimal:
      return write_pattern(writer, "^[0-9]+(\\.[0-9]+)?$");
    case Type::kSize:
    case Type::kRate:
      return write_pattern(writer, "^[0-9]+(\\.[0-9]+)?([bB]|[kKmMgGtTpP]([iI]?[bB])?)?$");
    case Type::kBits:
      return write_pattern(writer, "^[0-9]+[kKmMgG]?$");
    case Type::kDuration:
      return write_pattern(writer, "^([0-9]+(\\.[0-9]+)?|([0-9]+(\\.[0-9]+)?(ms|s|m|h))+)$");
    case Type::kChoice:
      return write_choices(writer, field);
    case Type::kShares:
      writer.key("anyOf").begin_array().begin_object();
      write_choices(writer, field);
      writer.end_object().begin_object().member("type", "string").member("pattern", kJoinPattern);
      writer.end_object().end_array();
      return;
    case Type::kName:
      return write_pattern(writer, "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$");
    case Type::kPath:
      writer.member("type", "string").member("pattern", kPathPattern);
      return;
    case Type::kPort:
      writer.member("type", "integer").member("minimum", 1).member("maximum", 65535);
      return;
    case Type::kPublish:
      return write_pattern(writer, kPublishPattern);
    case Type::kTexts:
      return write_list(writer, nullptr);
    case Type::kPublishes:
      return write_list(writer, kPublishPattern);
    case Type::kMap:
      return write_map(writer);
    case Type::kFileMap:
      writer.key("propertyNames").begin_object().member("pattern", kFilePattern).end_object();
      return write_map(writer);
    case Type::kMapOrList:
      return write_map_or_list(writer);
    case Type::kChoiceMap:
      writer.member("type", "object").key("additionalProperties").begin_object();
      write_choices(writer, field);
      writer.end_object();
      return;
    case Type::kObject:
      return write_fields(writer, field.fields, nullptr);
    case Type::kObjects:
      writer.member("type", "array").key("items").begin_object();
      write_fields(writer, field.fields, nullptr);
      writer.end_object();
      return;
  }
}

void write_or_none(Writer& writer, const Field& field) {
  if (!field.or_none) return write_type(writer, field);
  writer.key("anyOf").begin_array().begin_object().key("enum").begin_array();
  writer.value(std::int64_t{-1});
  if (field.type != Type::kInteger) writer.value("-1");
  writer.end_array().end_object().begin_object();
  write_type(writer, field);
  writer.end_object().end_array();
}

void write_head(Writer& writer, const KindRow& kind) {
  writer.key("apiVersion").begin_object().member("const", kApiVersion).end_object();
  writer.key("kind").begin_object().member("const", kind.name).end_object();
  writer.key("name").begin_object();
  write_pattern(writer, "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$");
  writer.end_object();
}

void write_fields(Writer& writer, std::span<const Field> fields, const KindRow* kind) {
  writer.member("type", "object").member("additionalProperties", false);
  writer.key("properties").begin_object();
  if (kind != nullptr) write_head(writer, *kind);
  for (const Field& field : fields) {
    writer.key(field.name).begin_object().member("description", field.help);
    if (!field.fallback.empty() && field.type == Type::kChoice)
      writer.member("default", field.fallback);
    write_or_none(writer, field);
    writer.end_object();
  }
  writer.end_object();
  writer.key("required").begin_array();
  if (kind != nullptr) writer.value("apiVersion").value("kind").value("name");
  for (const Field& field : fields) {
    if (field.required) writer.value(field.name);
  }
  writer.end_array();
}

}  // namespace

std::string json_schema() {
  Writer writer(json::Style::kSpaces);
  writer.begin_object().member("$schema", "https://json-schema.org/draft/2020-12/schema");
  writer.member("title", "vrun manifest").key("oneOf").begin_array();
  for (const KindRow& kind : kinds()) {
    writer.begin_object().member("$ref", "#/$defs/" + std::string(kind.name)).end_object();
  }
  writer.end_array().key("$defs").begin_object();
  for (const KindRow& kind : kinds()) {
    writer.key(kind.name).begin_object().member("description", kind.help);
    write_fields(writer, kind.fields, &kind);
    writer.end_object();
  }
  writer.end_object().end_object();
  return writer.take() + "\n";
}

}  // namespace vrun::manifest
