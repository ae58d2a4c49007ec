// The network of a guest without root: pasta or slirp4netns, which make one in user space.
//
// Bridges, addresses of the host and nft rules need CAP_NET_ADMIN over the host's network. Without
// it a guest gets what these programs offer: a way out, and published ports (pasta only, as
// slirp4netns wants a conversation for each). Names of other guests, static addresses and limits
// are refused.
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

// The command line that gives the namespaces of process `pid` a network; it stays until they end.
// Code::kUnsupported, with what to install or to leave away, when there is none.
Result<std::vector<std::string>> rootless_command(const AttachRequest& request, Pid pid,
                                                  const RootlessTools& tools);

}  // namespace vrun::network
