// --security-opt seccomp=FILE: an OCI seccomp object, or a profile in Docker's format, whose rules
// hold under conditions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

// What the conditions of a profile ask about.
struct ProfileFacts {
  std::vector<std::string> capabilities;  // of the guest
  std::string architecture;               // Go's name: "amd64"
  std::string kernel;                     // "6.1.0-13-amd64"
};

// Docker's archMap, includes and excludes are resolved; an object without them is taken as it is.
// `name`: of the file, for messages.
Result<oci::Seccomp> parse_profile(std::string_view text, const std::string& name,
                                   const ProfileFacts& facts);

// The file, for a guest with these capabilities on this machine.
Result<oci::Seccomp> read_seccomp(const std::string& path,
                                  const std::vector<std::string>& capabilities);

}  // namespace vrun::engine
