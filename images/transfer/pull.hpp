// An image from a registry into the store.
//
// Manifest first, then all layers that are missing, several at a time: while the bytes of a layer
// arrive they are hashed, kept, inflated and unpacked by a confined process each. Missing is what
// the tenant does not have, whoever else does (images/holdings.hpp). Nothing is
// visible before its digest and size were checked. Layers that another vrun of the
// tenant is fetching are waited for, not fetched. Whatever ends this early, nothing half-made
// stays.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "images/holdings.hpp"
#include "images/store.hpp"
#include "images/transfer/desk.hpp"
#include "images/transfer/extract.hpp"
#include "images/transfer/progress.hpp"
#include "oci/image.hpp"

namespace vrun::images {

struct PullOrder {
  oci::Reference image;
  oci::Platform platform;
  bool platform_chosen = false;  // by the user: then the image's own claim must match
  ExtractOptions extract;
  unsigned parallel = 4;
};

struct Pulled {
  oci::Descriptor manifest;  // of the platform, as it is in the store now
  std::size_t layers_fetched = 0;
  std::vector<std::string> warnings;
};

Result<Pulled> pull(const Store& store, const Holdings& holdings, const PullOrder& order,
                    Desk& desk, Progress& progress);

}  // namespace vrun::images
