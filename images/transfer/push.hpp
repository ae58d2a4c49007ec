// An image from the store to a registry: the blobs it lacks, several at a time, then the manifest.
#pragma once

#include <functional>
#include <string>

#include "base/result.hpp"
#include "images/store.hpp"
#include "images/transfer/desk.hpp"
#include "images/transfer/progress.hpp"
#include "oci/image.hpp"

namespace vrun::images {

struct PushOrder {
  oci::Descriptor manifest;  // what is pushed, from the store
  oci::Reference target;
  unsigned parallel = 4;
  // Another repository of the target's registry that should have a blob, or "": the registry may
  // then take it from there.
  std::function<std::string(const oci::Digest&)> seen_in;
};

// Layers are sent as they came, with their original digests; one that the store has only unpacked
// and the registry has not is an error.
Result<void> push(const Store& store, const PushOrder& order, Desk& desk, Progress& progress);

}  // namespace vrun::images
