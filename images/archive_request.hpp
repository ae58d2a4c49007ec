// What vrun asks of vrun-image for the verbs that read or write archives, or check the store: one
// word of JSON on its command line, as images/request.hpp for those that need the network.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vrun::images {

struct ArchiveRequest {
  std::string data_dir;
  std::string tenant = "default";
  std::string shipped;               // the directory of the images shipped with vrun
  std::string file;                  // load, import: from; save: to; empty: stdin, stdout
  std::string format;                // save: docker-archive, oci-archive, oci-dir
  std::vector<std::string> images;   // save: which; import: the name of the new one
  std::vector<std::string> changes;  // import: "CMD [...]", "ENV A=B"
  std::string message;               // import: for the history
  bool quiet = false;
  std::int64_t image_limit = -1;                     // as TransferRequest's
  bool repair = false, quick = false, json = false;  // fsck
  bool operator==(const ArchiveRequest&) const = default;
};

std::string to_json(const ArchiveRequest& request);
Result<ArchiveRequest> parse_archive_request(std::string_view json);

}  // namespace vrun::images
