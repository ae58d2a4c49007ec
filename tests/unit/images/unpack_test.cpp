// From blob to layer: compression and both digests.
#include "images/transfer/unpack.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/digest.hpp"
#include "base/fs.hpp"
#include "base/spawn.hpp"
#include "base/sys.hpp"
#include "images/transfer/stream.hpp"
#include "tests/unit/images/folder.hpp"
#include "tests/unit/images/tar.hpp"

namespace vrun::images {
namespace {

using test::Tar;
using test::TemporaryFolder;
using ::testing::HasSubstr;

class Unpack : public ::testing::Test {
 protected:
  Unpack() {
    std::filesystem::create_directory(folder_ / "layer");
    options_.privileged = ::geteuid() == 0;
    folder_.write("plain", tar_);
  }
  std::string compress(const std::string& program) {
    Command command;
    command.path = program;
    command.argv = {program, "-q", "-k", folder_ / "plain"};
    Result<Finished> finished = run(command);
    EXPECT_TRUE(finished && finished->exit.code() == 0) << program;
    return folder_.read(program == "gzip" ? "plain.gz" : "plain.zst");
  }
  Result<Extracted> unpack(const std::string& blob, std::string media_type) {
    folder_.write("blob", blob);
    const Fd file = *sys::open(At::cwd(), folder_ / "blob", O_RDONLY);
    const Fd dir = *sys::open_dir(At::cwd(), folder_ / "layer");
    oci::Descriptor descriptor;
    descriptor.media_type = std::move(media_type);
    descriptor.digest = digest(digest_of_.empty() ? blob : digest_of_);
    descriptor.size = blob.size();
    const oci::Digest diff_id = digest(diff_of_.empty() ? tar_ : diff_of_);
    return unpack_blob_confined({.bytes = file,
                                 .blob = descriptor,
                                 .diff_id = diff_id,
                                 .directory = dir,
                                 .options = options_});
  }
  static oci::Digest digest(const std::string& bytes) {
    return *oci::Digest::parse("sha256:" + sha256_hex(bytes));
  }

  TemporaryFolder folder_;
  ExtractOptions options_;
  std::string tar_ = Tar().dir("etc").file("etc/motd", std::string(300'000, 'm')).bytes();
  std::string digest_of_, diff_of_;  // lies, when set
};

TEST_F(Unpack, plain_tar) {
  const auto done = unpack(tar_, "application/vnd.oci.image.layer.v1.tar");
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(done->entries, 2U);
  EXPECT_EQ(folder_.read("layer/etc/motd").size(), 300'000U);
}

TEST_F(Unpack, gzip) {
  const auto done = unpack(compress("gzip"), "application/vnd.oci.image.layer.v1.tar+gzip");
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_TRUE(folder_.has("layer/etc/motd"));
}

TEST_F(Unpack, zstd) {
  if (::access("/usr/bin/zstd", X_OK) != 0) GTEST_SKIP() << "needs the program zstd";
  const auto done = unpack(compress("zstd"), "application/vnd.oci.image.layer.v1.tar+zstd");
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_TRUE(folder_.has("layer/etc/motd"));
}

// RFC 1952, section 2.2: a file may be several members.
TEST_F(Unpack, gzip_of_several_members) {
  const std::string whole = tar_;
  folder_.write("plain", whole.substr(0, 70'000));
  std::string bytes = compress("gzip");
  std::filesystem::remove(folder_ / "plain.gz");
  folder_.write("plain", whole.substr(70'000));
  bytes += compress("gzip");
  const auto done = unpack(bytes, "application/vnd.oci.image.layer.v1.tar+gzip");
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(folder_.read("layer/etc/motd").size(), 300'000U);
}

TEST_F(Unpack, rubbish_behind_the_compressed_data_is_refused) {
  const std::string bytes = compress("gzip") + "rubbish";
  const auto done = unpack(bytes, "application/vnd.oci.image.layer.v1.tar+gzip");
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().text(), HasSubstr("something stands behind the gzip data"));
}

TEST_F(Unpack, a_wrong_checksum_is_refused) {
  std::string bytes = compress("gzip");
  bytes[bytes.size() - 8] = static_cast<char>(bytes[bytes.size() - 8] ^ 1);
  const auto done = unpack(bytes, "application/vnd.oci.image.layer.v1.tar+gzip");
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().text(), HasSubstr("the gzip checksum is wrong"));
}

TEST_F(Unpack, data_that_ends_too_early_is_refused) {
  for (const std::string program : {"gzip", "zstd"}) {
    if (program == "zstd" && ::access("/usr/bin/zstd", X_OK) != 0) continue;
    std::string bytes = compress(program);
    bytes.resize(bytes.size() - 3);
    const auto done = unpack(bytes, "application/vnd.oci.image.layer.v1.tar+" + program);
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().text(), HasSubstr("data ends too early")) << program;
  }
}

// As umoci 0.4 makes them: nothing after the content of the last file.
TEST_F(Unpack, a_tar_without_its_last_padding) {
  tar_ = Tar().dir("etc").file("etc/motd", std::string(300'001, 'm')).bytes();
  tar_.resize(512 * 3 - 512 + 300'001);
  const auto done = unpack(tar_, "application/vnd.oci.image.layer.v1.tar");
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(folder_.read("layer/etc/motd").size(), 300'001U);
  tar_.pop_back();  // but content must be whole
  EXPECT_FALSE(unpack(tar_, "application/vnd.oci.image.layer.v1.tar"));
}

TEST_F(Unpack, bytes_that_make_no_sense_are_first_of_all_not_those_promised) {
  digest_of_ = "something else";
  const auto done = unpack("no gzip, no tar", "application/vnd.oci.image.layer.v1.tar");
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().text(), HasSubstr("its content has the digest sha256:"));
}

TEST_F(Unpack, dockers_name_of_gzip) {
  EXPECT_TRUE(unpack(compress("gzip"), "application/vnd.docker.image.rootfs.diff.tar.gzip"));
}

TEST_F(Unpack, bytes_after_the_end_of_the_archive_count_for_the_digest) {
  diff_of_ = tar_ + std::string(4096, '\0');
  const auto done = unpack(diff_of_, "application/vnd.oci.image.layer.v1.tar");
  EXPECT_TRUE(done) << done.error().text();
}

TEST_F(Unpack, a_wrong_blob_is_refused) {
  digest_of_ = "something else";
  const auto done = unpack(tar_, "application/vnd.oci.image.layer.v1.tar");
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().text(), HasSubstr("its content has the digest sha256:"));
  EXPECT_FALSE(done.error().hint().empty());
}

TEST_F(Unpack, a_wrong_diff_id_is_refused) {
  diff_of_ = "something else";
  const auto done = unpack(tar_, "application/vnd.oci.image.layer.v1.tar");
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().text(), HasSubstr("layer sha256:" + sha256_hex("something else")));
}

TEST_F(Unpack, the_media_type_decides_not_the_bytes) {
  EXPECT_FALSE(unpack(compress("gzip"), "application/vnd.oci.image.layer.v1.tar"));
  EXPECT_FALSE(unpack(tar_, "application/vnd.oci.image.layer.v1.tar+gzip"));
  const auto unknown = unpack(tar_, "application/vnd.oci.image.layer.v1.tar+rot13");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code(), Code::kUnsupported);
}

TEST_F(Unpack, a_bomb_stops_at_the_limit) {
  options_.limits = {.entries = 10, .bytes = 1000, .directory_bytes = 1000};
  const std::string bomb = Tar().file("zeros", std::string(8U << 20U, '\0')).bytes();
  folder_.write("plain", bomb);
  diff_of_ = bomb;
  const auto done = unpack(compress("gzip"), "application/vnd.oci.image.layer.v1.tar+gzip");
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().text(), HasSubstr("larger than"));
}

TEST_F(Unpack, damaged_compression_is_refused) {
  std::string bytes = compress("gzip");
  bytes.resize(bytes.size() / 2);
  EXPECT_FALSE(unpack(bytes, "application/vnd.oci.image.layer.v1.tar+gzip"));
}

}  // namespace
}  // namespace vrun::images
