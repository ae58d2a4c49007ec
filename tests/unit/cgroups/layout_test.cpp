#include "cgroups/layout.hpp"

#include <random>

#include <gtest/gtest.h>

namespace vrun::cgroups {
namespace {

constexpr const char* kHybrid =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:7 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup "
    "rw,xattr,release_agent=/lib/systemd/x,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
    "50 23 0:32 /deep /mnt/elsewhere rw - cgroup cgroup rw,memory\n";

ContainerId id() {
  return *ContainerId::parse("web");
}

TEST(Layout, hybrid_hosts) {
  Layout layout = parse_mountinfo(kHybrid, "/sys/fs/cgroup");
  EXPECT_EQ(layout.v2_mount, "/sys/fs/cgroup/unified");
  ASSERT_EQ(layout.v1.size(), 3U);
  EXPECT_EQ(layout.v1[0].name(), "cpu,cpuacct");
  EXPECT_TRUE(layout.v1[0].has("cpuacct"));
  EXPECT_FALSE(layout.v1[0].has("cpuset"));
  EXPECT_EQ(layout.v1[1].mount, "/sys/fs/cgroup/memory");
  EXPECT_EQ(layout.v1[2].name(), "name=systemd");
  EXPECT_FALSE(layout.v2_only());
}

TEST(Layout, v2_hosts) {
  Layout layout =
      parse_mountinfo("26 23 0:23 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
                      "/sys/fs/cgroup");
  EXPECT_TRUE(layout.v2_only());
  EXPECT_EQ(layout.v2_mount, "/sys/fs/cgroup");
}

TEST(Layout, escaped_mount_points) {
  Layout layout = parse_mountinfo("1 2 0:1 / /a\\040b/c rw - cgroup2 x rw\n", "/a b");
  EXPECT_EQ(layout.v2_mount, "/a b/c");
}

TEST(Layout, damaged_text_is_passed_over) {
  for (const char* text :
       {"", "\n\n", "garbage", "1 2 3 - cgroup2", " - cgroup2 x y", "1 2 0:1 / /sys/fs/cgroup rw -",
        "1 2 0:1 / /sys/fs/cgroupx rw - cgroup2 a b"}) {
    Layout layout = parse_mountinfo(text, "/sys/fs/cgroup");
    EXPECT_TRUE(layout.v2_mount.empty() && layout.v1.empty()) << text;
  }
  std::mt19937 random(7);
  std::string text(kHybrid);
  for (int round = 0; round < 2000; ++round) {
    std::string broken = text;
    for (int i = 0; i < 5; ++i)
      broken[random() % broken.size()] = static_cast<char>(random());
    (void)parse_mountinfo(broken, "/sys/fs/cgroup");
    (void)parse_membership(broken);
  }
}

TEST(Layout, membership) {
  auto lines = parse_membership(
      "9:name=systemd:/\n1:cpu,cpuacct:/a:b\n0::/user.slice\n4:x:/gone (deleted)\n"
      "junk\n5:\n6:memory:relative\n7::/not-zero\n");
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0].controllers, std::vector<std::string>{"name=systemd"});
  EXPECT_EQ(lines[1].path, "/a:b");
  EXPECT_TRUE(lines[2].controllers.empty());
  EXPECT_EQ(lines[3].path, "/gone");
}

TEST(Layout, paths_in_the_v2_tree) {
  auto own = [](const char* path) { return std::vector<Membership>{{{}, path}}; };
  EXPECT_EQ(*v2_path("/docker/abc", id(), own("/x")), "/docker/abc");
  EXPECT_EQ(*v2_path("", id(), own("/user.slice/session-1.scope")), "/user.slice/web");
  EXPECT_EQ(*v2_path("a/b", id(), own("/user.slice/x/y")), "/user.slice/x/a/b");
  EXPECT_EQ(*v2_path("a", id(), own("/")), "/a");
  EXPECT_EQ(*v2_path("a", id(), own("/one")), "/a");
  EXPECT_EQ(*v2_path("a", id(), {}), "/a");
}

TEST(Layout, paths_cannot_leave_their_place) {
  std::vector<Membership> own = {{{}, "/user/me"}, {{"memory"}, "/user/me"}};
  V1Hierarchy memory{{"memory"}, "/sys/fs/cgroup/memory", "/"};
  EXPECT_EQ(*v2_path("/../../etc", id(), own), "/etc");
  EXPECT_EQ(*v2_path("../../x", id(), own), "/user/x");
  EXPECT_EQ(*v1_dir(memory, "/../../etc", id(), own), "/sys/fs/cgroup/memory/etc");
  EXPECT_EQ(*v1_dir(memory, "../../x", id(), own), "/sys/fs/cgroup/memory/user/me/x");
  for (const char* path : {"/", "/..", ".", "a/..", "..", "/./"}) {
    auto bad = v2_path(path, id(), own);
    ASSERT_FALSE(bad) << path << " gave " << *bad;
    EXPECT_EQ(bad.error().where(), "linux.cgroupsPath");
    EXPECT_FALSE(v1_dir(memory, path, id(), own)) << path;
  }
}

TEST(Layout, directories_in_v1_hierarchies) {
  std::vector<Membership> own = {{{"memory"}, "/process/7"}, {{"cpu", "cpuacct"}, "/"}};
  V1Hierarchy memory{{"memory"}, "/sys/fs/cgroup/memory", "/"};
  V1Hierarchy cpu{{"cpu", "cpuacct"}, "/sys/fs/cgroup/cpu,cpuacct", "/"};
  EXPECT_EQ(*v1_dir(memory, "", id(), own), "/sys/fs/cgroup/memory/process/7/web");
  EXPECT_EQ(*v1_dir(memory, "a/b", id(), own), "/sys/fs/cgroup/memory/process/7/a/b");
  EXPECT_EQ(*v1_dir(memory, "/a/b", id(), own), "/sys/fs/cgroup/memory/a/b");
  EXPECT_EQ(*v1_dir(cpu, "", id(), own), "/sys/fs/cgroup/cpu,cpuacct/web");
  // Inside of a container the mount shows the container's own group.
  V1Hierarchy inner{{"memory"}, "/sys/fs/cgroup/memory", "/process"};
  EXPECT_EQ(*v1_dir(inner, "x", id(), own), "/sys/fs/cgroup/memory/7/x");
  V1Hierarchy other{{"memory"}, "/sys/fs/cgroup/memory", "/elsewhere"};
  EXPECT_EQ(*v1_dir(other, "x", id(), own), "/sys/fs/cgroup/memory/x");
}

}  // namespace
}  // namespace vrun::cgroups
