#include "engine/seccomp_profile.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kConditional = R"({
  "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
  "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
              {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []}],
  "syscalls": [
    {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
    {"name": "close", "action": "SCMP_ACT_ALLOW", "includes": {}, "excludes": {}},
    {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
    {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
    {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
    {"names": ["arm"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["amd64"]}},
    {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
    {"names": ["future"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.2"}}]})";

std::vector<std::string> allowed(const oci::Seccomp& profile) {
  std::vector<std::string> names;
  for (const oci::SyscallRule& rule : profile.syscalls)
    names.insert(names.end(), rule.names.begin(), rule.names.end());
  return names;
}

TEST(SeccompProfile, dockers_conditions_are_resolved) {
  const auto plain = parse_profile(kConditional, "p.json", {{"CAP_CHOWN"}, "amd64", "6.1.0-13"});
  ASSERT_TRUE(plain) << plain.error().text();
  EXPECT_THAT(allowed(*plain),
              ElementsAre("read", "write", "close", "clone", "arch_prctl", "ptrace"));
  EXPECT_THAT(plain->architectures, ElementsAre("SCMP_ARCH_X86_64", "SCMP_ARCH_X86"));
  EXPECT_EQ(plain->default_errno_ret, 38U);
  const auto other = parse_profile(kConditional, "p.json", {{"CAP_SYS_ADMIN"}, "arm64", "6.10.1"});
  ASSERT_TRUE(other);
  EXPECT_THAT(allowed(*other),
              ElementsAre("read", "write", "close", "mount", "arm", "ptrace", "future"));
  EXPECT_THAT(other->architectures, ElementsAre("SCMP_ARCH_AARCH64"));
}

TEST(SeccompProfile, an_oci_object_is_taken_as_it_is) {
  const auto profile = parse_profile(
      R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO"}]})",
      "p.json", {});
  ASSERT_TRUE(profile);
  EXPECT_THAT(allowed(*profile), ElementsAre("mkdir"));
}

TEST(SeccompProfile, faults_are_named) {
  const auto fault = [](const char* text) {
    return parse_profile(text, "p.json", {}).error().text();
  };
  EXPECT_THAT(fault(R"({"archMap":[]})"), HasSubstr("defaultAction"));
  EXPECT_THAT(fault(R"({"defaultAction":"SCMP_ACT_ALLOW","archMap":[{"architecture":"PDP11"}]})"),
              HasSubstr("archMap[0].architecture"));
  EXPECT_THAT(fault(R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],
                        "archMap":[{"architecture":"SCMP_ARCH_X86_64"}]})"),
              HasSubstr("excludes architectures"));
  EXPECT_THAT(fault(R"({"defaultAction":"SCMP_ACT_ALLOW","archMap":[],
                        "syscalls":[{"action":"SCMP_ACT_ALLOW"}]})"),
              HasSubstr("syscalls[0]"));
}

}  // namespace
}  // namespace vrun::engine
