#include "images/holdings.hpp"

#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "images/names.hpp"
#include "tests/unit/images/layout_maker.hpp"
#include "tests/unit/images/tar.hpp"

namespace vrun::images {
namespace {

using test::digest_of;

class Held : public ::testing::Test {
 protected:
  oci::Descriptor put(const std::string& tar) {
    folder_.write("data/images/layers/" + digest_of(tar).hex + "/file", tar);
    return test::write_layout(folder_, "data/images", tar);
  }
  void name(const std::string& tenant, const std::string& name, const oci::Descriptor& manifest) {
    EXPECT_TRUE(Names::open(store_, tenant)->set(*oci::Reference::parse(name), manifest));
  }
  Image image(const oci::Descriptor& manifest) {
    return *read_stored(store_, manifest.digest, "x");
  }
  bool has(const std::string& tenant, const Image& one) {
    const Holdings held = *Holdings::of(store_, tenant);
    const oci::Digest& blob = one.manifest.layers[0].digest;
    EXPECT_EQ(held.has_blob(one.digest), held.has_layer(blob, one.config.diff_ids[0]));
    return held.has_layer(blob, one.config.diff_ids[0]);
  }

  test::TemporaryFolder folder_;
  Store store_ = *Store::open(folder_ / "data");
};

TEST_F(Held, is_what_own_names_lead_to) {
  const oci::Descriptor manifest = put("tar");
  name("a", "x", manifest);
  EXPECT_TRUE(has("a", image(manifest)));
  EXPECT_FALSE(has("b", image(manifest)));
  EXPECT_FALSE(has("default", image(manifest)));
}

TEST_F(Held, is_what_own_guests_lead_to) {
  const oci::Descriptor manifest = put("tar");
  folder_.write("data/guests/a/web/guest.json",
                R"({"version": 1, "manifest": ")" + manifest.digest.str() + R"("})");
  folder_.write("data/guests/a/damaged/guest.json", "{");
  EXPECT_TRUE(has("a", image(manifest)));
  EXPECT_FALSE(has("b", image(manifest)));
}

TEST_F(Held, is_no_pair_that_no_image_has) {
  const Image one = image(put("one"));
  const Image two = image(put("two"));
  name("a", "one", one.descriptor);
  name("a", "two", two.descriptor);
  const Holdings held = *Holdings::of(store_, "a");
  EXPECT_TRUE(held.has_layer(one.manifest.layers[0].digest, one.config.diff_ids[0]));
  EXPECT_FALSE(held.has_layer(one.manifest.layers[0].digest, two.config.diff_ids[0]));
}

TEST_F(Held, is_nothing_that_the_store_lost) {
  const Image one = image(put("one"));
  name("a", "one", one.descriptor);
  ASSERT_TRUE(sys::unlink(store_.blobs(), one.manifest.layers[0].digest.hex));
  const Holdings held = *Holdings::of(store_, "a");
  EXPECT_FALSE(held.has_blob(one.manifest.layers[0].digest));
  EXPECT_FALSE(held.has_layer(one.manifest.layers[0].digest, one.config.diff_ids[0]));
}

TEST_F(Held, counts_what_was_brought_until_the_mark_goes) {
  const Image one = image(put("one"));
  const oci::Digest& blob = one.manifest.layers[0].digest;
  const oci::Digest& diff_id = one.config.diff_ids[0];
  const Holdings before = *Holdings::of(store_, "a");
  EXPECT_FALSE(before.was_brought(blob, diff_id));
  ASSERT_TRUE(before.mark(blob, diff_id));
  EXPECT_TRUE(before.was_brought(blob, diff_id));
  EXPECT_TRUE(Holdings::of(store_, "a")->has_layer(blob, diff_id));
  EXPECT_FALSE(Holdings::of(store_, "b")->was_brought(blob, diff_id));
  Holdings::unmark(store_, "a", one);
  EXPECT_FALSE(before.was_brought(blob, diff_id));
}

TEST_F(Held, loses_marks_with_their_content_and_by_age) {
  const Image one = image(put("one"));
  const oci::Digest& blob = one.manifest.layers[0].digest;
  const oci::Digest& diff_id = one.config.diff_ids[0];
  const Holdings held = *Holdings::of(store_, "a");
  ASSERT_TRUE(held.mark(blob, diff_id));
  ASSERT_TRUE(remove_old_marks(store_, 3600));
  EXPECT_TRUE(held.was_brought(blob, diff_id)) << "young and whole";
  ASSERT_TRUE(remove_old_marks(store_, 0));
  EXPECT_FALSE(held.was_brought(blob, diff_id));
  ASSERT_TRUE(held.mark(blob, diff_id));
  ASSERT_TRUE(sys::unlink(store_.blobs(), blob.hex));
  ASSERT_TRUE(remove_old_marks(store_, 3600));
  EXPECT_FALSE(held.was_brought(blob, diff_id));
}

TEST_F(Held, makes_things_under_names_of_the_tenant) {
  EXPECT_EQ(Holdings::of(store_, "a")->key(digest_of("x")), digest_of("x").hex + ".a");
  EXPECT_EQ(Holdings::everything(store_).key(digest_of("x")), digest_of("x").hex);
}

}  // namespace
}  // namespace vrun::images
