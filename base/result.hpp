// Results and errors: every function that can fail returns Result<T>; nothing throws.
//
// An Error says what was being done, on which thing, why it failed and what to do about it. The
// leaf that meets the failure fills in the facts; callers add only what the leaf cannot know, with
// during(), at() and hint(). Names of Result follow std::expected (absent from GCC 12).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace vrun {

// What kind of failure it is: callers branch on this, never on texts.
enum class Code {
  kInternal,     // a bug in vrun, or a kernel answer that makes no sense
  kInvalid,      // the input (config, flag, file) is wrong
  kNotFound,     // the named thing does not exist
  kExists,       // the name is taken
  kState,        // the thing exists but is in the wrong state for this
  kUnsupported,  // this build, kernel or host cannot do it
  kDenied,       // permission is missing
  kTimeout,      // a deadline passed
  kSystem,       // a system call failed; sys_errno() says how
};

class [[nodiscard]] Error {
 public:
  // `message` is a whole clause in small letters: "open '/x'", "config.json: root is missing".
  Error(Code code, std::string message);

  // A failed system call: "`action`: no such file or directory (ENOENT)". The code follows errno.
  static Error system(int sys_errno, std::string action);

  // Adds the outer action in front of the text: "create web: open '/x': ...".
  Error&& during(std::string_view action) &&;
  // Adds where in the input this was asked for, usually a JSON path: "mounts[2]".
  Error&& at(std::string_view where) &&;
  // The same place in the words of another input: the flag that the path was made from.
  Error&& at_instead(std::string_view where) &&;
  // Adds what the user can do. The innermost hint wins.
  Error&& hint(std::string_view text) &&;
  // Adds words of the kernel or of a program behind the reason.
  Error&& detail(std::string_view words) &&;
  // Names the step (steps::Op) that failed inside the container process.
  Error&& step(std::string_view name) &&;
  Error&& with_code(Code code) &&;

  Code code() const { return data_->code; }
  int sys_errno() const { return data_->sys_errno; }
  const std::string& step() const { return data_->step; }
  const std::string& where() const { return data_->where; }
  const std::string& hint() const { return data_->hint; }

  // The sentence without the hint: "create web: mount proc on /proc (mounts[0]): ... (EPERM)".
  std::string text() const;

 private:
  struct Data {
    Code code;
    int sys_errno = 0;
    std::string prefix;   // "create web: "
    std::string message;  // "mount proc on /proc"
    std::string where;    // "mounts[0]"
    std::string detail;
    std::string reason;  // "no such file or directory (ENOENT)"
    std::string step;
    std::string hint;
  };
  std::unique_ptr<Data> data_;
};

// "no such file or directory (ENOENT)". Lower case at the start: Docker and Podman recognise exit
// codes 126 and 127 by these very words.
std::string errno_text(int sys_errno);

template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error)
      : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  T& operator*() & { return *std::get_if<0>(&state_); }
  const T& operator*() const& { return *std::get_if<0>(&state_); }
  T&& operator*() && { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }
  T value_or(T other) && { return has_value() ? std::move(**this) : std::move(other); }
  Error& error() & { return *std::get_if<1>(&state_); }
  const Error& error() const& { return *std::get_if<1>(&state_); }
  Error&& error() && { return std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool has_value() const { return !error_; }
  explicit operator bool() const { return has_value(); }
  void operator*() const {}
  Error& error() & { return *error_; }
  const Error& error() const& { return *error_; }
  Error&& error() && { return std::move(*error_); }

 private:
  std::optional<Error> error_;
};

}  // namespace vrun

// Yields the value of a Result, or returns its error from the calling function.
#define TRY(...)                                           \
  __extension__({                                          \
    auto try_result = (__VA_ARGS__);                       \
    if (!try_result) return std::move(try_result).error(); \
    *std::move(try_result);                                \
  })
