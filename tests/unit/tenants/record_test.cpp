#include "tenants/record.hpp"

#include <gtest/gtest.h>

namespace vrun::tenants {
namespace {

TEST(TenantRecordTest, is_the_same_after_writing_and_reading) {
  Tenant tenant;
  tenant.name = "acme";
  tenant.created = "2026-01-01T00:00:00Z";
  tenant.budget.cpu_milli = 1500;
  tenant.budget.swap = 0;
  tenant.unenforced = {"io-read"};
  tenant.admins = {"user:alice"};
  tenant.ids = {{65536, 65536}};
  const Result<Tenant> back = parse_tenant(to_json(tenant), "tenant.json");
  ASSERT_TRUE(back);
  EXPECT_EQ(back->budget, tenant.budget);
  EXPECT_EQ(back->admins, tenant.admins);
  EXPECT_EQ(back->unenforced, tenant.unenforced);
  EXPECT_EQ(back->ids, tenant.ids);
  EXPECT_EQ(back->created, tenant.created);
}

TEST(TenantRecordTest, a_later_version_is_refused) {
  EXPECT_FALSE(parse_tenant("{\"version\":2,\"name\":\"a\"}", "tenant.json"));
  EXPECT_FALSE(parse_tenant("{\"version\":1}", "tenant.json"));
  EXPECT_FALSE(parse_tenant("{\"version\":1,\"name\":\"a\",\"budget\":{\"pids\":-1}}", "x"));
}

TEST(TenantRecordTest, names_are_safe_file_names) {
  for (const char* good : {"a", "acme", "a-b", "t2", "abcdefghijklmnopqrstuvwxyz012345"})
    EXPECT_TRUE(check_tenant_name(good)) << good;
  for (const char* bad : {"", "A", "2a", "-a", "a-", ".", "..", "a.b", "a/b", "../x", "a b", "a_b",
                          "ula", "a\n", "\xc3\xa4", "abcdefghijklmnopqrstuvwxyz0123456"})
    EXPECT_FALSE(check_tenant_name(bad)) << bad;
}

}  // namespace
}  // namespace vrun::tenants
