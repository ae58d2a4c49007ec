#include "base/helper.hpp"

#include <vector>

#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

#ifndef VRUN_LIBEXEC
#define VRUN_LIBEXEC "/usr/libexec/vrun"
#endif

namespace vrun {

Result<std::string> helper_path(std::string_view name) {
  std::vector<std::string> places;
  const Result<std::string> self = sys::read_link(At::cwd(), "/proc/self/exe");
  if (self && self->starts_with('/')) {
    const std::string dir(fs::dir_name(*self));
    places.push_back(dir);
    places.push_back(fs::clean(dir + "/../libexec/vrun"));
  }
  places.emplace_back(VRUN_LIBEXEC);
  for (const std::string& place : places) {
    std::string path = fs::join(place, name);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return Error(Code::kNotFound, "the helper program " + quote(name) + " is not installed")
      .hint("looked in " + join(places, ", "));
}

}  // namespace vrun
