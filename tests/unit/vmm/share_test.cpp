#include "vm/vmm/share.hpp"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sys.hpp"

namespace vrun::vmm {
namespace {

Share share_of(const std::string& path, std::size_t most_held = Share::most_to_hold()) {
  return Share(*sys::open(At::cwd(), path, O_PATH | O_DIRECTORY),
               *sys::open_dir(At::cwd(), "/proc/self/fd"), most_held);
}

// A directory with files 0 to 19, of which each has its name as content.
class ManyFiles : public testing::Test {
 protected:
  static constexpr int kFiles = 20;
  void SetUp() override {
    char text[] = "/tmp/vrun-share-XXXXXX";
    ASSERT_NE(::mkdtemp(text), nullptr);
    top = text;
    for (int i = 0; i < kFiles; ++i)
      put(std::to_string(i), std::to_string(i));
    share = std::make_unique<Share>(share_of(top, 4));
    for (int i = 0; i < kFiles; ++i)
      node[i] = share->look_up(kRootNode, std::to_string(i).c_str()).node;
  }
  void TearDown() override { std::filesystem::remove_all(top); }
  void put(const std::string& name, const std::string& text) const {
    std::ofstream(top + "/" + name) << text;
  }
  std::string content(NodeId id) const {
    const Fd file(share->open_node(id, O_RDONLY));
    char buffer[16];
    const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
    return got < 0 ? "none" : std::string(buffer, static_cast<std::size_t>(got));
  }
  std::string top;
  std::unique_ptr<Share> share;
  NodeId node[kFiles] = {};
};

TEST_F(ManyFiles, are_known_by_few_descriptors) {
  EXPECT_EQ(share->nodes(), std::size_t{kFiles});
  EXPECT_LE(share->held(), 4u);
  for (int i = 0; i < kFiles; ++i) {
    EXPECT_EQ(content(node[i]), std::to_string(i));
    EXPECT_EQ(share->look_up(kRootNode, std::to_string(i).c_str()).node, node[i]);
  }
  for (const NodeId id : node)
    share->forget(id, 2);
  EXPECT_EQ(share->nodes() + share->held(), 0u);
}

TEST_F(ManyFiles, a_renamed_one_is_found_by_its_new_name_and_a_removed_one_stays_its_own) {
  share->will_lose_name(kRootNode, "0");
  std::filesystem::rename(top + "/0", top + "/moved");
  share->has_name(kRootNode, "moved");
  share->will_lose_name(kRootNode, "1");
  std::filesystem::remove(top + "/1");
  for (int i = 2; i < kFiles; ++i)
    EXPECT_GE(share->node(node[i]), 0);
  EXPECT_EQ(content(node[0]), "0");
  EXPECT_EQ(content(node[1]), "1");
  EXPECT_EQ(share->look_up(kRootNode, "moved").node, node[0]);
}

TEST_F(ManyFiles, one_that_is_open_is_held_until_it_is_closed) {
  const HandleId open = share->keep(Fd(share->open_node(node[0], O_RDONLY)), node[0]);
  std::filesystem::remove(top + "/0");  // by somebody else
  const auto use_others = [&] {
    for (int i = 1; i < kFiles; ++i)
      EXPECT_GE(share->node(node[i]), 0);
  };
  use_others();
  EXPECT_EQ(content(node[0]), "0");
  share->drop(open);
  use_others();
  EXPECT_EQ(share->node(node[0]), -1);
}

TEST_F(ManyFiles, one_that_another_has_replaced_is_gone_and_the_new_one_is_another) {
  put("new", "new");
  std::filesystem::rename(top + "/new", top + "/0");
  EXPECT_EQ(share->node(node[0]), -1);
  EXPECT_EQ(share->open_node(node[0], O_RDONLY), -ESTALE);
  const NodeId now = share->look_up(kRootNode, "0").node;
  EXPECT_NE(now, node[0]);
  EXPECT_EQ(content(now), "new");
  // A number of a file that is given to the next one does not make that the same file.
  std::filesystem::remove(top + "/1");
  put("next", "next");
  EXPECT_EQ(content(share->look_up(kRootNode, "next").node), "next");
  EXPECT_EQ(share->node(node[1]), -1);
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
  EXPECT_EQ(root.look_up(kRootNode, std::string(255, 'x').c_str()).error, ENOENT);
  EXPECT_EQ(root.look_up(kRootNode, std::string(256, 'x').c_str()).error, ENAMETOOLONG);
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
