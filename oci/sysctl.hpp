// Names of kernel parameters, and the namespace that each belongs to.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "oci/spec.hpp"

namespace vrun::oci {

// "net.ipv4.ip_forward" and "net/ipv4/conf/eth0.1/mtu" (a first separator '/' makes dots part of
// the names, sysctl(8)) as the path below /proc/sys. Empty when it is no safe relative path.
std::string sysctl_path(std::string_view name);

// The namespace whose copy of the parameter a write changes; empty: it belongs to the whole host.
std::optional<NamespaceType> sysctl_namespace(std::string_view path);

}  // namespace vrun::oci
