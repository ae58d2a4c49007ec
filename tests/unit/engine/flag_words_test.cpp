#include "engine/flag_words.hpp"

#include <gtest/gtest.h>

namespace vrun::engine {
namespace {

TEST(FlagWords, paths_become_the_flags_they_came_from) {
  EXPECT_EQ(flags_for_paths("write 'x' to memory.max (linux.resources.memory.limit): no"),
            "write 'x' to memory.max (--memory): no");
  EXPECT_EQ(flags_for_paths("config.json: process.user.uid: 7 is not mapped by linux.uidMappings"),
            "--user: 7 is not mapped by the guest's users (0 to 65535)");
  EXPECT_EQ(flags_for_paths("config.json: linux.sysctl['vm.swappiness']: no"),
            "--sysctl vm.swappiness: no");
  EXPECT_EQ(flags_for_paths("(linux.sysctl.net.ipv4.ip_forward)"),
            "(--sysctl net.ipv4.ip_forward)");
  EXPECT_EQ(flags_for_paths("linux.resources.blockIO.throttleReadBpsDevice[0].rate."),
            "--device-read-bps.");
  EXPECT_EQ(flags_for_paths("process.rlimits[1]"), "--ulimit");
}

TEST(FlagWords, what_only_looks_like_a_path_stays) {
  for (const char* text : {"open '/x/process.users': no", "my.process.user.uid", "linux.sysctls",
                           "mounts[3]", "", "process."}) {
    EXPECT_EQ(flags_for_paths(text), text);
  }
}

TEST(FlagWords, errors_keep_their_kind_and_step) {
  const Error error =
      as_flags(std::move(Error(Code::kUnsupported, "controller memory is not enabled")
                             .at("linux.resources.memory.limit"))
                   .step("s"));
  EXPECT_EQ(error.code(), Code::kUnsupported);
  EXPECT_EQ(error.step(), "s");
  EXPECT_EQ(error.text(), "controller memory is not enabled (--memory)");
  EXPECT_NE(error.hint().find("vrun doctor"), std::string::npos);
  const Error again = as_flags(Error(error.code(), error.text()).hint(error.hint()));
  EXPECT_EQ(again.hint(), error.hint());
}

}  // namespace
}  // namespace vrun::engine
