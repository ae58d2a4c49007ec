#include "oci/image.hpp"

#include <algorithm>

#include "base/json_table.hpp"
#include "base/text.hpp"

namespace vrun::oci {
namespace {

constexpr std::string_view kLayoutVersion = "1.0.0";

bool is_lower_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

// A manifest's config could hide an index or the other way round (CVE-2021-41190), so a document
// is one of them only.
void refuse_mixed(const json::In& in, std::initializer_list<std::string_view> foreign,
                  std::string_view what) {
  for (const std::string_view key : foreign) {
    if (in.value().find(key) == nullptr) continue;
    in.fault_below(key, "does not belong into " + std::string(what));
  }
}

void require(const json::In& in, std::string_view key) {
  const json::Value* value = in.value().find(key);
  if (value == nullptr || value->is_null()) json::missing(in, key);
}

template <typename Owner>
void read_schema_version(const json::In& in, Owner&) {
  const auto version = json::decode_integer(in, 0, UINT64_MAX);
  if (!version || *version == 2) return;
  in.fault(std::to_string(*version) + " is not supported, only 2 is");
}

template <typename Owner>
void write_schema_version(json::Writer& w, const Owner&) {
  w.member("schemaVersion", 2);
}

// {"80/tcp": {}}: a set in Go's clothes.
template <std::vector<std::string> ImageConfig::*kMember>
void read_set(const json::In& in, ImageConfig& config) {
  if (!in.expect(json::Kind::kObject)) return;
  for (const json::Member& member : in.value().members()) {
    const json::In inner(in, member.key.as_text(), member.value);
    if (!member.value.is_null()) inner.expect(json::Kind::kObject);
    (config.*kMember).emplace_back(member.key.as_text());
  }
}

void write_set(json::Writer& w, std::string_view key, const std::vector<std::string>& set) {
  if (set.empty()) return;
  w.key(key).begin_object();
  for (const std::string& element : set)
    w.key(element).begin_object().end_object();
  w.end_object();
}

void write_ports(json::Writer& w, const ImageConfig& config) {
  write_set(w, "ExposedPorts", config.exposed_ports);
}

void write_volumes(json::Writer& w, const ImageConfig& config) {
  write_set(w, "Volumes", config.volumes);
}

void read_rootfs_type(const json::In& in, ImageConfig&) {
  if (in.expect(json::Kind::kString) && in.value().as_text() != "layers") {
    in.fault(quote(in.value().as_text().substr(0, 80)) + " is not 'layers'");
  }
}

void write_rootfs_type(json::Writer& w, const ImageConfig&) {
  w.member("type", "layers");
}

}  // namespace

void decode(const json::In& in, const json::Rule&, Digest& out) {
  if (!in.expect(json::Kind::kString)) return;
  Result<Digest> digest = Digest::parse(in.value().as_text());
  if (!digest) return in.fault(digest.error().text());
  out = *std::move(digest);
}

void encode(json::Writer& w, const json::Rule&, const Digest& digest) {
  w.value(digest.str());
}

constexpr auto json_fields(const Platform*) {
  return json::fields(json::field("architecture", &Platform::architecture, {.required = true}),
                      json::field("os", &Platform::os, {.required = true}),
                      json::field("os.version", &Platform::os_version),
                      json::field("os.features", &Platform::os_features),
                      json::field("variant", &Platform::variant));
}

constexpr auto json_fields(const Descriptor*) {
  return json::fields(
      json::field("mediaType", &Descriptor::media_type, {.required = true, .non_empty = true}),
      json::field("digest", &Descriptor::digest, {.required = true}),
      json::field("size", &Descriptor::size, {.max = INT64_MAX, .required = true}),
      json::field("urls", &Descriptor::urls), json::field("annotations", &Descriptor::annotations),
      json::field("platform", &Descriptor::platform),
      json::field("artifactType", &Descriptor::artifact_type));
}

constexpr auto json_fields(const Manifest*) {
  return json::fields(
      json::custom("schemaVersion", &read_schema_version<Manifest>,
                   &write_schema_version<Manifest>),
      json::field("mediaType", &Manifest::media_type),
      json::field("artifactType", &Manifest::artifact_type),
      json::field("config", &Manifest::config, {.required = true}),
      json::field("layers", &Manifest::layers, {.required = true, .non_empty = true}),
      json::field("subject", &Manifest::subject),
      json::field("annotations", &Manifest::annotations));
}

constexpr auto json_fields(const Index*) {
  return json::fields(
      json::custom("schemaVersion", &read_schema_version<Index>, &write_schema_version<Index>),
      json::field("mediaType", &Index::media_type),
      json::field("artifactType", &Index::artifact_type),
      json::field("manifests", &Index::manifests, {.always = true}),
      json::field("subject", &Index::subject), json::field("annotations", &Index::annotations));
}

constexpr auto json_fields(const HealthCheck*) {
  return json::fields(json::field("Test", &HealthCheck::test),
                      json::field("Interval", &HealthCheck::interval, {.min = 0}),
                      json::field("Timeout", &HealthCheck::timeout, {.min = 0}),
                      json::field("StartPeriod", &HealthCheck::start_period, {.min = 0}),
                      json::field("StartInterval", &HealthCheck::start_interval, {.min = 0}),
                      json::field("Retries", &HealthCheck::retries, {.min = 0}));
}

constexpr auto json_fields(const HistoryEntry*) {
  return json::fields(json::field("created", &HistoryEntry::created),
                      json::field("created_by", &HistoryEntry::created_by),
                      json::field("author", &HistoryEntry::author),
                      json::field("comment", &HistoryEntry::comment),
                      json::field("empty_layer", &HistoryEntry::empty_layer));
}

constexpr auto json_fields(const ImageConfig*) {
  using C = ImageConfig;
  return json::fields(
      json::field("created", &C::created), json::field("author", &C::author),
      json::field("architecture", &C::architecture, {.required = true, .non_empty = true}),
      json::field("variant", &C::variant),
      json::field("os", &C::os, {.required = true, .non_empty = true}),
      json::field("os.version", &C::os_version), json::field("os.features", &C::os_features),
      json::group("config", json::field("User", &C::user),
                  json::custom("ExposedPorts", &read_set<&C::exposed_ports>, &write_ports),
                  json::field("Env", &C::env), json::field("Entrypoint", &C::entrypoint),
                  json::field("Cmd", &C::cmd), json::field("Healthcheck", &C::health_check),
                  json::custom("Volumes", &read_set<&C::volumes>, &write_volumes),
                  json::field("WorkingDir", &C::working_dir), json::field("Labels", &C::labels),
                  json::field("StopSignal", &C::stop_signal),
                  json::field("StopTimeout", &C::stop_timeout, {.min = -1}),
                  json::field("Shell", &C::shell)),
      json::group("rootfs", json::custom("type", &read_rootfs_type, &write_rootfs_type),
                  json::field("diff_ids", &C::diff_ids, {.required = true, .non_empty = true})),
      json::field("history", &C::history));
}

namespace {

void check_layer_count(const json::In& in, std::string_view path, std::size_t count) {
  if (count <= kMaxLayers) return;
  in.faults().add(
      path, "has " + std::to_string(count) + " layers, the limit is " + std::to_string(kMaxLayers));
}

}  // namespace

void json_check(const json::In& in, const Manifest& manifest) {
  if (in.value().find("fsLayers") != nullptr) {
    return in.fault("is an image of Docker's schema 1, which has no digests that can be trusted");
  }
  require(in, "schemaVersion");
  refuse_mixed(in, {"manifests"}, "a manifest");
  check_layer_count(in, "layers", manifest.layers.size());
  if (manifest.media_type.empty() || is_manifest_type(manifest.media_type)) return;
  in.fault_below("mediaType", quote(manifest.media_type) + " is not that of a manifest");
}

void json_check(const json::In& in, const Index& index) {
  require(in, "schemaVersion");
  refuse_mixed(in, {"config", "layers", "fsLayers"}, "an index");
  if (in.value().find("manifests") == nullptr) json::missing(in, "manifests");
  if (index.media_type.empty() || is_index_type(index.media_type)) return;
  in.fault_below("mediaType", quote(index.media_type) + " is not that of an index");
}

void json_check(const json::In& in, const ImageConfig& config) {
  require(in, "rootfs");
  check_layer_count(in, "rootfs.diff_ids", config.diff_ids.size());
}

bool is_manifest_type(std::string_view media_type) {
  return media_type == kManifestType || media_type == kDockerManifestType;
}

bool is_index_type(std::string_view media_type) {
  return media_type == kIndexType || media_type == kDockerIndexType;
}

Result<Digest> Digest::parse(std::string_view text) {
  const std::string shown = "digest " + quote(text.substr(0, 200));
  if (text.starts_with("sha512:") || text.starts_with("blake3:")) {
    return Error(Code::kUnsupported, shown + ": only sha256 is supported");
  }
  constexpr std::string_view kPrefix = "sha256:";
  const std::string_view hex = text.substr(std::min(kPrefix.size(), text.size()));
  if (!text.starts_with(kPrefix) || hex.size() != 64 ||
      !std::all_of(hex.begin(), hex.end(), is_lower_hex)) {
    return Error(Code::kInvalid, shown + " is not sha256: and 64 hexadecimal digits");
  }
  return Digest{.algorithm = "sha256", .hex = std::string(hex)};
}

Result<Manifest> parse_manifest(std::string_view json, std::string_view name) {
  return json::read<Manifest>(json, name, {.bytes = kMaxManifestBytes});
}

Result<Index> parse_index(std::string_view json, std::string_view name) {
  return json::read<Index>(json, name, {.bytes = kMaxManifestBytes});
}

Result<ImageConfig> parse_image_config(std::string_view json, std::string_view name) {
  return json::read<ImageConfig>(json, name, {.bytes = kMaxImageConfigBytes});
}

Result<void> check_layout(std::string_view json, std::string_view name) {
  const json::Document document = TRY(json::Document::parse(json, name, {.bytes = 4096}));
  const json::Value* version = document.root().find("imageLayoutVersion");
  if (version != nullptr && version->kind() == json::Kind::kString &&
      version->as_text().starts_with("1.")) {
    return {};
  }
  return Error(Code::kInvalid, std::string(name) + ": imageLayoutVersion is not 1.x");
}

std::string to_json(const Manifest& manifest, bool pretty) {
  return json::write(manifest, pretty ? json::Style::kTabs : json::Style::kCompact);
}

std::string to_json(const Index& index, bool pretty) {
  return json::write(index, pretty ? json::Style::kTabs : json::Style::kCompact);
}

std::string to_json(const ImageConfig& config, bool pretty) {
  return json::write(config, pretty ? json::Style::kTabs : json::Style::kCompact);
}

std::string layout_json() {
  return R"({"imageLayoutVersion":")" + std::string(kLayoutVersion) + R"("})";
}

}  // namespace vrun::oci
