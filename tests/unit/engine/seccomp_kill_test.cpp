#include "engine/seccomp_kill.hpp"

#include <gtest/gtest.h>

#include "seccomp/seccomp.hpp"

namespace vrun::engine {
namespace {

constexpr const char* kRecord =
    "5,1234,25179814414,-;audit: type=1326 audit(1795394131.382:140): auid=4294967295 uid=524288 "
    "gid=524288 ses=4294967295 pid=11121 comm=\"mkdir\" exe=\"/bin/mkdir\" sig=31 arch=c000003e "
    "syscall=83 compat=0 ip=0x47b567 code=0x80000000\n";

TEST(SeccompKill, the_kernels_record_names_process_and_call) {
  const auto record = parse_seccomp_record(kRecord, Pid(11121));
  ASSERT_TRUE(record);
  EXPECT_EQ(record->arch, 0xc000003eU);
  EXPECT_EQ(record->call, 83);
  EXPECT_EQ(seccomp::syscall_name(record->arch, record->call), "mkdir");
  EXPECT_FALSE(parse_seccomp_record(kRecord, Pid(1112)));
}

TEST(SeccompKill, an_audit_daemons_line_is_understood_too) {
  const auto record = parse_seccomp_record(
      "type=SECCOMP msg=audit(1.2:3): auid=0 uid=0 gid=0 ses=1 pid=7 comm=\"x\" exe=\"/x\" sig=31 "
      "arch=40000003 syscall=21 compat=1 ip=0x1 code=0x80000000",
      Pid(7));
  ASSERT_TRUE(record);
  EXPECT_EQ(seccomp::syscall_name(record->arch, record->call), "mount");
}

TEST(SeccompKill, other_lines_are_none) {
  for (const char* line :
       {"", "6,1,2,-;eth0: link up pid=7 comm=x sig=31 arch=c000003e syscall=1",
        "audit: type=1326 audit(1:2): pid=7 comm=\"x\" sig=0 arch=c000003e syscall=1",
        "audit: type=1326 audit(1:2): pid=7 comm=\"x\" sig=31 arch=zz syscall=1",
        "audit: type=1326 audit(1:2): uid=1 comm=\"x\" pid=7 sig=31 arch=c000003e syscall=1"})
    EXPECT_FALSE(parse_seccomp_record(line, Pid(7))) << line;
}

TEST(SeccompKill, a_number_without_a_name_has_none) {
  EXPECT_EQ(seccomp::syscall_name(0xc000003eU, 4000), "");
}

}  // namespace
}  // namespace vrun::engine
