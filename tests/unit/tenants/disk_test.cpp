#include "tenants/disk.hpp"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

namespace vrun::tenants {
namespace {

using testing::HasSubstr;

const DiskSupport kExt4{"ext4", true, ""}, kBare{"ext4", false, "mounted without project quotas"},
    kBtrfs{"btrfs", true, ""}, kOther{"other", false, "not ext4"};

TEST(DiskTest, auto_takes_what_the_file_system_has) {
  EXPECT_EQ(*choose_disk("auto", kExt4), "project");
  EXPECT_EQ(*choose_disk("", kExt4), "project");
  EXPECT_EQ(*choose_disk("auto", kBtrfs), "btrfs");
  EXPECT_EQ(*choose_disk("auto", kBare), "loop");
  EXPECT_EQ(*choose_disk("auto", kOther), "loop");
}

TEST(DiskTest, a_backend_can_be_named_where_it_is) {
  EXPECT_EQ(*choose_disk("loop", kExt4), "loop");
  EXPECT_EQ(*choose_disk("project", kExt4), "project");
  const auto wrong = choose_disk("project", kBtrfs);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code(), Code::kUnsupported);
  EXPECT_THAT(wrong.error().text(), HasSubstr("vrun's data lie on btrfs"));
  EXPECT_THAT(choose_disk("project", kBare).error().text(),
              HasSubstr("mounted without project quotas"));
  EXPECT_EQ(choose_disk("zfs", kExt4).error().code(), Code::kInvalid);
}

TEST(DiskTest, what_was_chosen_is_said) {
  EXPECT_EQ(disk_words("project", 2000001007, "xfs"), "project quota 2000001007 of xfs");
  EXPECT_THAT(disk_words("btrfs", 7, "btrfs"), HasSubstr("qgroup 1/7"));
  EXPECT_THAT(disk_words("loop", 0, "other"), HasSubstr("loop device"));
}

TEST(DiskTest, small_budgets_have_some_files_too) {
  EXPECT_EQ(inodes_for(1), 4096U);
  EXPECT_EQ(inodes_for(std::uint64_t{1} << 30U), 262144U);
}

TEST(DiskTest, the_note_is_read_as_it_was_written) {
  std::string dir = testing::TempDir() + "diskXXXXXX";
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  EXPECT_EQ(read_disk_note(dir).error().code(), Code::kNotFound);
  ASSERT_TRUE(note_disk(dir, {"project", 2000000001}));
  const auto note = read_disk_note(dir);
  ASSERT_TRUE(note);
  EXPECT_EQ(note->backend, "project");
  EXPECT_EQ(note->id, 2000000001U);
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace vrun::tenants
