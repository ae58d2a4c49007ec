// Lines of a Dockerfile applied to an image's configuration: --change of `import` and `commit`.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "oci/image.hpp"

namespace vrun::images {

// CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR; values as in a
// Dockerfile: CMD ["sh", "-c", "x"] or CMD x, which a shell runs. Anything else is an error.
Result<void> apply_change(oci::ImageConfig& config, const std::string& line);
Result<void> apply_changes(oci::ImageConfig& config, const std::vector<std::string>& lines);

}  // namespace vrun::images
