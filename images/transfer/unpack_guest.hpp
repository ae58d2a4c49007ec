// A whole guest's archive, of foreign origin, into a directory: `vrun guest import`.
#pragma once

#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::images {

// `input`: a tar, plain, gzip or zstd, read to its end by a confined process that holds every entry
// to what a layer of an image may have (extract.hpp). On an error `directory` holds a part.
Result<void> unpack_guest(const Fd& input, const Fd& directory, std::vector<std::string>& warnings);

}  // namespace vrun::images
