// Structs to and from JSON by tables: each struct has one table, used for reading and for writing.
//
//   constexpr auto json_fields(const Rlimit*) {     // beside the struct's namespace, found by ADL
//     return json::fields(json::field("type", &Rlimit::type, {.names = kRlimits, .required =
//     true}),
//                         json::field("hard", &Rlimit::hard, {.required = true}));
//   }
//   constexpr auto json_names(const Color*) { return kColorNames; }       // enumerators, from 0 up
//   void json_check(const json::In& in, const Rlimit& read);              // optional: more faults
//
//   Result<Rlimit> r = json::read<Rlimit>(text, "config.json");
//   std::string text = json::write(r, json::Style::kCompact);
//
// Reading: unknown members are accepted; null counts as absent; a missing required member, a wrong
// type, a number outside of the field or the rule, a text that is not among `names` are faults, all
// collected. Writing: members that are equal to the default are left out unless required or always.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/id.hpp"
#include "base/json.hpp"
#include "base/json_writer.hpp"

namespace vrun::json {

// What holds beyond the C++ type of a field. For a list it holds for each element.
struct Rule {
  std::int64_t min = std::numeric_limits<std::int64_t>::min();
  std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
  std::span<const std::string_view> names = {};  // the only texts allowed
  bool required = false;                         // must be there (an empty list or text may do)
  bool always = false;                           // written even when it has its default value
  bool non_empty = false;                        // an empty text or list is a fault
};

// ---- tables ----
template <typename Owner, typename T>
struct Field {
  std::string_view key;
  T Owner::*member;
  Rule rule;
};
// An object of the document whose members belong to the same struct: "pids": {"limit": 5}.
template <typename... Fields>
struct Group {
  std::string_view key;
  std::tuple<Fields...> fields;
};
// An object of the document that is a list of structs; each key becomes a member of its element.
template <typename Owner, typename T>
struct Keyed {
  std::string_view key;
  std::vector<T> Owner::*member;
  std::string T::*name;
  Rule rule;  // names: of the keys
};
// Anything else: functions that read the value of `key`, and write the member whole or not at all.
template <typename Owner>
struct Custom {
  std::string_view key;
  void (*read)(const In&, Owner&);
  void (*write)(Writer&, const Owner&);  // nullptr: read only
};

template <typename Owner, typename T>
constexpr Field<Owner, T> field(std::string_view key, T Owner::*member, Rule rule = {}) {
  return {key, member, rule};
}
template <typename... Fields>
constexpr Group<Fields...> group(std::string_view key, Fields... fields) {
  return {key, std::tuple(fields...)};
}
template <typename Owner, typename T>
constexpr Keyed<Owner, T> keyed(std::string_view key, std::vector<T> Owner::*member,
                                std::string T::*name, Rule rule = {}) {
  return {key, member, name, rule};
}
template <typename Owner>
constexpr Custom<Owner> custom(std::string_view key, void (*read)(const In&, Owner&),
                               void (*write)(Writer&, const Owner&) = nullptr) {
  return {key, read, write};
}
template <typename... Fields>
constexpr std::tuple<Fields...> fields(Fields... rows) {
  return std::tuple(rows...);
}

template <typename T>
concept Struct = requires {
  json_fields(static_cast<const T*>(nullptr));
};
template <typename T>
concept Named = std::is_enum_v<T> && requires {
  json_names(static_cast<const T*>(nullptr));
};
template <typename T>
concept Number = std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char>;

template <typename T>
constexpr auto table_of() {
  return json_fields(static_cast<const T*>(nullptr));
}

// ---- reading ----

// The members of an object, looked up in nearly the order in which they stand there.
class Members {
 public:
  explicit Members(const In& in) : in_(in), members_(in.value().members()) {}
  // nullptr when absent or null.
  const Value* find(std::string_view key);

 private:
  const In& in_;
  std::span<const Member> members_;
  std::size_t next_ = 0;
};

// The leaves (json_table.cpp). After a fault the target keeps its value.
void decode(const In& in, const Rule& rule, bool& out);
void decode(const In& in, const Rule& rule, char& out);  // `names` are texts of one letter
void decode(const In& in, const Rule& rule, std::string& out);
void decode(const In& in, const Rule& rule, std::map<std::string, std::string>& out);
void decode(const In& in, const Rule& rule, std::vector<std::pair<std::string, std::string>>& out);
std::optional<std::uint64_t> decode_integer(const In& in, std::int64_t min, std::uint64_t max);
std::optional<std::size_t> decode_name(const In& in, std::span<const std::string_view> names);
bool check_size(const In& in, const Rule& rule, std::size_t size);
void check_name(const In& in, std::span<const std::string_view> names, std::string_view text);
void missing(const In& in, std::string_view key);

template <Number T>
void decode(const In& in, const Rule& rule, T& out) {
  using Bounds = std::numeric_limits<T>;
  const std::int64_t min =
      std::is_signed_v<T>
          ? std::max<std::int64_t>(rule.min, static_cast<std::int64_t>(Bounds::min()))
          : std::max<std::int64_t>(rule.min, 0);
  const std::uint64_t max = std::min(rule.max, static_cast<std::uint64_t>(Bounds::max()));
  if (const auto bits = decode_integer(in, min, max)) out = static_cast<T>(*bits);
}

// Ids are 32-bit without 2^32-1, which the kernel takes for "no id".
template <typename Tag>
void decode(const In& in, const Rule& rule, Strong<Tag, std::uint32_t>& out) {
  const std::uint64_t max = std::min<std::uint64_t>(rule.max, 0xFFFFFFFEU);
  if (const auto bits = decode_integer(in, 0, max)) out.value = static_cast<std::uint32_t>(*bits);
}

template <Named T>
void decode(const In& in, const Rule&, T& out) {
  static constexpr auto kNames = json_names(static_cast<const T*>(nullptr));
  if (const auto index = decode_name(in, kNames)) out = static_cast<T>(*index);
}

template <typename T>
void decode(const In& in, const Rule& rule, std::optional<T>& out) {
  decode(in, rule, out.emplace());
}

template <typename T>
void decode(const In& in, const Rule& rule, std::vector<T>& out) {
  if (!in.expect(Kind::kArray) || !check_size(in, rule, in.value().elements().size())) return;
  const std::span<const Value> elements = in.value().elements();
  const Rule each{.min = rule.min, .max = rule.max, .names = rule.names};
  out.reserve(elements.size());
  for (std::size_t i = 0; i < elements.size(); ++i) {
    decode(In(in, i, elements[i]), each, out.emplace_back());
  }
}

template <typename Owner, typename T>
void decode_row(const In& in, Members& members, Owner& out, const Field<Owner, T>& row) {
  if (const Value* value = members.find(row.key)) {
    decode(In(in, row.key, *value), row.rule, out.*row.member);
  } else if (row.rule.required) {
    missing(in, row.key);
  }
}

template <typename Owner, typename... Fields>
void decode_row(const In& in, Members& members, Owner& out, const Group<Fields...>& row) {
  const Value* value = members.find(row.key);
  if (value == nullptr) return;
  const In inner(in, row.key, *value);
  if (!inner.expect(Kind::kObject)) return;
  Members inner_members(inner);
  std::apply([&](const auto&... rows) { (decode_row(inner, inner_members, out, rows), ...); },
             row.fields);
}

template <typename Owner, typename T>
void decode_row(const In& in, Members& members, Owner& out, const Keyed<Owner, T>& row) {
  const Value* value = members.find(row.key);
  if (value == nullptr) return;
  const In list(in, row.key, *value);
  if (!list.expect(Kind::kObject)) return;
  for (const Member& member : value->members()) {
    const In inner(list, member.key.as_text(), member.value);
    check_name(inner, row.rule.names, member.key.as_text());
    T& element = (out.*row.member).emplace_back();
    element.*row.name = member.key.as_text();
    decode(inner, Rule(), element);
  }
}

template <typename Owner>
void decode_row(const In& in, Members& members, Owner& out, const Custom<Owner>& row) {
  if (const Value* value = members.find(row.key)) row.read(In(in, row.key, *value), out);
}

template <Struct T>
void decode(const In& in, const Rule&, T& out) {
  // Not static: the rows melt into code, where a table with its pointers would have to be
  // relocated, so copied page by page, at each start of a static-pie program (27 KB for the OCI
  // documents).
  constexpr auto kTable = table_of<T>();
  if (!in.expect(Kind::kObject)) return;
  Members members(in);
  std::apply([&](const auto&... rows) { (decode_row(in, members, out, rows), ...); }, kTable);
  if constexpr (requires { json_check(in, out); }) json_check(in, out);
}

// Reads the whole document; more faults may already be in `faults`.
template <Struct T>
T decode_document(const Document& document, Faults& faults) {
  T out{};
  decode(In(document.root(), faults), Rule(), out);
  return out;
}

template <Struct T>
Result<T> read(std::string_view text, std::string_view name, Limits limits = {}) {
  const Document document = TRY(Document::parse(text, name, limits));
  Faults faults(name);
  T out = decode_document<T>(document, faults);
  if (!faults.empty()) return faults.error();
  return out;
}

// ---- writing ----
inline void encode(Writer& w, const Rule&, bool value) {
  w.value(value);
}
inline void encode(Writer& w, const Rule&, char value) {
  w.value(std::string_view(&value, 1));
}
inline void encode(Writer& w, const Rule&, const std::string& value) {
  w.value(value);
}
void encode(Writer& w, const Rule& rule, const std::map<std::string, std::string>& value);
void encode(Writer& w, const Rule& rule,
            const std::vector<std::pair<std::string, std::string>>& value);

template <Number T>
void encode(Writer& w, const Rule&, T value) {
  if constexpr (std::is_signed_v<T>) {
    w.value(static_cast<std::int64_t>(value));
  } else {
    w.value(static_cast<std::uint64_t>(value));
  }
}

template <typename Tag>
void encode(Writer& w, const Rule&, const Strong<Tag, std::uint32_t>& id) {
  w.value(static_cast<std::uint64_t>(id.value));
}

template <Named T>
void encode(Writer& w, const Rule&, T value) {
  static constexpr auto kNames = json_names(static_cast<const T*>(nullptr));
  w.value(kNames[static_cast<std::size_t>(value)]);
}

template <typename T>
void encode(Writer& w, const Rule& rule, const std::optional<T>& value) {
  if (value) {
    encode(w, rule, *value);
  } else {
    w.null();
  }
}

template <typename T>
void encode(Writer& w, const Rule& rule, const std::vector<T>& list) {
  w.begin_array();
  for (const T& element : list)
    encode(w, rule, element);
  w.end_array();
}

// A group is left out when none of its rows would be written; what a custom row writes is known to
// its function only, so it counts as written.
template <typename Owner, typename T>
bool is_left_out(const Owner& owner, const Field<Owner, T>& row) {
  return !row.rule.required && !row.rule.always && owner.*row.member == Owner{}.*row.member;
}
template <typename Owner>
bool is_left_out(const Owner&, const Custom<Owner>&) {
  return false;
}
template <typename Owner, typename... Fields>
bool is_left_out(const Owner& owner, const Group<Fields...>& row) {
  return std::apply([&](const auto&... rows) { return (is_left_out(owner, rows) && ...); },
                    row.fields);
}

template <typename Owner, typename T>
void encode_row(Writer& w, const Owner& owner, const Field<Owner, T>& row) {
  if (is_left_out(owner, row)) return;
  w.key(row.key);
  encode(w, row.rule, owner.*row.member);
}

template <typename Owner, typename... Fields>
void encode_row(Writer& w, const Owner& owner, const Group<Fields...>& row) {
  if (is_left_out(owner, row)) return;
  w.key(row.key).begin_object();
  std::apply([&](const auto&... rows) { (encode_row(w, owner, rows), ...); }, row.fields);
  w.end_object();
}

template <typename Owner, typename T>
void encode_row(Writer& w, const Owner& owner, const Keyed<Owner, T>& row) {
  if ((owner.*row.member).empty()) return;
  w.key(row.key).begin_object();
  for (const T& element : owner.*row.member) {
    w.key(element.*row.name);
    encode(w, row.rule, element);
  }
  w.end_object();
}

template <typename Owner>
void encode_row(Writer& w, const Owner& owner, const Custom<Owner>& row) {
  if (row.write != nullptr) row.write(w, owner);
}

template <Struct T>
void encode(Writer& w, const Rule&, const T& value) {
  constexpr auto kTable = table_of<T>();
  w.begin_object();
  std::apply([&](const auto&... rows) { (encode_row(w, value, rows), ...); }, kTable);
  w.end_object();
}

template <Struct T>
std::string write(const T& value, Style style = Style::kCompact) {
  Writer writer(style);
  encode(writer, Rule(), value);
  return writer.take();
}

}  // namespace vrun::json
