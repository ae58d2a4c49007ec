#include "images/transfer/stream.hpp"

#include <array>
#include <utility>

#include <archive.h>
#include <archive_entry.h>
#include <openssl/evp.h>

#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::images {

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

Result<Compression> compression_of(std::string_view media_type) {
  if (media_type.ends_with(".tar")) return Compression::kNone;
  // Docker's media type says ".tar.gzip", OCI's ".tar+gzip".
  if (media_type.ends_with(".tar+gzip") || media_type.ends_with(".tar.gzip")) {
    return Compression::kGzip;
  }
  if (media_type.ends_with(".tar+zstd")) return Compression::kZstd;
  return Error(Code::kUnsupported, "layer of media type " + quote(media_type) + ": not supported")
      .hint("layers may be tar, tar+gzip or tar+zstd");
}

long ArchiveFeed::read(archive* archive, void* self, const void** buffer) {
  auto* feed = static_cast<ArchiveFeed*>(self);
  *buffer = feed->buffer_.get();
  Result<std::size_t> n = feed->source_.read({feed->buffer_.get(), kBufferBytes});
  if (n) return static_cast<long>(*n);
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

struct Decompressor::Feed {
  explicit Feed(ByteSource& inner) : source(inner), reader(archive_read_new()) {}
  ~Feed() { archive_read_free(reader); }
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;
  ArchiveFeed source;
  archive* reader;
};

Decompressor::Decompressor(std::unique_ptr<Feed> feed) : feed_(std::move(feed)) {}
Decompressor::~Decompressor() = default;

// libarchive's "raw" format: one entry whose content is the decompressed stream.
Result<std::unique_ptr<Decompressor>> Decompressor::create(ByteSource& inner,
                                                           Compression compression) {
  auto feed = std::make_unique<Feed>(inner);
  archive* reader = feed->reader;
  archive_read_support_format_raw(reader);
  archive_read_support_format_empty(reader);
  if (compression == Compression::kGzip) archive_read_support_filter_gzip(reader);
  if (compression == Compression::kZstd) archive_read_support_filter_zstd(reader);
  archive_entry* entry = nullptr;
  if (archive_read_open(reader, &feed->source, nullptr, &ArchiveFeed::read, nullptr) !=
      ARCHIVE_OK) {
    return feed->source.failure(reader, "decompress");
  }
  const int header = archive_read_next_header(reader, &entry);
  if (header != ARCHIVE_OK && header != ARCHIVE_EOF) {
    return feed->source.failure(reader, "decompress");
  }
  // The filter must be the one that the media type promised: the raw format takes plain bytes too.
  const int code = archive_filter_code(reader, 0);
  const int wanted = compression == Compression::kGzip   ? ARCHIVE_FILTER_GZIP
                     : compression == Compression::kZstd ? ARCHIVE_FILTER_ZSTD
                                                         : ARCHIVE_FILTER_NONE;
  if (header == ARCHIVE_OK && code != wanted) {
    return Error(Code::kInvalid, "decompress: the data is not what its media type says");
  }
  std::unique_ptr<Decompressor> made(new Decompressor(std::move(feed)));
  made->empty_ = header == ARCHIVE_EOF;
  return made;
}

Result<std::size_t> Decompressor::read(std::span<char> buffer) {
  if (empty_) return std::size_t{0};
  const la_ssize_t n = archive_read_data(feed_->reader, buffer.data(), buffer.size());
  if (n < 0) return feed_->source.failure(feed_->reader, "decompress");
  return static_cast<std::size_t>(n);
}

}  // namespace vrun::images
