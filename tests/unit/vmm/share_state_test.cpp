// What a guest knows of its files, found again in another tree.
#include <array>
#include <cerrno>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "vm/vmm/share.hpp"
#include "vm/vmm/state.hpp"

namespace vrun::vmm {
namespace {

Share share_of(const std::string& path, std::size_t most_held = Share::most_to_hold()) {
  return Share(*sys::open(At::cwd(), path, O_PATH | O_DIRECTORY),
               *sys::open_dir(At::cwd(), "/proc/self/fd"), most_held);
}

void put(const std::string& path, std::string_view text) {
  const Result<Fd> file = sys::open(At::cwd(), path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  ASSERT_TRUE(file.has_value());
  ASSERT_TRUE(sys::write_all(file->get(), text).has_value());
}

// A tree and its copy.
class ShareState : public testing::Test {
 protected:
  void SetUp() override {
    char text[] = "/tmp/vrun-share-XXXXXX";
    ASSERT_NE(::mkdtemp(text), nullptr);
    top = text;
    std::filesystem::create_directories(top + "/a/dir");
    put(top + "/a/dir/file", "content");
    put(top + "/a/other", "other");
  }
  void TearDown() override { std::filesystem::remove_all(top); }
  void copy() {
    std::filesystem::copy(top + "/a", top + "/b", std::filesystem::copy_options::recursive);
  }
  static std::string content(int fd) {
    char buffer[64];
    const ssize_t got = ::pread(fd, buffer, sizeof buffer, 0);
    return got < 0 ? "?" : std::string(buffer, static_cast<std::size_t>(got));
  }
  static std::string saved(const Share& share) {
    StateWriter writer;
    const Result<void> done = share.save(writer);
    EXPECT_TRUE(done.has_value()) << done.error().text();
    return writer.bytes();
  }
  std::string top;
};

TEST_F(ShareState, nodes_and_open_files_keep_their_numbers_in_a_copy) {
  Share share = share_of(top + "/a");
  const NodeId dir = share.look_up(kRootNode, "dir").node;
  const NodeId file = share.look_up(dir, "file").node;
  const HandleId open = share.keep(Fd(share.open_node(file, O_RDWR)));
  const HandleId listing = share.keep_directory(Fd(share.open_node(dir, O_RDONLY | O_DIRECTORY)));
  copy();
  put(top + "/b/dir/file", "the copy's");
  const std::string state = saved(share);
  Share other = share_of(top + "/b");
  StateReader reader(state);
  const Result<void> loaded = other.load(reader, false);
  ASSERT_TRUE(loaded.has_value()) << loaded.error().text();
  EXPECT_TRUE(reader.at_end());
  EXPECT_EQ(other.nodes(), 2u);
  EXPECT_EQ(content(other.handle(open)), "the copy's");
  EXPECT_EQ(::pwrite(other.handle(open), "new", 3, 0), 3);
  EXPECT_EQ(content(share.handle(open)), "content");
  ASSERT_NE(other.directory(listing), nullptr);
  EXPECT_EQ(other.look_up(dir, "file").node, file) << "it is the same node as before";
  const NodeId next = other.look_up(kRootNode, "other").node;
  EXPECT_GT(next, file);
  other.forget(file, 2);
  EXPECT_EQ(other.node(file), -1);
}

TEST_F(ShareState, files_that_are_put_away_are_saved_and_loaded_as_the_others) {
  Share share = share_of(top + "/a", 4);
  const NodeId dir = share.look_up(kRootNode, "dir").node;
  const NodeId file = share.look_up(dir, "file").node;
  for (const char* name : {"1", "2", "3", "4", "5"}) {
    put(top + "/a/" + name, name);
    share.look_up(kRootNode, name);
  }
  copy();
  const std::string state = saved(share);
  Share other = share_of(top + "/b", 4);
  StateReader reader(state);
  ASSERT_TRUE(other.load(reader, false).has_value());
  EXPECT_EQ(other.nodes(), 7u);
  EXPECT_EQ(other.held(), 0u);
  const Fd opened(other.open_node(file, O_RDONLY));
  EXPECT_EQ(content(opened.get()), "content");
  EXPECT_EQ(other.look_up(dir, "file").node, file);
}

TEST_F(ShareState, a_renamed_file_is_found_by_its_new_name) {
  Share share = share_of(top + "/a");
  const NodeId dir = share.look_up(kRootNode, "dir").node;
  const NodeId file = share.look_up(dir, "file").node;
  std::filesystem::rename(top + "/a/dir/file", top + "/a/moved");
  copy();
  const std::string state = saved(share);
  Share other = share_of(top + "/b");
  StateReader reader(state);
  ASSERT_TRUE(other.load(reader, false).has_value());
  const Fd opened(other.open_node(file, O_RDONLY));
  EXPECT_EQ(content(opened.get()), "content");
}

TEST_F(ShareState, a_file_that_is_open_and_has_no_name_is_refused_by_its_last_one) {
  Share share = share_of(top + "/a");
  const NodeId file = share.look_up(kRootNode, "other").node;
  const HandleId open = share.keep(Fd(share.open_node(file, O_RDONLY)));
  std::filesystem::remove(top + "/a/other");
  StateWriter writer;
  const Result<void> refused = share.save(writer);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Code::kUnsupported);
  EXPECT_NE(refused.error().text().find("other"), std::string::npos);
  share.drop(open);
  const std::string state = saved(share);  // known only: from now on it is not there
  Share other = share_of(top + "/a");
  StateReader reader(state);
  ASSERT_TRUE(other.load(reader, false).has_value());
  EXPECT_EQ(other.node(file), -1);
}

TEST_F(ShareState, what_is_not_there_any_more_or_another_thing_is_gone_for_the_guest) {
  Share share = share_of(top + "/a");
  const NodeId dir = share.look_up(kRootNode, "dir").node;
  const NodeId file = share.look_up(dir, "file").node;
  const std::string state = saved(share);
  std::filesystem::remove(top + "/a/dir/file");
  Share other = share_of(top + "/a");
  StateReader gone(state);
  ASSERT_TRUE(other.load(gone, false).has_value());
  EXPECT_EQ(other.node(file), -1);
  EXPECT_GE(other.node(dir), 0);
  const std::string next = saved(other);  // a restored machine is saved, too
  Share third = share_of(top + "/a");
  StateReader again(next);
  ASSERT_TRUE(third.load(again, false).has_value());
  EXPECT_EQ(third.node(file), -1);
  EXPECT_GE(third.node(dir), 0);
  std::filesystem::create_symlink("/etc/passwd", top + "/a/dir/file");
  StateReader link(state);
  ASSERT_TRUE(other.load(link, false).has_value());
  EXPECT_EQ(other.node(file), -1);
  EXPECT_GT(other.look_up(dir, "file").node, file) << "what is there now is another file";
}

TEST_F(ShareState, an_open_file_that_is_not_there_is_refused) {
  Share share = share_of(top + "/a");
  const NodeId file = share.look_up(kRootNode, "other").node;
  share.keep(Fd(share.open_node(file, O_RDONLY)));
  const std::string state = saved(share);
  std::filesystem::remove(top + "/a/other");
  Share other = share_of(top + "/a");
  StateReader reader(state);
  EXPECT_NE(other.load(reader, false).error().text().find("which is not there"), std::string::npos);
}

// One node or one open file, as a hostile file would have it.
std::string one_node(const std::string& path, std::uint32_t type, NodeId id = 2) {
  StateWriter writer;
  writer.section("SHAR");
  writer.put(NodeId{3});
  writer.put(HandleId{3});
  writer.put(std::uint32_t{1});
  writer.put(id);
  writer.put(std::uint64_t{1});
  writer.put(std::uint8_t{1});
  writer.put(type);
  writer.put_text(path);
  writer.put(std::uint32_t{0});
  writer.put(std::uint32_t{0});
  return writer.bytes();
}

std::string one_handle(const std::string& path, std::int32_t flags) {
  StateWriter writer;
  writer.section("SHAR");
  writer.put(NodeId{3});
  writer.put(HandleId{3});
  writer.put(std::uint32_t{0});
  writer.put(std::uint32_t{1});
  writer.put(HandleId{2});
  writer.put(flags);
  writer.put_text(path);
  writer.put(std::uint32_t{0});
  return writer.bytes();
}

TEST_F(ShareState, a_hostile_file_gets_nothing_that_the_guest_could_not_reach) {
  std::filesystem::create_symlink("/etc", top + "/a/link");
  Share share = share_of(top + "/a");
  for (const char* path : {"../b", "/etc/passwd", "link/passwd", "dir/../../a", "", "nothing"}) {
    const std::string state = one_node(path, S_IFREG);
    StateReader reader(state);
    static_cast<void>(share.load(reader, false));
    EXPECT_EQ(share.node(2), -1) << path;
    const std::string open = one_handle(path, O_RDONLY);
    StateReader handle(open);
    EXPECT_FALSE(share.load(handle, false).has_value()) << path;
  }
  for (const NodeId id : {NodeId{0}, kRootNode, NodeId{3}, ~NodeId{0}}) {
    const std::string state = one_node("other", S_IFREG, id);
    StateReader reader(state);
    EXPECT_FALSE(share.load(reader, false).has_value()) << id;
  }
  const std::string writing = one_handle("other", O_RDWR);
  StateReader read_only(writing);
  EXPECT_FALSE(share.load(read_only, true).has_value());
  Share root = share_of("/");
  for (const char* path : {"proc/1/mem", "proc/1/environ", "proc/version"}) {
    const std::string state = one_node(path, S_IFREG);
    StateReader reader(state);
    EXPECT_FALSE(root.load(reader, false).has_value()) << path;
    const std::string open = one_handle(path, O_RDONLY);
    StateReader handle(open);
    EXPECT_FALSE(root.load(handle, false).has_value()) << path;
  }
}

TEST_F(ShareState, numbers_to_come_are_neither_the_roots_nor_run_over) {
  Share share = share_of(top + "/a");
  const std::array<std::pair<NodeId, HandleId>, 5> wrong{
      {{0, 1}, {kRootNode, 1}, {~NodeId{0}, 1}, {2, 0}, {2, ~HandleId{0}}}};
  for (const auto& [node, handle] : wrong) {
    StateWriter writer;
    writer.section("SHAR");
    writer.put(node);
    writer.put(handle);
    for (int list = 0; list < 3; ++list)
      writer.put(std::uint32_t{0});
    StateReader reader(writer.bytes());
    const Result<void> loaded = share.load(reader, false);
    ASSERT_FALSE(loaded.has_value()) << node << " " << handle;
    EXPECT_EQ(loaded.error().code(), Code::kInvalid);
  }
}

}  // namespace
}  // namespace vrun::vmm
