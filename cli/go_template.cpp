#include "cli/go_template.hpp"

#include <algorithm>
#include <vector>

#include "base/text.hpp"
#include "cli/table.hpp"

namespace vrun::cli {
namespace {

constexpr std::string_view kOpen = "{{";
constexpr std::string_view kClose = "}}";

char small(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return small(x) == small(y); });
}

const json::Value* find_any_case(const json::Value& object, std::string_view key) {
  if (object.kind() != json::Kind::kObject) return nullptr;
  if (const json::Value* exact = object.find(key)) return exact;
  for (const json::Member& member : object.members()) {
    if (same_word(member.key.as_text(), key)) return &member.value;
  }
  return nullptr;
}

Error no_member(const json::Value& object, std::string_view path, std::string_view key) {
  std::vector<std::string_view> known;
  if (object.kind() == json::Kind::kObject) {
    for (const json::Member& member : object.members())
      known.push_back(member.key.as_text());
  }
  Error error(Code::kInvalid, "--format " + quote(path) + ": no member " + quote(key));
  const auto near = nearest(key, known);
  if (near) return std::move(error).hint("did you mean " + std::string(*near) + "?");
  if (known.empty()) return std::move(error).hint("--format json shows all members");
  const std::vector<std::string> names(known.begin(), known.end());
  return std::move(error).hint("there are: " + join(names, ", "));
}

Error not_understood(std::string_view action) {
  return Error(Code::kUnsupported,
               "--format: " + quote("{{" + std::string(action) + "}}") + " is not understood")
      .hint("{{.Path}}, {{json .Path}} and {{range .Path}}...{{end}} are; or --format json and jq");
}

Error unclosed(std::string_view what) {
  return Error(Code::kInvalid, "--format: " + quote(what) + " is not closed");
}

// One {{...}}: where it begins in the text, what stands in it, where the text goes on.
struct Action {
  std::size_t begin = 0, end = 0;
  std::string_view words;
};

Result<Action> next_action(std::string_view text, std::size_t from) {
  Action action;
  action.begin = text.find(kOpen, from);
  if (action.begin == std::string_view::npos) return Action{text.size(), text.size(), {}};
  const std::size_t close = text.find(kClose, action.begin);
  if (close == std::string_view::npos) return unclosed("{{");
  action.words = trim(text.substr(action.begin + 2, close - action.begin - 2));
  action.end = close + 2;
  return action;
}

bool begins_block(std::string_view words) {
  return words.starts_with("range ") || words.starts_with("if ") || words.starts_with("with ");
}

// The {{end}} of a block whose body begins at `from`.
Result<Action> end_of_block(std::string_view text, std::size_t from) {
  int depth = 1;
  while (true) {
    const Action action = TRY(next_action(text, from));
    if (action.begin == text.size()) return unclosed("{{range}}");
    if (begins_block(action.words)) ++depth;
    if (action.words == "end" && --depth == 0) return action;
    from = action.end;
  }
}

Result<void> fill(std::string_view text, const json::Value& dot, std::string& out);

Result<void> fill_range(std::string_view body, const json::Value& list, std::string& out) {
  if (list.kind() == json::Kind::kArray) {
    for (const json::Value& element : list.elements())
      TRY(fill(body, element, out));
  } else if (list.kind() == json::Kind::kObject) {
    for (const json::Member& member : list.members())
      TRY(fill(body, member.value, out));
  } else if (!list.is_null()) {
    return Error(Code::kInvalid, "--format: range needs a list");
  }
  return {};
}

Result<void> fill(std::string_view text, const json::Value& dot, std::string& out) {
  std::size_t at = 0;
  while (at < text.size()) {
    const Action action = TRY(next_action(text, at));
    out += text.substr(at, action.begin - at);
    at = action.end;
    if (action.begin == text.size()) break;
    const std::string_view words = action.words;
    constexpr std::string_view kJson = "json ", kRange = "range ";
    if (words.starts_with(kRange)) {
      const json::Value* list = TRY(member_at(dot, trim(words.substr(kRange.size()))));
      const Action end = TRY(end_of_block(text, at));
      TRY(fill_range(text.substr(at, end.begin - at), *list, out));
      at = end.end;
    } else if (words.starts_with(kJson)) {
      json::Writer writer;
      copy_value(*TRY(member_at(dot, trim(words.substr(kJson.size())))), writer);
      out += printable(writer.take());
    } else if (words.starts_with('.') && words.find_first_of(" |") == std::string_view::npos) {
      out += shown(*TRY(member_at(dot, words)));
    } else {
      return not_understood(words);
    }
  }
  return {};
}

std::string without_escapes(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape =
        text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == 't' || text[i + 1] == 'n');
    if (escape) {
      out += text[++i] == 't' ? '\t' : '\n';
    } else {
      out += text[i];
    }
  }
  return out;
}

std::vector<std::string> cells_of(std::string_view line) {
  const auto parts = split(line, '\t');
  return {parts.begin(), parts.end()};
}

// "{{.Names}}\t{{.Status}}": "NAMES", "STATUS".
Result<std::vector<std::string>> heading_of(std::string_view text) {
  std::string line;
  for (std::size_t at = 0; at < text.size();) {
    const Action action = TRY(next_action(text, at));
    line += text.substr(at, action.begin - at);
    at = action.end;
    const std::string_view words = action.words;
    for (const char c : words.substr(std::min(words.rfind('.') + 1, words.size())))
      line += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return cells_of(line);
}

}  // namespace

bool is_template(std::string_view text) {
  return text.find(kOpen) != std::string_view::npos;
}

Result<const json::Value*> member_at(const json::Value& root, std::string_view path) {
  const json::Value* value = &root;
  for (const std::string_view key : split(path, '.')) {
    if (key.empty()) continue;  // ".State" and "a.b" are both written
    const json::Value* inner = find_any_case(*value, key);
    if (inner == nullptr) return no_member(*value, path, key);
    value = inner;
  }
  return value;
}

std::string shown(const json::Value& value) {
  if (value.kind() == json::Kind::kString) return printable(value.as_text());
  json::Writer writer;
  copy_value(value, writer);
  return printable(writer.take());
}

void copy_value(const json::Value& from, json::Writer& to) {
  switch (from.kind()) {
    case json::Kind::kNull:
      to.null();
      break;
    case json::Kind::kBool:
      to.value(from.as_bool());
      break;
    case json::Kind::kUnsigned:
      to.value(from.as_unsigned());
      break;
    case json::Kind::kNegative:
      to.value(from.as_negative());
      break;
    case json::Kind::kReal:
      to.value(from.as_real());
      break;
    case json::Kind::kString:
      to.value(from.as_text());
      break;
    case json::Kind::kArray:
      to.begin_array();
      for (const json::Value& element : from.elements())
        copy_value(element, to);
      to.end_array();
      break;
    case json::Kind::kObject:
      to.begin_object();
      for (const json::Member& member : from.members()) {
        to.key(member.key.as_text());
        copy_value(member.value, to);
      }
      to.end_object();
      break;
  }
}

Result<std::string> fill_template(std::string_view text, const json::Value& root) {
  std::string out;
  TRY(fill(without_escapes(text), root, out));
  return out;
}

Result<std::string> fill_rows(std::string_view text, const json::Value& list) {
  constexpr std::string_view kTable = "table ";
  const bool as_table = text.starts_with(kTable);
  const std::string form = without_escapes(as_table ? text.substr(kTable.size()) : text);
  std::vector<std::vector<std::string>> rows;
  if (as_table) rows.push_back(TRY(heading_of(form)));
  std::string lines;
  for (const json::Value& element : list.elements()) {
    std::string line;
    TRY(fill(form, element, line));
    if (as_table) rows.push_back(cells_of(line));
    lines += line + "\n";
  }
  return as_table ? table(rows) : lines;
}

}  // namespace vrun::cli
