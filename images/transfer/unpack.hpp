// From one compressed blob to one unpacked layer, with both digests checked.
#pragma once

#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "images/transfer/extract.hpp"
#include "oci/image.hpp"

namespace vrun::images {

// Unpacks the blob `file` into `directory` and compares the digest of what was read with
// `blob_digest` and of what it decompressed to with `diff_id`. On any error the directory is
// rubbish.
Result<Extracted> unpack_blob(const Fd& file, const oci::Descriptor& blob,
                              const oci::Digest& diff_id, const Fd& directory,
                              const ExtractOptions& options);

// The same in a child process that has lost everything it does not need (sandbox.hpp).
Result<Extracted> unpack_blob_confined(const Fd& file, const oci::Descriptor& blob,
                                       const oci::Digest& diff_id, const Fd& directory,
                                       const ExtractOptions& options);

}  // namespace vrun::images
