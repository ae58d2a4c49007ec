// What is written as a tar and unpacked again is the same tree; and every difference is seen.
#include <cstring>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "images/transfer/compare.hpp"
#include "images/transfer/extract.hpp"
#include "images/transfer/sniff.hpp"
#include "images/transfer/tree_changes.hpp"
#include "images/transfer/tree_tar.hpp"
#include "tests/unit/images/folder.hpp"

namespace vrun::images {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Trees : public ::testing::Test {
 protected:
  Trees() {
    ::setlocale(LC_CTYPE, "C.UTF-8");
    folder_.write("tree/etc/motd", "hello\n");
    folder_.write("tree/" + std::string(200, 'n') + "/" + std::string(200, 'm'), "long");
    folder_.write("tree/\xC3\xA4", "umlaut");
    std::filesystem::create_hard_link(folder_ / "tree/etc/motd", folder_ / "tree/etc/again");
    std::filesystem::create_symlink("motd", folder_ / "tree/etc/link");
    ::mkfifo((folder_ / "tree/pipe").c_str(), 0640);
    ::setxattr((folder_ / "tree/etc/motd").c_str(), "user.note", "hi", 2, 0);
    const Fd sparse = *sys::open(At::cwd(), folder_ / "tree/sparse", O_WRONLY | O_CREAT, 0600);
    EXPECT_EQ(::pwrite(sparse.get(), "end", 3, 10 << 20), 3);
    std::filesystem::create_directory(folder_ / "copy");
    options_.privileged = ::geteuid() == 0;
  }
  Fd dir(const std::string& name) { return *sys::open_dir(At::cwd(), folder_ / name); }

  Result<TarCounts> write(const TarOptions& options = {}) {
    const Fd out = *sys::open(At::cwd(), folder_ / "x.tar", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    return write_tar(dir("tree"), ".", out, options);
  }
  Result<Extracted> extract() {
    const Fd in = *sys::open(At::cwd(), folder_ / "x.tar", O_RDONLY);
    FdSource source(in);
    return extract_layer(source, dir("copy"), options_);
  }
  std::string difference() {
    const auto found = first_difference(dir("tree"), dir("copy"));
    if (!found) return found.error().text();
    return found->value_or("");
  }

  test::TemporaryFolder folder_;
  ExtractOptions options_;
};

TEST_F(Trees, survive_a_tar_whole) {
  const auto counts = write();
  ASSERT_TRUE(counts) << counts.error().text();
  const auto done = extract();
  ASSERT_TRUE(done) << done.error().text();
  ::chmod((folder_ / "copy").c_str(), 0755);  // the root itself is not in the tar
  ::chmod((folder_ / "tree").c_str(), 0755);
  EXPECT_EQ(difference(), "");
  struct stat st {};
  ASSERT_EQ(::stat((folder_ / "copy/sparse").c_str(), &st), 0);
  EXPECT_LT(st.st_blocks * 512, 1 << 20) << "a hole stays a hole";
}

TEST_F(Trees, every_difference_is_seen) {
  ASSERT_TRUE(write());
  ASSERT_TRUE(extract());
  ::chmod((folder_ / "copy").c_str(), 0755);
  ::chmod((folder_ / "tree").c_str(), 0755);
  const std::string motd = folder_ / "copy/etc/motd";
  ::setxattr(motd.c_str(), "user.note", "ho", 2, 0);
  EXPECT_THAT(difference(), HasSubstr("has other attributes"));
  ::setxattr(motd.c_str(), "user.note", "hi", 2, 0);
  std::filesystem::remove(folder_ / "copy/etc/link");
  EXPECT_THAT(difference(), HasSubstr("'etc/link' is missing"));
  std::filesystem::create_symlink("elsewhere", folder_ / "copy/etc/link");
  EXPECT_THAT(difference(), HasSubstr("'etc/link' points elsewhere"));
  std::filesystem::remove(folder_ / "copy/etc/link");
  std::filesystem::create_symlink("motd", folder_ / "copy/etc/link");
  EXPECT_EQ(difference(), "");
  const Fd file = *sys::open(At::cwd(), motd, O_WRONLY);
  struct stat st {};
  ASSERT_EQ(::fstat(file.get(), &st), 0);
  ASSERT_EQ(::pwrite(file.get(), "H", 1, 0), 1);
  EXPECT_THAT(difference(), HasSubstr("has another time"));
  const timespec times[2] = {st.st_mtim, st.st_mtim};
  ASSERT_EQ(::futimens(file.get(), times), 0);
  EXPECT_THAT(difference(), HasSubstr("has other content"));
}

TEST_F(Trees, ids_are_shifted_on_the_way) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(::chown((folder_ / "tree/etc/motd").c_str(), 600005, 600006), 0);
  TarOptions options;
  options.ids = {{.inside = 0, .outside = 600000, .size = 65536}};
  ASSERT_TRUE(write(options));
  options_.layer = false;
  options_.ids = {{.inside = 0, .outside = 700000, .size = 65536}};
  const auto done = extract();
  ASSERT_TRUE(done) << done.error().text();
  struct stat st {};
  ASSERT_EQ(::stat((folder_ / "copy/etc/motd").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 700005U);
  EXPECT_EQ(st.st_gid, 700006U);
  ASSERT_EQ(::stat((folder_ / "copy/pipe").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 765534U) << "an id of nobody's inside";
  options_.ids = {{.inside = 0, .outside = 700000, .size = 5}};
  EXPECT_THAT(extract().error().text(), HasSubstr("is not an id of the guest"));
}

TEST_F(Trees, a_plain_tree_has_no_whiteouts) {
  folder_.write("tree/.wh.name", "a file");
  ASSERT_TRUE(write());
  EXPECT_TRUE(extract());
  EXPECT_FALSE(folder_.has("copy/.wh.name"));
  options_.layer = false;
  ASSERT_TRUE(extract());
  EXPECT_EQ(folder_.read("copy/.wh.name"), "a file");
  TarOptions layer;
  layer.form = TarForm::kLayer;
  EXPECT_THAT(write(layer).error().text(), HasSubstr("cannot hold names that begin with .wh."));
}

TEST_F(Trees, a_plain_tree_replaces_no_directory) {
  ASSERT_TRUE(write());
  options_.layer = false;
  folder_.write("copy/pipe/inside", "x");
  EXPECT_THAT(extract().error().text(), HasSubstr("a directory is in the file's place"));
  EXPECT_EQ(folder_.read("copy/pipe/inside"), "x");
}

TEST_F(Trees, set_id_bits_can_be_taken_away) {
  ::chmod((folder_ / "tree/etc/motd").c_str(), 06755);
  ASSERT_TRUE(write());
  options_.layer = false;
  options_.set_id_bits = false;
  ASSERT_TRUE(extract());
  struct stat st {};
  ASSERT_EQ(::stat((folder_ / "copy/etc/motd").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777U, 0755U);
}

std::vector<std::string> lines(const std::vector<Change>& changes) {
  std::vector<std::string> out;
  for (const Change& change : changes)
    out.push_back(std::string(1, change.kind) + " " + change.path);
  return out;
}

TEST(TreeChanges, of_an_upper_directory_over_two_layers) {
  test::TemporaryFolder folder;
  folder.write("low/etc/a", "1");
  folder.write("low/etc/b", "1");
  folder.write("low/gone", "1");
  folder.write("top/etc/c", "2");
  ::mknod((folder / "top/gone").c_str(), S_IFCHR, 0);
  folder.write("upper/etc/a", "3");
  folder.write("upper/etc/d", "3");
  folder.write("upper/gone", "3");
  ::mknod((folder / "upper/etc/c").c_str(), S_IFCHR, 0);
  ::mknod((folder / "upper/etc/never").c_str(), S_IFCHR, 0);
  std::vector<Fd> layers;
  layers.push_back(*sys::open_dir(At::cwd(), folder / "low"));
  layers.push_back(*sys::open_dir(At::cwd(), folder / "top"));
  const auto changes = changes_of(*sys::open_dir(At::cwd(), folder / "upper"), layers, {});
  ASSERT_TRUE(changes) << changes.error().text();
  EXPECT_THAT(lines(*changes),
              ElementsAre("C /etc", "C /etc/a", "D /etc/c", "A /etc/d", "A /gone"));
}

TEST(TreeChanges, an_opaque_directory_deletes_what_it_has_not) {
  test::TemporaryFolder folder;
  folder.write("low/dir/old", "1");
  folder.write("low/dir/both", "1");
  folder.write("upper/dir/both", "2");
  if (::setxattr((folder / "upper/dir").c_str(), "user.overlay.opaque", "y", 1, 0) != 0) {
    GTEST_SKIP() << "no extended attributes here";
  }
  std::vector<Fd> layers;
  layers.push_back(*sys::open_dir(At::cwd(), folder / "low"));
  const auto changes = changes_of(*sys::open_dir(At::cwd(), folder / "upper"), layers, {});
  ASSERT_TRUE(changes);
  EXPECT_THAT(lines(*changes), ElementsAre("C /dir", "A /dir/both", "D /dir/old"));
}

TEST(TreeChanges, places_made_for_mounts_are_no_changes) {
  test::TemporaryFolder folder;
  folder.write("low/etc/a", "1");
  folder.write("low/var/b", "1");
  folder.write("upper/etc/hosts", "");
  folder.write("upper/var/hosts", "mine");
  folder.write("upper/var/hostname", "");
  folder.write("upper/deep/er/mark", "");
  for (const char* dir : {"low/etc", "low/var", "upper/etc", "upper/var"})
    ::chmod((folder / dir).c_str(), 0755);
  ::mkdir((folder / "upper/data").c_str(), 0755);
  ::mkdir((folder / "upper/other").c_str(), 0755);
  std::vector<Fd> layers;
  layers.push_back(*sys::open_dir(At::cwd(), folder / "low"));
  const auto of = [&](const std::vector<std::string>& places) {
    const auto changes = changes_of(*sys::open_dir(At::cwd(), folder / "upper"), layers, places);
    return changes ? lines(*changes) : std::vector<std::string>{changes.error().text()};
  };
  const std::vector<std::string> places{"/etc/hosts", "/var/hosts", "/deep/er/mark", "/data"};
  // What has content at such a place was written there, and /var has more of its own.
  EXPECT_THAT(of(places), ElementsAre("A /other", "C /var", "A /var/hostname", "A /var/hosts"));
  ::chmod((folder / "upper/etc").c_str(), 0700);
  EXPECT_THAT(of(places),
              ElementsAre("C /etc", "A /other", "C /var", "A /var/hostname", "A /var/hosts"));
}

TEST(Sniffing, compressions_are_told_by_their_first_bytes) {
  const auto of = [](std::string_view bytes) {
    return compression_of_bytes({bytes.data(), bytes.size()});
  };
  EXPECT_EQ(*of("\x1F\x8B\x08"), Compression::kGzip);
  EXPECT_EQ(*of("\x28\xB5\x2F\xFD"), Compression::kZstd);
  EXPECT_EQ(*of("etc/passwd"), Compression::kNone);
  EXPECT_EQ(*of(""), Compression::kNone);
  EXPECT_THAT(of("BZh91AY").error().text(), HasSubstr("bzip2"));
  EXPECT_THAT(of("\xFD"
                 "7zXZ")
                  .error()
                  .text(),
              HasSubstr("xz"));
}

}  // namespace
}  // namespace vrun::images
