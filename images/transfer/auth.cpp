#include "images/transfer/auth.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/json.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// RFC 9110 "token"; token68 (the rest of a Basic answer) never stands in a challenge we answer.
bool is_token(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

class ChallengeReader {
 public:
  explicit ChallengeReader(std::string_view text) : text_(text) {}

  std::vector<Challenge> all() {
    std::vector<Challenge> found;
    skip(" \t,");
    while (at_ < text_.size()) {
      const std::string word = token();
      if (word.empty()) return found;
      skip(" \t");
      const bool is_param = peek() == '=';
      if (!is_param) {
        found.push_back({word, {}});
      } else if (found.empty() || !read_value(found.back(), word)) {
        return found;
      }
      skip(" \t,");
    }
    return found;
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip(std::string_view set) {
    while (at_ < text_.size() && set.find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  std::string token() {
    std::string out;
    while (at_ < text_.size() && is_token(text_[at_]))
      out += lower(text_[at_++]);
    return out;
  }
  bool read_value(Challenge& challenge, const std::string& key) {
    ++at_;  // '='
    skip(" \t");
    std::string value;
    if (peek() == '"') {
      if (!quoted(value)) return false;
    } else {
      while (at_ < text_.size() && is_token(text_[at_]))
        value += text_[at_++];
    }
    challenge.params.emplace(key, std::move(value));
    return true;
  }
  bool quoted(std::string& value) {
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        ++at_;
        return true;
      }
      if (text_[at_] == '\\' && ++at_ == text_.size()) return false;
      value += text_[at_];
    }
    return false;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::vector<Challenge> parse_challenges(std::string_view header) {
  return ChallengeReader(header).all();
}

std::string base64(std::string_view bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      const unsigned char byte =
          i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0;
      group = group << 8U | byte;
    }
    for (std::size_t j = 0; j < 4; ++j) {
      const bool padding = i + j > bytes.size();
      out += padding ? '=' : kBase64[group >> (18U - 6U * j) & 63U];
    }
  }
  return out;
}

Result<std::string> from_base64(std::string_view text) {
  while (text.ends_with('='))
    text.remove_suffix(1);
  std::string out;
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    const std::size_t value = kBase64.find(c);
    if (value == std::string_view::npos) return Error(Code::kInvalid, "not base64");
    bits = bits << 6U | static_cast<std::uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 255U);
  }
  if (count >= 6) return Error(Code::kInvalid, "not base64");
  return out;
}

std::string basic_authorization(const Credentials& credentials) {
  return "Basic " + base64(credentials.user + ":" + credentials.password);
}

std::string url_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    const auto byte = static_cast<unsigned char>(c);
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += "0123456789ABCDEF"[byte >> 4U];
      out += "0123456789ABCDEF"[byte & 15U];
    }
  }
  return out;
}

Result<std::string> parse_token(std::string_view text, std::string_view name) {
  const json::Document document = TRY(json::Document::parse(text, name));
  for (const std::string_view key : {"token", "access_token"}) {
    const json::Value* value = document.root().find(key);
    if (value == nullptr || value->kind() != json::Kind::kString) continue;
    const std::string_view token = value->as_text();
    // It becomes a header line: a line end would let the token service write headers of its own.
    const bool clean = !token.empty() && std::all_of(token.begin(), token.end(),
                                                     [](char c) { return c > ' ' && c < '\x7f'; });
    if (clean) return std::string(token);
  }
  return Error(Code::kInvalid, std::string(name) + ": has no token");
}

}  // namespace vrun::images
