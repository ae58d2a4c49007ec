// Writes JSON text. Calls must nest properly (checked by assertions in debug builds). Bytes that
// are not UTF-8 become U+FFFD, as in Go, so that the text is always valid JSON.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace vrun::json {

// kTabs: as runc writes a config; kSpaces: two for each level, as runc prints a state. Neither ends
// with a newline.
enum class Style { kCompact, kTabs, kSpaces };

class Writer {
 public:
  explicit Writer(Style style = Style::kCompact);
  Writer(Writer&&) noexcept;
  Writer& operator=(Writer&&) noexcept;
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer();

  Writer& begin_object();
  Writer& end_object();
  Writer& begin_array();
  Writer& end_array();
  Writer& key(std::string_view name);

  Writer& null();
  Writer& value(bool value);
  Writer& value(std::string_view text);
  Writer& value(const char* text) { return value(std::string_view(text)); }
  Writer& value(std::int64_t number);
  Writer& value(std::uint64_t number);
  Writer& value(int number) { return value(static_cast<std::int64_t>(number)); }
  Writer& value(unsigned number) { return value(static_cast<std::uint64_t>(number)); }
  Writer& value(double number);                       // must be finite
  Writer& value(std::span<const std::string> texts);  // a list

  template <typename T>
  Writer& member(std::string_view name, const T& content) {
    key(name);
    return value(content);
  }

  std::string take();  // the finished text

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vrun::json
