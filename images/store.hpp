// The image store on disk: blobs by digest and unpacked layers by the digest of their tar.
//
// Below the data directory (/var/lib/vrun):
//   images/blobs/sha256/HEX   verified content
//   images/layers/HEX/        an unpacked layer (HEX: its diff id), whole from when it is there
//   images/refs/TENANT/       names (names.hpp)
//   images/brought/TENANT/    what is not yet named (holdings.hpp)
//   images/locks/KEY          held by whoever makes KEY: HEX, or HEX.TENANT
//   images/lock               shared by those who use what they found, exclusive for the collector
// New things are made as ".new-KEY" under the lock and renamed; a name with a dot whose lock is
// free was left by a command that died, and sweep() removes it. Never needs more than this
// directory. What is there is there for all: what a tenant may know of it says holdings.hpp.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "oci/image.hpp"

namespace vrun::images {

class Store {
 public:
  // Makes missing directories (0700: layers hold other people's set-id programs).
  static Result<Store> open(const std::string& data_dir);

  bool has_layer(const oci::Digest& diff_id) const;
  // An O_PATH descriptor of the layer's root directory.
  Result<Fd> open_layer(const oci::Digest& diff_id) const;
  bool has_blob(const oci::Digest& digest) const;
  Result<Fd> open_blob(const oci::Digest& digest) const;  // for reading; a regular file
  // Whole, at most `limit` bytes, verified by digest.
  Result<std::string> read_blob(const oci::Digest& digest, std::size_t limit) const;

  // While it is held nothing is collected: take it before looking what is there, and hold it until
  // a name or a guest's record leads to it. Waits for a collection under way.
  Result<Fd> use() const;
  // Alone in the store, for collecting; empty when others use it.
  Result<std::optional<Fd>> try_own() const;

  // Waits for the lock of one digest, or of a key (Holdings::key()); closing the descriptor frees
  // it.
  Result<Fd> lock(const oci::Digest& digest) const { return lock(digest.hex); }
  Result<Fd> lock(const std::string& key) const;
  // The same without waiting: empty when somebody else has it.
  Result<std::optional<Fd>> try_lock(const std::string& key) const;
  // Removes what dead commands left behind. Never waits for live ones.
  Result<void> sweep() const;

  const Fd& blobs() const { return blobs_; }
  const Fd& layers() const { return layers_; }
  const Fd& locks() const { return locks_; }
  const std::string& data_dir() const { return data_dir_; }

 private:
  Store(std::string data_dir, Fd blobs, Fd layers, Fd locks)
      : data_dir_(std::move(data_dir)),
        blobs_(std::move(blobs)),
        layers_(std::move(layers)),
        locks_(std::move(locks)) {}
  Result<void> sweep(const Fd& dir) const;

  std::string data_dir_;
  Fd blobs_, layers_, locks_;
};

// What the name of an unfinished blob or layer begins with; the rest is the name of its lock.
inline constexpr std::string_view kUnfinished = ".new-";

// The temporary name under which something new is made.
std::string unfinished_name(const oci::Digest& digest);
std::string unfinished_name(const std::string& key);

}  // namespace vrun::images
