// --volume and --tmpfs, to mounts of the runtime specification.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

// "SOURCE:TARGET[:OPTION,...]" with ro, rw, noidmap. A host path is bound with its owners mapped:
// what uid 1000 owns outside belongs to uid 1000 inside. `cwd`: what "./x" starts at.
Result<oci::Mount> parse_volume(std::string_view text, const std::string& cwd);
// --mount: "type=bind,source=/a,target=/b,readonly", "type=tmpfs,target=/t,tmpfs-size=64m".
Result<oci::Mount> parse_mount(std::string_view text);
// "TARGET[:OPTION,...]" with size=, mode=, ro, exec, noexec ...
Result<oci::Mount> parse_tmpfs(std::string_view text);

}  // namespace vrun::engine
