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
  EXPECT_EQ(mount->mount.source, "/srv/data");
  EXPECT_EQ(mount->mount.destination, "/data");
  EXPECT_THAT(mount->mount.options, Contains("rbind"));
  EXPECT_THAT(mount->mount.options, Contains("ridmap"));
  EXPECT_THAT(mount->mount.options, Contains("nodev"));
  EXPECT_THAT(mount->mount.options, Not(Contains("rro")));
}

TEST(Volumes, options) {
  const auto mount = parse_volume("./site:/www:ro,noidmap", "/home/me");
  ASSERT_TRUE(mount);
  EXPECT_EQ(mount->mount.source, "/home/me/site");
  EXPECT_THAT(mount->mount.options, Contains("rro"));
  EXPECT_THAT(mount->mount.options, Not(Contains("ridmap")));
}

TEST(Volumes, mistakes_are_said) {
  EXPECT_THAT(parse_volume(":/data", "/").error().text(), HasSubstr("not SOURCE:TARGET"));
  EXPECT_THAT(parse_volume("/a:/b:ro:x", "/").error().text(), HasSubstr("not SOURCE:TARGET"));
  EXPECT_THAT(parse_volume("/a:b", "/").error().text(), HasSubstr("not a path inside the guest"));
  EXPECT_THAT(parse_volume("/a:/..", "/").error().text(), HasSubstr("not a path inside the guest"));
  EXPECT_THAT(parse_volume("/a:/b:rx", "/").error().text(), HasSubstr("unknown option 'rx'"));
  EXPECT_THAT(parse_volume("-a:/b", "/").error().text(), HasSubstr("not a name for a volume"));
  EXPECT_THAT(parse_volume("a/b:/b", "/").error().text(), HasSubstr("not a name for a volume"));
  EXPECT_THAT(parse_volume("data", "/").error().text(), HasSubstr("not a path inside the guest"));
}

TEST(Volumes, a_name_is_a_volume) {
  const auto named = parse_volume("web_data.1:/data:ro,nocopy", "/");
  ASSERT_TRUE(named);
  EXPECT_TRUE(named->is_volume);
  EXPECT_EQ(named->volume, "web_data.1");
  EXPECT_FALSE(named->copy);
  EXPECT_THAT(named->mount.options, Contains("rro"));
  const auto own = parse_volume("/data", "/");
  ASSERT_TRUE(own);
  EXPECT_TRUE(own->is_volume);
  EXPECT_EQ(own->volume, "");
  EXPECT_EQ(own->mount.destination, "/data");
  EXPECT_FALSE(parse_volume("/srv:/data", "/")->is_volume);
}

TEST(Volumes, volumes_in_words) {
  const auto named = parse_mount("type=volume,src=db,dst=/data,volume-nocopy,readonly");
  ASSERT_TRUE(named);
  EXPECT_TRUE(named->is_volume);
  EXPECT_EQ(named->volume, "db");
  EXPECT_FALSE(named->copy);
  EXPECT_EQ(parse_mount("dst=/data")->volume, "");
  EXPECT_TRUE(parse_mount("dst=/data")->is_volume);
  EXPECT_THAT(parse_mount("type=volume,src=../x,dst=/d").error().text(),
              HasSubstr("not a name for a volume"));
}

TEST(Volumes, names) {
  for (const char* good : {"a", "0", "a-b_c.d", "A9"})
    EXPECT_TRUE(is_volume_name(good)) << good;
  for (const char* bad : {"", ".", "..", "-a", "_a", "a/b", "a b", "a\n", "\xc3\xa4"})
    EXPECT_FALSE(is_volume_name(bad)) << bad;
  EXPECT_TRUE(is_volume_name(std::string(128, 'a')));
  EXPECT_FALSE(is_volume_name(std::string(129, 'a')));
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
