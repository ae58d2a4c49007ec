#include "images/transfer/unpack.hpp"

#include <optional>
#include <vector>

namespace vrun::images {
namespace {

Error wrong_digest(const std::string& what, const oci::Digest& wanted, const std::string& got) {
  return Error(Code::kInvalid,
               what + " " + wanted.str() + ": its content has the digest sha256:" + got)
      .hint("the data was damaged or changed on its way: fetch or build the image again");
}

// When the bytes make no sense, perhaps they are not those that were promised: that is the cause to
// tell then. What is left of them is read for it, up to the blob's size.
Error cause(Error error, HashingSource& compressed, const oci::Descriptor& blob) {
  if (error.code() != Code::kInvalid) return error;
  const Result<std::string> digest = compressed.finish();
  if (!digest || *digest == blob.digest.hex) return error;
  return wrong_digest("blob", blob.digest, *digest);
}

}  // namespace

void warn_of_left_out(const oci::Digest& layer, const Extracted& counts,
                      std::vector<std::string>& warnings) {
  const std::string head = "layer " + layer.str() + ": ";
  if (counts.devices_left_out > 0) {
    warnings.push_back(head + std::to_string(counts.devices_left_out) +
                       " device nodes left out (guests get a /dev of their own)");
  }
  if (counts.owners_left_out > 0) {
    warnings.push_back(head + std::to_string(counts.owners_left_out) +
                       " files belong to root: their owners are not among the ids of this user "
                       "(/etc/subuid, /etc/subgid)");
  }
  if (counts.attributes_left_out > 0) {
    warnings.push_back(head + std::to_string(counts.attributes_left_out) +
                       " access lists or security labels left out");
  }
}

Result<Extracted> unpack_blob(const UnpackJob& job) {
  const oci::Descriptor& blob = job.blob;
  const Compression compression = TRY(compression_of(blob.media_type));
  FdSource bytes(job.bytes);
  std::optional<TeeSource> tee;
  if (job.copy != nullptr) tee.emplace(bytes, *job.copy);
  ByteSource& first = tee ? static_cast<ByteSource&>(*tee) : bytes;
  HashingSource compressed(first, blob.size, "blob " + blob.digest.str());
  const std::unique_ptr<Decompressor> plain = TRY(Decompressor::create(compressed, compression));
  // Headers and padding add at most 1.5 KiB an entry to the content.
  const ExtractLimits& limits = job.options.limits;
  HashingSource tar(*plain, limits.bytes + limits.entries * 2048, "layer " + job.diff_id.str());
  Result<Extracted> counts = extract_layer(tar, job.directory, job.options);
  if (!counts) return cause(std::move(counts).error(), compressed, blob);
  const std::string tar_digest = TRY(tar.finish());
  const std::string blob_digest = TRY(compressed.finish());
  if (compressed.bytes() != blob.size) {
    return Error(Code::kInvalid, "blob " + blob.digest.str() + ": has " +
                                     std::to_string(compressed.bytes()) + " bytes, not " +
                                     std::to_string(blob.size));
  }
  if (blob_digest != blob.digest.hex) return wrong_digest("blob", blob.digest, blob_digest);
  if (tar_digest != job.diff_id.hex) return wrong_digest("layer", job.diff_id, tar_digest);
  return counts;
}

Result<Unpacker> Unpacker::start(const UnpackJob& job) {
  std::vector<int> keep{job.bytes.get(), job.directory.get()};
  if (job.copy != nullptr) keep.push_back(job.copy->get());
  return Unpacker(
      TRY(Confined::start(keep, job.options.privileged, "unpack layer " + job.diff_id.str(),
                          [&job] { return unpack_blob(job); })));
}

Result<Extracted> unpack_blob_confined(const UnpackJob& job) {
  return TRY(Unpacker::start(job)).finish();
}

}  // namespace vrun::images
