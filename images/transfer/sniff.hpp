// What an archive is compressed by, from its first bytes: archives have no media type that says so.
#pragma once

#include <array>
#include <cstdint>

#include "images/transfer/stream.hpp"

namespace vrun::images {

// gzip and zstd; other known compressions are errors that name them, anything else is plain.
Result<Compression> compression_of_bytes(std::span<const char> first);

// Of a file, at its beginning; the offset stays there.
Result<Compression> sniff(const Fd& file);

// A source whose first bytes are looked at before anybody reads it.
class Sniffer : public ByteSource {
 public:
  explicit Sniffer(ByteSource& inner) : inner_(inner) {}
  Result<Compression> compression();
  Result<std::size_t> read(std::span<char> buffer) override;

 private:
  ByteSource& inner_;
  std::array<char, 8> first_{};
  std::size_t held_ = 0, given_ = 0;
};

}  // namespace vrun::images
