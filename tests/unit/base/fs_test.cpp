#include "base/fs.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/spawn.hpp"
#include "base/sys.hpp"

namespace vrun {
namespace {

class Folder : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "vrun-fs-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
    dir_ = *sys::open_dir(At::cwd(), path_);
  }
  void TearDown() override { static_cast<void>(fs::remove_tree(At::cwd(), path_)); }
  std::string path_;
  Fd dir_;
};

TEST_F(Folder, replacing_a_file_leaves_no_temporary) {
  ASSERT_TRUE(fs::replace_file(dir_, "a", "one"));
  ASSERT_TRUE(fs::replace_file(dir_, "a", "two"));
  EXPECT_EQ(*fs::read_file(dir_, "a", 100), "two");
  EXPECT_EQ(sys::list_dir(dir_.get())->size(), 1U);
}

TEST_F(Folder, reading_stops_at_the_limit) {
  ASSERT_TRUE(fs::replace_file(dir_, "a", std::string(100, 'x')));
  EXPECT_TRUE(fs::read_file(dir_, "a", 100));
  EXPECT_FALSE(fs::read_file(dir_, "a", 99));
}

TEST_F(Folder, a_fifo_is_refused_without_hanging) {
  ASSERT_EQ(::mkfifoat(dir_.get(), "pipe", 0600), 0);
  const Result<std::string> read = fs::read_file(dir_, "pipe", 100, fs::Kind::kRegularOnly);
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().text().find("not a regular file"), std::string::npos);
}

TEST_F(Folder, removing_a_tree_does_not_follow_links) {
  ASSERT_TRUE(fs::make_dirs(dir_, "tree/deep/er", 0700));
  ASSERT_TRUE(fs::make_dirs(dir_, "other", 0700));
  ASSERT_TRUE(fs::replace_file(*sys::open_dir(dir_, "other"), "kept", "x"));
  ASSERT_EQ(::symlinkat("../../other", dir_.get(), "tree/deep/link"), 0);
  ASSERT_TRUE(fs::remove_tree(dir_, "tree"));
  EXPECT_TRUE(fs::read_file(dir_, "other/kept", 10));
  EXPECT_FALSE(sys::stat(dir_, "tree"));
  EXPECT_TRUE(fs::remove_tree(dir_, "tree")) << "a missing tree is success";
}

TEST_F(Folder, unix_sockets_work_below_a_path_of_any_length) {
  const std::string deep = std::string(100, 'd') + "/" + std::string(100, 'e');
  ASSERT_TRUE(fs::make_dirs(dir_, deep, 0700));
  const Fd below = *sys::open_dir(dir_, deep);
  const Result<Fd> listener = sys::listen_packets(below, "gate");
  ASSERT_TRUE(listener) << listener.error().text();
  EXPECT_TRUE(sys::connect_packets(below, "gate"));
  const Result<Fd> stream = sys::connect_stream(path_ + "/" + deep + "/gate");
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().sys_errno(), EPROTOTYPE) << "the path was found, whatever its length";
}

TEST(Paths, are_cleaned_lexically) {
  EXPECT_EQ(fs::clean("/a//b/./c/.."), "/a/b");
  EXPECT_EQ(fs::clean("/../.."), "/");
  EXPECT_EQ(fs::clean("../a"), "../a");
  EXPECT_EQ(fs::clean(""), ".");
  EXPECT_EQ(fs::join("/a/", "/b"), "/a/b");
  EXPECT_EQ(fs::join("/", "b"), "/b");
  EXPECT_EQ(fs::base_name("/a/b/"), "b");
  EXPECT_EQ(fs::dir_name("/a"), "/");
  EXPECT_EQ(fs::dir_name("a"), ".");
}

Command shell(const char* script) {
  return Command{.path = "/bin/sh",
                 .argv = {"sh", "-c", script},
                 .env = {},
                 .input = {},
                 .timeout = {},
                 .keep = {},
                 .cwd = {}};
}

TEST(Spawn, gives_input_and_takes_output_and_status) {
  Command command = shell("read line; echo got $line; exit 3");
  command.input = "hello\n";
  const Result<Finished> finished = run(command);
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->exit.code(), 3);
  EXPECT_EQ(finished->output, "got hello\n");
}

TEST(Spawn, a_timeout_kills_the_whole_group) {
  Command command = shell("sleep 100 & sleep 100");
  command.timeout = std::chrono::milliseconds(100);
  const Result<Finished> finished = run(command);
  ASSERT_FALSE(finished);
  EXPECT_EQ(finished.error().code(), Code::kTimeout);
}

TEST(Spawn, only_the_named_descriptors_survive) {
  const Fd kept = *sys::open(At::cwd(), "/dev/null", O_RDONLY);
  const Fd other = *sys::open(At::cwd(), "/dev/null", O_RDONLY);
  Command command = shell("ls /proc/self/fd | wc -l");
  const std::string without = run(command)->output;
  command.keep = {kept.get()};
  EXPECT_EQ(std::stoi(run(command)->output), std::stoi(without) + 1);
}

TEST(Spawn, a_missing_program_is_named) {
  Command command = shell("");
  command.path = "/nowhere/program";
  const Result<Finished> finished = run(command);
  ASSERT_FALSE(finished);
  EXPECT_EQ(finished.error().code(), Code::kNotFound);
}

TEST_F(Folder, a_tree_nested_without_end_is_removed) {
  // Deeper than any limit on descriptors, and by far too long for one path.
  constexpr int kLevels = 3000;
  ASSERT_TRUE(sys::make_dir(dir_, "deep", 0700));
  Fd at = *sys::open_dir(dir_, "deep");
  for (int level = 0; level < kLevels; ++level) {
    ASSERT_TRUE(sys::make_dir(at, ".deep-0", 0700));
    ASSERT_TRUE(sys::make_dir(at, "leaf", 0700));
    at = *sys::open_dir(at, ".deep-0");
  }
  const Result<void> removed = fs::remove_tree(dir_, "deep");
  EXPECT_TRUE(removed) << removed.error().text();
  EXPECT_FALSE(sys::stat(dir_, "deep"));
}

}  // namespace
}  // namespace vrun
