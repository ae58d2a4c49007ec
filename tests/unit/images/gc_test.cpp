#include "images/gc.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "images/names.hpp"
#include "tests/unit/images/layout_maker.hpp"
#include "tests/unit/images/tar.hpp"

namespace vrun::images {
namespace {

using test::digest_of;
using ::testing::HasSubstr;

class Collecting : public ::testing::Test {
 protected:
  // An image in the store whose one layer is `tar`; its layer counts as unpacked.
  oci::Descriptor put(const std::string& name, const std::string& tar) {
    const oci::Descriptor manifest = test::write_layout(folder_, "data/images", tar);
    folder_.write("data/images/layers/" + digest_of(tar).hex + "/file", tar);
    if (name.empty()) return manifest;
    EXPECT_TRUE(names_.set(*oci::Reference::parse(name), manifest));
    return manifest;
  }
  void guest(const std::string& name, const std::string& record) {
    folder_.write("data/guests/default/" + name + "/guest.json", record);
  }
  bool has(const std::string& tar) { return store_.has_layer(digest_of(tar)); }
  Result<std::optional<Removed>> run(Collection rule = {}) { return collect(store_, rule); }

  test::TemporaryFolder folder_;
  Store store_ = *Store::open(folder_ / "data");
  Names names_ = *Names::open(store_, "default");
};

TEST_F(Collecting, keeps_what_names_and_guests_lead_to) {
  put("kept", "named");
  const oci::Descriptor used = put("", "used");
  put("", "nobody's");
  guest("web", R"({"version": 1, "manifest": ")" + used.digest.str() + R"("})");
  const auto removed = run();
  ASSERT_TRUE(removed && *removed) << removed.error().text();
  EXPECT_TRUE(has("named"));
  EXPECT_TRUE(has("used"));
  EXPECT_FALSE(has("nobody's"));
  EXPECT_EQ((*removed)->layers, 1U);
  EXPECT_EQ((*removed)->blobs, 3U) << "manifest, configuration and layer";
  EXPECT_TRUE(store_.has_blob(used.digest));
}

TEST_F(Collecting, looks_at_every_tenant) {
  const oci::Descriptor manifest = put("", "theirs");
  Names other = *Names::open(store_, "other");
  ASSERT_TRUE(other.set(*oci::Reference::parse("x"), manifest));
  ASSERT_TRUE(run());
  EXPECT_TRUE(has("theirs"));
}

TEST_F(Collecting, removes_nothing_when_a_need_is_not_known) {
  put("", "nobody's");
  guest("web", R"({"manifest": ")" + digest_of("unknown").str() + R"("})");
  const auto removed = run();
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code(), Code::kState);
  EXPECT_THAT(removed.error().text(), HasSubstr("guest 'web'"));
  EXPECT_TRUE(has("nobody's"));
  guest("web", "{");
  EXPECT_FALSE(run()) << "a record that cannot be read";
  guest("web", R"({"version": 1})");
  EXPECT_FALSE(run()) << "a record that names no image";
  EXPECT_TRUE(has("nobody's"));
}

TEST_F(Collecting, waits_for_nobody) {
  put("", "nobody's");
  {
    const Fd in_use = *store_.use();
    const auto removed = run();
    ASSERT_TRUE(removed);
    EXPECT_FALSE(*removed);
    EXPECT_TRUE(has("nobody's"));
  }
  EXPECT_TRUE(*run());
  EXPECT_FALSE(has("nobody's"));
}

TEST_F(Collecting, leaves_no_trash_and_sweeps_that_of_the_dead) {
  put("", "nobody's");
  const std::string layers = "data/images/layers/";
  folder_.write(layers + ".new-" + digest_of("dead").hex + "/blob-1", "of one who was killed");
  ASSERT_TRUE(run());
  EXPECT_EQ(*sys::list_dir(store_.layers().get()), std::vector<std::string>());
  EXPECT_EQ(*sys::list_dir(store_.blobs().get()), std::vector<std::string>());
}

TEST_F(Collecting, can_be_limited_to_some_content) {
  const oci::Descriptor one = put("", "one");
  put("", "two");
  Collection rule;
  rule.only.emplace().add(*read_stored(store_, one.digest, "one"));
  ASSERT_TRUE(run(std::move(rule)));
  EXPECT_FALSE(has("one"));
  EXPECT_TRUE(has("two"));
}

TEST_F(Collecting, a_dry_run_changes_nothing) {
  put("", "nobody's");
  Collection rule;
  rule.dry_run = true;
  EXPECT_EQ((*run(std::move(rule)))->layers, 1U);
  EXPECT_TRUE(has("nobody's"));
}

TEST_F(Collecting, young_content_is_left_by_the_policy) {
  put("", "nobody's");
  ASSERT_TRUE(collect_if_due(store_, {}));
  EXPECT_TRUE(has("nobody's"));
  EXPECT_TRUE(folder_.has("data/images/collected"));
}

TEST_F(Collecting, shipped_images_keep_their_layers) {
  test::write_layout(folder_, "shipped", "base");
  folder_.write("data/images/layers/" + digest_of("base").hex + "/file", "x");
  Collection rule;
  rule.shipped.push_back(*read_layout(folder_ / "shipped", "base"));
  ASSERT_TRUE(run(std::move(rule)));
  EXPECT_TRUE(has("base"));
}

TEST_F(Collecting, locks_of_the_dead_go) {
  static_cast<void>(store_.lock(digest_of("x")));
  ASSERT_TRUE(folder_.has("data/images/locks/" + digest_of("x").hex));
  ASSERT_TRUE(run());
  EXPECT_FALSE(folder_.has("data/images/locks/" + digest_of("x").hex));
}

}  // namespace
}  // namespace vrun::images
