// What kernels and their modules are packed with: gzip, xz, lz4 (the kernel's own "legacy" frames)
// and zstd, each by its library.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vrun::vm {

enum class Packing : std::uint8_t { kGzip, kXz, kLz4, kZstd };

// By the first bytes; none: not packed, or in a way that we do not know.
std::optional<Packing> packing_of(std::string_view bytes);

// All of the content, which may have `most` bytes. Bytes behind the packed stream are passed over
// (a kernel's payload ends with its size). kInvalid with the reason otherwise.
Result<std::string> decompress(Packing packing, std::string_view bytes, std::size_t most);

}  // namespace vrun::vm
