#include "tenants/project_disk.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <optional>

#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::tenants {
namespace {

constexpr std::uint64_t kFirstId = 2'000'000'000, kIds = 1'000'000;
constexpr std::uint64_t kLoose = 64U << 20U;
constexpr std::uint64_t kLittle = 1U << 20U, kFewFiles = 128;
constexpr std::uint64_t kBasicBlock = 512;  // of <linux/dqblk_xfs.h>, whatever the file system's

int quota_call(const Fd& dir, unsigned command, std::uint32_t id, void* data) {
  const unsigned whole = command << 8U | XQM_PRJQUOTA;  // QCMD() of <linux/quota.h>
  return static_cast<int>(::syscall(SYS_quotactl_fd, dir.get(), whole, id, data));
}

struct Limits {
  std::uint64_t blocks = 0, soft_blocks = 0, inodes = 0;
  bool operator==(const Limits&) const = default;
};

Result<void> set_limits(const Fd& dir, std::uint64_t id, const Limits& limits) {
  fs_disk_quota quota{};
  quota.d_version = FS_DQUOT_VERSION;
  quota.d_flags = FS_PROJ_QUOTA;
  quota.d_fieldmask = FS_DQ_BSOFT | FS_DQ_BHARD | FS_DQ_ISOFT | FS_DQ_IHARD;
  quota.d_id = static_cast<std::uint32_t>(id);
  quota.d_blk_hardlimit = limits.blocks;
  quota.d_blk_softlimit = limits.soft_blocks;
  quota.d_ino_hardlimit = limits.inodes;
  if (quota_call(dir, Q_XSETQLIM, quota.d_id, &quota) == 0) return {};
  return Error::system(errno, "set the limits of project " + std::to_string(id));
}

// All zero for one that the file system knows nothing of.
Result<fs_disk_quota> quota_of(const Fd& dir, std::uint64_t id) {
  fs_disk_quota quota{};
  if (quota_call(dir, Q_XGETQUOTA, static_cast<std::uint32_t>(id), &quota) == 0) return quota;
  if (errno == ENOENT) return fs_disk_quota{};
  return Error::system(errno, "read the quota of project " + std::to_string(id));
}

// Where the budget is used up to the last block, a command that is to make room could not write
// down what it does: then it may be passed by a little. The soft limit is what df goes on showing.
Limits limits_for(std::uint64_t bytes, const fs_disk_quota& now) {
  Limits limits{std::max<std::uint64_t>(1, bytes / kBasicBlock), 0, inodes_for(bytes)};
  if (now.d_bcount + kLittle / kBasicBlock / 2 >= limits.blocks) {
    limits.soft_blocks = limits.blocks;
    limits.blocks += kLittle / kBasicBlock;
  }
  if (now.d_icount + kFewFiles / 2 >= limits.inodes) limits.inodes += kFewFiles;
  return limits;
}

Result<void> set_budget(const Fd& dir, std::uint64_t id, std::uint64_t bytes) {
  const fs_disk_quota now = TRY(quota_of(dir, id));
  const Limits wanted = limits_for(bytes, now);
  if (wanted == Limits{now.d_blk_hardlimit, now.d_blk_softlimit, now.d_ino_hardlimit}) return {};
  return set_limits(dir, id, wanted);
}

// The first project from `id` on that has limits or that something is charged to; none: nullopt.
Result<std::optional<std::uint64_t>> next_used(const Fd& dir, std::uint64_t id) {
  fs_disk_quota quota{};
  if (quota_call(dir, Q_XGETNEXTQUOTA, static_cast<std::uint32_t>(id), &quota) == 0)
    return std::optional<std::uint64_t>(quota.d_id);
  if (errno == ENOENT || errno == ESRCH) return std::optional<std::uint64_t>();
  return Error::system(errno, "look for a free project");
}

Result<Fd> open_tree_of(const std::string& path) {
  TRY(fs::make_dirs(At::cwd(), path, 0700));
  return sys::open_dir(At::cwd(), path);
}

Result<fsxattr> attributes_of(const Fd& dir, const std::string& path) {
  fsxattr attributes{};
  if (::ioctl(dir.get(), FS_IOC_FSGETXATTR, &attributes) == 0) return attributes;
  return Error::system(errno, "read the project of " + quote(path));
}

// What is there already would be charged to nobody.
Result<void> adopt(const std::string& path, std::uint64_t id) {
  const Fd dir = TRY(open_tree_of(path));
  fsxattr attributes = TRY(attributes_of(dir, path));
  const bool inherits = (attributes.fsx_xflags & FS_XFLAG_PROJINHERIT) != 0;
  if (inherits && attributes.fsx_projid == id) return {};
  if (!TRY(sys::list_dir(dir.get())).empty()) {
    return Error(Code::kState, quote(path) + " does not belong to project " + std::to_string(id))
        .hint("something changed it, or was put there, behind the back of vrun");
  }
  attributes.fsx_projid = static_cast<std::uint32_t>(id);
  attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  if (::ioctl(dir.get(), FS_IOC_FSSETXATTR, &attributes) == 0) return {};
  return Error::system(errno, "give " + quote(path) + " to project " + std::to_string(id));
}

Result<void> adopt_trees(const DiskPlaces& places) {
  TRY(adopt(places.guests, places.id));
  return adopt(places.volumes, places.id);
}

// Of the file system; the tenants' directory is there whenever there is a tenant.
Result<Fd> open_data(const DiskPlaces& places) {
  return sys::open_dir(At::cwd(), std::string(fs::dir_name(fs::dir_name(places.image))));
}

}  // namespace

Result<void> ProjectDisk::check(const Fd& dir) {
  fs_quota_statv state{};
  state.qs_version = FS_QSTATV_VERSION1;
  constexpr unsigned kHeld = FS_QUOTA_PDQ_ACCT | FS_QUOTA_PDQ_ENFD;
  if (quota_call(dir, Q_XGETQSTATV, 0, &state) == 0 && (state.qs_flags & kHeld) == kHeld) return {};
  return Error(Code::kState, "its file system is mounted without project quotas")
      .hint(
          "mount it with the option prjquota; ext4 needs `tune2fs -O project -Q prjquota` before");
}

// Begins at a number made of the path: the places of two vruns on one file system do not meet.
Result<std::uint64_t> ProjectDisk::take_id(const DiskPlaces& places,
                                           std::span<const std::uint64_t> taken) const {
  const Fd data = TRY(open_data(places));
  const std::uint64_t start = std::hash<std::string>()(places.image) % kIds;
  constexpr std::uint64_t kMostTries = 10'000;
  for (std::uint64_t i = 0; i < kMostTries; ++i) {
    const std::uint64_t id = kFirstId + (start + i) % kIds;
    if (std::find(taken.begin(), taken.end(), id) != taken.end()) continue;
    if (TRY(next_used(data, id)) != id) return id;
  }
  return Error(Code::kState, "no project from " + std::to_string(kFirstId) + " on is free");
}

Result<void> ProjectDisk::make(const DiskPlaces& places, std::uint64_t bytes) const {
  const Fd data = TRY(open_data(places));
  TRY(set_budget(data, places.id, bytes));
  return adopt_trees(places);
}

Result<void> ProjectDisk::open(const DiskPlaces& places, std::uint64_t bytes,
                               std::uint64_t reserved) const {
  const Fd data = TRY(open_data(places));
  if (Result<void> held = check(data); !held) return std::move(held).error().during("disk budget");
  TRY(set_budget(data, places.id,
                 without(bytes, reserved)));  // it may have been lost; see limits_for, too
  return adopt_trees(places);
}

Result<void> ProjectDisk::resize(const DiskPlaces& places, std::uint64_t whole,
                                 std::uint64_t reserved) const {
  const std::uint64_t bytes = without(whole, reserved);
  const DiskUse now = TRY(use(places));
  if (now.bytes > bytes || now.inodes > inodes_for(bytes)) {
    return Error(Code::kState, "more is in use: " + std::to_string(now.bytes) + " bytes in " +
                                   std::to_string(now.inodes) + " files, and " +
                                   std::to_string(bytes) + " bytes hold " +
                                   std::to_string(inodes_for(bytes)) + " files")
        .hint("remove guests or volumes first");
  }
  return set_budget(TRY(open_data(places)), places.id, bytes);
}

Result<void> ProjectDisk::loosen(const DiskPlaces& places, std::uint64_t bytes) const {
  const Fd data = TRY(open_data(places));
  const std::uint64_t loose = bytes + kLoose;
  return set_limits(data, places.id, {loose / kBasicBlock, 0, inodes_for(loose)});
}

Result<void> ProjectDisk::close(const DiskPlaces& /*places*/) const {
  return {};
}

Result<void> ProjectDisk::forget(const DiskPlaces& places) const {
  return set_limits(TRY(open_data(places)), places.id, {});
}

Result<DiskUse> ProjectDisk::use(const DiskPlaces& places) const {
  const Fd data = TRY(open_data(places));
  const fs_disk_quota quota = TRY(quota_of(data, places.id));
  return DiskUse{quota.d_bcount * kBasicBlock, quota.d_icount};
}

}  // namespace vrun::tenants
