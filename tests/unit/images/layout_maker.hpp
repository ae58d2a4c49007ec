// Writes a small OCI layout, right or wrong, for tests.
#pragma once

#include <string>

#include "base/digest.hpp"
#include "images/layout.hpp"
#include "oci/image.hpp"
#include "tests/unit/images/folder.hpp"

namespace vrun::images::test {

inline oci::Digest digest_of(const std::string& bytes) {
  return *oci::Digest::parse("sha256:" + sha256_hex(bytes));
}

inline oci::Descriptor write_blob(const TemporaryFolder& folder, const std::string& dir,
                                  const std::string& bytes, std::string_view media_type) {
  oci::Descriptor descriptor;
  descriptor.media_type = media_type;
  descriptor.digest = digest_of(bytes);
  descriptor.size = bytes.size();
  folder.write(dir + "/blobs/sha256/" + descriptor.digest.hex, bytes);
  return descriptor;
}

// One plain layer with the bytes `tar`. Answers the manifest's descriptor.
inline oci::Descriptor write_layout(
    const TemporaryFolder& folder, const std::string& dir, const std::string& tar,
    std::string architecture = std::string(machine_architecture())) {
  oci::ImageConfig config;
  config.architecture = architecture;
  config.os = "linux";
  config.cmd = {"/bin/sh"};
  config.diff_ids = {digest_of(tar)};
  oci::Manifest manifest;
  manifest.media_type = oci::kManifestType;
  manifest.layers = {write_blob(folder, dir, tar, oci::kLayerTarType)};
  manifest.config = write_blob(folder, dir, oci::to_json(config), oci::kConfigType);
  oci::Descriptor entry = write_blob(folder, dir, oci::to_json(manifest), oci::kManifestType);
  entry.platform = oci::Platform{};
  entry.platform->os = "linux";
  entry.platform->architecture = std::move(architecture);
  oci::Index index;
  index.media_type = oci::kIndexType;
  index.manifests = {entry};
  folder.write(dir + "/index.json", oci::to_json(index));
  folder.write(dir + "/oci-layout", oci::layout_json());
  return entry;
}

}  // namespace vrun::images::test
