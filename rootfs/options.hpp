// The mount options of the runtime specification, as runc and crun know them.
//
// parse_options() sorts the option texts of one mount: attributes of the mount itself (mount_attr
// of mount_setattr(2)), their recursive forms, propagation, words for the superblock, words for
// vrun, and the rest, which belongs to the filesystem. Pure text to value; nothing is touched.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vrun::rootfs {

struct FilesystemOption {
  std::string key;
  std::optional<std::string> value;  // absent: a flag
  bool operator==(const FilesystemOption&) const = default;
};

struct AttributeChange {
  std::uint64_t set = 0;    // MOUNT_ATTR_*
  std::uint64_t clear = 0;  // what is taken away before `set` is added
  bool operator==(const AttributeChange&) const = default;
};

struct MountOptions {
  bool bind = false;
  bool recursive = false;  // rbind
  bool remount = false;
  bool copy_up = false;  // tmpcopyup
  bool id_map = false;   // idmap or ridmap
  bool id_map_recursive = false;
  // vrun's own word, beside ridmap: mounts that cannot be mapped stay as they are, with a warning.
  // They show the host's ids, so the container has fewer rights there, never more.
  bool id_map_if_possible = false;
  bool copy_symlink = false;
  bool source_not_followed = false;
  bool target_not_followed = false;
  AttributeChange attributes;
  AttributeChange recursive_attributes;
  std::uint64_t propagation = 0;             // MS_PRIVATE ... with MS_REC; 0: not asked
  std::vector<std::string> superblock;       // "sync", "dirsync", "lazytime", "mand" ...
  std::vector<FilesystemOption> filesystem;  // everything else, in order
  std::string data;                          // the same as one text, for mount(2) and messages

  bool readonly() const;
};

MountOptions parse_options(const std::vector<std::string>& options);

// Every option by name, sorted: the truth for `features`.
std::vector<std::string> known_options();

}  // namespace vrun::rootfs
