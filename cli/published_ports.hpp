// Published ports as `vrun port` and `vrun ps` show them.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/guests.hpp"
#include "network/wishes.hpp"

namespace vrun::cli {

struct PublishedPort {
  std::string inside;  // "80/tcp"
  std::string where;   // "0.0.0.0:8080", "[::]:8080"; "0.0.0.0:any" when it is chosen at the start
  bool operator==(const PublishedPort&) const = default;
};
// One for each port of a range and each family of addresses.
enum class Families { kBoth, kIpv4 };
std::vector<PublishedPort> published(const network::Publish& port, Families families);

// "8080->80/tcp", with the port that was chosen when it runs.
Result<std::vector<std::string>> port_texts(const engine::Guests& guests,
                                            const engine::GuestRecord& record);

}  // namespace vrun::cli
