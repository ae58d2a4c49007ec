#include "vm/agent/failure.hpp"

#include <algorithm>
#include <array>

#include "base/json_table.hpp"

namespace vrun::vm {
namespace {

// In the order of Code.
constexpr std::array<std::string_view, 9> kCodes = {"internal", "invalid", "not found",
                                                    "exists",   "state",   "unsupported",
                                                    "denied",   "timeout", "system"};

// The words of a guest stand in messages and are kept in files of the host.
constexpr std::size_t kMostText = 8192;

}  // namespace

constexpr auto json_fields(const Failure*) {
  return json::fields(
      json::field("code", &Failure::code, {.names = kCodes, .required = true}),
      json::field("text", &Failure::text, {.required = true}), json::field("hint", &Failure::hint),
      json::field("status", &Failure::status, {.min = 1, .max = 255, .required = true}));
}

std::string to_json(const Failure& failure) {
  return json::write(failure);
}

Result<Failure> parse_failure(std::string_view json) {
  Failure failure = TRY(json::read<Failure>(json, "kError"));
  failure.text.resize(std::min(failure.text.size(), kMostText));
  failure.hint.resize(std::min(failure.hint.size(), kMostText));
  return failure;
}

Failure failure_of(const Error& error, int status) {
  return {.code = std::string(kCodes[static_cast<std::size_t>(error.code())]),
          .text = error.text(),
          .hint = error.hint(),
          .status = status};
}

Error error_of(const Failure& failure) {
  Code code = Code::kInternal;
  for (std::size_t i = 0; i < kCodes.size(); ++i) {
    if (kCodes[i] == failure.code) code = static_cast<Code>(i);
  }
  Error error(code, failure.text);
  return failure.hint.empty() ? std::move(error) : std::move(error).hint(failure.hint);
}

}  // namespace vrun::vm
