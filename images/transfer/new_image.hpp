// An image made here: layers that are known and one more, of `import` or `commit`.
#pragma once

#include <optional>
#include <string>

#include "base/result.hpp"
#include "images/transfer/meter.hpp"
#include "images/transfer/spool.hpp"
#include "oci/image.hpp"

namespace vrun::images {

struct NewImage {
  oci::ImageConfig config;              // of the image below, changed; diff_ids of the layers below
  std::vector<oci::Descriptor> layers;  // below, in the store
  std::string created;                  // RFC 3339
  std::string created_by, comment, author;
  std::optional<oci::Reference> name;
  std::string how;    // without a name: see made_up_name()
  std::string event;  // as Names::note() calls it
};

// `tar` is a plain tar at its beginning, a file of the spool. The layer is unpacked by a confined
// process, blobs and layer get into the store, then the name is set. Answers "sha256:ID", the
// digest of the configuration.
Result<std::string> add_image(const Store& store, const Spool& spool, const Fd& tar, NewImage image,
                              const std::string& tenant, Meter* meter);

std::string now_text();  // RFC 3339, UTC

// A name for an image that came without one: nothing would keep it otherwise. `how` it came is the
// name, its id the tag: "localhost/imported:1997d42b7d33".
oci::Reference made_up_name(const oci::Digest& config, const std::string& how);

// The policy's turn (gc.hpp), after a command that brought something and no longer uses the store.
// A failure is a warning; its words, which may name images of all tenants, are for `default`.
void collect_by_policy(const std::string& data_dir, const std::string& shipped_dir,
                       const std::string& tenant);

}  // namespace vrun::images
