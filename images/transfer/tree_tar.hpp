// A directory tree as a tar stream (pax), read by descriptors: no link is followed, whatever the
// tree's owner does meanwhile.
//
// Hard links, holes, extended attributes (user.* and file capabilities), long names and nanoseconds
// survive. Sockets are left out, and so is what lies on another filesystem. A file that shrinks
// while it is read is filled up with zeros, and counted.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "images/transfer/meter.hpp"
#include "images/tree_request.hpp"

namespace vrun::images {

enum class TarForm {
  kPlain,  // as it is
  kLayer,  // an overlay's upper directory as image-spec wants it: .wh. names for what is gone
};

struct TarOptions {
  TarForm form = TarForm::kPlain;
  std::vector<IdShift> ids;  // the tree's ids outside -> inside; none: as they are
  // Nothing but these paths ("/etc/x") and what stands for something that is gone; none: all.
  const std::set<std::string>* only = nullptr;
  Meter* meter = nullptr;  // pays for the tar; null: nobody does
  bool sparse = true;      // false: for tars that do not know files with holes
  std::string top;         // the name of the tree's root in the tar; "": its entries only
};

struct TarCounts {
  std::uint64_t entries = 0, bytes = 0;
  std::uint64_t sockets_left_out = 0, changed = 0;
};

// `dir`/`name` is the tree, a directory or anything else; "." the directory itself.
Result<TarCounts> write_tar(At dir, const std::string& name, const Fd& out,
                            const TarOptions& options);

// Several trees in one tar, each with a `top` of its own.
struct TarTree {
  At dir;
  std::string name;
  TarOptions options;
};
Result<TarCounts> write_tar(std::span<const TarTree> trees, const Fd& out);

}  // namespace vrun::images
