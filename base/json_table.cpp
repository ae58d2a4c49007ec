#include "base/json_table.hpp"

#include <cstdio>

#include <strings.h>

#include "base/text.hpp"

namespace vrun::json {
namespace {

std::string number_text(const Value& value) {
  if (value.kind() == Kind::kUnsigned) return std::to_string(value.as_unsigned());
  if (value.kind() == Kind::kNegative) return std::to_string(value.as_negative());
  char text[32];
  std::snprintf(text, sizeof(text), "%.15g", value.as_real());
  return text;
}

void below(const In& in, std::int64_t min) {
  in.fault(number_text(in.value()) + " is below " + std::to_string(min));
}

void above(const In& in, std::uint64_t max) {
  in.fault(number_text(in.value()) + " is above " + std::to_string(max));
}

// A number with a fraction, an exponent, or too large for 64 bits: never an integer for us, as for
// Go's decoder; only the words differ.
void not_an_integer(const In& in, std::int64_t min, std::uint64_t max) {
  const double real = in.value().as_real();
  if (real >= 0x1p64 || real > static_cast<double>(max)) return above(in, max);
  if (real <= -0x1p63 || real < static_cast<double>(min)) return below(in, min);
  in.fault(number_text(in.value()) + " is not written as a whole number");
}

bool is_number(Kind kind) {
  return kind == Kind::kUnsigned || kind == Kind::kNegative || kind == Kind::kReal;
}

bool same_but_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

const Value* Members::find(std::string_view key) {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const std::size_t at = next_ + i < members_.size() ? next_ + i : next_ + i - members_.size();
    if (members_[at].key.as_text() != key) continue;
    next_ = at + 1;
    return members_[at].value.is_null() ? nullptr : &members_[at].value;
  }
  if (!in_.faults().refuses_other_case()) return nullptr;
  for (const Member& member : members_) {
    if (same_but_case(member.key.as_text(), key)) {
      in_.fault_below(member.key.as_text(), "must be written '" + std::string(key) + "'");
    }
  }
  return nullptr;
}

void missing(const In& in, std::string_view key) {
  in.fault_below(key, "is missing");
}

void decode(const In& in, const Rule&, bool& out) {
  if (in.expect(Kind::kBool)) out = in.value().as_bool();
}

void decode(const In& in, const Rule& rule, char& out) {
  if (const auto index = decode_name(in, rule.names)) out = rule.names[*index].front();
}

void decode(const In& in, const Rule& rule, std::string& out) {
  if (!in.expect(Kind::kString)) return;
  if (rule.non_empty && in.value().as_text().empty()) return in.fault("is empty");
  check_name(in, rule.names, in.value().as_text());
  out = in.value().as_text();
}

void decode(const In& in, const Rule&, std::map<std::string, std::string>& out) {
  if (!in.expect(Kind::kObject)) return;
  for (const Member& member : in.value().members()) {
    decode(In(in, member.key.as_text(), member.value), Rule(),
           out[std::string(member.key.as_text())]);
  }
}

void decode(const In& in, const Rule&, std::vector<std::pair<std::string, std::string>>& out) {
  if (!in.expect(Kind::kObject)) return;
  out.reserve(in.value().members().size());
  for (const Member& member : in.value().members()) {
    auto& [key, text] = out.emplace_back(std::string(member.key.as_text()), std::string());
    decode(In(in, key, member.value), Rule(), text);
  }
}

std::optional<std::uint64_t> decode_integer(const In& in, std::int64_t min, std::uint64_t max) {
  const Value& value = in.value();
  if (!is_number(value.kind())) {
    in.expect(Kind::kUnsigned);
    return std::nullopt;
  }
  if (value.kind() == Kind::kReal) {
    not_an_integer(in, min, max);
    return std::nullopt;
  }
  const bool negative = value.kind() == Kind::kNegative;
  if (negative ? value.as_negative() < min
               : min > 0 && value.as_unsigned() < static_cast<std::uint64_t>(min)) {
    below(in, min);
    return std::nullopt;
  }
  if (!negative && value.as_unsigned() > max) {
    above(in, max);
    return std::nullopt;
  }
  return value.as_unsigned();
}

std::optional<std::size_t> decode_name(const In& in, std::span<const std::string_view> names) {
  if (!in.expect(Kind::kString)) return std::nullopt;
  const auto found = std::find(names.begin(), names.end(), in.value().as_text());
  if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
  check_name(in, names, in.value().as_text());
  return std::nullopt;
}

bool check_size(const In& in, const Rule& rule, std::size_t size) {
  if (!rule.non_empty || size > 0) return true;
  in.fault("is empty");
  return false;
}

void check_name(const In& in, std::span<const std::string_view> names, std::string_view text) {
  if (names.empty() || std::find(names.begin(), names.end(), text) != names.end()) return;
  std::string words = quote(text.substr(0, 80)) + " is not known";
  if (const auto near = nearest(text.substr(0, 80), names)) {
    words += ", did you mean '" + std::string(*near) + "'?";
  } else {
    words += "; known are ";
    for (const std::string_view name : names) {
      if (name != names.front()) words += ", ";
      words += name;
    }
  }
  in.fault(words);
}

void encode(Writer& w, const Rule&, const std::map<std::string, std::string>& value) {
  w.begin_object();
  for (const auto& [key, text] : value)
    w.member(key, text);
  w.end_object();
}

void encode(Writer& w, const Rule&, const std::vector<std::pair<std::string, std::string>>& value) {
  w.begin_object();
  for (const auto& [key, text] : value)
    w.member(key, text);
  w.end_object();
}

}  // namespace vrun::json
