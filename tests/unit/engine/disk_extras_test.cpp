#include "engine/disk_extras.hpp"

#include <gtest/gtest.h>

namespace vrun::engine {
namespace {

TEST(DiskExtras, DirectoriesOnceAndAboveWhatIsInThem) {
  using Kind = DiskExtra::Kind;
  const std::string script = debugfs_script(
      {{.kind = Kind::kDirectory, .path = "/lib/modules/6.1", .source = {}},
       {.path = "/lib/modules/6.1/a.ko", .source = "/lib/modules/6.1/a.ko"},
       {.kind = Kind::kLink, .path = "/etc/resolv.conf", .source = "../run/x", .replaces = true}});
  EXPECT_EQ(script,
            "mkdir \"/lib\"\nmkdir \"/lib/modules\"\nmkdir \"/lib/modules/6.1\"\n"
            "cd \"/lib/modules/6.1\"\nwrite \"/lib/modules/6.1/a.ko\" \"a.ko\"\n"
            "sif \"/lib/modules/6.1/a.ko\" mode 0100644\n"
            "sif \"/lib/modules/6.1/a.ko\" uid 0\nsif \"/lib/modules/6.1/a.ko\" gid 0\n"
            "mkdir \"/etc\"\nrm \"/etc/resolv.conf\"\ncd \"/etc\"\n"
            "symlink \"resolv.conf\" \"../run/x\"\n");
}

TEST(DiskExtras, NamesThatWouldBeOtherCommandsAreNoPlainPaths) {
  EXPECT_TRUE(is_plain_path("/lib/modules/6.1/kernel/a b.ko"));
  for (const char* path : {"/a\"b", "/a\nrm /b", "/a\\b"})
    EXPECT_FALSE(is_plain_path(path)) << path;
}

}  // namespace
}  // namespace vrun::engine
