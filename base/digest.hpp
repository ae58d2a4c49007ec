// SHA-256 (libmd), for cache keys and content names in the hot path.
#pragma once

#include <string>
#include <string_view>

namespace vrun {

std::string sha256_hex(std::string_view bytes);  // 64 lower-case hexadecimal digits

}  // namespace vrun
