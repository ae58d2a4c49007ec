#include "base/json_writer.hpp"

#include <rapidjson/encodings.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/writer.h>

namespace vrun::json {
namespace {

// RapidJSON's idea of an output stream, on a std::string.
struct Sink {
  using Ch = char;
  std::string text;
  void Put(char c) { text += c; }  // NOLINT(readability-identifier-naming): RapidJSON's name
  void Flush() {}                  // NOLINT(readability-identifier-naming)
};

// The same for JSON text, where terminals are safe: what C1 controls and DEL would do to one is
// written as an escape, as RapidJSON does for the controls below the space.
struct JsonSink : Sink {
  void Put(char c) {  // NOLINT(readability-identifier-naming)
    const auto byte = static_cast<unsigned char>(c);
    const bool ends_control =
        byte >= 0x80 && byte < 0xa0 && !text.empty() && text.back() == '\xC2';
    if (ends_control) text.pop_back();
    if (ends_control || byte == 0x7f) {
      static constexpr char kDigits[] = "0123456789abcdef";
      text += "\\u00";
      text += kDigits[byte >> 4];
      text += kDigits[byte & 15];
    } else {
      text += c;
    }
  }
};

bool is_ascii(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  }
  return true;
}

std::string to_utf8(std::string_view text) {
  Sink out;
  std::size_t at = 0;
  while (at < text.size()) {
    rapidjson::MemoryStream in(text.data() + at, text.size() - at);
    Sink one;
    if (rapidjson::UTF8<>::Validate(in, one)) {
      out.text += one.text;
      at += one.text.size();
    } else {
      out.text += "\xEF\xBF\xBD";  // U+FFFD
      ++at;
    }
  }
  return std::move(out.text);
}

}  // namespace

struct Writer::Impl {
  explicit Impl(Style style)
      : pretty(style != Style::kCompact), plain_writer(sink), tab_writer(sink) {
    sink.text.reserve(512);
    if (style == Style::kTabs) tab_writer.SetIndent('\t', 1);
    if (style == Style::kSpaces) tab_writer.SetIndent(' ', 2);
  }
  template <typename Call>
  void on(Call call) {
    if (pretty) {
      call(tab_writer);
    } else {
      call(plain_writer);
    }
  }
  JsonSink sink;
  bool pretty;
  rapidjson::Writer<JsonSink> plain_writer;
  rapidjson::PrettyWriter<JsonSink> tab_writer;
};

Writer::Writer(Style style) : impl_(std::make_unique<Impl>(style)) {}
Writer::Writer(Writer&&) noexcept = default;
Writer& Writer::operator=(Writer&&) noexcept = default;
Writer::~Writer() = default;

Writer& Writer::begin_object() {
  impl_->on([](auto& out) { out.StartObject(); });
  return *this;
}

Writer& Writer::end_object() {
  impl_->on([](auto& out) { out.EndObject(); });
  return *this;
}

Writer& Writer::begin_array() {
  impl_->on([](auto& out) { out.StartArray(); });
  return *this;
}

Writer& Writer::end_array() {
  impl_->on([](auto& out) { out.EndArray(); });
  return *this;
}

Writer& Writer::key(std::string_view name) {
  return value(name);
}  // same text, RapidJSON counts

Writer& Writer::null() {
  impl_->on([](auto& out) { out.Null(); });
  return *this;
}

Writer& Writer::value(bool value) {
  impl_->on([=](auto& out) { out.Bool(value); });
  return *this;
}

Writer& Writer::value(std::string_view text) {
  if (!is_ascii(text)) {
    const std::string clean = to_utf8(text);
    impl_->on([&](auto& out) {
      out.String(clean.data(), static_cast<rapidjson::SizeType>(clean.size()));
    });
    return *this;
  }
  // RapidJSON asserts on a null pointer, which an empty view may hold.
  const char* data = text.empty() ? "" : text.data();
  impl_->on([&](auto& out) { out.String(data, static_cast<rapidjson::SizeType>(text.size())); });
  return *this;
}

Writer& Writer::value(std::int64_t number) {
  impl_->on([=](auto& out) { out.Int64(number); });
  return *this;
}

Writer& Writer::value(std::uint64_t number) {
  impl_->on([=](auto& out) { out.Uint64(number); });
  return *this;
}

Writer& Writer::value(double number) {
  impl_->on([=](auto& out) { out.Double(number); });
  return *this;
}

Writer& Writer::value(std::span<const std::string> texts) {
  begin_array();
  for (const std::string& text : texts)
    value(text);
  return end_array();
}

std::string Writer::take() {
  return std::move(impl_->sink.text);
}

}  // namespace vrun::json
