// Lines of a manifest, as `export` writes them: YAML maps whose values are JSON, which is YAML.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json_writer.hpp"

namespace vrun::engine {

inline std::string quoted(const std::string& text) {
  json::Writer writer;
  writer.value(text);
  return writer.take();
}

// Lines of a YAML map, each "key: value" with JSON values (which are YAML).
class Lines {
 public:
  explicit Lines(std::string indent = "") : indent_(std::move(indent)) {}
  void text(std::string_view key, const std::string& value) {
    if (!value.empty()) raw(key, quoted(value));
  }
  // What is none is written as text: no value begins another line.
  void number(std::string_view key, const std::string& value) {
    const bool is_one = value.find_first_not_of("0123456789.-") == std::string::npos;
    if (!value.empty()) raw(key, is_one ? value : quoted(value));
  }
  void on(std::string_view key, bool value) {
    if (value) raw(key, "true");
  }
  void list(std::string_view key, const std::vector<std::string>& values) {
    if (values.empty()) return;
    json::Writer writer;
    writer.value(std::span<const std::string>(values));
    raw(key, writer.take());
  }
  void pairs(std::string_view key, const std::vector<std::string>& values) {
    Lines inner(indent_ + "  ");
    for (const std::string& pair : values) {
      const std::size_t sign = std::min(pair.find('='), pair.size());
      inner.raw(quoted(pair.substr(0, sign)),
                quoted(sign < pair.size() ? pair.substr(sign + 1) : ""));
    }
    group(key, inner);
  }
  void group(std::string_view key, const Lines& inner) {
    if (!inner.out_.empty()) out_ += indent_ + std::string(key) + ":\n" + inner.out_;
  }
  void raw(std::string_view key, const std::string& value) {
    out_ += indent_ + std::string(key) + ": " + value + "\n";
  }
  void block(const std::string& text) { out_ += text; }
  const std::string& take() const { return out_; }

 private:
  std::string indent_, out_;
};

// The first lines of an object.
inline Lines document(const char* kind, const std::string& name) {
  Lines lines;
  lines.block("---\n");
  lines.raw("apiVersion", "vrun/v1");
  lines.raw("kind", kind);
  lines.text("name", name);
  return lines;
}

// Each value of Lines is on one line, so this is all that it takes to put a map into another.
inline std::string indented(const std::string& text, const std::string& by) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at) + 1;
    out += by + text.substr(at, end - at);
    at = end;
  }
  return out;
}

}  // namespace vrun::engine
