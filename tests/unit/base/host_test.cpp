#include "base/host.hpp"

#include <cstdlib>

#include <gtest/gtest.h>
#include <unistd.h>

namespace vrun {
namespace {

TEST(Host, current_is_the_real_one) {
  const Host host = Host::current();
  EXPECT_EQ(host.euid.value, ::geteuid());
  EXPECT_EQ(host.egid.value, ::getegid());
  EXPECT_EQ(host.proc, "/proc");
  EXPECT_EQ(host.cache_dir, host.runtime_dir + "/cache");
  EXPECT_TRUE(host.rootless() || host.runtime_dir == "/run/vrun");
}

TEST(Host, variable_finds_whole_names_only) {
  Host host;
  host.env = {"PATHS=x", "PATH=/bin", "EMPTY=", "ODD"};
  EXPECT_EQ(host.variable("PATH"), "/bin");
  EXPECT_EQ(host.variable("PATHS"), "x");
  EXPECT_EQ(host.variable("EMPTY"), "");
  EXPECT_EQ(host.variable("ODD"), "");
  EXPECT_EQ(host.variable("PAT"), "");
}

}  // namespace
}  // namespace vrun
