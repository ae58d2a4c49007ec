#include "cgroups/convert.hpp"

#include <gtest/gtest.h>

namespace vrun::cgroups {
namespace {

TEST(Convert, shares_become_weights_as_in_runc) {
  EXPECT_EQ(weight_from_shares(0), 0U);
  EXPECT_EQ(weight_from_shares(1), 1U);
  EXPECT_EQ(weight_from_shares(2), 1U);
  EXPECT_EQ(weight_from_shares(1024), 100U);
  EXPECT_EQ(weight_from_shares(262143), 10000U);
  EXPECT_EQ(weight_from_shares(262144), 10000U);
  EXPECT_EQ(weight_from_shares(1U << 30U), 10000U);
}

TEST(Convert, weights_grow_with_shares) {
  std::uint64_t last = 0;
  for (std::uint64_t shares = 2; shares <= 262144; shares += 7) {
    std::uint64_t weight = weight_from_shares(shares);
    EXPECT_GE(weight, last) << shares;
    EXPECT_GE(weight, 1U);
    EXPECT_LE(weight, 10000U);
    last = weight;
  }
}

TEST(Convert, blkio_weights_cover_the_range) {
  EXPECT_EQ(io_weight_from_blkio(0), 0U);
  EXPECT_EQ(io_weight_from_blkio(10), 1U);
  EXPECT_EQ(io_weight_from_blkio(1000), 10000U);
  EXPECT_EQ(io_weight_from_blkio(5), 1U);
  EXPECT_EQ(io_weight_from_blkio(65535), 10000U);
}

TEST(Convert, swap_is_what_exceeds_memory) {
  EXPECT_EQ(*swap_max(300, 100), "200");
  EXPECT_EQ(*swap_max(100, 100), "0");
  EXPECT_EQ(*swap_max(-1, 100), "max");
  EXPECT_EQ(*swap_max(-1, -1), "max");
  EXPECT_EQ(swap_max(99, 100).error().code(), Code::kInvalid);
  EXPECT_EQ(swap_max(100, 0).error().code(), Code::kInvalid);
  EXPECT_EQ(swap_max(100, -1).error().code(), Code::kInvalid);
}

TEST(Convert, negative_limits_mean_none) {
  EXPECT_EQ(limit_text(-1), "max");
  EXPECT_EQ(limit_text(42), "42");
}

}  // namespace
}  // namespace vrun::cgroups
