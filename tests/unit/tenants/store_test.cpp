#include "tenants/store.hpp"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

namespace vrun::tenants {
namespace {

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "tenantsXXXXXX";
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    data_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(data_); }
  Tenant named(const std::string& name) const {
    Tenant tenant;
    tenant.name = name;
    return tenant;
  }
  std::string data_;
};

TEST_F(StoreTest, default_is_always_there) {
  const Store store(data_);
  EXPECT_EQ(store.list()->size(), 1U);
  EXPECT_TRUE(store.find("default")->is_default());
  EXPECT_FALSE(std::filesystem::exists(store.dir()));  // looking makes nothing
}

TEST_F(StoreTest, what_is_added_is_found_and_what_is_removed_is_gone) {
  const Store store(data_);
  {
    const Result<LockedStore> locked = LockedStore::open(store);
    ASSERT_TRUE(locked);
    ASSERT_TRUE(locked->add(named("bmw")));
    ASSERT_TRUE(locked->add(named("acme")));
    const Result<void> again = locked->add(named("acme"));
    EXPECT_EQ(again.error().code(), Code::kExists);
    EXPECT_EQ(locked->add(named("default")).error().code(), Code::kExists);
  }
  const Result<std::vector<Tenant>> all = store.list();
  ASSERT_EQ(all->size(), 3U);
  EXPECT_EQ((*all)[1].name, "acme");
  EXPECT_TRUE(lock_admission(store, "acme"));
  ASSERT_TRUE(LockedStore::open(store)->remove(named("acme")));
  EXPECT_EQ(store.find("acme").error().code(), Code::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(store.path_of("acme")));
}

TEST_F(StoreTest, an_unknown_name_suggests_the_nearest) {
  const Store store(data_);
  ASSERT_TRUE(LockedStore::open(store)->add(named("acme")));
  EXPECT_EQ(store.find("acne").error().hint(), "did you mean acme?");
  EXPECT_EQ(store.find("../acme").error().code(), Code::kNotFound);
  EXPECT_EQ(store.find("zzz").error().code(), Code::kNotFound);
}

TEST_F(StoreTest, a_create_that_was_killed_can_be_done_again) {
  const Store store(data_);
  std::filesystem::create_directories(store.path_of("acme"));
  EXPECT_EQ(store.find("acme").error().code(), Code::kNotFound);
  ASSERT_TRUE(LockedStore::open(store)->add(named("acme")));
  EXPECT_TRUE(store.find("acme"));
}

TEST_F(StoreTest, a_damaged_record_hides_no_other_tenant) {
  const Store store(data_);
  ASSERT_TRUE(LockedStore::open(store)->add(named("acme")));
  ASSERT_TRUE(LockedStore::open(store)->add(named("bmw")));
  std::ofstream(store.path_of("acme") + "/tenant.json") << "{";
  EXPECT_EQ(store.list()->size(), 2U);
  EXPECT_NE(store.find("acme").error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace vrun::tenants
