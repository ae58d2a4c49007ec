// What the store has to keep, and the removal of the rest.
//
// Nothing counts references: names (names.hpp) and the records of guests are read, and what they
// lead to stays. So no crash can leave a wrong count. The policy:
//   - `rmi` frees at once what only the removed image needed;
//   - `image prune` frees everything that no name and no guest needs;
//   - commands that change images collect by themselves, at most once a day, what nobody has needed
//     since kIdleAge: left-overs of broken transfers, images whose name went to a newer one.
// A layer goes by rename to an unfinished name first: one that can be seen is always whole.
#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "images/layout.hpp"
#include "images/store.hpp"

namespace vrun::images {

inline constexpr std::chrono::hours kIdleAge{24};

// Hex digits of blobs and layers.
struct Content {
  std::set<std::string> blobs, layers;
  void add(const Image& image);
  void remove(const Content& other);
};

// A guest that was made from an image of the store.
struct ImageUser {
  std::string tenant, guest;
  oci::Digest manifest;
};
// Every guest that has a record, running or not. One whose record cannot be read is an error: its
// image must not be collected.
Result<std::vector<ImageUser>> image_users(const std::string& data_dir);
// Those of one tenant; records that cannot be read are left out.
Result<std::vector<ImageUser>> readable_image_users(const std::string& data_dir,
                                                    const std::string& tenant);

// The image with this manifest, from the store's blobs alone.
Result<Image> read_stored(const Store& store, const oci::Digest& manifest, const std::string& name);

// What names of all tenants and guests lead to, and `shipped` images. An image that cannot be read
// is an error (Code::kState): what belongs to it is not known.
Result<Content> needed_content(const Store& store, const std::vector<Image>& shipped);

struct Removed {
  std::uint64_t blobs = 0, layers = 0, bytes = 0;
};
struct Collection {
  std::vector<Image> shipped;
  std::optional<Content> only;   // nothing but this
  std::chrono::seconds idle{0};  // nothing younger
  bool dry_run = false;
};
// Empty when other commands use the store: then nothing is done.
Result<std::optional<Removed>> collect(const Store& store, const Collection& collection);

// The policy's own turn: by kIdleAge, when the last one was a day ago. Never waits.
Result<void> collect_if_due(const Store& store, const std::vector<Image>& shipped);

// Bytes on disk of everything below a directory.
std::uint64_t tree_bytes(At at, const std::string& name);

}  // namespace vrun::images
