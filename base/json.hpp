// JSON text as a tree of values, and the faults found while reading one.
//
// Document parses strictly (RFC 8259, UTF-8): duplicate keys, U+0000 in any string, too deep or
// too large input are errors; the parser does not recurse, so depth cannot overflow the stack.
// Values are views into the document and live as long as it does. Integers keep all their 64 bits.
//
// A reader walks the tree with In, which knows its place ("linux.resources.memory.limit") without
// spending anything on it until there is a fault. Faults collects what is wrong, so that a user
// learns of everything at once. json_table.hpp reads whole structs; json_writer.hpp writes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vrun::json {

enum class Kind : std::uint8_t {
  kNull,
  kBool,
  kUnsigned,  // 0 to 2^64-1
  kNegative,  // -2^63 to -1
  kReal,      // with fraction or exponent, or an integer beyond 64 bits
  kString,
  kArray,
  kObject,
};

struct Member;

// 16 bytes, trivially copied. Each accessor may only be called for its kind.
class Value {
 public:
  Value() = default;
  static Value boolean(bool value);
  static Value number(std::uint64_t value);
  static Value number(std::int64_t value);
  static Value real(double value);
  static Value text(std::string_view value);
  static Value array(std::span<const Value> elements);
  static Value object(std::span<const Member> members);

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::kNull; }
  bool as_bool() const { return data_.bits != 0; }
  std::uint64_t as_unsigned() const { return data_.bits; }
  std::int64_t as_negative() const { return static_cast<std::int64_t>(data_.bits); }
  double as_real() const { return data_.real; }
  std::string_view as_text() const { return {data_.text, size_}; }
  std::span<const Value> elements() const { return {data_.elements, size_}; }
  std::span<const Member> members() const;
  // The member's value, or nullptr; also nullptr when this is no object.
  const Value* find(std::string_view key) const;

 private:
  union {
    std::uint64_t bits = 0;
    double real;
    const char* text;
    const Value* elements;
    const Member* members;
  } data_;
  std::uint32_t size_ = 0;
  Kind kind_ = Kind::kNull;
};

struct Member {
  Value key;  // a string
  Value value;
};

inline std::span<const Member> Value::members() const {
  return {data_.members, size_};
}

// What is wrong with one document. Up to kShown faults are kept, the rest is counted.
class Faults {
 public:
  static constexpr std::size_t kShown = 64;
  // `name` is what messages call the document: "config.json".
  explicit Faults(std::string_view name) : name_(name) {}
  void add(std::string_view path, std::string_view text);  // empty path: the document itself
  void hint(std::string_view text) { hint_ = text; }       // one for the whole error, the last wins
  bool empty() const { return count_ == 0; }
  std::size_t count() const { return count_; }
  bool full() const { return count_ >= kShown; }  // more are only counted
  // "config.json: a.b: text", or "config.json: 3 faults" and a line for each. Only when !empty().
  Error error() const;
  Result<void> result() const;
  // A key that differs from a known one in case only is a fault instead of unknown: Go's decoder
  // (so runc) would take it for the known one, and a setting must not depend on who reads it.
  void refuse_other_case() { other_case_ = true; }
  bool refuses_other_case() const { return other_case_; }

 private:
  std::string name_;
  std::vector<std::string> lines_;
  std::size_t count_ = 0;
  std::string hint_;
  bool other_case_ = false;
};

// A value and its place. Lives on the stack; the outer ones must outlive it.
class In {
 public:
  In(const Value& root, Faults& faults) : value_(root), faults_(faults) {}
  In(const In& outer, std::string_view key, const Value& value)
      : value_(value), faults_(outer.faults_), outer_(&outer), key_(key) {}
  In(const In& outer, std::size_t index, const Value& value)
      : value_(value), faults_(outer.faults_), outer_(&outer), index_(index) {}

  const Value& value() const { return value_; }
  Faults& faults() const { return faults_; }
  std::string path() const;
  void fault(std::string_view text) const;
  void fault_below(std::string_view key, std::string_view text) const;
  // True when the value is of this kind; else a fault: "is a string, not a list".
  bool expect(Kind kind) const {
    if (value_.kind() == kind) return true;
    wrong_kind(kind);
    return false;
  }

 private:
  void wrong_kind(Kind wanted) const;
  const Value& value_;
  Faults& faults_;
  const In* outer_ = nullptr;
  std::string_view key_;
  std::size_t index_ = 0;
};

struct Limits {
  std::size_t bytes = 16U << 20U;
  unsigned depth = 64;
};

class Document {
 public:
  static Result<Document> parse(std::string_view text, std::string_view name, Limits limits = {});
  Document(Document&&) noexcept;
  Document& operator=(Document&&) noexcept;
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;
  ~Document();
  const Value& root() const;

 private:
  struct Data;
  explicit Document(std::unique_ptr<Data> data);
  std::unique_ptr<Data> data_;
};

}  // namespace vrun::json
