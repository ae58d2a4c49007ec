#include "rootfs/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mount.h>

namespace vrun::rootfs {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

TEST(MountOptions, no_options_change_nothing) {
  const MountOptions options = parse_options({});
  EXPECT_EQ(options.attributes, AttributeChange{});
  EXPECT_EQ(options.recursive_attributes, AttributeChange{});
  EXPECT_EQ(options.propagation, 0U);
  EXPECT_FALSE(options.bind);
  EXPECT_THAT(options.filesystem, IsEmpty());
}

struct AttributeCase {
  const char* option;
  std::uint64_t set, clear;
};

class Attribute : public testing::TestWithParam<AttributeCase> {};

TEST_P(Attribute, is_set_or_cleared) {
  const MountOptions options = parse_options({GetParam().option});
  EXPECT_EQ(options.attributes.set, GetParam().set);
  EXPECT_EQ(options.attributes.clear, GetParam().clear);
  EXPECT_EQ(options.recursive_attributes, AttributeChange{});
  EXPECT_THAT(options.filesystem, IsEmpty());
}

TEST_P(Attribute, has_a_recursive_form) {
  const MountOptions options = parse_options({std::string("r") + GetParam().option});
  EXPECT_EQ(options.recursive_attributes.set, GetParam().set);
  EXPECT_EQ(options.recursive_attributes.clear, GetParam().clear);
  EXPECT_EQ(options.attributes, AttributeChange{});
  EXPECT_THAT(options.filesystem, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    All, Attribute,
    testing::Values(
        AttributeCase{"ro", MOUNT_ATTR_RDONLY, 0}, AttributeCase{"rw", 0, MOUNT_ATTR_RDONLY},
        AttributeCase{"nosuid", MOUNT_ATTR_NOSUID, 0}, AttributeCase{"suid", 0, MOUNT_ATTR_NOSUID},
        AttributeCase{"nodev", MOUNT_ATTR_NODEV, 0}, AttributeCase{"dev", 0, MOUNT_ATTR_NODEV},
        AttributeCase{"noexec", MOUNT_ATTR_NOEXEC, 0}, AttributeCase{"exec", 0, MOUNT_ATTR_NOEXEC},
        AttributeCase{"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
        AttributeCase{"diratime", 0, MOUNT_ATTR_NODIRATIME},
        AttributeCase{"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
        AttributeCase{"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
        AttributeCase{"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
        AttributeCase{"atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
        AttributeCase{"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
        AttributeCase{"norelatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
        AttributeCase{"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
        AttributeCase{"nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME}),
    [](const auto& one) { return std::string(one.param.option); });

TEST(MountOptions, the_later_of_two_opposites_wins) {
  EXPECT_EQ(parse_options({"ro", "rw"}).attributes, (AttributeChange{0, MOUNT_ATTR_RDONLY}));
  EXPECT_EQ(parse_options({"rw", "ro"}).attributes, (AttributeChange{MOUNT_ATTR_RDONLY, 0}));
  EXPECT_EQ(parse_options({"noatime", "strictatime"}).attributes,
            (AttributeChange{MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME}));
  EXPECT_EQ(parse_options({"noatime", "relatime"}).attributes,
            (AttributeChange{0, MOUNT_ATTR__ATIME}));
}

struct PropagationCase {
  const char* option;
  std::uint64_t flags;
};

class PropagationOption : public testing::TestWithParam<PropagationCase> {};

TEST_P(PropagationOption, gives_the_kernels_flags) {
  EXPECT_EQ(parse_options({GetParam().option}).propagation, GetParam().flags);
}

INSTANTIATE_TEST_SUITE_P(All, PropagationOption,
                         testing::Values(PropagationCase{"private", MS_PRIVATE},
                                         PropagationCase{"rprivate", MS_PRIVATE | MS_REC},
                                         PropagationCase{"slave", MS_SLAVE},
                                         PropagationCase{"rslave", MS_SLAVE | MS_REC},
                                         PropagationCase{"shared", MS_SHARED},
                                         PropagationCase{"rshared", MS_SHARED | MS_REC},
                                         PropagationCase{"unbindable", MS_UNBINDABLE},
                                         PropagationCase{"runbindable", MS_UNBINDABLE | MS_REC}),
                         [](const auto& one) { return std::string(one.param.option); });

TEST(MountOptions, words_for_vrun_are_recognised) {
  EXPECT_TRUE(parse_options({"bind"}).bind);
  EXPECT_FALSE(parse_options({"bind"}).recursive);
  EXPECT_TRUE(parse_options({"rbind"}).bind);
  EXPECT_TRUE(parse_options({"rbind"}).recursive);
  EXPECT_TRUE(parse_options({"remount"}).remount);
  EXPECT_TRUE(parse_options({"tmpcopyup"}).copy_up);
  EXPECT_TRUE(parse_options({"idmap"}).id_map);
  EXPECT_FALSE(parse_options({"idmap"}).id_map_recursive);
  EXPECT_TRUE(parse_options({"ridmap"}).id_map);
  EXPECT_TRUE(parse_options({"ridmap"}).id_map_recursive);
  EXPECT_TRUE(parse_options({"copy-symlink"}).copy_symlink);
  EXPECT_TRUE(parse_options({"src-nofollow"}).source_not_followed);
  EXPECT_TRUE(parse_options({"dest-nofollow"}).target_not_followed);
}

TEST(MountOptions, words_of_the_superblock_are_kept_in_order) {
  EXPECT_THAT(parse_options({"sync", "dirsync", "lazytime", "mand", "async"}).superblock,
              ElementsAre("sync", "dirsync", "lazytime", "mand", "async"));
}

TEST(MountOptions, defaults_silent_and_loud_change_nothing) {
  const MountOptions options = parse_options({"defaults", "silent", "loud"});
  EXPECT_EQ(options.attributes, AttributeChange{});
  EXPECT_THAT(options.superblock, IsEmpty());
  EXPECT_THAT(options.filesystem, IsEmpty());
}

TEST(MountOptions, the_rest_belongs_to_the_filesystem) {
  const MountOptions options = parse_options({"size=64k", "nosuid", "newinstance", "mode=0620"});
  EXPECT_THAT(options.filesystem, ElementsAre(FilesystemOption{"size", "64k"},
                                              FilesystemOption{"newinstance", std::nullopt},
                                              FilesystemOption{"mode", "0620"}));
  EXPECT_EQ(options.data, "size=64k,newinstance,mode=0620");
}

TEST(MountOptions, one_text_may_hold_several) {
  const MountOptions options = parse_options({"ro,size=1m,,mode=755"});
  EXPECT_TRUE(options.readonly());
  EXPECT_EQ(options.data, "size=1m,mode=755");
}

TEST(MountOptions, commas_in_quotes_belong_to_the_value) {
  const MountOptions options = parse_options({"context=\"u:r:t:s0:c1,c2\",ro"});
  EXPECT_TRUE(options.readonly());
  EXPECT_THAT(options.filesystem, ElementsAre(FilesystemOption{"context", "u:r:t:s0:c1,c2"}));
  EXPECT_EQ(options.data, "context=\"u:r:t:s0:c1,c2\"");
}

TEST(MountOptions, a_recursive_read_only_counts_as_read_only) {
  EXPECT_TRUE(parse_options({"rro"}).readonly());
  EXPECT_FALSE(parse_options({"rro", "rrw"}).readonly());
}

TEST(MountOptions, features_list_every_option_of_runc_and_crun_once) {
  const std::vector<std::string> names = known_options();
  EXPECT_TRUE(std::ranges::is_sorted(names));
  for (const char* name : {"async", "rbind", "ridmap", "rnostrictatime", "runbindable", "tmpcopyup",
                           "copy-symlink", "dest-nofollow", "src-nofollow"}) {
    EXPECT_THAT(names, Contains(name));
  }
  EXPECT_THAT(names, Not(Contains("size")));
}

}  // namespace
}  // namespace vrun::rootfs
