#include "images/transfer/import.hpp"

#include <array>

#include <fcntl.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"
#include "images/charge.hpp"
#include "images/transfer/unpack.hpp"

namespace vrun::images {
namespace {

// Everything that is read of a blob, verified at its end.
Result<void> read_verified(const Fd& from, const oci::Descriptor& blob, const Fd* copy) {
  FdSource file(from);
  HashingSource source(file, blob.size, "blob " + blob.digest.str());
  std::array<char, 65536> buffer{};
  while (true) {
    const std::size_t n = TRY(source.read(buffer));
    if (n == 0) break;
    if (copy != nullptr) TRY(sys::write_all(copy->get(), {buffer.data(), n}));
  }
  const std::string hex = TRY(source.finish());
  if (hex == blob.digest.hex) return {};
  return Error(Code::kInvalid,
               "blob " + blob.digest.str() + ": its content has the digest sha256:" + hex);
}

Result<Fd> copy_blob(const Store& store, const Fd& from, const oci::Descriptor& blob,
                     const std::string& unfinished) {
  Fd to =
      TRY(sys::open(store.blobs(), unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  TRY(read_verified(from, blob, &to));
  return to;
}

// One more name for the spool's file.
Result<Fd> take_blob(const Store& store, Fd from, const oci::Descriptor& blob,
                     const std::string& unfinished) {
  TRY(read_verified(from, blob, nullptr));
  TRY(sys::chmod(from.get(), 0600));
  TRY(fs::remove_tree(store.blobs(), unfinished));  // of a command that died
  const std::string self = "/proc/self/fd/" + std::to_string(from.get());
  const int linked =
      ::linkat(AT_FDCWD, self.c_str(), store.blobs().get(), unfinished.c_str(), AT_SYMLINK_FOLLOW);
  if (linked == 0) return from;
  return Error::system(errno, "keep blob " + blob.digest.str());
}

Result<void> import_blob(const Store& store, const Holdings& holdings, const Fd& layout,
                         const oci::Descriptor& blob, Blobs blobs, Meter* meter) {
  if (holdings.has_blob(blob.digest)) return {};
  const Fd lock = TRY(store.lock(holdings.key(blob.digest)));
  if (holdings.has_blob(blob.digest)) return {};
  const std::string unfinished = unfinished_name(holdings.key(blob.digest));
  Fd from = TRY(open_blob(layout, blob));
  // A spool's file was paid for when it was written.
  if (blobs == Blobs::kCopied) TRY(take(meter, kEntryCharge + charge_of_bytes(blob.size)));
  Undo discard([&] { static_cast<void>(sys::unlink(store.blobs(), unfinished)); });
  const Fd file = blobs == Blobs::kTaken ? TRY(take_blob(store, std::move(from), blob, unfinished))
                                         : TRY(copy_blob(store, from, blob, unfinished));
  if (::fsync(file.get()) != 0) return Error::system(errno, "write blob " + blob.digest.str());
  const bool is_new =
      TRY(sys::rename_new(store.blobs(), unfinished, store.blobs(), blob.digest.hex));
  if (is_new) discard.commit();
  return holdings.mark(blob.digest);
}

Result<void> import_layer(const Store& store, const Holdings& holdings, const Fd& layout,
                          const oci::Descriptor& blob, const oci::Digest& diff_id,
                          const ExtractOptions& options, std::vector<std::string>& warnings) {
  const auto is_there = [&] {
    return holdings.has_layer(blob.digest, diff_id) || holdings.was_brought(blob.digest, diff_id);
  };
  if (is_there()) return {};
  const Fd lock = TRY(store.lock(holdings.key(diff_id)));
  if (is_there()) return {};
  const std::string unfinished = unfinished_name(holdings.key(diff_id));
  TRY(fs::remove_tree(store.layers(), unfinished));  // of a command that died
  TRY(sys::make_dir(store.layers(), unfinished, 0755));
  Undo discard([&] { static_cast<void>(fs::remove_tree(store.layers(), unfinished)); });
  const Fd directory = TRY(sys::open_dir(store.layers(), unfinished));
  TRY(sys::chmod(directory.get(), 0755));  // whatever the umask: it is every guest's "/"
  const Fd file = TRY(open_blob(layout, blob));
  const Extracted counts = TRY(unpack_blob_confined({.bytes = file,
                                                     .blob = blob,
                                                     .diff_id = diff_id,
                                                     .directory = directory,
                                                     .options = options}));
  // Contents before the name: after a power cut a layer that is there is whole.
  if (::syncfs(directory.get()) != 0) return Error::system(errno, "write layer " + diff_id.str());
  const bool is_new = TRY(sys::rename_new(store.layers(), unfinished, store.layers(), diff_id.hex));
  if (is_new) discard.commit();
  TRY(holdings.mark(blob.digest, diff_id));
  warn_of_left_out(diff_id, counts, warnings);
  return {};
}

}  // namespace

Result<void> import_image(const Store& store, const Holdings& holdings, const Image& image,
                          const ExtractOptions& options, std::vector<std::string>& warnings,
                          Blobs blobs) {
  const Fd layout = TRY(sys::open_dir(At::cwd(), image.layout_dir));
  for (std::size_t i = 0; i < image.manifest.layers.size(); ++i) {
    const oci::Descriptor& blob = image.manifest.layers[i];
    TRY(import_blob(store, holdings, layout, blob, blobs, options.meter));
    TRY(import_layer(store, holdings, layout, blob, image.config.diff_ids[i], options, warnings));
  }
  TRY(import_blob(store, holdings, layout, image.manifest.config, blobs, options.meter));
  // Last: where the manifest is, all that it names is. The collector reads it for guests.
  return import_blob(store, holdings, layout, image.descriptor, blobs, options.meter);
}

Result<void> unpack_stored(const Store& store, const oci::Descriptor& blob,
                           const oci::Digest& diff_id) {
  const Fd images = TRY(sys::open_dir(At::cwd(), fs::join(store.data_dir(), "images")));
  ExtractOptions options;
  options.privileged = ::geteuid() == 0;
  std::vector<std::string> warnings;  // were told when it came
  return import_layer(store, Holdings::everything(store), images, blob, diff_id, options, warnings);
}

Result<Fd> unpack_into(const Store& store, const Spool& spool, const oci::Descriptor& blob,
                       const oci::Digest& diff_id) {
  TRY(sys::make_dir(spool.dir(), "tree", 0755));
  Fd directory = TRY(sys::open_dir(spool.dir(), "tree"));
  TRY(sys::chmod(directory.get(), 0755));
  const Fd images = TRY(sys::open_dir(At::cwd(), fs::join(store.data_dir(), "images")));
  const Fd file = TRY(open_blob(images, blob));
  ExtractOptions options;
  options.privileged = ::geteuid() == 0;
  TRY(unpack_blob_confined({.bytes = file,
                            .blob = blob,
                            .diff_id = diff_id,
                            .directory = directory,
                            .options = options}));
  return directory;
}

}  // namespace vrun::images
