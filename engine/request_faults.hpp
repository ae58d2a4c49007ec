// What is wrong with a guest as a manifest asks for it, field by field: all that can be said
// without its image and without what is on this host. Pure.
#pragma once

#include <string>
#include <vector>

#include "engine/request.hpp"

namespace vrun::engine {

struct FieldFault {
  std::string path;  // of a field of a Guest, "security.capAdd[1]"; empty: of several together
  std::string text;  // "'FOO': no such capability; did you mean ...?"
};

// The same rules as those of `run`. Empty: a guest can be made of it.
std::vector<FieldFault> faults_of(const RunRequest& request);

}  // namespace vrun::engine
