// `vrun save`, `load`, `import` and `image fsck`: what vrun-image does when vrun has read the
// flags.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "images/archive_request.hpp"
#include "images/catalog.hpp"
#include "images/store.hpp"
#include "images/transfer/meter.hpp"

namespace vrun::images {

bool is_archive_verb(std::string_view verb);
// Does the whole verb, its output included; answers the exit code. Errors are printed.
int run_archive_verb(std::string_view verb, std::string_view request_json);

// load.cpp: every image of a docker-archive, oci-archive or layout folder gets into the store,
// whole or not at all, and its names are set. Prints the names.
Result<int> load_archive(const Store& store, const ArchiveRequest& request, Meter* meter);
// save.cpp
Result<int> save_archive(const ArchiveRequest& request);
// import_root.cpp: an image of one layer. Prints its id.
Result<int> import_root(const Store& store, const ArchiveRequest& request, Meter* meter);
// fsck.cpp: prints what is damaged; 1 when something is.
Result<int> check_store(const Store& store, const ArchiveRequest& request);

}  // namespace vrun::images
