// Command lines as data: one table of flags for each verb, and the parser that reads argv by it.
//
// The rules are those of runc's flag package, so that a command line written for runc means the
// same here: "-flag" and "--flag" are one, a value follows "=" or is the next word whatever it
// looks like, a switch takes a value only after "=", "--" ends the flags. Values are checked for
// their type while parsing, so the getters below cannot fail. The same tables make --help, the man
// pages and the completions.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vrun::cli {

// Text inside the table instead of a pointer to it. A position-independent program relocates every
// pointer of its tables at every start (a page fault of 2 us for each 42 flags, and this program
// starts thousands of times an hour); in-place text is read only by who asks for it.
template <std::size_t Size>
struct Label {
  char bytes[Size] = {};
  constexpr Label() = default;
  template <std::size_t Length>
  constexpr Label(const char (&text)[Length]) {  // NOLINT(google-explicit-constructor)
    static_assert(Length <= Size, "the text does not fit");
    for (std::size_t i = 0; i < Length; ++i)
      bytes[i] = text[i];
  }
  constexpr operator std::string_view() const {
    return bytes;
  }  // NOLINT(google-explicit-constructor)
  constexpr std::string_view view() const { return bytes; }
};

enum class Kind : std::uint8_t {
  kSwitch,    // --detach, --detach=false
  kText,      // --bundle DIR
  kNumber,    // signed, decimal or 0x...
  kDuration,  // "5s", "1m30s", "250ms"
  kList,      // may be given again and again
};

enum class Shown : std::uint8_t {
  kAlways,
  kDeprecated
};  // deprecated: accepted, named only in the man page

struct Flag {
  Label<24> name;  // without dashes
  Label<2> alias;  // one letter or empty
  Kind kind;
  Label<16> value;  // what --help calls the value: "DIR"; empty for a switch
  Label<120> help;
  Label<16> fallback = {};  // the value when not given, as --help prints it
  Shown shown = Shown::kAlways;
};

// What was given on a command line. Texts point into argv.
class Arguments {
 public:
  Arguments() = default;
  explicit Arguments(std::span<const Flag> flags) : flags_(flags) {}

  bool has(std::string_view flag) const;  // given at all
  bool on(std::string_view flag) const;   // a switch that is given and not "=false"
  // The last value given, else the fallback of the table.
  std::string text(std::string_view flag) const;
  std::int64_t number(std::string_view flag) const;
  std::chrono::nanoseconds duration(std::string_view flag) const;
  std::vector<std::string> list(std::string_view flag) const;

  // The same again as words of a command line, without the flags in `left_out`.
  std::vector<std::string> spelled(std::span<const std::string_view> left_out) const;

  const std::vector<std::string_view>& words() const { return words_; }
  std::string word(std::size_t i) const { return std::string(i < words_.size() ? words_[i] : ""); }
  bool help() const { return help_; }

 private:
  friend class Parser;
  struct Given {
    const Flag* flag;
    std::string_view value;
  };
  const Given* last(std::string_view flag) const;

  std::span<const Flag> flags_;
  std::vector<Given> given_;
  std::vector<std::string_view> words_;
  bool help_ = false;
};

// Reads `argv` by `flags`. With flags_anywhere flags are taken up to "--"; else up to the first
// positional word. An unknown flag is an error that suggests the nearest one.
Result<Arguments> parse(std::span<const Flag> flags, bool flags_anywhere,
                        std::span<char* const> argv);
// How many words of `argv` belong to flags that stand before the first positional word.
std::size_t leading_flags(std::span<const Flag> flags, std::span<char* const> argv);

const Flag* find_flag(std::span<const Flag> flags, std::string_view name_or_alias);

// Go's notations, as runc's users write them.
std::optional<bool> parse_switch(std::string_view text);
std::optional<std::int64_t> parse_number(std::string_view text);
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);

}  // namespace vrun::cli
