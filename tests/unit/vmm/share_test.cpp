#include "vm/vmm/share.hpp"

#include <cerrno>

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/sys.hpp"

namespace vrun::vmm {
namespace {

Share share_of(const char* path) {
  return Share(*sys::open(At::cwd(), path, O_PATH | O_DIRECTORY),
               *sys::open_dir(At::cwd(), "/proc/self/fd"));
}

TEST(Share, nothing_below_a_file_system_of_the_kernel_is_served) {
  Share root = share_of("/");
  const Share::Found proc = root.look_up(kRootNode, "proc");
  ASSERT_EQ(proc.error, 0) << "the directory itself is there: guests mount their own on it";
  EXPECT_EQ(root.look_up(proc.node, "self").error, ENOENT);
  EXPECT_EQ(root.look_up(proc.node, "1").error, ENOENT);
  Share straight = share_of("/proc");
  EXPECT_EQ(straight.look_up(kRootNode, "self").error, ENOENT);
}

TEST(Share, names_are_one_step_down) {
  Share root = share_of("/usr");
  for (const char* name : {"..", ".", "", "bin/env", "/"})
    EXPECT_EQ(root.look_up(kRootNode, name).error, EINVAL) << name;
  EXPECT_EQ(root.look_up(kRootNode, "no-such-file").error, ENOENT);
  EXPECT_EQ(root.look_up(77, "bin").error, ENOENT);
}

TEST(Share, a_file_is_one_node_until_it_is_forgotten_as_often_as_it_was_found) {
  Share root = share_of("/usr");
  const NodeId first = root.look_up(kRootNode, "bin").node;
  EXPECT_EQ(root.look_up(kRootNode, "bin").node, first);
  root.forget(first, 1);
  EXPECT_GE(root.node(first), 0);
  root.forget(first, 5);
  EXPECT_EQ(root.node(first), -1);
  root.forget(first, 1);
  EXPECT_EQ(root.nodes(), 0u);
}

TEST(Share, links_are_nodes_and_are_not_followed) {
  Share root = share_of("/proc/../etc");
  const Share::Found link = root.look_up(kRootNode, "mtab");
  if (link.error == ENOENT) GTEST_SKIP() << "no /etc/mtab";
  ASSERT_EQ(link.error, 0);
  EXPECT_TRUE(S_ISLNK(link.facts.st_mode));
  EXPECT_LT(root.open_node(link.node, O_RDONLY), 0);
}

}  // namespace
}  // namespace vrun::vmm
