// The root filesystem of a guest: read-only layers and one writable directory, joined by overlayfs
// through id-mapped mounts.
//
// Nothing is copied or chowned, whatever the size of the image: files lie on disk with the ids that
// the image says, and the mounts shift them into the guest's range. Needs root and Linux 6.1.
#pragma once

#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::images {

struct OverlayRequest {
  std::vector<Fd> layers;  // O_PATH directories, bottom first
  const Fd& writable;      // a directory that has "upper" and "work"
  // The guest's user namespace; its root must be mapped. Empty: ids are taken as they lie on disk,
  // and overlay metadata is in user.* attributes, as for a mounter with no rights outside its own
  // user namespace (Linux 5.11).
  std::vector<oci::IdMapping> uids, gids;
  // false: overlayfs "volatile", nothing is synced at the end: for guests that are thrown away.
  bool keep_after_crash = true;
};

// A detached mount that shows no device nodes; set-id programs work. The layers' own mounts are
// private to it.
Result<Fd> mount_overlay(const OverlayRequest& request);

// An error with a hint where `dir` cannot carry a guest: it is itself on overlayfs.
Result<void> check_can_carry_guests(const Fd& dir, const std::string& path);

}  // namespace vrun::images
