// What vrun asks of vrun-image for the verbs that need the network: one word of JSON on its command
// line. Passwords never stand in it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vrun::images {

enum class ProgressStyle : std::uint8_t {
  kAuto,   // bars on a terminal, else lines
  kPlain,  // lines
  kJson,   // an object a line
  kQuiet,
};

struct TransferRequest {
  std::string data_dir;
  std::string shipped_dir;  // images that came with vrun: push may send them
  std::string tenant = "default";
  std::vector<std::string> images;  // pull: all of them; push: what, and optionally to where
  std::string platform;             // empty: this machine's
  ProgressStyle progress = ProgressStyle::kAuto;
  // Bytes that images of the tenant may be charged for in all (charge.hpp); -1: no limit.
  std::int64_t image_limit = -1;
  // login and logout
  std::string registry, username;
  bool password_stdin = false;
  // A descriptor for the error as JSON; -1: the error is printed on stderr as vrun prints errors.
  std::int64_t report_fd = -1;
  bool operator==(const TransferRequest&) const = default;
};

std::string to_json(const TransferRequest& request);
Result<TransferRequest> parse_transfer_request(std::string_view json);

// An error from process to process with its code, text and hint.
std::string error_to_json(const Error& error);
Error error_from_json(std::string_view json);

}  // namespace vrun::images
