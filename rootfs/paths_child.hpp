// Paths of the container, resolved beneath its root and nowhere else.
//
// The image belongs to a stranger: any component may be a symbolic link, dangling, absolute, or
// swapped while we look. So every lookup is openat2(2) with RESOLVE_IN_ROOT from the root's
// descriptor, what is missing is made by descriptor in a parent that was resolved without any
// link, and the answer is a descriptor, never a path to be resolved again.
#pragma once

#include "steps/child.hpp"

namespace vrun::rootfs {

enum class Missing : uint8_t { kFail, kMakeDirectory, kMakeFile };

struct LookupRules {
  Missing missing = Missing::kFail;
  bool last_not_followed = false;  // a link as the last component is the answer itself
  bool no_links = false;           // any link on the way is an error (ELOOP)
};

// An O_PATH descriptor of `path` below the container's root, or -errno. Links are followed within
// the root (as securejoin does), also dangling ones: what they point at is made when asked for.
long open_target(int root, const char* path, LookupRules rules);

// The directory that holds the last component of `path`, made with the ones above it if missing,
// and where in `path` that component starts. The last component itself is not looked at; it
// must not be empty, "." or "..".
long open_parent(int root, const char* path, const char** name);

}  // namespace vrun::rootfs
