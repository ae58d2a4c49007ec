// The documents of image-spec 1.1 (and Docker's equal ones): digests, descriptors, manifest,
// index, image configuration and layout, and the names people give to images.
//
// The readers are strict where a wrong value could be dangerous: digests have one grammar (a digest
// is a safe file name), sizes are present and not negative, a document cannot be manifest and index
// at once, layer lists have bounds. Unknown keys are accepted; all faults are reported at once.
// Nothing here touches a disk or a network, and nothing verifies content against a digest.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vrun::oci {

inline constexpr std::size_t kMaxManifestBytes = 4U << 20U;  // manifests and indexes
inline constexpr std::size_t kMaxImageConfigBytes = 16U << 20U;
inline constexpr std::size_t kMaxLayers = 500;  // what overlayfs can stack

// Media types by their usual names; is_*() below also accept Docker's.
inline constexpr std::string_view kManifestType = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kIndexType = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kConfigType = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kLayerTarType = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kLayerGzipType = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view kLayerZstdType = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view kDockerManifestType =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerIndexType =
    "application/vnd.docker.distribution.manifest.list.v2+json";

bool is_manifest_type(std::string_view media_type);
bool is_index_type(std::string_view media_type);

// "sha256:" and 64 lower-case hexadecimal digits, nothing else (sha512 is Code::kUnsupported).
struct Digest {
  std::string algorithm;
  std::string hex;
  static Result<Digest> parse(std::string_view text);
  std::string str() const { return algorithm + ":" + hex; }
  auto operator<=>(const Digest&) const = default;
};

struct Platform {
  std::string architecture;  // Go's names: amd64, arm64
  std::string os;
  std::string os_version;
  std::vector<std::string> os_features;
  std::string variant;  // v8
  bool operator==(const Platform&) const = default;
};

struct Descriptor {
  std::string media_type;
  Digest digest;
  std::uint64_t size = 0;  // at most 2^63-1
  std::vector<std::string> urls;
  std::map<std::string, std::string> annotations;
  std::optional<Platform> platform;
  std::string artifact_type;
  bool operator==(const Descriptor&) const = default;
};

struct Manifest {
  std::string media_type;  // may be empty in old OCI documents
  std::string artifact_type;
  Descriptor config;
  std::vector<Descriptor> layers;  // bottom first, 1 to kMaxLayers
  std::optional<Descriptor> subject;
  std::map<std::string, std::string> annotations;
  bool operator==(const Manifest&) const = default;
};

struct Index {
  std::string media_type;
  std::string artifact_type;
  std::vector<Descriptor> manifests;
  std::optional<Descriptor> subject;
  std::map<std::string, std::string> annotations;
  bool operator==(const Index&) const = default;
};

struct HealthCheck {              // Docker's extension; times in nanoseconds, 0: inherit
  std::vector<std::string> test;  // {"NONE"}, {"CMD", ...}, {"CMD-SHELL", text}
  std::int64_t interval = 0, timeout = 0, start_period = 0, start_interval = 0;
  std::int64_t retries = 0;
  bool operator==(const HealthCheck&) const = default;
};

struct HistoryEntry {
  std::string created, created_by, author, comment;
  bool empty_layer = false;
  bool operator==(const HistoryEntry&) const = default;
};

struct ImageConfig {
  std::string created, author;
  std::string architecture, os, os_version, variant;
  std::vector<std::string> os_features;
  // the object "config": what a container of this image starts with
  std::string user;  // "name", "uid", "uid:gid", "name:group"
  std::vector<std::string> env, entrypoint, cmd;
  std::string working_dir;
  std::map<std::string, std::string> labels;
  std::string stop_signal;                   // "SIGTERM", "15"
  std::optional<std::int64_t> stop_timeout;  // seconds (Docker)
  std::vector<std::string> exposed_ports;    // "80/tcp"
  std::vector<std::string> volumes;          // absolute paths inside
  std::vector<std::string> shell;            // Docker
  std::optional<HealthCheck> health_check;
  // the object "rootfs"
  std::vector<Digest> diff_ids;  // of the uncompressed layers, bottom first
  std::vector<HistoryEntry> history;
  bool operator==(const ImageConfig&) const = default;
};

// `name` is what messages call the document: "manifest sha256:1234", "index.json".
Result<Manifest> parse_manifest(std::string_view json, std::string_view name);
Result<Index> parse_index(std::string_view json, std::string_view name);
Result<ImageConfig> parse_image_config(std::string_view json, std::string_view name);
// The file `oci-layout`: an error unless imageLayoutVersion is 1.x.
Result<void> check_layout(std::string_view json, std::string_view name);

std::string to_json(const Manifest& manifest, bool pretty = false);
std::string to_json(const Index& index, bool pretty = false);
std::string to_json(const ImageConfig& config, bool pretty = false);
std::string layout_json();

// The name of an image, normalised as Docker does: "alpine" is docker.io/library/alpine:latest.
// The first part is a host when it has a dot or a colon, is "localhost" or has upper case.
struct Reference {
  std::string domain;  // "docker.io", "localhost:5000"
  std::string path;    // "library/alpine"
  std::string tag;     // "latest" when neither tag nor digest was given; may be empty with a digest
  std::optional<Digest> digest;  // wins over the tag
  static Result<Reference> parse(std::string_view text);
  std::string repository() const { return domain + "/" + path; }
  std::string str() const;       // whole: "docker.io/library/alpine:latest"
  std::string familiar() const;  // short: "alpine:latest"
  auto operator<=>(const Reference&) const = default;
};

}  // namespace vrun::oci
