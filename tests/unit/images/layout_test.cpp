#include "images/layout.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/unit/images/layout_maker.hpp"
#include "tests/unit/images/tar.hpp"

namespace vrun::images {
namespace {

using test::Tar;
using test::TemporaryFolder;
using test::write_layout;
using ::testing::HasSubstr;

TEST(Layout, is_read_with_its_configuration) {
  TemporaryFolder folder;
  const oci::Descriptor manifest = write_layout(folder, "web", Tar().file("f").bytes());
  const auto image = read_layout(folder / "web", "web");
  ASSERT_TRUE(image) << image.error().text();
  EXPECT_EQ(image->digest, manifest.digest);
  EXPECT_EQ(image->config.cmd, std::vector<std::string>{"/bin/sh"});
  EXPECT_EQ(image->layout_dir, folder / "web");
}

TEST(Layout, a_changed_manifest_or_configuration_is_refused) {
  TemporaryFolder folder;
  const oci::Descriptor manifest = write_layout(folder, "web", Tar().bytes());
  const auto image = read_layout(folder / "web", "web");
  ASSERT_TRUE(image);
  for (const oci::Digest& digest : {manifest.digest, image->manifest.config.digest}) {
    const std::string name = "web/blobs/sha256/" + digest.hex;
    const std::string good = folder.read(name);
    std::string bad = good;
    bad[bad.size() / 2] ^= 1;
    folder.write(name, bad);
    const auto changed = read_layout(folder / "web", "web");
    ASSERT_FALSE(changed);
    EXPECT_THAT(changed.error().text(), HasSubstr("another digest"));
    folder.write(name, good + " ");
    EXPECT_THAT(read_layout(folder / "web", "web").error().text(), HasSubstr("bytes, not"));
    folder.write(name, good);
  }
}

TEST(Layout, only_a_manifest_for_this_machine_counts) {
  TemporaryFolder folder;
  write_layout(folder, "web", Tar().bytes(), "s390x");
  const auto image = read_layout(folder / "web", "web");
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code(), Code::kUnsupported);
  EXPECT_THAT(image.error().text(), HasSubstr("no manifest for linux/"));
}

TEST(Layout, a_fifo_in_the_place_of_a_blob_does_not_hang) {
  TemporaryFolder folder;
  const oci::Descriptor manifest = write_layout(folder, "web", Tar().bytes());
  const std::string name = folder / ("web/blobs/sha256/" + manifest.digest.hex);
  std::filesystem::remove(name);
  ASSERT_EQ(::mkfifo(name.c_str(), 0600), 0);
  EXPECT_FALSE(read_layout(folder / "web", "web"));
}

TEST(Layout, a_folder_that_is_none_says_what_is_missing) {
  TemporaryFolder folder;
  folder.write("web/x", "");
  EXPECT_THAT(read_layout(folder / "web", "web").error().text(), HasSubstr("oci-layout"));
}

}  // namespace
}  // namespace vrun::images
