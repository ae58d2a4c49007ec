#include "vm/kernels/decompress.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

namespace vrun::vm {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t kStep = 4 << 20;

struct Magic {
  std::string_view bytes;
  Packing packing;
};
constexpr std::array kMagics = {
    Magic{"\x1f\x8b"sv, Packing::kGzip},
    Magic{"\xfd"
          "7zXZ\0"sv,
          Packing::kXz},
    Magic{"\x02\x21\x4c\x18"sv, Packing::kLz4},
    Magic{"\x28\xb5\x2f\xfd"sv, Packing::kZstd},
};

Error damaged(const char* format) {
  return Error(Code::kInvalid, std::string("its ") + format + " content is damaged or truncated");
}

Error too_large(std::size_t most) {
  return Error(Code::kInvalid, "it unpacks to more than " + std::to_string(most >> 20) + " MiB");
}

// Room for the next step; false when there is no more.
bool grow(std::string& out, std::size_t used, std::size_t most) {
  if (used < out.size()) return true;
  if (out.size() >= most) return false;
  out.resize(std::min(most, out.size() + kStep));
  return true;
}

Result<std::string> gunzip(std::string_view bytes, std::size_t most) {
  z_stream stream{};
  if (::inflateInit2(&stream, 15 + 16) != Z_OK)  // 16: with gzip's header
    return Error(Code::kInternal, "zlib does not start");
  const std::unique_ptr<z_stream, void (*)(z_stream*)> owner(&stream,
                                                             [](z_stream* s) { ::inflateEnd(s); });
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  std::size_t used = 0;
  int answer = Z_OK;
  while (answer == Z_OK) {
    if (!grow(out, used, most)) return too_large(most);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    stream.avail_out = static_cast<uInt>(out.size() - used);
    answer = ::inflate(&stream, Z_NO_FLUSH);
    used = out.size() - stream.avail_out;
  }
  if (answer != Z_STREAM_END) return damaged("gzip");
  out.resize(used);
  return out;
}

Result<std::string> unxz(std::string_view bytes, std::size_t most) {
  constexpr std::uint64_t kMemory = 256 << 20;
  lzma_stream stream = LZMA_STREAM_INIT;
  if (::lzma_stream_decoder(&stream, kMemory, 0) != LZMA_OK)
    return Error(Code::kInternal, "liblzma does not start");
  const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> owner(
      &stream, [](lzma_stream* s) { ::lzma_end(s); });
  stream.next_in = reinterpret_cast<const std::uint8_t*>(bytes.data());
  stream.avail_in = bytes.size();
  std::string out;
  std::size_t used = 0;
  lzma_ret answer = LZMA_OK;
  while (answer == LZMA_OK) {
    if (!grow(out, used, most)) return too_large(most);
    stream.next_out = reinterpret_cast<std::uint8_t*>(out.data() + used);
    stream.avail_out = out.size() - used;
    answer = ::lzma_code(&stream, LZMA_RUN);
    used = out.size() - stream.avail_out;
  }
  if (answer != LZMA_STREAM_END) return damaged("xz");
  out.resize(used);
  return out;
}

// After the magic: blocks of a size and so many bytes; the last one may be followed by others'.
Result<std::string> unlz4(std::string_view bytes, std::size_t most) {
  constexpr std::size_t kBlock = 8 << 20;
  bytes.remove_prefix(4);
  std::string out;
  while (bytes.size() >= 4) {
    std::uint32_t size = 0;
    std::memcpy(&size, bytes.data(), sizeof size);
    if (size == 0 || size > static_cast<std::uint32_t>(::LZ4_compressBound(kBlock)) ||
        size > bytes.size() - 4)
      break;
    const std::size_t before = out.size();
    out.resize(before + kBlock);
    const int got = ::LZ4_decompress_safe(bytes.data() + 4, out.data() + before,
                                          static_cast<int>(size), kBlock);
    if (got < 0) return damaged("lz4");
    out.resize(before + static_cast<std::size_t>(got));
    if (out.size() > most) return too_large(most);
    bytes.remove_prefix(4 + size);
  }
  if (out.empty()) return damaged("lz4");
  return out;
}

Result<std::string> unzstd(std::string_view bytes, std::size_t most) {
  const std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> context(::ZSTD_createDCtx(),
                                                                        ::ZSTD_freeDCtx);
  if (!context) return Error(Code::kInternal, "zstd does not start");
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  std::string out;
  std::size_t used = 0;
  while (true) {
    if (!grow(out, used, most)) return too_large(most);
    ZSTD_outBuffer to{out.data(), out.size(), used};
    const std::size_t before = in.pos;
    const std::size_t answer = ::ZSTD_decompressStream(context.get(), &to, &in);
    if (::ZSTD_isError(answer) != 0) return damaged("zstd");
    const bool moved = to.pos != used || in.pos != before;
    used = to.pos;
    if (answer == 0) break;  // the frame's end
    if (!moved) return damaged("zstd");
  }
  out.resize(used);
  return out;
}

}  // namespace

std::optional<Packing> packing_of(std::string_view bytes) {
  for (const Magic& magic : kMagics) {
    if (bytes.starts_with(magic.bytes)) return magic.packing;
  }
  return std::nullopt;
}

Result<std::string> decompress(Packing packing, std::string_view bytes, std::size_t most) {
  switch (packing) {
    case Packing::kGzip:
      return gunzip(bytes, most);
    case Packing::kXz:
      return unxz(bytes, most);
    case Packing::kLz4:
      return unlz4(bytes, most);
    case Packing::kZstd:
      return unzstd(bytes, most);
  }
  return Error(Code::kInternal, "no such packing");
}

}  // namespace vrun::vm
