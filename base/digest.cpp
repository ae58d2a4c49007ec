#include "base/digest.hpp"

#include <array>
#include <cstdint>

#include <sha2.h>

namespace vrun {

std::string sha256_hex(std::string_view bytes) {
  std::array<char, SHA256_DIGEST_STRING_LENGTH> text{};  // 64 digits and the NUL
  SHA256Data(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(), text.data());
  return text.data();
}

}  // namespace vrun
