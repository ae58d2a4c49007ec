// "GUEST:PATH" of `vrun cp`.
#pragma once

#include <string>

namespace vrun::cli {

struct GuestPath {
  std::string guest;  // empty: the path is the host's
  std::string path;
};
// "./a:b" and "/a:b" are paths of the host, as for docker cp.
GuestPath parse_guest_path(const std::string& word);

}  // namespace vrun::cli
