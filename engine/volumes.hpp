// --volume, --mount and --tmpfs, to mounts of the runtime specification. Pure: whether a directory
// or volume is there is not asked here.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

// What one flag asks for. A host path is bound with its owners mapped: what uid 1000 owns outside
// belongs to uid 1000 inside.
struct AskedMount {
  oci::Mount mount;        // of a volume: without a source, which its name decides
  bool is_volume = false;  // one that vrun keeps (volume_store.hpp)
  std::string volume;      // its name; empty: one of the guest's own, with a name made for it
  bool copy = true;        // what the image has at that place goes into an empty volume
};

// "SOURCE:TARGET[:OPTION,...]" with ro, rw, noidmap, nocopy. SOURCE is a path of the host or the
// name of a volume; without SOURCE it is a volume of the guest's own. `cwd`: what "./x" starts at.
Result<AskedMount> parse_volume(std::string_view text, const std::string& cwd);
// --mount: "type=bind,source=/a,target=/b,readonly", "type=volume,source=NAME,target=/v",
// "type=tmpfs,target=/t,tmpfs-size=64m".
Result<AskedMount> parse_mount(std::string_view text);
// "TARGET[:OPTION,...]" with size=, mode=, ro, exec, noexec ...
Result<oci::Mount> parse_tmpfs(std::string_view text);

// "./site:/www" from here: "/home/me/site:/www".
std::string absolute_volume(const std::string& text, const std::string& cwd);

// A letter or digit, then letters, digits and "_.-"; 128 at most.
bool is_volume_name(std::string_view name);

// How a directory of the host, or a volume, is mounted.
oci::Mount bind_of(std::string source, std::string target, bool read_only, bool id_mapped);

}  // namespace vrun::engine
