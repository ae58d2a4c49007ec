// What a guest changed: its upper directory compared with the layers below it.
#pragma once

#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::images {

struct Change {
  char kind;         // 'A' added, 'C' changed, 'D' deleted
  std::string path;  // "/etc/passwd"
  bool operator==(const Change&) const = default;
};

// `layers`: bottom first. Sorted by path; a changed directory stands before what is in it.
// `mount_points`: places that were made for mounts of the guest. An empty file or directory there
// that no layer has, and directories on the way that changed by nothing else, are no changes.
Result<std::vector<Change>> changes_of(const Fd& upper, const std::vector<Fd>& layers,
                                       const std::vector<std::string>& mount_points);

}  // namespace vrun::images
