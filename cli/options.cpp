#include "cli/options.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "base/text.hpp"

namespace vrun::cli {
namespace {

// "-flag", "--flag", "--flag=value"; a lone "-" is a word (it means stdin).
struct Spelled {
  std::string_view name;
  std::optional<std::string_view> value;
};

std::optional<Spelled> as_flag(std::string_view word) {
  if (word.size() < 2 || word[0] != '-') return std::nullopt;
  word.remove_prefix(word[1] == '-' ? 2 : 1);
  const std::size_t equals = word.find('=');
  if (equals == std::string_view::npos) return Spelled{word, std::nullopt};
  return Spelled{word.substr(0, equals), word.substr(equals + 1)};
}

bool asks_help(const Spelled& spelled) {
  return spelled.name == "help" || spelled.name == "h";
}

Error unknown_flag(std::span<const Flag> flags, std::string_view word, std::string_view name) {
  std::vector<std::string_view> names;
  for (const Flag& flag : flags) {
    if (flag.shown == Shown::kAlways) names.push_back(flag.name.view());
  }
  Error error(Code::kInvalid, "unknown flag " + quote(word.substr(0, word.find('='))));
  const auto near = nearest(name, names);
  if (!near) return error;
  return std::move(error).hint("did you mean --" + std::string(*near) + "?");
}

Error bad_value(const Flag& flag, std::string_view value, std::string_view wanted) {
  return Error(Code::kInvalid, "flag --" + std::string(flag.name.view()) + ": " + quote(value) +
                                   " is not " + std::string(wanted));
}

Result<void> check_value(const Flag& flag, std::string_view value) {
  switch (flag.kind) {
    case Kind::kSwitch:
      if (!parse_switch(value)) return bad_value(flag, value, "true or false");
      break;
    case Kind::kNumber:
      if (!parse_number(value)) return bad_value(flag, value, "a number of 64 bits");
      break;
    case Kind::kDuration:
      if (!parse_duration(value)) return bad_value(flag, value, "a duration such as 5s or 1m30s");
      break;
    case Kind::kText:
    case Kind::kList:
      break;
  }
  return {};
}

}  // namespace

// Walks over argv once.
class Parser {
 public:
  Parser(std::span<const Flag> flags, std::span<char* const> argv)
      : arguments_(flags), flags_(flags), argv_(argv) {}

  Result<Arguments> run(bool flags_anywhere) {
    while (at_ < argv_.size() && !arguments_.help_) {
      const std::string_view word = argv_[at_++];
      if (word == "--") break;
      const auto spelled = as_flag(word);
      if (!spelled) {
        arguments_.words_.push_back(word);
        if (!flags_anywhere) break;
        continue;
      }
      TRY(take(*spelled));
    }
    for (; at_ < argv_.size(); ++at_)
      arguments_.words_.emplace_back(argv_[at_]);
    return std::move(arguments_);
  }

 private:
  Result<void> take(const Spelled& spelled) {
    const Flag* flag = find_flag(flags_, spelled.name);
    if (flag == nullptr && asks_help(spelled)) {
      arguments_.help_ = true;
      return {};
    }
    if (flag == nullptr) return unknown_flag(flags_, argv_[at_ - 1], spelled.name);
    const std::string_view value = TRY(value_of(*flag, spelled));
    TRY(check_value(*flag, value));
    arguments_.given_.push_back({flag, value});
    return {};
  }

  Result<std::string_view> value_of(const Flag& flag, const Spelled& spelled) {
    if (spelled.value) return *spelled.value;
    if (flag.kind == Kind::kSwitch) return std::string_view("true");
    if (at_ < argv_.size()) return std::string_view(argv_[at_++]);
    return Error(Code::kInvalid, "flag --" + std::string(flag.name.view()) + " needs a value")
        .hint("write --" + std::string(flag.name.view()) + " " + std::string(flag.value.view()));
  }

  Arguments arguments_;
  std::span<const Flag> flags_;
  std::span<char* const> argv_;
  std::size_t at_ = 0;
};

const Arguments::Given* Arguments::last(std::string_view flag) const {
  const auto found = std::find_if(given_.rbegin(), given_.rend(), [&](const Given& given) {
    return given.flag->name.view() == flag;
  });
  return found == given_.rend() ? nullptr : &*found;
}

bool Arguments::has(std::string_view flag) const {
  return last(flag) != nullptr;
}

bool Arguments::on(std::string_view flag) const {
  const Given* given = last(flag);
  return given != nullptr && parse_switch(given->value).value_or(false);
}

std::string Arguments::text(std::string_view flag) const {
  if (const Given* given = last(flag)) return std::string(given->value);
  const Flag* row = find_flag(flags_, flag);
  return std::string(row == nullptr ? std::string_view() : row->fallback.view());
}

std::int64_t Arguments::number(std::string_view flag) const {
  return parse_number(text(flag)).value_or(0);
}

std::chrono::nanoseconds Arguments::duration(std::string_view flag) const {
  return parse_duration(text(flag)).value_or(std::chrono::nanoseconds(0));
}

std::vector<std::string> Arguments::list(std::string_view flag) const {
  std::vector<std::string> values;
  for (const Given& given : given_) {
    if (given.flag->name.view() == flag) values.emplace_back(given.value);
  }
  return values;
}

std::vector<std::string> Arguments::spelled(std::span<const std::string_view> left_out) const {
  std::vector<std::string> words;
  for (const Given& given : given_) {
    const std::string_view name = given.flag->name.view();
    if (std::find(left_out.begin(), left_out.end(), name) != left_out.end()) continue;
    words.push_back("--" + std::string(name) + "=" + std::string(given.value));
  }
  words.emplace_back("--");
  words.insert(words.end(), words_.begin(), words_.end());
  return words;
}

Result<Arguments> parse(std::span<const Flag> flags, bool flags_anywhere,
                        std::span<char* const> argv) {
  return Parser(flags, argv).run(flags_anywhere);
}

std::size_t leading_flags(std::span<const Flag> flags, std::span<char* const> argv) {
  std::size_t at = 0;
  while (at < argv.size()) {
    const auto spelled = as_flag(argv[at]);
    if (!spelled || std::string_view(argv[at]) == "--") break;
    const Flag* flag = find_flag(flags, spelled->name);
    const bool takes_next = flag != nullptr && flag->kind != Kind::kSwitch && !spelled->value;
    at += takes_next ? 2 : 1;
  }
  return std::min(at, argv.size());
}

const Flag* find_flag(std::span<const Flag> flags, std::string_view name_or_alias) {
  for (const Flag& flag : flags) {
    if (flag.name.view() == name_or_alias ||
        (name_or_alias.size() == 1 && flag.alias.view() == name_or_alias)) {
      return &flag;
    }
  }
  return nullptr;
}

std::optional<bool> parse_switch(std::string_view text) {
  constexpr std::array<std::string_view, 6> kTrue{"1", "t", "T", "true", "TRUE", "True"};
  constexpr std::array<std::string_view, 6> kFalse{"0", "f", "F", "false", "FALSE", "False"};
  if (std::find(kTrue.begin(), kTrue.end(), text) != kTrue.end()) return true;
  if (std::find(kFalse.begin(), kFalse.end(), text) != kFalse.end()) return false;
  return std::nullopt;
}

std::optional<std::int64_t> parse_number(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
  }
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  constexpr std::uint64_t kTop = std::numeric_limits<std::int64_t>::max();
  if (value > kTop + (negative ? 1U : 0U)) return std::nullopt;
  return negative ? static_cast<std::int64_t>(0U - value) : static_cast<std::int64_t>(value);
}

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  struct Unit {
    std::string_view name;
    double nanoseconds;
  };
  constexpr std::array<Unit, 7> kUnits{
      {{"ns", 1}, {"us", 1e3}, {"µs", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}}};
  if (text == "0") return std::chrono::nanoseconds(0);
  if (text.empty()) return std::nullopt;
  double sum = 0;
  while (!text.empty()) {
    double amount = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), amount, std::chars_format::fixed);
    if (error != std::errc() || amount < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const std::size_t letters = std::min(text.find_first_of("0123456789."), text.size());
    const auto unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& candidate) {
      return candidate.name == text.substr(0, letters);
    });
    if (unit == kUnits.end()) return std::nullopt;
    sum += amount * unit->nanoseconds;
    text.remove_prefix(letters);
  }
  constexpr double kTop = 9.2e18;
  if (!(sum < kTop)) return std::nullopt;
  return std::chrono::nanoseconds(static_cast<std::int64_t>(sum));
}

}  // namespace vrun::cli
