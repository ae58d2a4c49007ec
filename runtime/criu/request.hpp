// From an Order to CRIU's own request.
#pragma once

#include "criu_rpc.pb.h"
#include "runtime/criu/order.hpp"

namespace vrun::criu {

// `root`: where the container's root file system is mounted (restore only). `cgroups`: lines of
// /proc/self/cgroup of a process in the container's group (restore only): processes of the images
// go there, whatever the group was called when they were dumped.
rpc::Request to_request(const Order& order, const std::string& root, std::string_view cgroups);

}  // namespace vrun::criu
