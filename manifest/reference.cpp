#include "manifest/reference.hpp"

#include "manifest/table.hpp"

namespace vrun::manifest {
namespace {

std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text)
    out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

std::string type_cell(const Field& field) {
  std::string words(type_words(field.type));
  if (field.choices.empty()) return words;
  std::string choices;
  for (const std::string_view choice : choices_of(field))
    choices += (choices.empty() ? "`" : ", `") + std::string(choice) + "`";
  if (field.type == Type::kShares) return choices + ", `container:GUEST`";
  return field.type == Type::kChoice ? choices : "a map of names to " + choices;
}

void add_rows(std::string& out, std::span<const Field> fields, const std::string& prefix) {
  for (const Field& field : fields) {
    std::string notes;
    if (field.required) notes += "required";
    if (!field.unless.empty()) notes += "this or " + std::string(field.unless);
    if (field.live) notes += std::string(notes.empty() ? "" : ", ") + "live";
    out += "| `" + prefix + std::string(field.name) + "` | " + type_cell(field) + " | " +
           std::string(field.fallback) + " | " + notes + " | " + cell(field.help) + " |\n";
    const std::string list = field.type == Type::kObjects ? "[]." : ".";
    add_rows(out, field.fields, prefix + std::string(field.name) + list);
  }
}

}  // namespace

std::string reference_text() {
  std::string out;
  for (const KindRow& kind : kinds()) {
    out += (out.empty() ? "### " : "\n### ") + std::string(kind.name) + "\n\n" +
           std::string(kind.help) + "\n\n";
    out += "| field | what | default | | meaning |\n|---|---|---|---|---|\n";
    add_rows(out, kind.fields, "");
  }
  return out;
}

}  // namespace vrun::manifest
