#include "images/store.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/unit/images/layout_maker.hpp"

namespace vrun::images {
namespace {

using test::digest_of;
using test::TemporaryFolder;

TEST(Store, is_made_on_first_use_and_closed_to_others) {
  TemporaryFolder folder;
  ASSERT_TRUE(Store::open(folder / "data"));
  ASSERT_TRUE(Store::open(folder / "data"));
  struct stat st {};
  ASSERT_EQ(::stat((folder / "data/images/layers").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777U, 0700U);
}

TEST(Store, an_unfinished_layer_is_no_layer) {
  TemporaryFolder folder;
  const Store store = *Store::open(folder / "data");
  const oci::Digest digest = digest_of("x");
  folder.write("data/images/layers/" + unfinished_name(digest) + "/f", "half");
  EXPECT_FALSE(store.has_layer(digest));
  EXPECT_FALSE(store.open_layer(digest));
}

TEST(Store, sweep_removes_what_nobody_works_on) {
  TemporaryFolder folder;
  const Store store = *Store::open(folder / "data");
  const oci::Digest dead = digest_of("dead"), busy = digest_of("busy"), done = digest_of("done");
  folder.write("data/images/layers/" + unfinished_name(dead) + "/deep/f", "half");
  folder.write("data/images/layers/" + unfinished_name(busy) + "/f", "half");
  folder.write("data/images/blobs/sha256/" + unfinished_name(dead), "half");
  folder.write("data/images/layers/" + done.hex + "/f", "whole");
  const Fd lock = *store.lock(busy);
  const auto swept = store.sweep();
  ASSERT_TRUE(swept) << swept.error().text();
  EXPECT_FALSE(folder.has("data/images/layers/" + unfinished_name(dead)));
  EXPECT_FALSE(folder.has("data/images/blobs/sha256/" + unfinished_name(dead)));
  EXPECT_TRUE(folder.has("data/images/layers/" + unfinished_name(busy) + "/f"));
  EXPECT_TRUE(store.has_layer(done));
}

}  // namespace
}  // namespace vrun::images
