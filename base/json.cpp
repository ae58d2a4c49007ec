#include "base/json.hpp"

#include <algorithm>
#include <cctype>
#include <memory_resource>
#include <optional>

#include <rapidjson/error/en.h>
#include <rapidjson/reader.h>

#include "base/text.hpp"

namespace vrun::json {
namespace {

// Objects up to this size are searched pair by pair for duplicates, larger ones by sorting.
constexpr std::size_t kSmallObject = 12;

constexpr std::size_t kPadding = 4;  // the longest character in UTF-8

constexpr unsigned kParseFlags = rapidjson::kParseInsituFlag | rapidjson::kParseIterativeFlag |
                                 rapidjson::kParseValidateEncodingFlag;

template <typename T>
std::span<const T> copy_to(std::pmr::memory_resource& arena, std::span<const T> items) {
  if (items.empty()) return {};
  T* at = static_cast<T*>(arena.allocate(items.size_bytes(), alignof(T)));
  std::uninitialized_copy(items.begin(), items.end(), at);
  return {at, items.size()};
}

std::optional<std::string_view> find_duplicate(std::span<const Member> members) {
  if (members.size() <= kSmallObject) {
    for (std::size_t i = 1; i < members.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (members[i].key.as_text() == members[j].key.as_text()) return members[i].key.as_text();
      }
    }
    return std::nullopt;
  }
  std::vector<std::string_view> keys;
  keys.reserve(members.size());
  for (const Member& member : members)
    keys.push_back(member.key.as_text());
  std::sort(keys.begin(), keys.end());
  const auto twin = std::adjacent_find(keys.begin(), keys.end());
  return twin == keys.end() ? std::nullopt : std::optional(*twin);
}

// Receives RapidJSON's events and builds the tree: finished values wait on a stack until the end
// of their array or object is known, then move to the arena as one block.
class Builder {
 public:
  Builder(std::pmr::memory_resource& arena, unsigned max_depth)
      : arena_(arena), max_depth_(max_depth) {
    stack_.reserve(64);
  }

  bool Null() { return push(Value()); }  // NOLINT(readability-identifier-naming): RapidJSON's names
  bool Bool(bool value) { return push(Value::boolean(value)); }
  bool Int(int value) { return push(Value::number(static_cast<std::int64_t>(value))); }
  bool Uint(unsigned value) { return push(Value::number(static_cast<std::uint64_t>(value))); }
  bool Int64(std::int64_t value) { return push(Value::number(value)); }
  bool Uint64(std::uint64_t value) { return push(Value::number(value)); }
  bool Double(double value) { return push(Value::real(value)); }
  bool RawNumber(const char*, rapidjson::SizeType, bool) { return false; }
  bool String(const char* text, rapidjson::SizeType size, bool) {
    const std::string_view view(text, size);
    suspicious_ = suspicious_ || view.find('\0') != std::string_view::npos;
    return push(Value::text(view));
  }
  bool Key(const char* text, rapidjson::SizeType size, bool copy) {
    return String(text, size, copy);
  }
  bool StartObject() { return enter(); }
  bool StartArray() { return enter(); }
  bool EndObject(rapidjson::SizeType count) {
    --depth_;
    const std::span<const Value> flat = std::span(stack_).last(2UL * count);
    members_.clear();
    for (std::size_t i = 0; i < flat.size(); i += 2)
      members_.push_back({flat[i], flat[i + 1]});
    const auto members = copy_to(arena_, std::span<const Member>(members_));
    suspicious_ = suspicious_ || find_duplicate(members);
    stack_.resize(stack_.size() - flat.size());
    return push(Value::object(members));
  }
  bool EndArray(rapidjson::SizeType count) {
    --depth_;
    const auto elements = copy_to(arena_, std::span<const Value>(std::span(stack_).last(count)));
    stack_.resize(stack_.size() - count);
    return push(Value::array(elements));
  }

  const Value& root() const { return stack_.front(); }
  bool too_deep() const { return depth_ > max_depth_; }
  // There is a NUL or a duplicate key somewhere; find_faults() says where.
  bool suspicious() const { return suspicious_; }

 private:
  bool push(Value value) {
    stack_.push_back(value);
    return true;
  }
  bool enter() { return ++depth_ <= max_depth_; }

  std::pmr::memory_resource& arena_;
  unsigned max_depth_;
  unsigned depth_ = 0;
  bool suspicious_ = false;
  std::vector<Value> stack_;
  std::vector<Member> members_;
};

bool has_nul(const Value& value) {
  return value.kind() == Kind::kString && value.as_text().find('\0') != std::string_view::npos;
}

// Recursion is bounded by Limits::depth.
void find_faults(const In& in) {
  if (has_nul(in.value())) in.fault("has a NUL character");
  if (in.value().kind() == Kind::kArray) {
    const auto elements = in.value().elements();
    for (std::size_t i = 0; i < elements.size(); ++i)
      find_faults(In(in, i, elements[i]));
  }
  if (in.value().kind() != Kind::kObject) return;
  if (const auto key = find_duplicate(in.value().members())) in.fault_below(*key, "is there twice");
  for (const Member& member : in.value().members()) {
    const In inner(in, member.key.as_text(), member.value);
    if (has_nul(member.key)) inner.fault("has a NUL character in its name");
    find_faults(inner);
  }
}

std::string position(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return "line " + std::to_string(line) + ", column " + std::to_string(offset - line_start + 1);
}

Error syntax_error(std::string_view name, std::string_view text, rapidjson::ParseResult result) {
  std::string words = rapidjson::GetParseError_En(result.Code());
  words[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(words[0])));
  if (words.back() == '.') words.pop_back();
  return Error(Code::kInvalid, std::string(name) + ": " + position(text, result.Offset()) +
                                   ": not valid JSON: " + words);
}

std::string_view kind_words(Kind kind) {
  switch (kind) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return "true or false";
    case Kind::kUnsigned:
    case Kind::kNegative:
    case Kind::kReal:
      return "a number";
    case Kind::kString:
      return "a string";
    case Kind::kArray:
      return "a list";
    case Kind::kObject:
      return "an object";
  }
  return "";
}

bool is_plain_key(std::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
  });
}

void append_key(std::string& path, std::string_view key) {
  if (!is_plain_key(key)) {
    path += "[" + quote(key.substr(0, 200)) + "]";
    return;
  }
  if (!path.empty()) path += '.';
  path += key;
}

}  // namespace

Value Value::boolean(bool value) {
  Value out;
  out.kind_ = Kind::kBool;
  out.data_.bits = value ? 1 : 0;
  return out;
}

Value Value::number(std::uint64_t value) {
  Value out;
  out.kind_ = Kind::kUnsigned;
  out.data_.bits = value;
  return out;
}

Value Value::number(std::int64_t value) {
  Value out;
  out.kind_ = value < 0 ? Kind::kNegative : Kind::kUnsigned;
  out.data_.bits = static_cast<std::uint64_t>(value);
  return out;
}

Value Value::real(double value) {
  Value out;
  out.kind_ = Kind::kReal;
  out.data_.real = value;
  return out;
}

Value Value::text(std::string_view value) {
  Value out;
  out.kind_ = Kind::kString;
  out.data_.text = value.data();
  out.size_ = static_cast<std::uint32_t>(value.size());
  return out;
}

Value Value::array(std::span<const Value> elements) {
  Value out;
  out.kind_ = Kind::kArray;
  out.data_.elements = elements.data();
  out.size_ = static_cast<std::uint32_t>(elements.size());
  return out;
}

Value Value::object(std::span<const Member> members) {
  Value out;
  out.kind_ = Kind::kObject;
  out.data_.members = members.data();
  out.size_ = static_cast<std::uint32_t>(members.size());
  return out;
}

const Value* Value::find(std::string_view key) const {
  if (kind_ != Kind::kObject) return nullptr;
  for (const Member& member : members()) {
    if (member.key.as_text() == key) return &member.value;
  }
  return nullptr;
}

void Faults::add(std::string_view path, std::string_view text) {
  if (++count_ > kShown) return;
  std::string& line = lines_.emplace_back(path);
  if (!path.empty()) line += ": ";
  line += text;
}

Error Faults::error() const {
  std::string text = name_ + ": ";
  if (count_ == 1) {
    text += lines_.front();
  } else {
    text += std::to_string(count_) + " faults";
    for (const std::string& line : lines_)
      text += "\n  " + line;
    if (count_ > kShown) text += "\n  and " + std::to_string(count_ - kShown) + " more";
  }
  Error error(Code::kInvalid, std::move(text));
  if (hint_.empty()) return error;
  return std::move(error).hint(hint_);
}

Result<void> Faults::result() const {
  if (empty()) return {};
  return error();
}

std::string In::path() const {
  std::vector<const In*> chain;
  for (const In* place = this; place->outer_ != nullptr; place = place->outer_)
    chain.push_back(place);
  std::string path;
  for (auto place = chain.rbegin(); place != chain.rend(); ++place) {
    if ((*place)->outer_->value_.kind() == Kind::kArray) {
      path += "[" + std::to_string((*place)->index_) + "]";
    } else {
      append_key(path, (*place)->key_);
    }
  }
  return path;
}

void In::fault(std::string_view text) const {
  faults_.add(faults_.full() ? std::string() : path(), text);
}

void In::fault_below(std::string_view key, std::string_view text) const {
  std::string at = path();
  append_key(at, key);
  faults_.add(at, text);
}

void In::wrong_kind(Kind wanted) const {
  fault("is " + std::string(kind_words(value_.kind())) + ", not " +
        std::string(kind_words(wanted)));
}

struct Document::Data {
  std::string text;  // decoded in place; the values point into it
  std::pmr::monotonic_buffer_resource arena;
  Value root;
};

Document::Document(std::unique_ptr<Data> data) : data_(std::move(data)) {}
Document::Document(Document&&) noexcept = default;
Document& Document::operator=(Document&&) noexcept = default;
Document::~Document() = default;

const Value& Document::root() const {
  return data_->root;
}

Result<Document> Document::parse(std::string_view text, std::string_view name, Limits limits) {
  const auto refuse = [&](const std::string& why) {
    return Error(Code::kInvalid, std::string(name) + ": " + why);
  };
  if (text.size() > limits.bytes) {
    return refuse("has " + std::to_string(text.size()) + " bytes, the limit is " +
                  std::to_string(limits.bytes));
  }
  // RapidJSON takes a NUL for the end of the text and would not see what follows it.
  if (text.find('\0') != std::string_view::npos) return refuse("not valid JSON: has a NUL byte");
  auto data = std::make_unique<Data>();
  // RapidJSON's check of UTF-8 reads on after a character that is cut off, past the last NUL.
  data->text.reserve(text.size() + kPadding);
  data->text.append(text).append(kPadding, '\0');
  Builder builder(data->arena, limits.depth);
  rapidjson::InsituStringStream stream(data->text.data());
  rapidjson::Reader reader;
  const rapidjson::ParseResult result = reader.Parse<kParseFlags>(stream, builder);
  if (builder.too_deep()) {
    return refuse("nested deeper than " + std::to_string(limits.depth) + " levels");
  }
  if (result.IsError()) return syntax_error(name, text, result);
  data->root = builder.root();
  if (builder.suspicious()) {
    Faults faults(name);
    find_faults(In(data->root, faults));
    return faults.error();
  }
  return Document(std::move(data));
}

}  // namespace vrun::json
