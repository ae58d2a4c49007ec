#include "manifest/schema.hpp"

#include <algorithm>

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

void write_texts(Writer& writer) {
  writer.member("type", "array").key("items").begin_object();
  write_any_text(writer);
  writer.end_object();
}

// No '=' in a name; for files also no '/' and not "." or "..", without lookahead, which not all
// have.
constexpr const char* kKeyPattern = "^[^=]+$";
constexpr const char* kFilePattern = "^(\\.?[^./=][^/=]*|\\.\\.[^/=]+)$";

void write_keys(Writer& writer, const char* pattern) {
  writer.key("propertyNames").begin_object().member("pattern", pattern).end_object();
}

void write_map(Writer& writer, const char* keys) {
  write_keys(writer, keys);
  writer.member("type", "object").key("additionalProperties").begin_object();
  write_any_text(writer);
  writer.end_object();
}

void write_map_or_list(Writer& writer) {
  writer.key("anyOf").begin_array().begin_object();
  write_map(writer, kKeyPattern);
  writer.end_object().begin_object().member("type", "array").key("items").begin_object();
  writer.member("type", "string").member("pattern", "^[^=]+=");
  writer.end_object().end_object().end_array();
}

// A text of that form, or a number, whose form a pattern does not judge.
void write_pattern(Writer& writer, const char* pattern, const char* number = "number",
                   std::int64_t least = 0) {
  writer.key("type").begin_array().value("string").value(number).end_array();
  writer.member("pattern", pattern).member("minimum", least);
}

// No ".." among its parts.
constexpr const char* kPathPattern = "^(/(\\.?|\\.?[^./][^/]*|\\.\\.[^/]+))+$";
// 1 to 65535.
#define VRUN_PORT \
  "0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
#define VRUN_PORTS VRUN_PORT "(-" VRUN_PORT ")?"
constexpr const char* kPublishPattern =
    "^((.*:)?(" VRUN_PORTS ")?:|" VRUN_PORTS ":)?" VRUN_PORTS "(/(tcp|udp))?$";
// From 8k to 1000G.
constexpr const char* kBitsPattern =
    "^0*([89][0-9]{3}|[1-9][0-9]{4,11}|10{12}|([89]|[1-9][0-9]{1,8}|10{9})[kK]|"
    "([1-9][0-9]{0,5}|10{6})[mM]|([1-9][0-9]{0,2}|1000)[gG])$";

void write_name(Writer& writer) {
  write_any_text(writer);
  writer.member("pattern", kNamePattern).member("minimum", std::int64_t{0});
}

void write_port(Writer& writer) {
  writer.member("type", "integer").member("minimum", 1).member("maximum", 65535);
}

void write_publish(Writer& writer) {
  write_pattern(writer, kPublishPattern, "integer", 1);
  writer.member("maximum", 65535);
}

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
      return write_pattern(writer, "^[0-9]{1,9}(\\.[0-9]{1,9})?$");
    case Type::kSize:
    case Type::kRate:
      return write_pattern(writer, "^([0-9]+[bB]?|[0-9]+(\\.[0-9]+)?[kKmMgGtTpP]([iI]?[bB])?)$",
                           "integer");
    case Type::kBits:
      write_pattern(writer, kBitsPattern, "integer", 8000);
      writer.member("maximum", std::int64_t{1'000'000'000'000});
      return;
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
      return write_name(writer);
    case Type::kPath:
      writer.member("type", "string").member("pattern", kPathPattern);
      return;
    case Type::kPort:
      return write_port(writer);
    case Type::kPublish:
      return write_publish(writer);
    case Type::kTexts:
      return write_texts(writer);
    case Type::kPublishes:
      writer.member("type", "array").key("items").begin_object();
      write_publish(writer);
      writer.end_object();
      return;
    case Type::kMap:
      return write_map(writer, kKeyPattern);
    case Type::kFileMap:
      return write_map(writer, kFilePattern);
    case Type::kMapOrList:
      return write_map_or_list(writer);
    case Type::kChoiceMap:
      write_keys(writer, kKeyPattern);
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
  write_name(writer);
  writer.end_object();
}

// Of a probe: exactly one of its ways.
void write_ways(Writer& writer, std::span<const Field> fields) {
  if (find_field(fields, "http") == nullptr) return;
  writer.key("oneOf").begin_array();
  for (const char* way : {"exec", "http", "tcp"}) {
    writer.begin_object().key("required").begin_array().value(way).end_array().end_object();
  }
  writer.end_array();
}

// Exactly one of two.
void write_alternatives(Writer& writer, std::span<const Field> fields) {
  const auto has_other = [](const Field& field) { return !field.unless.empty(); };
  if (std::none_of(fields.begin(), fields.end(), has_other)) return;
  writer.key("oneOf").begin_array();
  for (const Field& field : fields) {
    if (!has_other(field)) continue;
    writer.begin_object().key("required").begin_array().value(field.name).end_array().end_object();
  }
  writer.end_array();
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
  write_ways(writer, fields);
  write_alternatives(writer, fields);
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
