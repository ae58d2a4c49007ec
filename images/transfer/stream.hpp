// Streams of bytes on their way from a blob to a file tree: counted, hashed, decompressed.
//
// A source is read from front to end once. Used only by vrun-image; nothing here is thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"

struct archive;
struct evp_md_ctx_st;

namespace vrun::images {

class ByteSource {
 public:
  ByteSource() = default;
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;
  virtual ~ByteSource() = default;
  // 0 is the end. `buffer` is not empty.
  virtual Result<std::size_t> read(std::span<char> buffer) = 0;
};

class FdSource : public ByteSource {
 public:
  explicit FdSource(const Fd& file) : fd_(file.get()) {}
  Result<std::size_t> read(std::span<char> buffer) override;

 private:
  int fd_;
};

// Hashes everything that passes; more than `limit` bytes is an error (a bomb, or a wrong blob).
class HashingSource : public ByteSource {
 public:
  HashingSource(ByteSource& inner, std::uint64_t limit, std::string what);
  ~HashingSource() override;
  Result<std::size_t> read(std::span<char> buffer) override;
  // Reads what nobody wanted (padding, trailing members) and answers the digest of everything: 64
  // hex digits.
  Result<std::string> finish();
  std::uint64_t bytes() const { return bytes_; }

 private:
  ByteSource& inner_;
  std::uint64_t limit_;
  std::uint64_t bytes_ = 0;
  std::string what_;
  evp_md_ctx_st* hash_;
};

// Writes everything that passes to `copy` as well.
class TeeSource : public ByteSource {
 public:
  TeeSource(ByteSource& inner, const Fd& copy) : inner_(inner), copy_(copy.get()) {}
  Result<std::size_t> read(std::span<char> buffer) override;

 private:
  ByteSource& inner_;
  int copy_;
};

enum class Compression { kNone, kGzip, kZstd };
// By the media type of a layer, never by guessing; an unknown type is an error that names it.
Result<Compression> compression_of(std::string_view media_type);

// The plain bytes of a compressed stream. Data that is not what `compression` says, is damaged or
// ends too early is an error; a stream of no bytes at all is an empty one.
class Decompressor : public ByteSource {
 public:
  static Result<std::unique_ptr<Decompressor>> create(ByteSource& inner, Compression compression);
};

// The glue that lets libarchive read from a ByteSource: an error of the source survives libarchive.
class ArchiveFeed {
 public:
  explicit ArchiveFeed(ByteSource& source) : source_(source) {}
  // For archive_read_open(): answers -1 after a failure, which failure() then has.
  static long read(archive* archive, void* self, const void** buffer);
  // The source's own error, or libarchive's words.
  Error failure(archive* archive, std::string_view action);
  bool has_ended() const { return ended_; }  // the source has, without an error

 private:
  ByteSource& source_;
  bool ended_ = false;
  std::optional<Error> error_;
  std::unique_ptr<char[]> buffer_ = std::make_unique<char[]>(kBufferBytes);
  static constexpr std::size_t kBufferBytes = 128U << 10U;
};

}  // namespace vrun::images
