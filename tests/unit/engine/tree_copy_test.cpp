#include "engine/tree_copy.hpp"

#include <array>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"

namespace vrun::engine {
namespace {

class TreeCopyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(path_.data()), nullptr);
    const Fd top = *sys::open_dir(At::cwd(), path_.data());
    for (const char* name : {"from", "to", "draft"})
      ASSERT_TRUE(sys::make_dir(top, name, 0755));
    from_ = *sys::open_dir(top, "from");
    to_ = *sys::open_dir(top, "to");
    draft_ = *sys::open_dir(top, "draft");
  }
  void TearDown() override { ASSERT_TRUE(fs::remove_tree(At::cwd(), path_.data())); }
  void write(const std::string& name, const std::string& text) {
    const Fd file = *sys::open(from_, name, O_WRONLY | O_CREAT | O_TRUNC, 0640);
    ASSERT_TRUE(sys::write_all(file.get(), text));
  }
  std::string copied(const std::string& name) {
    return fs::read_file(to_, name, 16U << 20U).value_or("none");
  }

  std::array<char, 32> path_{"/tmp/tree_copy_test.XXXXXX"};
  Fd from_, to_, draft_;
};

TEST_F(TreeCopyTest, second_names_are_one_file_again) {
  write("a", "data");
  ASSERT_EQ(::linkat(from_.get(), "a", from_.get(), "b", 0), 0);
  ASSERT_TRUE(sys::make_symlink("a", from_, "link"));
  const Result<TreeCopy> done = copy_tree_exactly(from_, to_);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->entries, 3U);
  EXPECT_EQ(copied("b"), "data");
  EXPECT_EQ(sys::stat(to_, "a")->st_ino, sys::stat(to_, "b")->st_ino);
  EXPECT_EQ(sys::stat(to_, "a")->st_mode & 07777U, 0640U);
  EXPECT_EQ(*sys::read_link(to_, "link"), "a");
}

TEST_F(TreeCopyTest, a_draft_becomes_what_the_file_is_by_then) {
  const std::string big(3U << 20U, 'x');
  write("changes", big);
  write("shrinks", big);
  write("goes", big);
  Result<Draft> draft = Draft::of(from_, draft_);
  ASSERT_TRUE(draft);
  std::string other = big;
  other[2U << 20U] = 'y';
  other += "more";
  write("changes", other);
  write("shrinks", "small");
  ASSERT_TRUE(sys::unlink(from_, "goes"));
  write("new", big + "new");
  ASSERT_TRUE(copy_tree_exactly(from_, to_, &*draft));
  EXPECT_EQ(copied("changes"), other);
  EXPECT_EQ(copied("shrinks"), "small");
  EXPECT_EQ(copied("goes"), "none");
  EXPECT_EQ(copied("new"), big + "new");
}

TEST_F(TreeCopyTest, a_file_that_became_a_hole_is_one) {
  write("file", std::string(4U << 20U, 'x'));
  Result<Draft> draft = Draft::of(from_, draft_);
  ASSERT_TRUE(draft);
  write("file", "");
  const Fd file = *sys::open(from_, "file", O_WRONLY);
  ASSERT_EQ(::ftruncate(file.get(), 4 << 20), 0);
  ASSERT_TRUE(copy_tree_exactly(from_, to_, &*draft));
  EXPECT_EQ(copied("file"), std::string(4U << 20U, '\0'));
}

}  // namespace
}  // namespace vrun::engine
