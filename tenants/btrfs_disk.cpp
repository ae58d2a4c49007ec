#include "tenants/btrfs_disk.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <functional>
#include <optional>
#include <vector>

#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::tenants {
namespace {

constexpr std::uint64_t kFirstId = 2'000'000'000, kIds = 1'000'000;
constexpr std::uint64_t kMostKept = 16U << 20U, kLoose = 64U << 20U;
constexpr unsigned kLevelShift = 48;
// The inode of the root directory of every subvolume.
constexpr std::uint64_t kRootDirectory = BTRFS_FIRST_FREE_OBJECTID;

std::uint64_t qgroup_of(std::uint64_t id) {
  return std::uint64_t{1} << kLevelShift | id;
}

struct Item {
  std::uint64_t object = 0, offset = 0;
  std::vector<char> data;
};

// Items of one type in the tree of quotas, of keys from (object, type, first) to (object, type,
// last). kNotFound where there is no such tree: quotas are off.
Result<std::vector<Item>> search(const Fd& dir, std::uint64_t object, std::uint32_t type,
                                 std::uint64_t first, std::uint64_t last) {
  btrfs_ioctl_search_args args{};
  btrfs_ioctl_search_key& key = args.key;
  key.tree_id = BTRFS_QUOTA_TREE_OBJECTID;
  key.min_objectid = key.max_objectid = object;
  key.min_type = key.max_type = type;
  key.min_offset = first;
  key.max_offset = last;
  key.max_transid = ~std::uint64_t{0};
  key.nr_items = 64;
  if (::ioctl(dir.get(), BTRFS_IOC_TREE_SEARCH, &args) != 0)
    return Error::system(errno, "read the quotas of btrfs");
  std::vector<Item> items;
  std::size_t at = 0;
  for (std::uint32_t i = 0; i < key.nr_items; ++i) {
    btrfs_ioctl_search_header header{};
    std::memcpy(&header, args.buf + at, sizeof header);
    at += sizeof header;
    if (header.type == type && header.objectid == object)
      items.push_back({header.objectid, header.offset,
                       std::vector<char>(args.buf + at, args.buf + at + header.len)});
    at += header.len;
  }
  return items;
}

Result<std::optional<btrfs_qgroup_info_item>> info_of(const Fd& dir, std::uint64_t qgroup) {
  const auto items = TRY(search(dir, 0, BTRFS_QGROUP_INFO_KEY, qgroup, qgroup));
  if (items.empty() || items[0].data.size() < sizeof(btrfs_qgroup_info_item))
    return std::optional<btrfs_qgroup_info_item>();
  btrfs_qgroup_info_item info{};
  std::memcpy(&info, items[0].data.data(), sizeof info);
  return std::optional(info);
}

Result<void> create_qgroup(const Fd& dir, std::uint64_t qgroup, bool create) {
  btrfs_ioctl_qgroup_create_args args{};
  args.create = create ? 1 : 0;
  args.qgroupid = qgroup;
  if (::ioctl(dir.get(), BTRFS_IOC_QGROUP_CREATE, &args) == 0) return {};
  return Error::system(errno, create ? "make a qgroup" : "remove a qgroup");
}

Result<void> limit_qgroup(const Fd& dir, std::uint64_t qgroup, std::uint64_t bytes) {
  btrfs_ioctl_qgroup_limit_args args{};
  args.qgroupid = qgroup;
  args.lim.flags = BTRFS_QGROUP_LIMIT_MAX_RFER;
  args.lim.max_rfer = bytes;
  if (::ioctl(dir.get(), BTRFS_IOC_QGROUP_LIMIT, &args) == 0) return {};
  return Error::system(errno, "limit a qgroup");
}

// In a full qgroup btrfs refuses even rename(2), and with it `vrun rm`. So a part of the budget is
// given only when the rest is used up and a command of vrun comes: room for what it writes down.
Result<void> hold(const Fd& dir, std::uint64_t qgroup, std::uint64_t bytes, std::uint64_t used) {
  const std::uint64_t kept = std::min(bytes / 8, kMostKept);
  const bool nearly_full = used + kept + kept / 2 >= bytes;
  const std::uint64_t wanted = nearly_full ? bytes : bytes - kept;
  const auto items = TRY(search(dir, 0, BTRFS_QGROUP_LIMIT_KEY, qgroup, qgroup));
  btrfs_qgroup_limit_item now{};
  if (!items.empty() && items[0].data.size() >= sizeof now)
    std::memcpy(&now, items[0].data.data(), sizeof now);
  if (now.flags == BTRFS_QGROUP_LIMIT_MAX_RFER && now.max_rfer == wanted) return {};
  return limit_qgroup(dir, qgroup, wanted);
}

// What two transactions of the kernel say last.
void sync_of(const Fd& dir) {
  static_cast<void>(::ioctl(dir.get(), BTRFS_IOC_SYNC, nullptr));
}

Result<bool> is_subvolume(const std::string& path) {
  const Result<struct stat> st = sys::stat(At::cwd(), path, AT_SYMLINK_NOFOLLOW);
  if (!st && st.error().code() == Code::kNotFound) return false;
  if (!st) return Error(st.error().code(), st.error().text());
  return st->st_ino == kRootDirectory;
}

// A subvolume that is in the qgroup from the beginning: nothing has to be counted anew.
Result<void> make_subvolume(const std::string& path, std::uint64_t qgroup) {
  if (TRY(is_subvolume(path))) return {};
  const std::string parent_path(fs::dir_name(path));
  TRY(fs::make_dirs(At::cwd(), parent_path, 0711));
  const Fd parent = TRY(sys::open_dir(At::cwd(), parent_path));
  const std::string name(fs::base_name(path));
  if (sys::stat(parent, name, AT_SYMLINK_NOFOLLOW)) TRY(sys::remove_dir(parent, name));
  alignas(btrfs_qgroup_inherit) std::array<char, sizeof(btrfs_qgroup_inherit) + sizeof(__u64)>
      room{};
  auto* const inherit = reinterpret_cast<btrfs_qgroup_inherit*>(room.data());
  inherit->num_qgroups = 1;
  std::memcpy(room.data() + offsetof(btrfs_qgroup_inherit, qgroups), &qgroup, sizeof qgroup);
  btrfs_ioctl_vol_args_v2 args{};
  args.flags = BTRFS_SUBVOL_QGROUP_INHERIT;
  args.size = room.size();
  args.qgroup_inherit = inherit;
  name.copy(args.name, sizeof args.name - 1);
  if (::ioctl(parent.get(), BTRFS_IOC_SUBVOL_CREATE_V2, &args) != 0)
    return Error::system(errno, "make a subvolume " + quote(path));
  return sys::chmod(TRY(sys::open_dir(parent, name)).get(), 0700);
}

Result<Fd> open_data(const DiskPlaces& places) {
  return sys::open_dir(At::cwd(), std::string(fs::dir_name(fs::dir_name(places.image))));
}

// The qgroups of the subvolumes in it, out of it and away. Those of subvolumes whose blocks the
// kernel is still freeing stay with it: Linux takes them (6.12) or they are empty for ever.
Result<void> empty_qgroup(const Fd& dir, std::uint64_t qgroup) {
  const auto members =
      TRY(search(dir, qgroup, BTRFS_QGROUP_RELATION_KEY, 0, (std::uint64_t{1} << kLevelShift) - 1));
  for (const Item& member : members) {
    btrfs_ioctl_qgroup_assign_args args{};
    args.assign = 0;
    args.src = member.offset;
    args.dst = qgroup;
    // ENOENT: the subvolume is freed, and its qgroup is gone before the relation is.
    if (::ioctl(dir.get(), BTRFS_IOC_QGROUP_ASSIGN, &args) < 0 && errno != ENOENT)
      return Error::system(errno, "take a subvolume out of its qgroup");
    static_cast<void>(create_qgroup(dir, member.offset, false));
  }
  return {};
}

}  // namespace

Result<void> BtrfsDisk::check(const Fd& dir) {
  const auto status = search(dir, 0, BTRFS_QGROUP_STATUS_KEY, 0, ~std::uint64_t{0});
  if (status && !status->empty()) return {};
  return Error(Code::kState, "quotas of its btrfs are off")
      .hint("`btrfs quota enable` switches them on");
}

Result<std::uint64_t> BtrfsDisk::take_id(const DiskPlaces& places,
                                         std::span<const std::uint64_t> taken) const {
  const Fd data = TRY(open_data(places));
  const std::uint64_t start = std::hash<std::string>()(places.image) % kIds;
  constexpr std::uint64_t kMostTries = 10'000;
  for (std::uint64_t i = 0; i < kMostTries; ++i) {
    const std::uint64_t id = kFirstId + (start + i) % kIds;
    if (std::find(taken.begin(), taken.end(), id) != taken.end()) continue;
    if (!TRY(info_of(data, qgroup_of(id)))) return id;
  }
  return Error(Code::kState, "no qgroup from 1/" + std::to_string(kFirstId) + " on is free");
}

Result<void> BtrfsDisk::make(const DiskPlaces& places, std::uint64_t bytes) const {
  const Fd data = TRY(open_data(places));
  TRY(create_qgroup(data, qgroup_of(places.id), true));
  TRY(hold(data, qgroup_of(places.id), bytes, 0));
  TRY(make_subvolume(places.guests, qgroup_of(places.id)));
  return make_subvolume(places.volumes, qgroup_of(places.id));
}

Result<void> BtrfsDisk::open(const DiskPlaces& places, std::uint64_t bytes,
                             std::uint64_t reserved) const {
  const Fd data = TRY(open_data(places));
  if (Result<void> held = check(data); !held) return std::move(held).error().during("disk budget");
  const std::uint64_t qgroup = qgroup_of(places.id);
  const auto info = TRY(info_of(data, qgroup));
  if (!info) TRY(create_qgroup(data, qgroup, true));  // a killed `tenant rm` took it
  TRY(hold(data, qgroup, without(bytes, reserved), info ? info->rfer : 0));
  TRY(make_subvolume(places.guests, qgroup));
  return make_subvolume(places.volumes, qgroup);
}

Result<void> BtrfsDisk::resize(const DiskPlaces& places, std::uint64_t whole,
                               std::uint64_t reserved) const {
  const std::uint64_t bytes = without(whole, reserved);
  const DiskUse now = TRY(use(places));
  if (now.bytes > bytes) {
    return Error(Code::kState, "more is in use: " + std::to_string(now.bytes) + " bytes")
        .hint("remove guests or volumes first");
  }
  const Fd data = TRY(open_data(places));
  return hold(data, qgroup_of(places.id), bytes, now.bytes);
}

Result<void> BtrfsDisk::loosen(const DiskPlaces& places, std::uint64_t bytes) const {
  return limit_qgroup(TRY(open_data(places)), qgroup_of(places.id), bytes + kLoose);
}

Result<void> BtrfsDisk::close(const DiskPlaces& /*places*/) const {
  return {};
}

Result<void> BtrfsDisk::forget(const DiskPlaces& places) const {
  const Fd data = TRY(open_data(places));
  const std::uint64_t qgroup = qgroup_of(places.id);
  const auto there = info_of(data, qgroup);
  if (!there && there.error().code() == Code::kNotFound) return {};  // quotas were switched off
  if (!there) return Error(there.error().code(), there.error().text());
  if (!*there) return {};
  sync_of(data);
  TRY(empty_qgroup(data, qgroup));
  Result<void> removed = create_qgroup(data, qgroup, false);
  if (!removed && removed.error().code() == Code::kNotFound) return {};
  return removed;
}

Result<DiskUse> BtrfsDisk::use(const DiskPlaces& places) const {
  const Fd data = TRY(open_data(places));
  sync_of(data);
  const auto info = TRY(info_of(data, qgroup_of(places.id)));
  return info ? DiskUse{info->rfer, 0} : DiskUse{};
}

}  // namespace vrun::tenants
