// One layer in the making: its locks, its unfinished blob and directory, its unpacker.
#pragma once

#include <optional>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "images/holdings.hpp"
#include "images/store.hpp"
#include "images/transfer/unpack.hpp"
#include "oci/image.hpp"

namespace vrun::images {

// Dropped before publish() everything is gone: unpacker, blob and directory.
class LayerWork {
 public:
  // Empty when another process of the tenant is at work on the same layer or blob. Else the
  // unpacker runs; it wants its bytes through take_writer(), unless the tenant has the blob.
  static Result<std::optional<LayerWork>> try_start(const Store& store, const Holdings& holdings,
                                                    const oci::Descriptor& blob,
                                                    const oci::Digest& diff_id,
                                                    const ExtractOptions& options);
  LayerWork(LayerWork&&) noexcept = default;
  LayerWork& operator=(LayerWork&&) = delete;
  LayerWork(const LayerWork&) = delete;
  LayerWork& operator=(const LayerWork&) = delete;
  ~LayerWork();

  // The writing end of the unpacker's pipe, once; none when no bytes are wanted.
  Fd take_writer() { return std::move(writer_); }
  const Fd& verdict() const { return unpacker_->verdict(); }  // readable: finish() will not block

  // The unpacker's end; nothing is visible yet.
  Result<Extracted> finish() { return unpacker_->finish(); }
  // Blob and layer appear, or are dropped where the store has them already; either way the tenant
  // has them from now on. Only after Store's filesystem was synced (sync_contents): contents
  // before names, so that what is there after a power cut is whole.
  Result<void> publish();

 private:
  LayerWork(const Store& store, const Holdings& holdings, const oci::Descriptor& blob,
            const oci::Digest& diff_id)
      : store_(&store), holdings_(&holdings), blob_(blob), diff_id_(diff_id) {}
  std::string unfinished(const oci::Digest& digest) const {
    return unfinished_name(holdings_->key(digest));
  }
  Result<void> make_layer();
  Result<Fd> make_blob(Meter* meter);

  const Store* store_;
  const Holdings* holdings_;
  oci::Descriptor blob_;
  oci::Digest diff_id_;
  std::optional<Fd> layer_lock_, blob_lock_;
  Fd directory_, copy_, writer_;
  std::optional<Unpacker> unpacker_;
};

// Everything written so far is on the disk.
Result<void> sync_contents(const Store& store);

// Small content, verified, into the store.
Result<void> keep_blob(const Store& store, const Holdings& holdings, const oci::Digest& digest,
                       const std::string& bytes, Meter* meter);

}  // namespace vrun::images
