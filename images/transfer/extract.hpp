// Unpacks one layer (a tar stream of foreign origin) into a directory, in the form overlayfs reads.
//
// libarchive only parses. Every name is resolved by openat2(2) beneath the directory: "..",
// absolute names and links that point outside cannot leave it. Whiteouts become character devices
// 0/0, opaque markers the overlay xattr. Forged overlay metadata (trusted.*, user.overlay.*) is an
// error. Device nodes are left out and counted: guests get a /dev of their own. On an error the
// directory holds an unfinished tree that the caller throws away.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "images/transfer/meter.hpp"
#include "images/transfer/stream.hpp"
#include "images/tree_request.hpp"

namespace vrun::images {

struct ExtractLimits {
  std::uint64_t entries = 2'000'000;
  std::uint64_t bytes = 256ULL << 30U;  // of content, holes included
  std::uint64_t depth = 1024;           // directories in one another
  std::uint64_t directory_bytes = 256ULL
                                  << 20U;  // memory for what is set on directories at the end
};

struct ExtractOptions {
  ExtractLimits limits;
  // false for an unprivileged caller: files stay ours, and overlay metadata uses user.overlay.*
  bool privileged = true;
  Meter* meter = nullptr;  // pays for what is written; null: nobody does

  // What follows is for other trees than layers (copy.hpp).
  // false: .wh. names are names like others, and a directory is never replaced by something else.
  bool layer = true;
  // The ids of the tar -> those that the tree is written with. One that is in none is an error.
  std::vector<IdShift> ids;
  // Every name begins with the same one, and gets this instead; empty: what is in it goes in.
  std::optional<std::string> top;
  bool all_to_root = false;  // whatever the tar says, id 0 (shifted) owns everything
  bool set_id_bits = true;   // false: programs lose set-user-id and set-group-id
};

struct Extracted {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  std::uint64_t devices_left_out = 0;
  std::uint64_t owners_left_out = 0;      // ids that our user namespace does not have
  std::uint64_t attributes_left_out = 0;  // ACLs, security labels of another host
};

Result<Extracted> extract_layer(ByteSource& tar, const Fd& directory,
                                const ExtractOptions& options);

}  // namespace vrun::images
