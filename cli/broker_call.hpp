// `vrun` of a user without privileges in a tenant: vrun-broker does the work as root, with our
// stdin, stdout and stderr.
#pragma once

#include <string>
#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"

namespace vrun::cli {

// For whom: a user without root who named a tenant other than `default`.
bool wants_broker(const std::string& tenant, const Host& host);

// The exit code of the command. `words`: as behind `vrun`, without --tenant. The socket is
// VRUN_BROKER or the one of the systemd unit.
Result<int> call_broker(const std::string& tenant, const std::vector<std::string>& words,
                        const Host& host);

}  // namespace vrun::cli
