// The whole way of a layer into the store, by the real vrun-image: once, whole, and clean after
// kill -9.
#include "images/layers.hpp"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "images/catalog.hpp"
#include "tests/unit/images/layout_maker.hpp"
#include "tests/unit/images/tar.hpp"

namespace vrun::images {
namespace {

using test::Tar;
using test::TemporaryFolder;
using test::write_layout;
using ::testing::HasSubstr;

std::string big_tar() {
  Tar tar;
  for (int i = 0; i < 400; ++i) {
    const std::string dir = "d" + std::to_string(i % 20);
    if (i < 20) tar.dir(dir);
    tar.file(dir + "/f" + std::to_string(i), std::string(2000, 'f'));
  }
  return tar.bytes();
}

class Layers : public ::testing::Test {
 protected:
  Layers() {
    write_layout(folder_, "image", big_tar());
    image_ = *read_layout(folder_ / "image", "image");
  }
  Result<void> ensure(const std::string& importer = VRUN_IMAGE_PROGRAM) {
    const Store store = *Store::open(folder_ / "data");
    return ensure_layers(store, image_, importer, Host::current());
  }
  std::string layer() const { return "data/images/layers/" + image_.config.diff_ids[0].hex; }
  std::size_t count_files(const std::string& name) const {
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ / name))
      files += entry.is_regular_file() ? 1 : 0;
    return files;
  }
  std::vector<std::string> unfinished() const {
    std::vector<std::string> names;
    for (const char* dir : {"data/images/layers", "data/images/blobs/sha256"}) {
      for (const auto& entry : std::filesystem::directory_iterator(folder_ / dir)) {
        const std::string name = entry.path().filename();
        if (name.starts_with('.')) names.push_back(name);
      }
    }
    return names;
  }

  TemporaryFolder folder_;
  Image image_;
};

TEST_F(Layers, are_unpacked_and_then_found) {
  const auto done = ensure();
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(count_files(layer()), 400U);
  EXPECT_TRUE(folder_.has("data/images/blobs/sha256/" + image_.manifest.layers[0].digest.hex));
  EXPECT_TRUE(folder_.has("data/images/blobs/sha256/" + image_.manifest.config.digest.hex));
  EXPECT_TRUE(ensure("/nonexistent/importer")) << "what is there is not made again";
}

TEST_F(Layers, a_damaged_blob_leaves_nothing_and_says_why) {
  const std::string name = "image/blobs/sha256/" + image_.manifest.layers[0].digest.hex;
  std::string bytes = folder_.read(name);
  bytes[700] ^= 1;
  folder_.write(name, bytes);
  const auto done = ensure();
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().text(), HasSubstr("unpack image 'image': "));
  EXPECT_THAT(done.error().text(), HasSubstr("digest"));
  EXPECT_FALSE(folder_.has(layer()));
  EXPECT_TRUE(unfinished().empty());
}

TEST_F(Layers, a_missing_importer_is_an_error) {
  EXPECT_FALSE(ensure("/nonexistent/importer"));
}

TEST_F(Layers, concurrent_commands_unpack_once) {
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) ::_exit(ensure() ? 0 : 1);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(count_files(layer()), 400U);
  EXPECT_TRUE(unfinished().empty());
}

pid_t start_importer(const TemporaryFolder& folder, const Image& image) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::setpgid(0, 0);
  ::execl(VRUN_IMAGE_PROGRAM, "vrun-image", "import", (folder / "data").c_str(),
          image.layout_dir.c_str(), image.digest.str().c_str(), nullptr);
  ::_exit(99);
}

TEST_F(Layers, kill_9_at_any_moment_leaves_no_half_layer_and_the_next_import_cleans_up) {
  std::mt19937 random(20240501);
  for (int round = 0; round < 40; ++round) {
    const pid_t child = start_importer(folder_, image_);
    ASSERT_GT(child, 0);
    const timespec delay{0, static_cast<long>(random() % 30'000'000)};
    ::nanosleep(&delay, nullptr);
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (folder_.has(layer())) {
      ASSERT_EQ(count_files(layer()), 400U) << "a layer that is there is whole";
      std::filesystem::remove_all(folder_ / layer());
    }
  }
  const auto done = ensure();
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(count_files(layer()), 400U);
  EXPECT_TRUE(unfinished().empty());
}

TEST_F(Layers, hostile_layer_is_refused_by_the_confined_unpacker) {
  TemporaryFolder other;
  write_layout(other, "evil", Tar().file("../../../../evil", "x").bytes());
  image_ = *read_layout(other / "evil", "evil");
  const auto done = ensure();
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().text(), HasSubstr("'..' in a path"));
}

TEST(BuiltInImage, is_there_and_unpacks) {
  TemporaryFolder folder;
  const auto image = Catalog(VRUN_SHIPPED_IMAGES).find("base");
  ASSERT_TRUE(image) << image.error().text();
  EXPECT_EQ(image->config.cmd, std::vector<std::string>{"/bin/sh"});
  const Store store = *Store::open(folder / "data");
  const auto done = ensure_layers(store, *image, VRUN_IMAGE_PROGRAM, Host::current());
  ASSERT_TRUE(done) << done.error().text();
  const std::string layer = "data/images/layers/" + image->config.diff_ids[0].hex;
  for (const char* name : {"/bin/sh", "/bin/busybox", "/etc/passwd", "/tmp", "/proc", "/root"})
    EXPECT_TRUE(folder.has(layer + name)) << name;
}

TEST(Reports, an_error_survives_the_way_through_stderr) {
  const Error error = Error(Code::kInvalid, "blob sha256:12: too\nlong").hint("build it again");
  const Error back = from_report("warning: x\n" + to_report(error), 1);
  EXPECT_EQ(back.text(), "blob sha256:12: too\\x0along");
  EXPECT_EQ(back.hint(), "build it again");
  EXPECT_THAT(from_report("Segmentation fault", 139).text(), HasSubstr("139: Segmentation fault"));
}

}  // namespace
}  // namespace vrun::images
