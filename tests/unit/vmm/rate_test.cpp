#include "vm/vmm/rate.hpp"

#include <gtest/gtest.h>

namespace vrun::vmm {
namespace {

using namespace std::chrono_literals;

const Bucket::Clock::time_point kStart{1000s};

TEST(Rate, NoLimitNeverWaits) {
  Bucket bucket;
  bucket.pay(1 << 30);
  EXPECT_EQ(bucket.wait(kStart).count(), 0);
  bucket.set(0, kStart);
  bucket.pay(1 << 30);
  EXPECT_EQ(bucket.wait(kStart).count(), 0);
}

TEST(Rate, TheMeanIsTheRateWhateverTheSizeOfRequests) {
  for (const std::uint64_t size : {512U, 65536U, 4U << 20U}) {
    Bucket bucket;
    auto now = kStart;
    bucket.set(1 << 20, now);
    std::uint64_t done = 0;
    while (now < kStart + 60s) {
      if (const auto wait = bucket.wait(now); wait.count() > 0) {
        now += wait;
        continue;
      }
      bucket.pay(size);
      done += size;
    }
    EXPECT_NEAR(static_cast<double>(done), 60.0 * (1 << 20), 0.1 * 60 * (1 << 20)) << size;
  }
}

TEST(Rate, WhatWasSavedUpIsATenthOfASecond) {
  Bucket bucket;
  bucket.set(1000, kStart);
  const auto later = kStart + 1h;
  EXPECT_EQ(bucket.wait(later).count(), 0);
  int passed = 0;
  while (bucket.wait(later).count() == 0 && passed < 1000) {
    bucket.pay(1);
    ++passed;
  }
  EXPECT_EQ(passed, 100);
}

TEST(Rate, AHigherRateShortensTheWait) {
  Bucket bucket;
  bucket.set(10, kStart);
  bucket.pay(100);
  EXPECT_GT(bucket.wait(kStart), 5s);
  bucket.set(1000000, kStart);
  EXPECT_LT(bucket.wait(kStart), 5ms);
}

}  // namespace
}  // namespace vrun::vmm
