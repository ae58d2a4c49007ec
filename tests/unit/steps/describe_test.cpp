#include <set>

#include <gtest/gtest.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "steps/builder.hpp"

namespace vrun::steps {
namespace {

std::string described(Op op, const void* args) {
  return describe(Step{op, 0, 0, args});
}

TEST(Describe, every_op_has_a_name_of_its_own) {
  std::set<std::string_view> names;
  for (auto op = static_cast<std::uint16_t>(Op::kEnd); op < static_cast<std::uint16_t>(Op::kCount_);
       ++op) {
    const std::string_view name = name_of(static_cast<Op>(op));
    EXPECT_NE(name, "unknown step") << op;
    EXPECT_TRUE(names.insert(name).second) << name;
  }
}

TEST(Describe, mounts_say_type_target_attributes_and_options) {
  const FsOption options[] = {{"mode", "755"}, {"nr_inodes", "1"}};
  MountArgs mount{};
  mount.kind = MountKind::kFilesystem;
  mount.type = "tmpfs";
  mount.target = "/dev";
  mount.options = {options, 2};
  mount.attributes = {MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY, 0, MS_PRIVATE, false};
  EXPECT_EQ(described(Op::kMount, &mount),
            "mount tmpfs on /dev ro,nosuid,private,mode=755,nr_inodes=1");
  mount.kind = MountKind::kBind;
  mount.flags = kRecursive;
  mount.source = "/srv";
  mount.options = {nullptr, 0};
  mount.attributes = {};
  mount.recursive_attributes = {MOUNT_ATTR_RDONLY, 0, 0, true};
  EXPECT_EQ(described(Op::kMount, &mount), "rbind /srv on /dev rro");
}

TEST(Describe, control_characters_never_come_out_raw) {
  const PathArgs path{"/a\x1b[31m\nb", -1};
  EXPECT_EQ(described(Op::kMaskPath, &path), "mask path /a\\x1b[31m\\x0ab");
}

TEST(Describe, devices_and_credentials_in_numbers) {
  DeviceArgs device{};
  device.path = "/dev/null";
  device.mode = S_IFCHR | 0666U;
  device.major = 1;
  device.minor = 3;
  device.source_fd = -1;
  EXPECT_EQ(described(Op::kDevice, &device), "make device /dev/null char 1:3 mode 0666 owner 0:0");
  const std::uint32_t groups[] = {10, 20};
  const CredentialsArgs credentials{1000, 100, {groups, 2}, true};
  EXPECT_EQ(described(Op::kCredentials, &credentials),
            "set credentials uid 1000 gid 100 groups 10 20");
}

}  // namespace
}  // namespace vrun::steps
