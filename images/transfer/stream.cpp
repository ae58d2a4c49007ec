#include "images/transfer/stream.hpp"

#include <array>
#include <utility>

#include <archive.h>
#include <archive_entry.h>
#include <openssl/evp.h>

#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

// Of image-spec 1.1 and of Docker ("foreign" and "nondistributable": layers that registries may
// not pass on; where they do, they are layers like others).
struct LayerType {
  std::string_view media_type;
  Compression compression;
};
constexpr std::array kLayerTypes{
    LayerType{"application/vnd.oci.image.layer.v1.tar", Compression::kNone},
    LayerType{"application/vnd.oci.image.layer.v1.tar+gzip", Compression::kGzip},
    LayerType{"application/vnd.oci.image.layer.v1.tar+zstd", Compression::kZstd},
    LayerType{"application/vnd.oci.image.layer.nondistributable.v1.tar", Compression::kNone},
    LayerType{"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Compression::kGzip},
    LayerType{"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", Compression::kZstd},
    LayerType{"application/vnd.docker.image.rootfs.diff.tar", Compression::kNone},
    LayerType{"application/vnd.docker.image.rootfs.diff.tar.gzip", Compression::kGzip},
    LayerType{"application/vnd.docker.image.rootfs.diff.tar.zstd", Compression::kZstd},
    LayerType{"application/vnd.docker.image.rootfs.foreign.diff.tar", Compression::kNone},
    LayerType{"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Compression::kGzip},
};

}  // namespace

Result<std::size_t> FdSource::read(std::span<char> buffer) {
  return sys::read(fd_, buffer);
}

HashingSource::HashingSource(ByteSource& inner, std::uint64_t limit, std::string what)
    : inner_(inner), limit_(limit), what_(std::move(what)), hash_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(hash_, EVP_sha256(), nullptr);
}

HashingSource::~HashingSource() {
  EVP_MD_CTX_free(hash_);
}

Result<std::size_t> HashingSource::read(std::span<char> buffer) {
  const std::size_t n = TRY(inner_.read(buffer));
  bytes_ += n;
  if (bytes_ > limit_) {
    return Error(Code::kInvalid, what_ + ": larger than " + std::to_string(limit_) + " bytes");
  }
  if (EVP_DigestUpdate(hash_, buffer.data(), n) != 1) {
    return Error(Code::kInternal, what_ + ": sha256 failed");
  }
  return n;
}

Result<std::string> HashingSource::finish() {
  std::array<char, 65536> rest{};
  while (TRY(read(rest)) != 0) {
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned bytes = 0;
  if (EVP_DigestFinal_ex(hash_, digest.data(), &bytes) != 1) {
    return Error(Code::kInternal, what_ + ": sha256 failed");
  }
  std::string hex;
  for (unsigned i = 0; i < bytes; ++i) {
    hex += "0123456789abcdef"[digest[i] >> 4U];
    hex += "0123456789abcdef"[digest[i] & 15U];
  }
  return hex;
}

Result<std::size_t> TeeSource::read(std::span<char> buffer) {
  const std::size_t n = TRY(inner_.read(buffer));
  TRY(sys::write_all(copy_, {buffer.data(), n}));
  return n;
}

Result<Compression> compression_of(std::string_view media_type) {
  for (const LayerType& known : kLayerTypes) {
    if (media_type == known.media_type) return known.compression;
  }
  return Error(Code::kUnsupported, "layer of media type " + quote(media_type) + ": not supported")
      .hint("layers may be tar, tar+gzip or tar+zstd");
}

long ArchiveFeed::read(archive* archive, void* self, const void** buffer) {
  auto* feed = static_cast<ArchiveFeed*>(self);
  *buffer = feed->buffer_.get();
  Result<std::size_t> n = feed->source_.read({feed->buffer_.get(), kBufferBytes});
  if (n) {
    feed->ended_ = *n == 0;
    return static_cast<long>(*n);
  }
  feed->error_ = std::move(n).error();
  archive_set_error(archive, EIO, "source failed");
  return -1;
}

Error ArchiveFeed::failure(archive* archive, std::string_view action) {
  if (error_) return std::move(*std::exchange(error_, std::nullopt));
  const char* words = archive_error_string(archive);
  return Error(Code::kInvalid,
               std::string(action) + ": " + printable(words == nullptr ? "damaged data" : words));
}

}  // namespace vrun::images
