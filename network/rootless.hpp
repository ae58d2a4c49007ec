// The network of a guest without root: pasta or slirp4netns, which make one in user space.
//
// Bridges, addresses of the host and nft rules need CAP_NET_ADMIN over the host's network. Without
// it a guest gets what these programs offer: a way out, and published ports (of slirp4netns by a
// conversation for each over its socket, and on IPv4 only). Names of other guests, static addresses
// and limits are refused.
#pragma once

#include <string>
#include <vector>

#include "base/host.hpp"
#include "base/id.hpp"
#include "base/result.hpp"
#include "network/networks.hpp"

namespace vrun::network {

// Where the programs are; empty: not installed.
struct RootlessTools {
  std::string pasta, slirp4netns;
  static RootlessTools find(const Host& host);  // in PATH
};

// Where slirp4netns answers questions for names (slirp4netns(1)).
inline constexpr const char* kSlirpResolver = "10.0.2.3";

// The command line that gives the namespaces of process `pid` a network; it stays until they end.
// Code::kUnsupported, with what to install or to leave away, when there is none.
Result<std::vector<std::string>> rootless_command(const AttachRequest& request, Pid pid,
                                                  const RootlessTools& tools);

}  // namespace vrun::network
