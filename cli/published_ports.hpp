// --publish texts, as `vrun port` lists them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vrun::cli {

struct PublishedPort {
  std::string guest_port, protocol;  // "80" or "8000-8009"; "tcp"
  std::string address, host_port;    // "0.0.0.0" where none was said
  bool operator==(const PublishedPort&) const = default;
};
// "[ADDRESS:][HOST:]PORT[/PROTOCOL]"; an IPv6 address stands in brackets. Empty when it is none.
std::optional<PublishedPort> parse_published(std::string_view text);

}  // namespace vrun::cli
