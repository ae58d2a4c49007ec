#include "images/platform.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::images {
namespace {

using ::testing::HasSubstr;

oci::Descriptor manifest(const std::string& platform, char digit) {
  oci::Descriptor out;
  out.media_type = oci::kManifestType;
  out.digest = *oci::Digest::parse("sha256:" + std::string(64, digit));
  if (!platform.empty()) out.platform = *parse_platform(platform);
  return out;
}

char picked(const oci::Index& index, const std::string& wanted) {
  const auto found = pick_manifest(index, *parse_platform(wanted));
  return found ? found->digest.hex[0] : '-';
}

TEST(Platform, notations) {
  EXPECT_EQ(to_text(*parse_platform("linux/arm64/v8")), "linux/arm64/v8");
  EXPECT_EQ(to_text(*parse_platform("arm64")), "linux/arm64");
  EXPECT_EQ(to_text(*parse_platform("aarch64")), "linux/arm64");
  EXPECT_EQ(to_text(*parse_platform("linux/armhf")), "linux/arm/v7");
  EXPECT_EQ(to_text(*parse_platform("linux")), to_text(machine_platform()));
  for (const char* text : {"", "windows/amd64", "linux/", "linux/a/b/c", "linux/AMD64", "linux/a b",
                           "foo", "linux/foo"})
    EXPECT_FALSE(parse_platform(text)) << text;
}

TEST(PickManifest, the_highest_variant_that_runs) {
  oci::Index index;
  index.manifests = {manifest("linux/amd64", '1'), manifest("linux/arm/v5", '2'),
                     manifest("linux/arm/v7", '3'), manifest("linux/arm/v6", '4'),
                     manifest("linux/arm64/v8", '5')};
  EXPECT_EQ(picked(index, "linux/amd64"), '1');
  EXPECT_EQ(picked(index, "linux/arm/v7"), '3');
  EXPECT_EQ(picked(index, "linux/arm"), '3');
  EXPECT_EQ(picked(index, "linux/arm/v6"), '4');
  EXPECT_EQ(picked(index, "linux/arm64"), '5');
  EXPECT_EQ(picked(index, "linux/riscv64"), '-');
}

TEST(PickManifest, what_a_machine_lacks_is_not_taken) {
  oci::Index index;
  index.manifests = {manifest("linux/amd64/v3", '3'), manifest("linux/amd64", '1')};
  EXPECT_EQ(picked(index, "linux/amd64"), '1');
  EXPECT_EQ(picked(index, "linux/amd64/v3"), '3');
}

TEST(PickManifest, a_lone_manifest_may_be_silent) {
  oci::Index index;
  index.manifests = {manifest("", '1')};
  EXPECT_EQ(picked(index, "linux/amd64"), '1');
  index.manifests.push_back(manifest("", '2'));
  EXPECT_EQ(picked(index, "linux/amd64"), '-');
}

TEST(PickManifest, says_what_there_is) {
  oci::Index index;
  index.manifests = {manifest("linux/amd64", '1'), manifest("linux/s390x", '2')};
  const auto none = pick_manifest(index, *parse_platform("linux/386"));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), Code::kNotFound);
  EXPECT_THAT(none.error().hint(), HasSubstr("linux/amd64, linux/s390x"));
}

}  // namespace
}  // namespace vrun::images
