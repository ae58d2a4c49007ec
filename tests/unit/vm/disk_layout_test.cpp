#include "vm/disk_layout.hpp"

#include <cstring>

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "base/sys.hpp"

namespace vrun::vm {
namespace {

class Image {
 public:
  Image() { EXPECT_EQ(::ftruncate(file.get(), 4 << 20), 0); }
  void put(std::uint64_t offset, std::string_view bytes) const {
    ASSERT_EQ(::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(bytes.size()));
  }
  template <typename T>
  void number(std::uint64_t offset, T value) const {
    put(offset, {reinterpret_cast<const char*>(&value), sizeof value});
  }
  void ext4(std::uint64_t sector) const { number<std::uint16_t>(sector * 512 + 1080, 0xef53); }
  void mbr(unsigned entry, std::uint32_t first) const {
    number<std::uint16_t>(510, 0xaa55);
    number<std::uint32_t>(446 + 16 * entry + 8, first);
  }
  void gpt(std::uint32_t count = 128, std::uint32_t size = 128, std::uint64_t table = 2) const {
    number<std::uint16_t>(510, 0xaa55);
    put(512, "EFI PART");
    number(512 + 72, table);
    number(512 + 80, count);
    number(512 + 84, size);
  }
  void entry(unsigned index, std::uint64_t first, bool root = false) const {
    number(1024 + index * 128 + 32, first);
    if (root)
      put(1024 + index * 128, "\xe3\xbc\x68\x4f\xcd\xe8\xb1\x4d\x96\xe7\xfb\xca\xf9\x84\xb7\x09");
  }
  std::optional<RootPlace> root() const {
    Result<std::optional<RootPlace>> found = find_root(file);
    EXPECT_TRUE(found);
    return found ? *found : std::nullopt;
  }

  Fd file{::memfd_create("disk", MFD_CLOEXEC)};
};

TEST(DiskLayout, an_ext4_file_system_has_a_name) {
  const Image image;
  EXPECT_EQ(volume_name(image.file).value_or("?"), "");
  image.put(1024 + 120, "vrun-agent");
  EXPECT_EQ(volume_name(image.file).value_or("?"), "");  // of no file system
  image.ext4(0);
  EXPECT_EQ(volume_name(image.file).value_or("?"), "vrun-agent");
  image.put(1024 + 120, "sixteen letters.and more");
  EXPECT_EQ(volume_name(image.file).value_or("?"), "sixteen letters.");
}

TEST(DiskLayout, AnEmptyDiskHasNoRoot) {
  EXPECT_EQ(Image().root(), std::nullopt);
}

TEST(DiskLayout, AFileSystemOnTheWholeDisk) {
  Image ext4, xfs, btrfs;
  ext4.ext4(0);
  xfs.put(0, "XFSB");
  btrfs.put(0x10040, "_BHRfS_M");
  EXPECT_EQ(ext4.root(), (RootPlace{0, "ext4"}));
  EXPECT_EQ(xfs.root(), (RootPlace{0, "xfs"}));
  EXPECT_EQ(btrfs.root(), (RootPlace{0, "btrfs"}));
}

TEST(DiskLayout, TheFirstPartitionOfAnMbrWithAFileSystem) {
  Image image;
  image.mbr(0, 64);
  image.mbr(2, 2048);
  image.ext4(2048);
  EXPECT_EQ(image.root(), (RootPlace{3, "ext4"}));
}

TEST(DiskLayout, ThePartitionThatSaysSoComesBeforeTheFirst) {
  Image image;
  image.gpt();
  image.entry(0, 1024);
  image.entry(14, 2048, true);
  image.ext4(1024);
  EXPECT_EQ(image.root(), (RootPlace{1, "ext4"}));
  image.put(2048 * 512, "XFSB");
  EXPECT_EQ(image.root(), (RootPlace{15, "xfs"}));
}

TEST(DiskLayout, ATableThatLiesIsNoTable) {
  const auto with = [](std::uint32_t count, std::uint32_t size, std::uint64_t table) {
    Image image;
    image.gpt(count, size, table);
    image.entry(0, 1024);
    image.ext4(1024);
    return image.root();
  };
  EXPECT_EQ(with(0, 128, 2), std::nullopt);
  EXPECT_EQ(with(128, 0, 2), std::nullopt);
  EXPECT_EQ(with(128, ~0U, 2), std::nullopt);
  EXPECT_EQ(with(128, 128, ~std::uint64_t{0}), std::nullopt);
  EXPECT_EQ(with(~0U, 128, 2), (RootPlace{1, "ext4"}));
  Image far;
  far.gpt();
  far.entry(0, ~std::uint64_t{0});
  EXPECT_EQ(far.root(), std::nullopt);
}

TEST(DiskLayout, FormatsThatAreNotRaw) {
  Image raw, qcow;
  qcow.put(0, "QFI\xfb");
  EXPECT_EQ(*foreign_format(raw.file), "");
  EXPECT_EQ(*foreign_format(qcow.file), "qcow2");
}

}  // namespace
}  // namespace vrun::vm
