// Hostile trees: whatever the image contains, a lookup stays below the root.
#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rootfs/paths_child.hpp"
#include "sandbox.hpp"

namespace vrun::rootfs {
namespace {

// A tree below a directory that must never be touched.
class Paths : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/vrun-paths-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    top_ = name;
    root_ = top_ + "/root";
    ASSERT_EQ(::mkdir(root_.c_str(), 0755), 0);
    fd_ = Fd(::open(root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  void TearDown() override { EXPECT_TRUE(fs::remove_tree(At::cwd(), top_)); }

  void link(const std::string& target, const std::string& path) {
    ASSERT_EQ(::symlink(target.c_str(), (root_ + path).c_str()), 0);
  }
  void dir(const std::string& path) { ASSERT_TRUE(fs::make_dirs(At::cwd(), root_ + path, 0755)); }

  // Where the lookup ended, relative to the root; or the name of the error.
  std::string where(const std::string& path, LookupRules rules = {}) {
    const long fd = open_target(fd_.get(), path.c_str(), rules);
    if (fd < 0) return ::strerrorname_np(static_cast<int>(-fd));
    const auto seen = sys::read_link(At::cwd(), "/proc/self/fd/" + std::to_string(fd));
    ::close(static_cast<int>(fd));
    if (!seen->starts_with(root_)) return "ESCAPED to " + *seen;
    return seen->size() == root_.size() ? "/" : seen->substr(root_.size());
  }

  std::string made_dir(const std::string& path) {
    return where(path, {.missing = Missing::kMakeDirectory});
  }
  std::string made_file(const std::string& path) {
    return where(path, {.missing = Missing::kMakeFile});
  }

  std::string top_, root_;
  Fd fd_;
};

TEST_F(Paths, missing_directories_are_made) {
  EXPECT_EQ(where("/a/b/c"), "ENOENT");
  EXPECT_EQ(made_dir("/a/b/c"), "/a/b/c");
  EXPECT_EQ(made_dir("/a//b/./d/"), "/a/b/d");
  EXPECT_EQ(where("/a/b/c"), "/a/b/c");
}

TEST_F(Paths, a_missing_file_is_made_with_its_directories) {
  EXPECT_EQ(made_file("/etc/deep/hosts"), "/etc/deep/hosts");
  struct stat about {};
  ASSERT_EQ(::stat((root_ + "/etc/deep/hosts").c_str(), &about), 0);
  EXPECT_TRUE(S_ISREG(about.st_mode));
}

TEST_F(Paths, dot_dot_ends_at_the_root) {
  EXPECT_EQ(made_dir("/../../../../a"), "/a");
  EXPECT_EQ(made_dir("/a/../../b"), "/b");
  EXPECT_EQ(where("/.."), "/");
  EXPECT_EQ(where("/"), "/");
}

TEST_F(Paths, absolute_links_count_from_the_root) {
  dir("/real");
  link("/real", "/absolute");
  link("/etc", "/to-etc");
  EXPECT_EQ(where("/absolute"), "/real");
  EXPECT_EQ(made_dir("/absolute/below"), "/real/below");
  EXPECT_EQ(made_dir("/to-etc/x"), "/etc/x");  // made inside, dangling as it was
}

TEST_F(Paths, relative_links_cannot_climb_out) {
  link("../../../../../../../../tmp", "/climb");
  link("../../etc/passwd", "/file");
  EXPECT_EQ(made_dir("/climb/x"), "/tmp/x");
  EXPECT_EQ(made_file("/file"), "/etc/passwd");
}

TEST_F(Paths, a_dangling_link_as_the_last_component_is_made_where_it_points) {
  dir("/etc");
  link("../run/systemd/resolve/stub-resolv.conf", "/etc/resolv.conf");
  EXPECT_EQ(made_file("/etc/resolv.conf"), "/run/systemd/resolve/stub-resolv.conf");
}

TEST_F(Paths, chains_of_links_are_followed) {
  link("b", "/a");
  link("c", "/b");
  link("/d/e", "/c");
  EXPECT_EQ(made_dir("/a/f"), "/d/e/f");
}

TEST_F(Paths, loops_end) {
  link("b", "/a");
  link("a", "/b");
  link("self/x", "/self");
  EXPECT_EQ(where("/a"), "ELOOP");
  EXPECT_EQ(made_dir("/a/b"), "ELOOP");
  EXPECT_EQ(made_dir("/self"), "ELOOP");
}

TEST_F(Paths, a_file_on_the_way_is_no_directory) {
  ASSERT_EQ(made_file("/file"), "/file");
  EXPECT_EQ(made_dir("/file/below"), "ENOTDIR");
}

TEST_F(Paths, a_fifo_as_target_does_not_block) {
  ASSERT_EQ(::mkfifo((root_ + "/fifo").c_str(), 0644), 0);
  EXPECT_EQ(made_file("/fifo"), "/fifo");
  EXPECT_EQ(made_dir("/fifo/x"), "ENOTDIR");
}

TEST_F(Paths, without_links_any_link_is_an_error) {
  dir("/real");
  link("real", "/alias");
  EXPECT_EQ(where("/alias", {.missing = Missing::kMakeDirectory, .no_links = true}), "ELOOP");
  EXPECT_EQ(where("/alias/x", {.missing = Missing::kMakeDirectory, .no_links = true}), "ELOOP");
  link("nowhere", "/dangling");
  EXPECT_EQ(where("/dangling", {.missing = Missing::kMakeFile, .no_links = true}), "ELOOP");
  EXPECT_EQ(where("/real/x", {.missing = Missing::kMakeDirectory, .no_links = true}), "/real/x");
}

TEST_F(Paths, the_last_link_itself_can_be_meant) {
  dir("/real");
  link("real", "/alias");
  link("/nowhere", "/dangling");
  EXPECT_EQ(where("/alias", {.last_not_followed = true}), "/alias");
  EXPECT_EQ(where("/dangling", {.missing = Missing::kMakeFile, .last_not_followed = true}),
            "/dangling");
  EXPECT_EQ(where("/alias/x", {.missing = Missing::kMakeFile, .last_not_followed = true}),
            "/real/x");
}

TEST_F(Paths, magic_links_are_refused) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(in_sandbox(CLONE_NEWNS,
                       [this] {
                         dir("/proc");
                         fd_ = Fd(::open(root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
                         ::mount("proc", (root_ + "/proc").c_str(), "proc", 0, nullptr);
                         return where("/proc/self/root") + " " + where("/proc/self/cwd/x") + " " +
                                where("/proc/self/fd/0");
                       }),
            "ELOOP ELOOP ELOOP");
}

TEST_F(Paths, overlong_paths_are_refused) {
  EXPECT_EQ(made_dir("/" + std::string(256, 'x')), "ENAMETOOLONG");
  std::string deep;
  for (int i = 0; i < 1000; ++i)
    deep += "/abcdef";
  EXPECT_EQ(made_dir(deep), "ENAMETOOLONG");
}

TEST_F(Paths, the_parent_is_found_for_what_is_not_there) {
  const char* name = nullptr;
  link("/other", "/dev");
  const long parent = open_parent(fd_.get(), "/dev/null", &name);
  ASSERT_GE(parent, 0);
  EXPECT_STREQ(name, "null");
  const auto seen = sys::read_link(At::cwd(), "/proc/self/fd/" + std::to_string(parent));
  EXPECT_EQ(*seen, root_ + "/other");
  ::close(static_cast<int>(parent));
  EXPECT_EQ(open_parent(fd_.get(), "/dev/..", &name), -EINVAL);
  EXPECT_EQ(open_parent(fd_.get(), "/", &name), -EINVAL);
}

TEST_F(Paths, swapping_a_directory_for_a_link_never_leads_out) {
  // CVE-2021-30465: another container of the same volume swaps a component while we look.
  dir("/volume/a");
  ASSERT_TRUE(fs::make_dirs(At::cwd(), top_ + "/outside", 0755));
  link("../../outside", "/volume/link");
  const std::string a = root_ + "/volume/a";
  const std::string b = root_ + "/volume/link";
  std::atomic<bool> stop{false};
  std::thread attacker([&] {
    while (!stop)
      ::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE);
  });
  for (int i = 0; i < 200; ++i) {
    const std::string seen = made_dir("/volume/a/x" + std::to_string(i));
    EXPECT_FALSE(seen.starts_with("ESCAPED")) << seen;
  }
  stop = true;
  attacker.join();
  const auto outside = sys::open_dir(At::cwd(), top_ + "/outside");
  EXPECT_THAT(*sys::list_dir(outside->get()), testing::IsEmpty());
}

}  // namespace
}  // namespace vrun::rootfs
