#include "images/charge.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "images/holdings.hpp"
#include "images/names.hpp"
#include "images/transfer/meter.hpp"
#include "tests/unit/images/layout_maker.hpp"
#include "tests/unit/images/tar.hpp"

namespace vrun::images {
namespace {

using test::digest_of;

class Charge : public ::testing::Test {
 protected:
  Image put(const std::string& tar) {
    folder_.write("data/images/layers/" + digest_of(tar).hex + "/file", std::string(10000, 'x'));
    return *read_stored(store_, test::write_layout(folder_, "data/images", tar).digest, "x");
  }
  void name(const std::string& tenant, const Image& image) {
    EXPECT_TRUE(Names::open(store_, tenant)->set(*oci::Reference::parse("x"), image.descriptor));
  }
  std::uint64_t of(const std::string& tenant, const std::vector<Image>& shipped = {}) {
    return *charged(store_, tenant, shipped);
  }

  test::TemporaryFolder folder_;
  Store store_ = *Store::open(folder_ / "data");
};

TEST_F(Charge, is_whole_for_each_who_has_it_and_nothing_for_what_is_shipped) {
  const Image image = put("tar");
  EXPECT_EQ(of("a"), 0U);
  name("a", image);
  const std::uint64_t one = of("a");
  EXPECT_GE(one, 3 * (4096U + kEntryCharge) + 10000U);
  EXPECT_LT(one, 64U << 10U);
  name("b", image);
  EXPECT_EQ(of("b"), one);
  EXPECT_EQ(of("a"), one);
  EXPECT_EQ(of("a", {image}), 0U);
}

TEST_F(Charge, counts_what_was_brought_before_it_has_a_name) {
  const Image image = put("tar");
  const Holdings holdings = *Holdings::of(store_, "a");
  ASSERT_TRUE(holdings.mark(image.manifest.config.digest));
  EXPECT_EQ(of("a"), 4096U + kEntryCharge);
  ASSERT_TRUE(holdings.mark(image.manifest.layers[0].digest, image.config.diff_ids[0]));
  const std::uint64_t marked = of("a");
  name("a", image);
  EXPECT_EQ(of("a"), marked + 4096U + kEntryCharge);  // the manifest, too
  Holdings::unmark(store_, "a", image);
  EXPECT_EQ(of("a"), marked + 4096U + kEntryCharge);
  EXPECT_TRUE(marks_of_tenant(store_, "a")->empty());
}

TEST_F(Charge, is_noted_and_noted_anew_when_content_goes) {
  const Image image = put("tar");
  name("a", image);
  EXPECT_EQ(noted_charge(store_.data_dir(), "a"), 0U);
  const std::uint64_t sum = *note_charge(store_, "a", {});
  EXPECT_EQ(noted_charge(store_.data_dir(), "a"), sum);
  ASSERT_TRUE(Names::open(store_, "a")->remove(*oci::Reference::parse("x")));
  ASSERT_TRUE(collect(store_, {})->has_value());
  EXPECT_EQ(noted_charge(store_.data_dir(), "a"), 0U);
}

TEST(AMeter, refuses_what_is_more_and_counts_over_processes) {
  const std::shared_ptr<Meter> meter = *Meter::create(100);
  EXPECT_TRUE(meter->take(60));
  EXPECT_FALSE(meter->refused());
  const pid_t child = ::fork();
  if (child == 0) ::_exit(meter->take(30) && !meter->take(11) ? 0 : 1);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(meter->refused());
  EXPECT_EQ(meter->left(), 10U);
  EXPECT_EQ(meter->take(11).error().sys_errno(), EDQUOT);
  EXPECT_FALSE(meter->take(~std::uint64_t{0}));
  EXPECT_TRUE(meter->take(10));
  EXPECT_TRUE(take(nullptr, 1000));
}

}  // namespace
}  // namespace vrun::images
