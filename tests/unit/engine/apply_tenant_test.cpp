#include "engine/apply_tenant.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::engine {
namespace {

using testing::ElementsAre;

std::vector<std::string> words(const std::vector<tenants::FlagText>& flags) {
  std::vector<std::string> out;
  for (const tenants::FlagText& one : flags)
    out.push_back(one.flag + "=" + one.text);
  return out;
}

TEST(ApplyTenant, fields_are_the_flags_of_create) {
  const TenantRequest request = tenant_request(
      {"shop", "acme",
       R"({"cpus":"2","memory":"2G","admins":["user:a","user:b"],)"
       R"("policy":{"capabilities":["SYS_TIME","NET_ADMIN"],"guestPids":"10","forbidSystem":"true"}})"},
      "");
  EXPECT_THAT(words(request.budget), ElementsAre("cpus=2", "memory=2G"));
  EXPECT_THAT(words(request.policy), ElementsAre("allow-cap=SYS_TIME", "allow-cap=NET_ADMIN",
                                                 "guest-pids=10", "forbid-system=true"));
  EXPECT_THAT(request.admins, ElementsAre("user:a", "user:b"));
  EXPECT_EQ(request.manifest, "shop");
}

TEST(ApplyTenant, what_is_gone_is_lifted) {
  const TenantRequest request =
      tenant_request({"shop", "acme", R"({"pids":"9","policy":{"ports":["80"]}})"},
                     R"({"cpus":"2","pids":"8","admins":["user:a"],)"
                     R"("policy":{"ports":["80","81"],"mounts":["/srv"],"forbidSystem":"true"}})");
  EXPECT_THAT(words(request.budget), ElementsAre("cpus=none", "pids=9"));
  EXPECT_THAT(words(request.policy), ElementsAre("allow-mount=none", "allow-port=none",
                                                 "allow-port=80", "forbid-system=false"));
  EXPECT_THAT(request.removed_admins, ElementsAre("user:a"));
}

TEST(ApplyTenant, a_manifest_has_one) {
  const std::vector<manifest::WireObject> two = {{"Tenant", "a", "x.yaml:1:1", "{}", {}},
                                                 {"Guest", "g", "x.yaml:5:1", "{}", {}},
                                                 {"Tenant", "b", "x.yaml:9:1", "{}", {}}};
  const auto found = find_tenant("shop", two);
  ASSERT_FALSE(found.has_value());
  EXPECT_THAT(found.error().text(), testing::HasSubstr("x.yaml:9:1: Tenant b"));
  EXPECT_EQ((*find_tenant("shop", {two[0], two[1]}))->name, "a");
  EXPECT_FALSE(*find_tenant("shop", {two[1]}));
}

}  // namespace
}  // namespace vrun::engine
