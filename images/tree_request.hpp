// What vrun asks of vrun-image for a guest's tree (commit, export, diff, cp): one word of JSON on
// its command line. Trees are descriptors that vrun-image inherits: it never looks up a guest
// itself.
//
//   commit    upper: the guest's upper directory. manifest: of its image. Prints the new image's
//   id. diff      upper, manifest. Prints "A /path", "C /path", "D /path". export    root: the
//   guest's root. A tar of it goes to stdout, what is mounted in it left out
//             (nothing on another filesystem is entered).
//   copy-out  root, path: in the guest. file: on the host, "-" for a tar on stdout.
//   copy-in   root, path: in the guest. file: on the host, "-" for a tar on stdin.
//   pack      parts: trees that go into one tar on stdout, each below its `top`, as layers do.
//   unpack    root: an empty directory that gets the tar on stdin, which may be compressed; checked
//             as a layer is.
//
//   copy-pack    file: on the host. A tar of it goes to stdout: one half of a cp, whose other one
//   is
//                vrun-broker's, or a tar that runs in the guest (`named`: then its top is `called`,
//                and files have no holes).
//   copy-unpack  root: a directory of the host. A tar from stdin goes into it: the same, back. From
//                a tar in the guest (`named`): file instead, and `called` and `directory` are the
//                source's.
//
// `root` is an O_PATH or readable directory: /proc/PID/root of a running guest, or its overlay,
// mounted for this. Links in it are resolved inside it. `ids`: how the tree shows the guest's own
// ids; none for an upper directory, which holds them as they are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vrun::images {

struct IdShift {
  std::uint32_t inside = 0, outside = 0, size = 0;
  bool operator==(const IdShift&) const = default;
};

// `directory`/`name`, a tree or a file, called `top` in the tar.
struct TreePart {
  std::int64_t directory = -1;  // a descriptor
  std::string name = ".", top;
  bool operator==(const TreePart&) const = default;
};

struct TreeRequest {
  std::string data_dir;
  std::string tenant = "default";
  std::int64_t root = -1, upper = -1;  // descriptors
  std::string manifest;                // "sha256:..."
  std::vector<IdShift> ids;
  std::string path, file;
  bool keep_owners = false;  // cp -a: with the owners of the source
  bool follow_link = false;  // cp -L: when the source itself is a link
  // The stream of a cp has one top. Into a guest: `called` is the source's name (empty: what is in
  // it), which is a directory or not. Out of one: to be called so (empty: by its own name), and
  // with `directory` it has to be one.
  bool named = false;
  std::string called;
  bool directory = false;
  // commit
  std::int64_t image_limit = -1;  // as TransferRequest's
  std::string shipped;            // the directory of the images shipped with vrun
  std::string name, author, message;
  std::vector<std::string> changes;
  std::vector<std::string> mount_points;  // commit, diff: "/etc/hosts"; see changes_of()
  bool json = false;                      // diff
  std::vector<TreePart> parts;            // pack
  bool operator==(const TreeRequest&) const = default;
};

std::string to_json(const TreeRequest& request);
Result<TreeRequest> parse_tree_request(std::string_view json);

}  // namespace vrun::images
