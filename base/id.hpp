// Strong types for the numbers and names that must not be mixed up.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include <sys/types.h>

#include "base/result.hpp"

namespace vrun {

template <typename Tag, typename T>
struct Strong {
  T value{};
  constexpr Strong() = default;
  constexpr explicit Strong(T v) : value(v) {}
  auto operator<=>(const Strong&) const = default;
};

using Uid = Strong<struct UidTag, std::uint32_t>;
using Gid = Strong<struct GidTag, std::uint32_t>;
using Pid = Strong<struct PidTag, pid_t>;

// A checked container id: 1 to 1024 of [A-Za-z0-9_+.-], not "." or ".." (the grammar of runc).
class ContainerId {
 public:
  static Result<ContainerId> parse(std::string_view text);
  const std::string& str() const { return text_; }
  const char* c_str() const { return text_.c_str(); }
  auto operator<=>(const ContainerId&) const = default;

 private:
  explicit ContainerId(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace vrun
