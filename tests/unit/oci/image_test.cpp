#include "oci/image.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.hpp"

namespace vrun::oci {
namespace {

using ::testing::HasSubstr;

const std::string kHex(64, 'a');
const std::string kDigest = "sha256:" + kHex;
const std::string kConfigEntry =
    R"({"mediaType":"application/vnd.oci.image.config.v1+json","digest":")" + kDigest +
    R"(","size":7})";
const std::string kLayerEntry =
    R"({"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":")" + kDigest +
    R"(","size":9223372036854775807})";

std::string manifest_text(const std::string& layers, const std::string& more = "") {
  return R"({"schemaVersion":2,"config":)" + kConfigEntry + R"(,"layers":)" + layers + more + "}";
}

template <typename T>
std::string fault_of(const Result<T>& result) {
  return result ? "accepted" : result.error().text();
}

std::string manifest_fault(const std::string& text) {
  return fault_of(parse_manifest(text, "m"));
}

TEST(Digest, has_one_grammar) {
  const auto digest = Digest::parse(kDigest);
  ASSERT_TRUE(digest);
  EXPECT_EQ(digest->hex, kHex);
  EXPECT_EQ(digest->str(), kDigest);
  std::string upper = kDigest;
  upper.back() = 'A';
  std::string slash = kDigest;
  slash[20] = '/';
  for (const std::string& bad :
       {std::string(), std::string("sha256"), std::string("sha256:"), kDigest + "a", kHex, upper,
        slash, "sha1:" + kHex, "sha256:" + std::string(63, 'a'), "sha256:../../" + kHex.substr(6),
        " " + kDigest, "SHA256:" + kHex}) {
    const auto result = Digest::parse(bad);
    ASSERT_FALSE(result) << bad;
    EXPECT_EQ(result.error().code(), Code::kInvalid);
    EXPECT_EQ(result.error().text(),
              "digest '" + bad + "' is not sha256: and 64 hexadecimal digits");
  }
  const auto longer = Digest::parse("sha512:" + kHex + kHex);
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().code(), Code::kUnsupported);
}

TEST(Manifest, is_read_and_written) {
  const std::string text = manifest_text(
      "[" + kLayerEntry + "]", R"(,"subject":)" + kConfigEntry + R"(,"annotations":{"a":"b"})");
  const auto manifest = parse_manifest(text, "m");
  ASSERT_TRUE(manifest) << manifest.error().text();
  EXPECT_EQ(manifest->config.digest.hex, kHex);
  EXPECT_EQ(manifest->layers.at(0).size, 9223372036854775807U);
  EXPECT_EQ(to_json(*manifest), text);
}

TEST(Manifest, of_docker_is_accepted) {
  EXPECT_EQ(manifest_fault(manifest_text(
                "[" + kLayerEntry + "]",
                R"(,"mediaType":"application/vnd.docker.distribution.manifest.v2+json")")),
            "accepted");
}

TEST(Manifest, layer_lists_have_bounds) {
  EXPECT_EQ(manifest_fault(manifest_text("[]")), "m: layers: is empty");
  EXPECT_EQ(manifest_fault(manifest_text("null")), "m: layers: is missing");
  std::string many = kLayerEntry;
  for (std::size_t i = 1; i < kMaxLayers; ++i)
    many += "," + kLayerEntry;
  EXPECT_EQ(manifest_fault(manifest_text("[" + many + "]")), "accepted");
  EXPECT_EQ(manifest_fault(manifest_text("[" + many + "," + kLayerEntry + "]")),
            "m: layers: has 501 layers, the limit is 500");
}

TEST(Manifest, is_nothing_else) {
  const std::string layers = "[" + kLayerEntry + "]";
  EXPECT_EQ(manifest_fault(manifest_text(layers, R"(,"manifests":[])")),
            "m: manifests: does not belong into a manifest");
  EXPECT_EQ(manifest_fault(
                manifest_text(layers, R"(,"mediaType":"application/vnd.oci.image.index.v1+json")")),
            "m: mediaType: 'application/vnd.oci.image.index.v1+json' is not that of a manifest");
  EXPECT_THAT(manifest_fault(R"({"schemaVersion":1,"fsLayers":[]})"),
              HasSubstr("is an image of Docker's schema 1"));
  EXPECT_THAT(manifest_fault(R"({"config":)" + kConfigEntry + R"(,"layers":)" + layers + "}"),
              HasSubstr("schemaVersion: is missing"));
}

TEST(Manifest, descriptors_are_strict) {
  const auto layer = [](const std::string& digest, const std::string& size) {
    return manifest_fault(manifest_text(R"([{"mediaType":"t","digest":)" + digest + size + "}]"));
  };
  const std::string good = "\"" + kDigest + "\"";
  EXPECT_EQ(layer(good, R"(,"size":0)"), "accepted");
  EXPECT_EQ(layer(good, R"(,"size":-1)"), "m: layers[0].size: -1 is below 0");
  EXPECT_EQ(layer(good, ""), "m: layers[0].size: is missing");
  EXPECT_EQ(layer(good, R"(,"size":9223372036854775808)"),
            "m: layers[0].size: 9223372036854775808 is above 9223372036854775807");
  EXPECT_EQ(layer(good, R"(,"size":"1")"), "m: layers[0].size: is a string, not a number");
  EXPECT_EQ(layer(R"("../../etc/passwd")", R"(,"size":1)"),
            "m: layers[0].digest: digest '../../etc/passwd' is not sha256: and 64 hexadecimal "
            "digits");
  EXPECT_EQ(layer("1", R"(,"size":1)"), "m: layers[0].digest: is a number, not a string");
}

TEST(Manifest, has_a_limit_of_size) {
  EXPECT_THAT(manifest_fault(std::string(kMaxManifestBytes + 1, ' ')),
              HasSubstr("m: has 4194305 bytes, the limit is 4194304"));
}

TEST(Index, is_read_and_written) {
  const std::string text =
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)"
      R"({"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":")" +
      kDigest +
      R"(","size":5,"annotations":{"org.opencontainers.image.ref.name":"latest"},)"
      R"("platform":{"architecture":"arm64","os":"linux","os.version":"1","os.features":["f"],)"
      R"("variant":"v8"}}]})";
  const auto index = parse_index(text, "index.json");
  ASSERT_TRUE(index) << index.error().text();
  EXPECT_EQ(index->manifests.at(0).platform->variant, "v8");
  EXPECT_EQ(to_json(*index), text);
}

TEST(Index, may_be_empty_but_is_nothing_else) {
  EXPECT_EQ(fault_of(parse_index(R"({"schemaVersion":2,"manifests":[]})", "i")), "accepted");
  EXPECT_EQ(fault_of(parse_index(R"({"schemaVersion":2})", "i")), "i: manifests: is missing");
  for (const std::string key : {"config", "layers", "fsLayers"}) {
    EXPECT_EQ(
        fault_of(parse_index(R"({"schemaVersion":2,"manifests":[],")" + key + R"(":[]})", "i")),
        "i: " + key + ": does not belong into an index");
  }
  EXPECT_EQ(fault_of(parse_index(R"({"schemaVersion":3,"manifests":[]})", "i")),
            "i: schemaVersion: 3 is not supported, only 2 is");
}

const std::string kRootfs = R"("rootfs":{"type":"layers","diff_ids":[")" + kDigest + R"("]})";

TEST(ImageConfig, is_read_and_written) {
  const std::string text =
      R"({"created":"2026-01-01T00:00:00Z","author":"a","architecture":"amd64","variant":"v2",)"
      R"("os":"linux","os.version":"v","os.features":["x"],"config":{"User":"1:2",)"
      R"("ExposedPorts":{"80/tcp":{},"53/udp":{}},"Env":["A=b"],"Entrypoint":["/init"],)"
      R"("Cmd":["sh"],"Healthcheck":{"Test":["CMD","true"],"Interval":1,"Timeout":2,)"
      R"("StartPeriod":3,"StartInterval":4,"Retries":5},"Volumes":{"/data":{}},)"
      R"("WorkingDir":"/w","Labels":{"l":"m"},"StopSignal":"SIGINT","StopTimeout":-1,)"
      R"("Shell":["/bin/sh"]},)" +
      kRootfs +
      R"(,"history":[{"created":"c","created_by":"b","author":"a","comment":"m","empty_layer":true}]})";
  const auto config = parse_image_config(text, "c");
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->exposed_ports, (std::vector<std::string>{"80/tcp", "53/udp"}));
  EXPECT_EQ(config->stop_timeout, -1);
  EXPECT_EQ(to_json(*config), text);
}

TEST(ImageConfig, nulls_of_docker_are_absent) {
  const auto config = parse_image_config(
      R"({"architecture":"amd64","os":"linux","container":"x","config":{"Cmd":null,"Entrypoint":null,)"
      R"("Labels":null,"Volumes":null,"OnBuild":null,"Image":"","ExposedPorts":{"1/tcp":null}},)" +
          kRootfs + "}",
      "c");
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->exposed_ports, std::vector<std::string>{"1/tcp"});
  EXPECT_EQ(fault_of(parse_image_config(
                R"({"architecture":"amd64","os":"linux","config":null,)" + kRootfs + "}", "c")),
            "accepted");
}

TEST(ImageConfig, faults_are_named) {
  EXPECT_EQ(fault_of(parse_image_config("{}", "c")),
            "c: 3 faults\n  architecture: is missing\n  os: is missing\n  rootfs: is missing");
  EXPECT_EQ(fault_of(parse_image_config(
                R"({"architecture":"a","os":"linux","rootfs":{"type":"tar","diff_ids":["x"]},)"
                R"("config":{"Env":{},"Volumes":[],"ExposedPorts":{"1":5}}})",
                "c")),
            "c: 5 faults\n"
            "  config.ExposedPorts.1: is a number, not an object\n"
            "  config.Env: is an object, not a list\n"
            "  config.Volumes: is a list, not an object\n"
            "  rootfs.type: 'tar' is not 'layers'\n"
            "  rootfs.diff_ids[0]: digest 'x' is not sha256: and 64 hexadecimal digits");
}

TEST(ImageConfig, layer_lists_have_bounds) {
  const auto config = [](std::size_t layers) {
    std::string list;
    for (std::size_t i = 0; i < layers; ++i)
      list += (i == 0 ? "\"" : ",\"") + kDigest + "\"";
    return fault_of(parse_image_config(
        R"({"architecture":"a","os":"linux","rootfs":{"type":"layers","diff_ids":[)" + list + "]}}",
        "c"));
  };
  EXPECT_EQ(config(0), "c: rootfs.diff_ids: is empty");
  EXPECT_EQ(config(kMaxLayers), "accepted");
  EXPECT_EQ(config(kMaxLayers + 1), "c: rootfs.diff_ids: has 501 layers, the limit is 500");
}

TEST(Layout, needs_version_1) {
  EXPECT_TRUE(check_layout(layout_json(), "oci-layout"));
  EXPECT_TRUE(check_layout(R"({"imageLayoutVersion":"1.1.0"})", "oci-layout"));
  for (const std::string bad :
       {"{}", "[]", R"({"imageLayoutVersion":1})", R"({"imageLayoutVersion":"2.0.0"})"}) {
    EXPECT_EQ(fault_of(check_layout(bad, "oci-layout")),
              "oci-layout: imageLayoutVersion is not 1.x");
  }
}

// ---- names ----

struct Name {
  std::string text, domain, path, tag, familiar;
};

TEST(Reference, is_normalised_as_docker_does) {
  const std::vector<Name> names = {
      {"alpine", "docker.io", "library/alpine", "latest", "alpine:latest"},
      {"alpine:3.19", "docker.io", "library/alpine", "3.19", "alpine:3.19"},
      {"me/app", "docker.io", "me/app", "latest", "me/app:latest"},
      {"docker.io/alpine", "docker.io", "library/alpine", "latest", "alpine:latest"},
      {"index.docker.io/me/app:1", "docker.io", "me/app", "1", "me/app:1"},
      {"library/alpine", "docker.io", "library/alpine", "latest", "alpine:latest"},
      {"localhost/app", "localhost", "app", "latest", "localhost/app:latest"},
      {"localhost:5000/app", "localhost:5000", "app", "latest", "localhost:5000/app:latest"},
      {"host:5000/a/b/c:t", "host:5000", "a/b/c", "t", "host:5000/a/b/c:t"},
      {"quay.io/a/b", "quay.io", "a/b", "latest", "quay.io/a/b:latest"},
      {"[::1]:5000/app", "[::1]:5000", "app", "latest", "[::1]:5000/app:latest"},
      {"REG/app", "REG", "app", "latest", "REG/app:latest"},
      {"docker.io/quay.io/x", "docker.io", "quay.io/x", "latest", "docker.io/quay.io/x:latest"},
      {"a/b__c-d--e.f_g", "docker.io", "a/b__c-d--e.f_g", "latest", "a/b__c-d--e.f_g:latest"},
  };
  for (const Name& name : names) {
    const auto reference = Reference::parse(name.text);
    ASSERT_TRUE(reference) << name.text << ": " << reference.error().text();
    EXPECT_EQ(reference->domain, name.domain) << name.text;
    EXPECT_EQ(reference->path, name.path) << name.text;
    EXPECT_EQ(reference->tag, name.tag) << name.text;
    EXPECT_EQ(reference->familiar(), name.familiar) << name.text;
    const auto again = Reference::parse(reference->str());
    ASSERT_TRUE(again) << reference->str();
    EXPECT_EQ(*again, *reference);
    const auto from_short = Reference::parse(reference->familiar());
    ASSERT_TRUE(from_short) << reference->familiar();
    EXPECT_EQ(*from_short, *reference);
  }
}

TEST(Reference, with_a_digest_needs_no_tag) {
  const auto reference = Reference::parse("alpine@" + kDigest);
  ASSERT_TRUE(reference);
  EXPECT_EQ(reference->tag, "");
  EXPECT_EQ(reference->str(), "docker.io/library/alpine@" + kDigest);
  const auto both = Reference::parse("host:1/alpine:3@" + kDigest);
  ASSERT_TRUE(both);
  EXPECT_EQ(both->tag, "3");
  EXPECT_EQ(both->digest->hex, kHex);
  EXPECT_EQ(both->str(), "host:1/alpine:3@" + kDigest);
}

TEST(Reference, refuses_what_is_no_name) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "is empty"},
      {"Alpine", "must be lower case"},
      {"me/App", "must be lower case"},
      {kHex, "64 hexadecimal digits are an id, not a name"},
      {"docker.io/library/" + kHex, "64 hexadecimal digits are an id, not a name"},
      {"a//b", "is not of lower-case letters"},
      {"/a", "is not of lower-case letters"},
      {"a/", "is not of lower-case letters"},
      {"../a", "the part before the first / is no host"},
      {"a/../b", "is not of lower-case letters"},
      {"a..b", "is not of lower-case letters"},
      {"-a", "is not of lower-case letters"},
      {"a___b", "is not of lower-case letters"},
      {"a b", "is not of lower-case letters"},
      {"a:", "the tag after :"},
      {"a:.t", "the tag after :"},
      {"a:b:c", "the tag after :"},
      {"a:" + std::string(129, 't'), "the tag after :"},
      {"a@sha256:12", "is not sha256: and 64 hexadecimal digits"},
      {"a@", "is not sha256: and 64 hexadecimal digits"},
      {"host:99999/a", "is no host"},
      {"host:x/a", "is no host"},
      {"a_b.c/d", "is no host"},
      {"[::1/a", "is no host"},
      {"]:/a", "is no host"},
      {std::string(256, 'a'), "is longer than 255 characters"},
      {"a\nb", "is not of lower-case letters"},
  };
  for (const auto& [text, words] : cases) {
    const auto reference = Reference::parse(text);
    ASSERT_FALSE(reference) << text;
    EXPECT_THAT(reference.error().text(), HasSubstr(words)) << text;
    EXPECT_THAT(reference.error().text(), ::testing::StartsWith("image name '")) << text;
  }
}

}  // namespace
}  // namespace vrun::oci
