// Accepts connections and gives each a process; reaps what ends below the agent.
#pragma once

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/guest/session.hpp"

namespace vrun::vm {

// Virtio socket, port kAgentPort, from the host only.
Result<Fd> listen_to_host();
// Whether the kernel can speak to a host at all.
bool has_transport();
// For tests without a machine.
Result<Fd> listen_at(const std::string& path);

// Until the guest's own process has ended or the host says so.
Result<void> serve_all(const Settings& settings, const Fd& listener);

}  // namespace vrun::vm
