#include "rootfs/options.hpp"

#include <algorithm>
#include <array>

#include <linux/mount.h>

namespace vrun::rootfs {
namespace {

enum class Kind : std::uint8_t {
  kAttribute,           // of this mount: `set` and `clear`
  kRecursiveAttribute,  // of the whole tree
  kPropagation,         // `set` holds MS_* flags
  kSuperblock,          // a word of the superblock that fsconfig(2) knows
  kDefault,             // changes nothing that a container could see
  kBind,
  kRecursiveBind,
  kRemount,
  kCopyUp,
  kIdMap,
  kIdMapIfPossible,
  kRecursiveIdMap,
  kCopySymlink,
  kSourceNotFollowed,
  kTargetNotFollowed,
};

struct Row {
  std::string_view name;
  Kind kind;
  std::uint64_t set = 0;
  std::uint64_t clear = 0;
};

// The three ways to keep access times exclude each other: the kernel wants the old one cleared
// with the whole mask (mount_setattr(2)). Without any, relatime holds.
constexpr std::uint64_t kAccessTime = MOUNT_ATTR__ATIME;

constexpr auto kRows = std::to_array<Row>({
    {"async", Kind::kSuperblock},
    {"atime", Kind::kAttribute, MOUNT_ATTR_RELATIME, kAccessTime},
    {"bind", Kind::kBind},
    {"copy-symlink", Kind::kCopySymlink},
    {"defaults", Kind::kDefault},
    {"dest-nofollow", Kind::kTargetNotFollowed},
    {"dev", Kind::kAttribute, 0, MOUNT_ATTR_NODEV},
    {"diratime", Kind::kAttribute, 0, MOUNT_ATTR_NODIRATIME},
    {"dirsync", Kind::kSuperblock},
    {"exec", Kind::kAttribute, 0, MOUNT_ATTR_NOEXEC},
    {"idmap", Kind::kIdMap},
    {"idmap-if-possible", Kind::kIdMapIfPossible},
    {"lazytime", Kind::kSuperblock},
    {"loud", Kind::kDefault},
    {"mand", Kind::kSuperblock},
    {"noatime", Kind::kAttribute, MOUNT_ATTR_NOATIME, kAccessTime},
    {"nodev", Kind::kAttribute, MOUNT_ATTR_NODEV},
    {"nodiratime", Kind::kAttribute, MOUNT_ATTR_NODIRATIME},
    {"noexec", Kind::kAttribute, MOUNT_ATTR_NOEXEC},
    {"nolazytime", Kind::kSuperblock},
    {"nomand", Kind::kSuperblock},
    {"norelatime", Kind::kAttribute, MOUNT_ATTR_RELATIME, kAccessTime},
    {"nostrictatime", Kind::kAttribute, MOUNT_ATTR_RELATIME, kAccessTime},
    {"nosuid", Kind::kAttribute, MOUNT_ATTR_NOSUID},
    {"nosymfollow", Kind::kAttribute, MOUNT_ATTR_NOSYMFOLLOW},
    {"private", Kind::kPropagation, MS_PRIVATE},
    {"ratime", Kind::kRecursiveAttribute, MOUNT_ATTR_RELATIME, kAccessTime},
    {"rbind", Kind::kRecursiveBind},
    {"rdev", Kind::kRecursiveAttribute, 0, MOUNT_ATTR_NODEV},
    {"rdiratime", Kind::kRecursiveAttribute, 0, MOUNT_ATTR_NODIRATIME},
    {"relatime", Kind::kAttribute, MOUNT_ATTR_RELATIME, kAccessTime},
    {"remount", Kind::kRemount},
    {"rexec", Kind::kRecursiveAttribute, 0, MOUNT_ATTR_NOEXEC},
    {"ridmap", Kind::kRecursiveIdMap},
    {"rnoatime", Kind::kRecursiveAttribute, MOUNT_ATTR_NOATIME, kAccessTime},
    {"rnodev", Kind::kRecursiveAttribute, MOUNT_ATTR_NODEV},
    {"rnodiratime", Kind::kRecursiveAttribute, MOUNT_ATTR_NODIRATIME},
    {"rnoexec", Kind::kRecursiveAttribute, MOUNT_ATTR_NOEXEC},
    {"rnorelatime", Kind::kRecursiveAttribute, MOUNT_ATTR_RELATIME, kAccessTime},
    {"rnostrictatime", Kind::kRecursiveAttribute, MOUNT_ATTR_RELATIME, kAccessTime},
    {"rnosuid", Kind::kRecursiveAttribute, MOUNT_ATTR_NOSUID},
    {"rnosymfollow", Kind::kRecursiveAttribute, MOUNT_ATTR_NOSYMFOLLOW},
    {"ro", Kind::kAttribute, MOUNT_ATTR_RDONLY},
    {"rprivate", Kind::kPropagation, MS_PRIVATE | MS_REC},
    {"rrelatime", Kind::kRecursiveAttribute, MOUNT_ATTR_RELATIME, kAccessTime},
    {"rro", Kind::kRecursiveAttribute, MOUNT_ATTR_RDONLY},
    {"rrw", Kind::kRecursiveAttribute, 0, MOUNT_ATTR_RDONLY},
    {"rshared", Kind::kPropagation, MS_SHARED | MS_REC},
    {"rslave", Kind::kPropagation, MS_SLAVE | MS_REC},
    {"rstrictatime", Kind::kRecursiveAttribute, MOUNT_ATTR_STRICTATIME, kAccessTime},
    {"rsuid", Kind::kRecursiveAttribute, 0, MOUNT_ATTR_NOSUID},
    {"rsymfollow", Kind::kRecursiveAttribute, 0, MOUNT_ATTR_NOSYMFOLLOW},
    {"runbindable", Kind::kPropagation, MS_UNBINDABLE | MS_REC},
    {"rw", Kind::kAttribute, 0, MOUNT_ATTR_RDONLY},
    {"shared", Kind::kPropagation, MS_SHARED},
    {"silent", Kind::kDefault},
    {"slave", Kind::kPropagation, MS_SLAVE},
    {"src-nofollow", Kind::kSourceNotFollowed},
    {"strictatime", Kind::kAttribute, MOUNT_ATTR_STRICTATIME, kAccessTime},
    {"suid", Kind::kAttribute, 0, MOUNT_ATTR_NOSUID},
    {"symfollow", Kind::kAttribute, 0, MOUNT_ATTR_NOSYMFOLLOW},
    {"sync", Kind::kSuperblock},
    {"tmpcopyup", Kind::kCopyUp},
    {"unbindable", Kind::kPropagation, MS_UNBINDABLE},
});

static_assert(std::ranges::is_sorted(kRows, std::ranges::less{}, &Row::name));
static_assert(std::ranges::adjacent_find(kRows, std::ranges::equal_to{}, &Row::name) ==
              kRows.end());

const Row* find_row(std::string_view name) {
  const auto at = std::ranges::lower_bound(kRows, name, std::ranges::less{}, &Row::name);
  return at != kRows.end() && at->name == name ? &*at : nullptr;
}

// The later option wins: what it sets is no longer cleared, what it clears no longer set.
void change(AttributeChange& attributes, const Row& row) {
  attributes.set = (attributes.set & ~row.clear) | row.set;
  attributes.clear = (attributes.clear | row.clear) & ~(row.set & ~kAccessTime);
}

void apply(MountOptions& out, const Row& row) {
  switch (row.kind) {
    case Kind::kAttribute:
      return change(out.attributes, row);
    case Kind::kRecursiveAttribute:
      return change(out.recursive_attributes, row);
    case Kind::kPropagation:
      out.propagation = row.set;
      return;
    case Kind::kSuperblock:
      out.superblock.emplace_back(row.name);
      return;
    case Kind::kDefault:
      return;
    case Kind::kRecursiveBind:
      out.recursive = true;
      [[fallthrough]];
    case Kind::kBind:
      out.bind = true;
      return;
    case Kind::kRemount:
      out.remount = true;
      return;
    case Kind::kCopyUp:
      out.copy_up = true;
      return;
    case Kind::kRecursiveIdMap:
      out.id_map_recursive = true;
      [[fallthrough]];
    case Kind::kIdMap:
      out.id_map = true;
      return;
    case Kind::kIdMapIfPossible:
      out.id_map_if_possible = true;
      return;
    case Kind::kCopySymlink:
      out.copy_symlink = true;
      return;
    case Kind::kSourceNotFollowed:
      out.source_not_followed = true;
      return;
    case Kind::kTargetNotFollowed:
      out.target_not_followed = true;
      return;
  }
}

// SELinux contexts come in double quotes, because they may contain commas; fsconfig(2) wants
// them bare.
std::string without_quotes(std::string_view value) {
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    value = value.substr(1, value.size() - 2);
  }
  return std::string(value);
}

void add_filesystem_option(MountOptions& out, std::string_view text) {
  if (!out.data.empty()) out.data += ',';
  out.data += text;
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    out.filesystem.push_back({std::string(text), std::nullopt});
    return;
  }
  out.filesystem.push_back(
      {std::string(text.substr(0, equals)), without_quotes(text.substr(equals + 1))});
}

// Engines put several options into one text at times ("size=64k,mode=755").
std::vector<std::string_view> split_options(std::string_view text) {
  std::vector<std::string_view> out;
  bool quoted = false;
  std::size_t start = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] == '"') quoted = !quoted;
    if (i < text.size() && (text[i] != ',' || quoted)) continue;
    if (i > start) out.push_back(text.substr(start, i - start));
    start = i + 1;
  }
  return out;
}

}  // namespace

bool MountOptions::readonly() const {
  return ((attributes.set | recursive_attributes.set) & MOUNT_ATTR_RDONLY) != 0;
}

MountOptions parse_options(const std::vector<std::string>& options) {
  MountOptions out;
  for (const std::string& element : options) {
    for (const std::string_view text : split_options(element)) {
      if (const Row* row = find_row(text)) {
        apply(out, *row);
      } else {
        add_filesystem_option(out, text);
      }
    }
  }
  return out;
}

std::vector<std::string> known_options() {
  std::vector<std::string> names;
  names.reserve(kRows.size());
  for (const Row& row : kRows)
    names.emplace_back(row.name);
  return names;
}

}  // namespace vrun::rootfs
