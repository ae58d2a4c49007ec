// Whether somebody answers on a port of this network namespace's loopback.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace vrun::network {

struct PortProbe {
  bool http = false;  // asked with GET, wants a status from 200 to 399; else a connection will do
  std::uint16_t port = 0;
  std::string path = "/";  // of http, with its '/'
};

// Empty: all is well, else why not. Has no time limit of its own: the caller ends what takes too
// long.
Result<std::string> probe_port(const PortProbe& probe);

}  // namespace vrun::network
