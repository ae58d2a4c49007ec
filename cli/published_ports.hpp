// Published ports, one by one, as `vrun port` and `ps` list them.
#pragma once

#include <string>
#include <vector>

#include "network/wishes.hpp"

namespace vrun::cli {

struct PublishedPort {
  std::string guest_port;  // "80/tcp"
  std::string address;     // "0.0.0.0" where none was said
  std::string host_port;   // empty: chosen when the guest starts
  bool operator==(const PublishedPort&) const = default;
};
std::vector<PublishedPort> published_ports(const std::vector<network::Publish>& ports);
// "0.0.0.0:8080"
std::string where(const PublishedPort& port);

}  // namespace vrun::cli
