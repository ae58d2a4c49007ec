#include "images/transfer/layer_work.hpp"

#include <array>

#include <fcntl.h>
#include <unistd.h>

#include "base/digest.hpp"
#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/undo.hpp"
#include "images/charge.hpp"

namespace vrun::images {

Result<void> LayerWork::make_layer() {
  const std::string name = unfinished(diff_id_);
  TRY(fs::remove_tree(store_->layers(), name));  // of a command that died
  TRY(sys::make_dir(store_->layers(), name, 0755));
  directory_ = TRY(sys::open_dir(store_->layers(), name));
  return sys::chmod(directory_.get(), 0755);  // whatever the umask: it is every guest's "/"
}

// The reading end for the unpacker: of a pipe, or of the blob that the tenant has.
Result<Fd> LayerWork::make_blob(Meter* meter) {
  if (holdings_->has_blob(blob_.digest)) {
    return sys::open(store_->blobs(), blob_.digest.hex, O_RDONLY | O_NOFOLLOW);
  }
  TRY(take(meter, kEntryCharge + charge_of_bytes(blob_.size)));
  copy_ = TRY(sys::open(store_->blobs(), unfinished(blob_.digest),
                        O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Error::system(errno, "pipe");
  Fd reader(ends[0]);
  writer_ = Fd(ends[1]);
  // Fewer turns between the processes; the usual 64 KiB will do where this is refused.
  static_cast<void>(::fcntl(writer_.get(), F_SETPIPE_SZ, 1 << 20));
  return reader;
}

Result<std::optional<LayerWork>> LayerWork::try_start(const Store& store, const Holdings& holdings,
                                                      const oci::Descriptor& blob,
                                                      const oci::Digest& diff_id,
                                                      const ExtractOptions& options) {
  LayerWork work(store, holdings, blob, diff_id);
  work.layer_lock_ = TRY(store.try_lock(holdings.key(diff_id)));
  if (!work.layer_lock_) return std::optional<LayerWork>();
  if (blob.digest != diff_id) {  // a plain tar is both
    work.blob_lock_ = TRY(store.try_lock(holdings.key(blob.digest)));
    if (!work.blob_lock_) return std::optional<LayerWork>();
  }
  TRY(work.make_layer());
  const Fd bytes = TRY(work.make_blob(options.meter));
  work.unpacker_.emplace(TRY(Unpacker::start({.bytes = bytes,
                                              .blob = work.blob_,
                                              .diff_id = work.diff_id_,
                                              .directory = work.directory_,
                                              .copy = work.copy_ ? &work.copy_ : nullptr,
                                              .options = options})));
  return std::optional(std::move(work));
}

LayerWork::~LayerWork() {
  unpacker_.reset();  // before its files go
  if (copy_) static_cast<void>(sys::unlink(store_->blobs(), unfinished(blob_.digest)));
  if (directory_) {
    static_cast<void>(fs::remove_tree(store_->layers(), unfinished(diff_id_)));
  }
}

Result<void> LayerWork::publish() {
  if (copy_) {
    const bool is_new = TRY(sys::rename_new(store_->blobs(), unfinished(blob_.digest),
                                            store_->blobs(), blob_.digest.hex));
    if (is_new) copy_.reset();
  }
  const bool is_new =
      TRY(sys::rename_new(store_->layers(), unfinished(diff_id_), store_->layers(), diff_id_.hex));
  if (is_new) directory_.reset();
  return holdings_->mark(blob_.digest, diff_id_);
}

Result<void> sync_contents(const Store& store) {
  // One call for blobs and layers: they are on one filesystem.
  if (::syncfs(store.layers().get()) == 0) return {};
  return Error::system(errno, "write layers");
}

Result<void> keep_blob(const Store& store, const Holdings& holdings, const oci::Digest& digest,
                       const std::string& bytes, Meter* meter) {
  if (holdings.has_blob(digest)) return {};
  TRY(take(meter, kEntryCharge + charge_of_bytes(bytes.size())));
  const Fd lock = TRY(store.lock(holdings.key(digest)));
  if (sha256_hex(bytes) != digest.hex) {
    return Error(Code::kInternal, "blob " + digest.str() + ": kept under a wrong digest");
  }
  const std::string unfinished = unfinished_name(holdings.key(digest));
  const Fd file =
      TRY(sys::open(store.blobs(), unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  Undo discard([&] { static_cast<void>(sys::unlink(store.blobs(), unfinished)); });
  TRY(sys::write_all(file.get(), bytes));
  if (::fsync(file.get()) != 0) return Error::system(errno, "write blob " + digest.str());
  const bool is_new = TRY(sys::rename_new(store.blobs(), unfinished, store.blobs(), digest.hex));
  if (is_new) discard.commit();
  return holdings.mark(digest);
}

}  // namespace vrun::images
