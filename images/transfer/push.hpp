// An image from the store to a registry: the blobs it lacks, several at a time, then the manifest.
#pragma once

#include <functional>
#include <string>

#include "base/result.hpp"
#include "images/layout.hpp"
#include "images/transfer/desk.hpp"
#include "images/transfer/progress.hpp"
#include "oci/image.hpp"

namespace vrun::images {

struct PushOrder {
  Image image;  // wherever its blobs lie: in the store, or in a layout that came with vrun
  oci::Reference target;
  unsigned parallel = 4;
  // Another repository of the target's registry that should have a blob, or "": the registry may
  // then take it from there.
  std::function<std::string(const oci::Digest&)> seen_in;
};

// Layers are sent as they came, with their original digests; one that the store has only unpacked
// and the registry has not is an error.
Result<void> push(const PushOrder& order, Desk& desk, Progress& progress);

}  // namespace vrun::images
