// Hostile and odd layers: whatever a tar says, nothing outside the layer's directory is touched.
#include "images/transfer/extract.hpp"

#include <array>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <locale.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "tests/unit/images/folder.hpp"
#include "tests/unit/images/tar.hpp"

namespace vrun::images {
namespace {

using test::Tar;
using test::TemporaryFolder;
using ::testing::HasSubstr;

class StringSource : public ByteSource {
 public:
  explicit StringSource(std::string bytes) : bytes_(std::move(bytes)) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    const std::size_t n = std::min(buffer.size(), bytes_.size() - at_);
    std::memcpy(buffer.data(), bytes_.data() + at_, n);
    at_ += n;
    return n;
  }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

class Extract : public ::testing::Test {
 protected:
  Extract() {
    ::setlocale(LC_CTYPE, "C.UTF-8");
    std::filesystem::create_directory(outer_ / "layer");
    outer_.write("secret", "of the host");
    options_.privileged = ::geteuid() == 0;
  }

  Result<Extracted> extract(const std::string& bytes) {
    StringSource source(bytes);
    const Fd dir = *sys::open_dir(At::cwd(), outer_ / "layer");
    return extract_layer(source, dir, options_);
  }
  Result<Extracted> extract(const Tar& tar) { return extract(tar.bytes()); }

  std::string error_of(const Tar& tar) {
    Result<Extracted> result = extract(tar);
    return result ? "no error" : result.error().text();
  }
  struct stat stat_of(const std::string& name) {
    struct stat st {};
    EXPECT_EQ(::lstat((outer_ / ("layer/" + name)).c_str(), &st), 0) << name;
    return st;
  }
  bool has(const std::string& name) { return outer_.has("layer/" + name); }
  bool is_opaque(const std::string& name) {
    const char* key = options_.privileged ? "trusted.overlay.opaque" : "user.overlay.opaque";
    std::array<char, 4> value{};
    return ::lgetxattr((outer_ / ("layer/" + name)).c_str(), key, value.data(), value.size()) ==
               1 &&
           value[0] == 'y';
  }
  bool is_whiteout(const std::string& name) {
    const struct stat st = stat_of(name);
    return S_ISCHR(st.st_mode) && st.st_rdev == 0;
  }
  void expect_host_untouched() {
    EXPECT_EQ(outer_.read("secret"), "of the host");
    std::size_t entries = 0;
    for (const auto& entry : std::filesystem::directory_iterator(outer_.path())) {
      static_cast<void>(entry);
      ++entries;
    }
    EXPECT_EQ(entries, 2U) << "something appeared beside the layer";
  }

  TemporaryFolder outer_;
  ExtractOptions options_;
};

TEST_F(Extract, unpacks_files_directories_links_with_modes_and_times) {
  Tar tar;
  tar.dir("./").dir("etc/", 0750).file("etc/motd", "hello").symlink("etc/link", "motd");
  tar.hard_link("etc/second", "etc/motd")
      .add({.name = "pipe", .type = '6', .content = "", .link = "", .mode = 0600});
  tar.add({.name = "bin/su", .content = "#!", .link = "", .mode = 04755});
  const auto done = extract(tar);
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(outer_.read("layer/etc/motd"), "hello");
  EXPECT_EQ(stat_of("etc").st_mode & 07777U, 0750U);
  EXPECT_EQ(stat_of("bin").st_mode & 07777U, 0755U) << "a directory that the tar does not name";
  EXPECT_EQ(stat_of("bin/su").st_mode & 07777U, 04755U);
  EXPECT_EQ(stat_of("etc/motd").st_mtime, 1000000000);
  EXPECT_EQ(stat_of("etc").st_mtime, 1000000000) << "set after its entries were made";
  EXPECT_EQ(stat_of("etc/second").st_ino, stat_of("etc/motd").st_ino);
  EXPECT_TRUE(S_ISFIFO(stat_of("pipe").st_mode));
  EXPECT_EQ(std::filesystem::read_symlink(outer_ / "layer/etc/link"), "motd");
}

TEST_F(Extract, keeps_owners_unshifted_when_privileged) {
  if (!options_.privileged) GTEST_SKIP() << "needs root";
  ASSERT_TRUE(extract(
      Tar().add({.name = "f", .content = "x", .link = "", .mode = 06755, .uid = 1000, .gid = 50})));
  EXPECT_EQ(stat_of("f").st_uid, 1000U);
  EXPECT_EQ(stat_of("f").st_gid, 50U);
  EXPECT_EQ(stat_of("f").st_mode & 07777U, 06755U) << "chown must not have cleared set-id";
}

TEST_F(Extract, refuses_dot_dot) {
  EXPECT_THAT(error_of(Tar().file("../secret", "mine")), HasSubstr("'..' in a path"));
  EXPECT_THAT(error_of(Tar().file("a/../../secret", "mine")), HasSubstr("'..' in a path"));
  EXPECT_THAT(error_of(Tar().hard_link("a", "../secret")), HasSubstr("'..' in a path"));
  expect_host_untouched();
}

TEST_F(Extract, absolute_names_are_below_the_layer) {
  ASSERT_TRUE(extract(Tar().file("/etc/passwd-of-vrun-test", "x").file("//deep//er", "y")));
  EXPECT_TRUE(has("etc/passwd-of-vrun-test"));
  EXPECT_TRUE(has("deep/er"));
  EXPECT_NE(::access("/etc/passwd-of-vrun-test", F_OK), 0);
}

TEST_F(Extract, parents_that_are_links_stay_inside) {
  const std::string up = "../../../../../../../../../../" + outer_.path();
  EXPECT_TRUE(extract(Tar().symlink("out", "/").file("out/inside", "x")));
  EXPECT_TRUE(has("inside")) << "an absolute link starts at the layer's root";
  // The link's own target does not exist inside the layer.
  EXPECT_THAT(error_of(Tar().symlink("up", up).file("up/secret", "mine")), HasSubstr("up"));
  expect_host_untouched();
}

TEST_F(Extract, last_part_is_never_followed) {
  ASSERT_TRUE(extract(Tar().symlink("f", outer_ / "secret").file("f", "mine")));
  EXPECT_TRUE(S_ISREG(stat_of("f").st_mode)) << "the file took the link's place";
  ASSERT_TRUE(extract(Tar().symlink("d", outer_.path()).dir("d").file("d/new", "x")));
  EXPECT_TRUE(S_ISDIR(stat_of("d").st_mode));
  expect_host_untouched();
}

TEST_F(Extract, link_swapped_in_after_directory_is_not_followed_by_cache) {
  ASSERT_TRUE(extract(Tar().dir("a").file("a/one").symlink("a", "b").dir("b").file("a/two")));
  EXPECT_TRUE(has("b/two"));
  EXPECT_FALSE(has("b/one"));
}

TEST_F(Extract, hard_links_cannot_reach_out) {
  EXPECT_THAT(error_of(Tar().hard_link("a", outer_ / "secret")), HasSubstr("no such file"));
  EXPECT_FALSE(has("a"));
  EXPECT_THAT(error_of(Tar().symlink("l", outer_.path()).hard_link("b", "l/secret")),
              HasSubstr("no such file"));
  // A hard link to a link is a link, not what it points to.
  ASSERT_TRUE(extract(Tar().symlink("s", outer_ / "secret").hard_link("h", "s")));
  EXPECT_TRUE(S_ISLNK(stat_of("h").st_mode));
  EXPECT_THAT(error_of(Tar().hard_link("x", "/")), HasSubstr("root directory"));
  EXPECT_THAT(error_of(Tar().dir("d").hard_link("x", "d")), HasSubstr("to a directory"));
  expect_host_untouched();
}

TEST_F(Extract, hard_link_to_itself_keeps_the_file) {
  ASSERT_TRUE(extract(Tar().file("f", "kept").hard_link("f", "f")));
  EXPECT_EQ(outer_.read("layer/f"), "kept");
}

TEST_F(Extract, device_nodes_are_left_out_and_counted) {
  const auto done =
      extract(Tar()
                  .add({.name = "dev/mem", .type = '3', .content = "", .link = "", .mode = 0666})
                  .add({.name = "dev/sda", .type = '4', .content = "", .link = "", .mode = 0666})
                  .file("dev/log"));
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(done->devices_left_out, 2U);
  EXPECT_FALSE(has("dev/mem"));
  EXPECT_FALSE(has("dev/sda"));
  EXPECT_TRUE(has("dev/log"));
}

TEST_F(Extract, whiteouts_become_devices_for_overlayfs) {
  ASSERT_TRUE(extract(Tar().dir("a").file("a/.wh.gone", "").file(".wh.b", "")));
  EXPECT_TRUE(is_whiteout("a/gone"));
  EXPECT_TRUE(is_whiteout("b"));
  EXPECT_FALSE(has("a/.wh.gone"));
}

TEST_F(Extract, opaque_markers_become_the_overlay_attribute) {
  ASSERT_TRUE(extract(Tar().dir("a").file("a/.wh..wh..opq", "").file("a/f")));
  EXPECT_TRUE(is_opaque("a"));
  EXPECT_FALSE(has("a/.wh..wh..opq"));
}

TEST_F(Extract, a_name_both_whited_out_and_present_is_present) {
  ASSERT_TRUE(
      extract(Tar().file("f", "new").file(".wh.f", "").dir("d").file("d/x").file(".wh.d", "")));
  EXPECT_EQ(outer_.read("layer/f"), "new");
  EXPECT_TRUE(has("d/x"));
  EXPECT_TRUE(is_opaque("d")) << "what is below stays hidden";
  ASSERT_TRUE(extract(Tar().file(".wh.e", "").dir("e")));
  EXPECT_TRUE(is_opaque("e"));
}

TEST_F(Extract, whiteouts_of_nothing_are_refused) {
  EXPECT_THAT(error_of(Tar().file(".wh.", "")), HasSubstr("whiteout of nothing"));
  EXPECT_THAT(error_of(Tar().file(".wh..", "")), HasSubstr("whiteout of nothing"));
  EXPECT_THAT(error_of(Tar().file(".wh...", "")), HasSubstr("whiteout of nothing"));
}

TEST_F(Extract, hard_link_to_a_whiteout_is_refused) {
  EXPECT_THAT(error_of(Tar().file(".wh.w", "").hard_link("x", "w")), HasSubstr("whiteout"));
}

TEST_F(Extract, forged_overlay_metadata_is_refused) {
  for (const std::string key :
       {"trusted.overlay.redirect", "user.overlay.opaque", "trusted.overlay.metacopy"}) {
    EXPECT_THAT(error_of(Tar().pax("SCHILY.xattr." + key, "y").dir("d")),
                HasSubstr("forged overlay attribute"))
        << key;
  }
}

TEST_F(Extract, user_attributes_are_kept) {
  ASSERT_TRUE(extract(Tar().pax("SCHILY.xattr.user.note", "abc").file("f")));
  std::array<char, 8> value{};
  EXPECT_EQ(::lgetxattr((outer_ / "layer/f").c_str(), "user.note", value.data(), value.size()), 3);
}

TEST_F(Extract, labels_of_another_host_are_left_out_and_counted) {
  const auto done = extract(Tar().pax("SCHILY.xattr.security.selinux", "label").file("f"));
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(done->attributes_left_out, 1U);
}

TEST_F(Extract, the_last_of_duplicate_entries_wins) {
  ASSERT_TRUE(
      extract(Tar().file("f", "one").file("f", "two").dir("g").file("g/x").file("g", "file now")));
  EXPECT_EQ(outer_.read("layer/f"), "two");
  EXPECT_EQ(outer_.read("layer/g"), "file now");
  ASSERT_TRUE(extract(Tar().file("h", "file").dir("h").file("h/x")));
  EXPECT_TRUE(has("h/x"));
}

TEST_F(Extract, a_file_in_the_place_of_a_parent_is_an_error) {
  EXPECT_THAT(error_of(Tar().file("a").file("a/b")), HasSubstr("a/b"));
  EXPECT_THAT(error_of(Tar().symlink("dangling", "nowhere").file("dangling/b")),
              HasSubstr("dangling"));
}

TEST_F(Extract, the_root_can_only_be_a_directory) {
  EXPECT_THAT(error_of(Tar().file(".", "x")), HasSubstr("must be a directory"));
  EXPECT_THAT(error_of(Tar().symlink(".", "/etc")), HasSubstr("must be a directory"));
  expect_host_untouched();
}

TEST_F(Extract, too_many_entries_are_refused) {
  options_.limits.entries = 100;
  Tar tar;
  for (int i = 0; i < 101; ++i)
    tar.file("f" + std::to_string(i));
  EXPECT_THAT(error_of(tar), HasSubstr("more than 100 entries"));
}

TEST_F(Extract, too_much_content_is_refused) {
  options_.limits.bytes = 1000;
  EXPECT_THAT(error_of(Tar().file("a", std::string(600, 'a')).file("b", std::string(600, 'b'))),
              HasSubstr("larger than 1000 bytes"));
}

TEST_F(Extract, a_hole_counts_with_its_whole_size) {
  options_.limits.bytes = 1U << 20U;
  // GNU sparse 1.0: 1 GiB long, without content.
  EXPECT_THAT(error_of(Tar()
                           .pax("GNU.sparse.major", "1")
                           .file("unused")
                           .pax("GNU.sparse.realsize", "1073741824")
                           .pax("GNU.sparse.name", "hole")
                           .pax("size", "1073741824")
                           .file("f", std::string(512, '\0'))),
              HasSubstr("layer"));
}

TEST_F(Extract, too_many_directories_are_refused) {
  options_.limits.directory_bytes = 10'000;
  Tar tar;
  for (int i = 0; i < 200; ++i)
    tar.dir("directory-" + std::to_string(i));
  EXPECT_THAT(error_of(tar), HasSubstr("too many directories"));
}

TEST_F(Extract, too_deep_names_are_refused) {
  options_.limits.depth = 10;
  EXPECT_TRUE(extract(Tar().file("1/2/3/4/5/6/7/8/9/10")));
  EXPECT_THAT(error_of(Tar().file("1/2/3/4/5/6/7/8/9/10/11")),
              HasSubstr("nested deeper than 10 directories"));
  EXPECT_THAT(error_of(Tar().file("f").hard_link("g", "1/2/3/4/5/6/7/8/9/10/11")),
              HasSubstr("nested deeper than 10 directories"));
}

TEST_F(Extract, long_pax_names_and_links_are_kept) {
  const std::string name = std::string(150, 'd') + "/" + std::string(150, 'f');
  ASSERT_TRUE(extract(Tar().file(name, "x").symlink("link", name).hard_link("hard", name)));
  EXPECT_EQ(outer_.read("layer/" + name), "x");
  EXPECT_EQ(std::filesystem::read_symlink(outer_ / "layer/link"), name);
  EXPECT_EQ(stat_of("hard").st_ino, stat_of(name).st_ino);
}

TEST_F(Extract, file_capabilities_are_kept_by_root_alone) {
  // struct vfs_cap_data, version 2: CAP_NET_BIND_SERVICE permitted and effective.
  const std::string value(
      "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00\x00\x00\x00\x00",
      20);
  const auto done = extract(Tar().pax("SCHILY.xattr.security.capability", value).file("server"));
  ASSERT_TRUE(done) << done.error().text();
  std::array<char, 32> found{};
  const ssize_t size = ::lgetxattr((outer_ / "layer/server").c_str(), "security.capability",
                                   found.data(), found.size());
  if (!options_.privileged) {
    EXPECT_EQ(size, -1);
    EXPECT_EQ(done->attributes_left_out, 1U);
    return;
  }
  EXPECT_EQ(std::string(found.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))), value);
}

TEST_F(Extract, a_sparse_file_takes_no_room) {
  // GNU sparse 1.0: the map (one piece of 3 bytes at 1 MiB) stands in a block before the content.
  std::string content = "1\n1048576\n3\n";
  content.resize(512, '\0');
  content += "end";
  const auto done = extract(Tar()
                                .pax({{"GNU.sparse.major", "1"},
                                      {"GNU.sparse.minor", "0"},
                                      {"GNU.sparse.name", "hole"},
                                      {"GNU.sparse.realsize", "1048579"}})
                                .file("GNUSparseFile.0/hole", content));
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(stat_of("hole").st_size, 1048579);
  EXPECT_LT(stat_of("hole").st_blocks, 64);
  EXPECT_EQ(outer_.read("layer/hole").substr(1048576), "end");
}

TEST_F(Extract, a_sparse_file_cannot_hold_more_than_it_says) {
  // The map says 4096 bytes at 0 and 100 bytes at 8192, the size 10: only the size meets the limit.
  for (const std::string map : {"1\n0\n4096\n", "1\n8192\n100\n", "2\n0\n8\n4\n4\n"}) {
    std::string content = map;
    content.resize(512, '\0');
    content += std::string(4096, 'b');
    EXPECT_THAT(error_of(Tar()
                             .pax({{"GNU.sparse.major", "1"},
                                   {"GNU.sparse.minor", "0"},
                                   {"GNU.sparse.name", "bomb"},
                                   {"GNU.sparse.realsize", "10"}})
                             .file("GNUSparseFile.0/bomb", content)),
                HasSubstr("does not fit"))
        << map;
  }
}

TEST_F(Extract, overlong_names_are_refused) {
  EXPECT_THAT(error_of(Tar().file(std::string(256, 'n'))), HasSubstr("name longer than 255"));
  std::string path;
  for (int i = 0; i < 600; ++i)
    path += "directory/";
  EXPECT_THAT(error_of(Tar().file(path + "f")), HasSubstr("path longer than 4095"));
}

TEST_F(Extract, truncated_archives_are_refused) {
  const std::string bytes = Tar().file("f", std::string(5000, 'f')).bytes();
  EXPECT_FALSE(extract(bytes.substr(0, 1500)));
  EXPECT_FALSE(extract(bytes.substr(0, 300)));
}

TEST_F(Extract, garbage_is_refused) {
  EXPECT_FALSE(extract(std::string(4096, '\xa5')));
}

TEST_F(Extract, an_empty_layer_is_fine) {
  const auto done = extract(Tar());
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(done->entries, 0U);
}

TEST_F(Extract, names_that_are_not_ascii_are_kept) {
  ASSERT_TRUE(extract(Tar()
                          .pax("path",
                               "h\xc3\xa4user/stra\xc3\x9f"
                               "e")
                          .file("short")));
  EXPECT_TRUE(
      has("h\xc3\xa4user/stra\xc3\x9f"
          "e"));
}

}  // namespace
}  // namespace vrun::images
