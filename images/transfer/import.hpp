// Brings one image of an OCI layout into the store: blobs verified and copied, layers unpacked.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "images/holdings.hpp"
#include "images/layout.hpp"
#include "images/store.hpp"
#include "images/transfer/extract.hpp"
#include "images/transfer/spool.hpp"

namespace vrun::images {

// Where blobs come from: a layout of somebody's, which may change, or a spool of our own on the
// store's filesystem, whose files the store may keep as they are.
enum class Blobs { kCopied, kTaken };

// Each blob and layer appears whole or not at all, once for any number of concurrent imports of a
// tenant. What `holdings` has is not read, everything else is, and checked.
// Sentences that the user should read ("3 device nodes left out") are added to `warnings`.
Result<void> import_image(const Store& store, const Holdings& holdings, const Image& image,
                          const ExtractOptions& options, std::vector<std::string>& warnings,
                          Blobs blobs = Blobs::kCopied);

// A layer once more from its blob in the store: into the store where it is missing, or as the
// folder "tree" of a spool, to be compared with the one in the store.
Result<void> unpack_stored(const Store& store, const oci::Descriptor& blob,
                           const oci::Digest& diff_id);
Result<Fd> unpack_into(const Store& store, const Spool& spool, const oci::Descriptor& blob,
                       const oci::Digest& diff_id);

}  // namespace vrun::images
