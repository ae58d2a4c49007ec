#include "cgroups/gvariant.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <optional>

#include "base/text.hpp"

namespace vrun::cgroups {
namespace {

constexpr std::size_t kMaxText = 64U << 10U;
constexpr int kMaxDepth = 16;

struct TypeWord {
  std::string_view word;
  char signature;
};
constexpr std::array kTypeWords = {
    TypeWord{"boolean", 'b'}, TypeWord{"byte", 'y'},       TypeWord{"double", 'd'},
    TypeWord{"handle", 'h'},  TypeWord{"int16", 'n'},      TypeWord{"int32", 'i'},
    TypeWord{"int64", 'x'},   TypeWord{"objectpath", 'o'}, TypeWord{"signature", 'g'},
    TypeWord{"string", 's'},  TypeWord{"uint16", 'q'},     TypeWord{"uint32", 'u'},
    TypeWord{"uint64", 't'},
};

struct Range {
  char signature;
  std::int64_t least;
  std::uint64_t most;
};
constexpr std::array kRanges = {
    Range{'y', 0, 0xff},
    Range{'n', std::numeric_limits<std::int16_t>::min(), 0x7fff},
    Range{'q', 0, 0xffff},
    Range{'i', std::numeric_limits<std::int32_t>::min(), 0x7fffffff},
    Range{'u', 0, 0xffffffff},
    Range{'h', 0, 0x7fffffff},
    Range{'x', std::numeric_limits<std::int64_t>::min(), 0x7fffffffffffffff},
    Range{'t', 0, std::numeric_limits<std::uint64_t>::max()},
};

const Range* range_of(char signature) {
  for (const Range& range : kRanges) {
    if (range.signature == signature) return &range;
  }
  return nullptr;
}

bool is_string_type(char signature) {
  return signature == 's' || signature == 'o' || signature == 'g';
}

std::size_t closed_type(std::string_view signature, int depth);

// Members up to the closing bracket.
std::size_t bracketed(std::string_view signature, char end, int depth) {
  std::size_t at = 1;
  while (at < signature.size() && signature[at] != end) {
    std::size_t one = closed_type(signature.substr(at), depth + 1);
    if (one == 0) return 0;
    at += one;
  }
  return at < signature.size() ? at + 1 : 0;
}

std::size_t closed_type(std::string_view signature, int depth) {
  if (signature.empty() || depth > kMaxDepth) return 0;
  constexpr std::string_view kBasic = "bynqiuxtdhsogv";
  char first = signature.front();
  if (kBasic.find(first) != std::string_view::npos) return 1;
  if (first == '(') return bracketed(signature, ')', depth);
  if (first != 'a') return 0;
  if (signature.size() > 1 && signature[1] == '{') {
    std::size_t entry = bracketed(signature.substr(1), '}', depth);
    return entry == 0 ? 0 : entry + 1;
  }
  std::size_t element = closed_type(signature.substr(1), depth + 1);
  return element == 0 ? 0 : element + 1;
}

// The complete types of a tuple or dictionary entry.
std::vector<std::string_view> members(std::string_view signature) {
  std::vector<std::string_view> types;
  while (!signature.empty()) {
    std::size_t one = closed_type(signature, 0);
    if (one == 0) return {};
    types.push_back(signature.substr(0, one));
    signature.remove_prefix(one);
  }
  return types;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<BusValue> run() {
    BusValue value = TRY(parse("", 0));
    skip_blanks();
    if (at_ != text_.size()) return wrong("something follows the value");
    return value;
  }

 private:
  Error wrong(std::string_view what) const {
    return Error(Code::kInvalid, quote(text_) + " is not GVariant text: " + std::string(what) +
                                     " at byte " + std::to_string(at_));
  }
  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n')) {
      ++at_;
    }
  }
  char peek() {
    skip_blanks();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }
  std::string_view word() {
    skip_blanks();
    std::size_t start = at_;
    constexpr std::string_view kEnds = " \t\n,:;()[]{}<>'\"";
    while (at_ < text_.size() && kEnds.find(text_[at_]) == std::string_view::npos)
      ++at_;
    return text_.substr(start, at_ - start);
  }

  // `type` is what has to come, empty if anything may.
  Result<BusValue> parse(std::string_view type, int depth) {
    if (depth > kMaxDepth) return wrong("too deep");
    switch (peek()) {
      case '\0':
        return wrong("a value is missing");
      case '@':
        return annotated(type, depth);
      case '[':
        return array(type, depth);
      case '(':
        return tuple(type, depth);
      case '{':
        return dictionary(type, depth);
      case '<':
        return variant(type, depth);
      case '\'':
      case '"':
        return string(type);
      default:
        return scalar(type, depth);
    }
  }

  Result<BusValue> annotated(std::string_view type, int depth) {
    ++at_;
    std::size_t length = closed_type(text_.substr(at_), 0);
    if (length == 0) return wrong("an unknown type");
    std::string_view own = text_.substr(at_, length);
    at_ += length;
    if (!type.empty() && type != own) return wrong("another type than its neighbours");
    return parse(own, depth + 1);
  }

  Result<BusValue> array(std::string_view type, int depth) {
    ++at_;
    if (!type.empty() && type.front() != 'a') return wrong("a list was not expected");
    BusValue value;
    std::string element(type.empty() ? "" : type.substr(1));
    while (!take(']')) {
      if (!value.items.empty() && !take(',')) return wrong("a comma is missing");
      BusValue item = TRY(parse(element, depth + 1));
      if (element.empty()) element = item.signature;
      value.items.push_back(std::move(item));
    }
    if (element.empty()) return wrong("an empty list needs its type (@as [])");
    value.signature = "a" + element;
    return value;
  }

  Result<BusValue> tuple(std::string_view type, int depth) {
    ++at_;
    std::vector<std::string_view> types;
    if (!type.empty()) {
      if (type.front() != '(') return wrong("a tuple was not expected");
      types = members(type.substr(1, type.size() - 2));
    }
    BusValue value;
    value.signature = "(";
    while (!take(')')) {
      if (!value.items.empty() && !take(',')) return wrong("a comma is missing");
      if (take(')')) break;  // "(1,)" is a tuple of one
      std::size_t index = value.items.size();
      if (!types.empty() && index >= types.size()) return wrong("too many members");
      BusValue item = TRY(parse(types.empty() ? "" : types[index], depth + 1));
      value.signature += item.signature;
      value.items.push_back(std::move(item));
    }
    value.signature += ")";
    if (value.items.empty()) return wrong("an empty tuple");
    if (!type.empty() && value.signature != type) return wrong("too few members");
    return value;
  }

  Result<BusValue> dictionary(std::string_view type, int depth) {
    ++at_;
    std::string key, element;
    if (!type.empty()) {
      if (!type.starts_with("a{")) return wrong("a dictionary was not expected");
      std::vector<std::string_view> pair = members(type.substr(2, type.size() - 3));
      if (pair.size() != 2) return wrong("an unknown type");
      key = pair[0];
      element = pair[1];
    }
    BusValue value;
    while (!take('}')) {
      if (!value.items.empty() && !take(',')) return wrong("a comma is missing");
      BusValue entry;
      entry.items.push_back(TRY(parse(key, depth + 1)));
      if (!take(':')) return wrong("a colon is missing");
      entry.items.push_back(TRY(parse(element, depth + 1)));
      if (entry.items[0].signature.size() != 1) return wrong("a key that is no simple value");
      key = entry.items[0].signature;
      element = entry.items[1].signature;
      entry.signature = "{" + key + element + "}";
      value.items.push_back(std::move(entry));
    }
    if (key.empty()) return wrong("an empty dictionary needs its type (@a{ss} {})");
    value.signature = "a{" + key + element + "}";
    return value;
  }

  Result<BusValue> variant(std::string_view type, int depth) {
    ++at_;
    if (!type.empty() && type != "v") return wrong("a variant was not expected");
    BusValue value;
    value.signature = "v";
    value.items.push_back(TRY(parse("", depth + 1)));
    if (!take('>')) return wrong("a variant has no end");
    return value;
  }

  Result<std::string> quoted() {
    char end = text_[at_++];
    std::string value;
    while (at_ < text_.size() && text_[at_] != end) {
      char one = text_[at_++];
      if (one != '\\') {
        value += one;
        continue;
      }
      if (at_ == text_.size()) break;
      char escaped = text_[at_++];
      constexpr std::string_view kFrom = "abfnrtv";
      constexpr std::string_view kTo = "\a\b\f\n\r\t\v";
      std::size_t known = kFrom.find(escaped);
      if (escaped == 'u' || escaped == 'U') return wrong("\\u is not supported");
      value += known == std::string_view::npos ? escaped : kTo[known];
    }
    if (at_ == text_.size()) return wrong("a string has no end");
    ++at_;
    if (value.find('\0') != std::string::npos) return wrong("a zero byte");
    return value;
  }

  Result<BusValue> string(std::string_view type) {
    std::string signature = type.empty() ? "s" : std::string(type);
    if (signature.size() != 1 || !is_string_type(signature.front())) {
      return wrong("a string was not expected");
    }
    return BusValue{signature, TRY(quoted()), {}};
  }

  // b'...': its bytes and a zero at the end.
  Result<BusValue> byte_string(std::string_view type) {
    if (!type.empty() && type != "ay") return wrong("bytes were not expected");
    BusValue value{"ay", "", {}};
    for (char byte : TRY(quoted())) {
      value.items.push_back({"y", std::to_string(static_cast<unsigned char>(byte)), {}});
    }
    value.items.push_back({"y", "0", {}});
    return value;
  }

  Result<BusValue> scalar(std::string_view type, int depth) {
    std::string_view token = word();
    if (token == "b" && at_ < text_.size() && (text_[at_] == '\'' || text_[at_] == '"')) {
      return byte_string(type);
    }
    for (const TypeWord& known : kTypeWords) {
      if (token != known.word) continue;
      if (!type.empty() && type != std::string_view(&known.signature, 1)) {
        return wrong("another type than its neighbours");
      }
      return parse({&known.signature, 1}, depth + 1);
    }
    if (token == "true" || token == "false") {
      if (!type.empty() && type != "b") return wrong("a boolean was not expected");
      return BusValue{"b", std::string(token), {}};
    }
    return number(token, type);
  }

  Result<BusValue> number(std::string_view token, std::string_view type) {
    if (type.size() > 1) return wrong("a number was not expected");
    bool real = token.find_first_of(".eEn") != std::string_view::npos && !token.starts_with("0x");
    char signature = !type.empty() ? type.front() : real ? 'd' : 'i';
    if (signature == 'd') return real_number(token);
    const Range* range = range_of(signature);
    if (range == nullptr) return wrong("a number was not expected");
    bool negative = token.starts_with('-');
    std::string_view digits = token.substr(negative || token.starts_with('+') ? 1 : 0);
    int base = 10;
    if (digits.starts_with("0x") || digits.starts_with("0X")) {
      base = 16;
      digits.remove_prefix(2);
    } else if (digits.size() > 1 && digits.front() == '0') {
      base = 8;
    }
    std::uint64_t magnitude = 0;
    auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), magnitude, base);
    if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) {
      return wrong("no value");
    }
    std::uint64_t most =
        negative ? std::uint64_t(0) - static_cast<std::uint64_t>(range->least) : range->most;
    if (magnitude > most) return wrong("a number out of range");
    std::string text = (negative && magnitude != 0 ? "-" : "") + std::to_string(magnitude);
    return BusValue{std::string(1, signature), std::move(text), {}};
  }

  Result<BusValue> real_number(std::string_view token) {
    double value = 0;
    auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
    if (token.empty() || error != std::errc() || end != token.data() + token.size()) {
      return wrong("no number");
    }
    return BusValue{"d", std::string(token), {}};
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::string quoted_text(std::string_view value) {
  std::string text = "'";
  for (char one : value) {
    if (one == '\n') {
      text += "\\n";
      continue;
    }
    if (one == '\'' || one == '\\') text += '\\';
    text += one;
  }
  return text + "'";
}

std::string body(const BusValue& value);

std::string bodies(const std::vector<BusValue>& items) {
  std::string text;
  for (const BusValue& item : items)
    text += (text.empty() ? "" : ", ") + body(item);
  return text;
}

std::string body(const BusValue& value) {
  char kind = value.signature.front();
  if (value.signature.starts_with("a{")) {
    std::string text;
    for (const BusValue& entry : value.items) {
      text += (text.empty() ? "" : ", ") + body(entry.items[0]) + ": " + body(entry.items[1]);
    }
    return "{" + text + "}";
  }
  if (kind == 'a') return "[" + bodies(value.items) + "]";
  if (kind == '(') return "(" + bodies(value.items) + (value.items.size() == 1 ? ",)" : ")");
  if (kind == 'v') return "<" + to_gvariant(value.items.front()) + ">";
  return is_string_type(kind) ? quoted_text(value.text) : value.text;
}

}  // namespace

std::size_t complete_type(std::string_view signature) {
  return closed_type(signature, 0);
}

Result<BusValue> parse_gvariant(std::string_view text) {
  if (text.size() > kMaxText) {
    return Error(Code::kInvalid, "a property of " + std::to_string(text.size()) + " bytes");
  }
  return Parser(text).run();
}

std::string to_gvariant(const BusValue& value) {
  return "@" + value.signature + " " + body(value);
}

BusValue bus_u64(std::uint64_t value) {
  return {"t", std::to_string(value), {}};
}
BusValue bus_bool(bool value) {
  return {"b", value ? "true" : "false", {}};
}
BusValue bus_string(std::string value) {
  return {"s", std::move(value), {}};
}
BusValue bus_array(std::string element_signature, std::vector<BusValue> items) {
  return {"a" + std::move(element_signature), "", std::move(items)};
}

}  // namespace vrun::cgroups
