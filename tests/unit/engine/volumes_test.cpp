#include "engine/volumes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::engine {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Volumes, a_host_path_is_bound_with_its_owners_mapped) {
  const auto mount = parse_volume("/srv/data:/data/", "/home");
  ASSERT_TRUE(mount);
  EXPECT_EQ(mount->source, "/srv/data");
  EXPECT_EQ(mount->destination, "/data");
  EXPECT_THAT(mount->options, Contains("rbind"));
  EXPECT_THAT(mount->options, Contains("ridmap"));
  EXPECT_THAT(mount->options, Contains("nodev"));
  EXPECT_THAT(mount->options, Not(Contains("rro")));
}

TEST(Volumes, options) {
  const auto mount = parse_volume("./site:/www:ro,noidmap", "/home/me");
  ASSERT_TRUE(mount);
  EXPECT_EQ(mount->source, "/home/me/site");
  EXPECT_THAT(mount->options, Contains("rro"));
  EXPECT_THAT(mount->options, Not(Contains("ridmap")));
}

TEST(Volumes, mistakes_are_said) {
  EXPECT_THAT(parse_volume("/data", "/").error().text(), HasSubstr("not SOURCE:TARGET"));
  EXPECT_THAT(parse_volume(":/data", "/").error().text(), HasSubstr("not SOURCE:TARGET"));
  EXPECT_THAT(parse_volume("/a:/b:ro:x", "/").error().text(), HasSubstr("not SOURCE:TARGET"));
  EXPECT_THAT(parse_volume("/a:b", "/").error().text(), HasSubstr("not a path inside the guest"));
  EXPECT_THAT(parse_volume("/a:/..", "/").error().text(), HasSubstr("not a path inside the guest"));
  EXPECT_THAT(parse_volume("/a:/b:rx", "/").error().text(), HasSubstr("unknown option 'rx'"));
  EXPECT_EQ(parse_volume("data:/b", "/").error().code(), Code::kUnsupported);
}

TEST(Volumes, tmpfs) {
  const auto mount = parse_tmpfs("/cache:size=64m,mode=1777,exec");
  ASSERT_TRUE(mount);
  EXPECT_EQ(mount->type, "tmpfs");
  EXPECT_EQ(mount->destination, "/cache");
  EXPECT_THAT(mount->options, Contains("size=64m"));
  EXPECT_THAT(mount->options, Not(Contains("noexec")));
  EXPECT_THAT(parse_tmpfs("/c")->options, Contains("noexec"));
  EXPECT_THAT(parse_tmpfs("/c:dev").error().text(), HasSubstr("unknown option 'dev'"));
  EXPECT_FALSE(parse_tmpfs("c"));
  EXPECT_FALSE(parse_tmpfs("/"));
}

}  // namespace
}  // namespace vrun::engine
