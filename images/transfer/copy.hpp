// `vrun cp`: between a guest's tree and the host, both ways, with Docker's rules for names.
//
// PATH/. means what is in the directory. A destination that is a directory gets the source below
// it; one that does not exist becomes the source, in a directory that does. In the guest every name
// is resolved beneath `root` by openat2(2); what is written is written by a confined process
// beneath the destination's descriptor. No link of the guest's leads anywhere else.
#pragma once

#include "base/fd.hpp"
#include "base/result.hpp"
#include "images/tree_request.hpp"

namespace vrun::images {

Result<void> copy_out(const Fd& root, const TreeRequest& request);
Result<void> copy_in(const Fd& root, const TreeRequest& request);

// The halves of a cp whose other end is another process: the host's file or tree to stdout, as a
// tar with one top, and such a tar from stdin into `directory`, or to where `file` says.
Result<void> pack(const TreeRequest& request);
Result<void> unpack(const Fd& directory, const TreeRequest& request);
Result<void> unpack(const TreeRequest& request);

}  // namespace vrun::images
