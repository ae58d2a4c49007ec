#include "images/transfer/sniff.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

#include <unistd.h>

namespace vrun::images {

Result<Compression> compression_of_bytes(std::span<const char> first) {
  using namespace std::string_view_literals;
  const std::string_view bytes(first.data(), first.size());
  if (bytes.starts_with("\x1F\x8B")) return Compression::kGzip;
  if (bytes.starts_with("\x28\xB5\x2F\xFD")) return Compression::kZstd;
  struct Other {
    std::string_view magic, name;
  };
  constexpr std::array kOthers{Other{"\xFD\x37zXZ"sv, "xz"}, Other{"BZh"sv, "bzip2"},
                               Other{"\x04\x22\x4D\x18"sv, "lz4"}, Other{"PK\x03\x04"sv, "zip"}};
  for (const Other& other : kOthers) {
    if (!bytes.starts_with(other.magic)) continue;
    return Error(Code::kUnsupported, "the archive is compressed by " + std::string(other.name))
        .hint("unpack it first: tar, gzip and zstd are read");
  }
  return Compression::kNone;
}

Result<Compression> sniff(const Fd& file) {
  std::array<char, 8> first{};
  const ssize_t n = ::pread(file.get(), first.data(), first.size(), 0);
  if (n < 0) return Error::system(errno, "read");
  return compression_of_bytes({first.data(), static_cast<std::size_t>(n)});
}

Result<Compression> Sniffer::compression() {
  while (held_ < first_.size()) {
    const std::size_t n = TRY(inner_.read(std::span(first_).subspan(held_)));
    if (n == 0) break;
    held_ += n;
  }
  return compression_of_bytes({first_.data(), held_});
}

Result<std::size_t> Sniffer::read(std::span<char> buffer) {
  if (given_ == held_) return inner_.read(buffer);
  const std::size_t n = std::min(buffer.size(), held_ - given_);
  std::memcpy(buffer.data(), first_.data() + given_, n);
  given_ += n;
  return n;
}

}  // namespace vrun::images
