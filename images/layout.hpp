// Images in an OCI layout directory, and what a guest needs to know of one image.
#pragma once

#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "oci/image.hpp"

namespace vrun::images {

struct Image {
  std::string name;            // as people call it: "base"
  oci::Digest digest;          // of the manifest
  oci::Descriptor descriptor;  // of the manifest: type, digest and size
  oci::Manifest manifest;
  oci::ImageConfig config;
  std::string layout_dir;  // where its blobs lie

  std::uint64_t size() const;  // of manifest, configuration and compressed layers
};

// The manifest of a layout for this machine's architecture, and its configuration. Both are
// verified by digest; so are the counts of layers in them. Layers are not read.
Result<Image> read_layout(const std::string& dir, const std::string& name);

// The image of a manifest among the blobs of a layout or of the image store (the store's own
// directory data/images is laid out as one, without index.json).
Result<Image> read_image(const std::string& dir, const oci::Descriptor& manifest,
                         const std::string& name);

// blobs/sha256/HEX of a layout; a regular file of exactly the size that `blob` says.
Result<Fd> open_blob(At layout, const oci::Descriptor& blob);
// The same, read whole and verified by digest.
Result<std::string> read_blob(At layout, const oci::Descriptor& blob, std::size_t limit);

// Go's name of the architecture this program was built for: "amd64".
std::string_view machine_architecture();

}  // namespace vrun::images
