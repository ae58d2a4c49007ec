#include "cli/output.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/json_writer.hpp"
#include "base/text.hpp"

namespace vrun::cli {
namespace {

// JSON leaves DEL and the C1 controls as they are; terminals act on them.
std::string without_controls(const std::string& json) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const auto byte = static_cast<unsigned char>(json[i]);
    const auto next = static_cast<unsigned char>(i + 1 < json.size() ? json[i + 1] : '\0');
    if (byte == 0x7F) {
      out += "\\u007f";
    } else if (byte == 0xC2 && next >= 0x80 && next < 0xA0) {
      out += "\\u00";
      out += kHex[next >> 4U];
      out += kHex[next & 15U];
      ++i;
    } else {
      out += json[i];
    }
  }
  return out;
}

// A JSON string is a double-quoted YAML string (YAML 1.2, 1.2.1).
std::string quoted(std::string_view text) {
  json::Writer writer;
  writer.value(text);
  return without_controls(writer.take());
}

// Words that no YAML reader, old or new, takes for anything but text.
bool is_plain(std::string_view text) {
  constexpr std::array<std::string_view, 10> kMeant{"null", "true", "false", "yes", "no",
                                                    "on",   "off",  "y",     "n",   "nan"};
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (text.empty() || !(letter(text[0]) || text[0] == '/')) return false;
  std::string small;
  for (const char c : text) {
    if (!letter(c) && !(c >= '0' && c <= '9') && std::string_view("/_.-").find(c) == text.npos) {
      return false;
    }
    small += letter(c) ? static_cast<char>(c | 0x20) : c;
  }
  return std::find(kMeant.begin(), kMeant.end(), small) == kMeant.end();
}

std::string scalar(const json::Value& value) {
  switch (value.kind()) {
    case json::Kind::kNull:
      return "null";
    case json::Kind::kBool:
      return value.as_bool() ? "true" : "false";
    case json::Kind::kUnsigned:
      return std::to_string(value.as_unsigned());
    case json::Kind::kNegative:
      return std::to_string(value.as_negative());
    case json::Kind::kReal: {
      json::Writer writer;
      writer.value(value.as_real());
      return writer.take();
    }
    case json::Kind::kString:
      return is_plain(value.as_text()) ? std::string(value.as_text()) : quoted(value.as_text());
    case json::Kind::kArray:
      return "[]";
    case json::Kind::kObject:
      return "{}";
  }
  return "null";
}

bool is_block(const json::Value& value) {
  if (value.kind() == json::Kind::kArray) return !value.elements().empty();
  return value.kind() == json::Kind::kObject && !value.members().empty();
}

void write_block(const json::Value& value, std::size_t depth, std::string& out) {
  const std::string indent(depth * 2, ' ');
  if (value.kind() == json::Kind::kObject) {
    for (const json::Member& member : value.members()) {
      out += indent + scalar(member.key) + ":";
      if (is_block(member.value)) {
        out += "\n";
        write_block(member.value, depth + 1, out);
      } else {
        out += " " + scalar(member.value) + "\n";
      }
    }
    return;
  }
  for (const json::Value& element : value.elements()) {
    if (!is_block(element)) {
      out += indent + "- " + scalar(element) + "\n";
      continue;
    }
    // "- a: 1" with the rest of the element below its first key.
    std::string inner;
    write_block(element, depth + 1, inner);
    inner[depth * 2] = '-';
    out += inner;
  }
}

}  // namespace

Result<Form> form_of(const Arguments& arguments) {
  const std::string text = arguments.text("format");
  constexpr std::array<std::string_view, 3> kForms{"table", "json", "yaml"};
  if (text == "table") return Form::kTable;
  if (text == "json") return Form::kJson;
  if (text == "yaml") return Form::kYaml;
  Error error(Code::kInvalid, "--format " + quote(text) + ": unknown");
  const auto near = nearest(text, kForms);
  if (near) return std::move(error).hint("did you mean " + std::string(*near) + "?");
  return std::move(error).hint("there are: table, json, yaml");
}

std::string to_yaml(const json::Value& value) {
  if (!is_block(value)) return scalar(value) + "\n";
  std::string out;
  write_block(value, 0, out);
  return out;
}

Result<std::string> document(Form form, std::string json) {
  if (form != Form::kYaml) return without_controls(json) + "\n";
  const json::Document parsed = TRY(json::Document::parse(json, "output"));
  return to_yaml(parsed.root());
}

Result<Filters> Filters::parse(const std::vector<std::string>& texts,
                               std::span<const std::string_view> known) {
  Filters filters;
  for (const std::string& text : texts) {
    const std::size_t sign = text.find('=');
    if (sign == std::string::npos) {
      return Error(Code::kInvalid, "--filter " + quote(text) + ": not NAME=VALUE");
    }
    const std::string name = text.substr(0, sign);
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      Error error(Code::kInvalid, "--filter " + quote(text) + ": unknown");
      const auto near = nearest(name, known);
      if (near) return std::move(error).hint("did you mean " + std::string(*near) + "?");
      const std::vector<std::string> names(known.begin(), known.end());
      return std::move(error).hint("there are: " + join(names, ", "));
    }
    filters.all_.push_back({name, text.substr(sign + 1)});
  }
  return filters;
}

bool Filters::hold(const Match& match) const {
  return std::all_of(all_.begin(), all_.end(), [&](const One& one) {
    return std::any_of(all_.begin(), all_.end(), [&](const One& other) {
      return other.name == one.name && match(other.name, other.value);
    });
  });
}

std::string binary_size(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 48> text{};
  const char* form = unit == 0     ? "%.0f%s"
                     : value < 10  ? "%.2f%s"
                     : value < 100 ? "%.1f%s"
                                   : "%.0f%s";
  std::snprintf(text.data(), text.size(), form, value, kUnits[unit]);
  return text.data();
}

std::string percent(double value) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.2f%%", value);
  return text.data();
}

}  // namespace vrun::cli
