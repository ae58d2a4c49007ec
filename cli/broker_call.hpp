// `vrun` of a user without privileges in a tenant: vrun-broker does the work as root, with our
// stdin, stdout and stderr.
#pragma once

#include <string>
#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"
#include "tenants/caller_files.hpp"

namespace vrun::cli {

// For whom: a user without root who named a tenant other than `default`.
bool wants_broker(const std::string& tenant, const Host& host);

// What the command gets of the caller.
struct BrokerGifts {
  int in = 0, out = 1;
  const tenants::CallerFiles& files;
};

// The exit code of the command. `words`: as behind `vrun`, without --tenant. The socket is
// VRUN_BROKER or the one of the systemd unit.
Result<int> call_broker(const std::string& tenant, const std::vector<std::string>& words,
                        const BrokerGifts& gifts, const Host& host);

}  // namespace vrun::cli
