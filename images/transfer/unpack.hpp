// From one compressed blob to one unpacked layer, with both digests checked.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "images/transfer/confined.hpp"
#include "images/transfer/extract.hpp"
#include "oci/image.hpp"

namespace vrun::images {

struct UnpackJob {
  const Fd& bytes;  // of the compressed blob: a file or a pipe, read to its end
  const oci::Descriptor& blob;
  const oci::Digest& diff_id;
  const Fd& directory;       // where the layer's tree goes
  const Fd* copy = nullptr;  // gets the compressed bytes, if set
  ExtractOptions options;
};

// Unpacks a blob and compares its size, the digest of what was read with that of `blob`, and the
// digest of what it decompressed to with `diff_id`. On any error directory and copy are rubbish.
Result<Extracted> unpack_blob(const UnpackJob& job);

// The same in a child process that has lost everything it does not need (sandbox.hpp). Dropped
// before its end it is killed.
class Unpacker {
 public:
  static Result<Unpacker> start(const UnpackJob& job);
  const Fd& verdict() const { return child_.verdict(); }  // readable when finish() will not block
  Result<Extracted> finish() { return child_.finish(); }

 private:
  explicit Unpacker(Confined child) : child_(std::move(child)) {}
  Confined child_;
};

Result<Extracted> unpack_blob_confined(const UnpackJob& job);

// Sentences for the user on what the layer had and its tree has not.
void warn_of_left_out(const oci::Digest& layer, const Extracted& counts,
                      std::vector<std::string>& warnings);

}  // namespace vrun::images
