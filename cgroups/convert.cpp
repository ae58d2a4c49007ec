#include "cgroups/convert.hpp"

#include <algorithm>
#include <cmath>

namespace vrun::cgroups {

std::uint64_t weight_from_shares(std::uint64_t shares) {
  if (shares == 0) return 0;
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  double l = std::log2(static_cast<double>(shares));
  double exponent = (l * l + 125 * l) / 612.0 - 7.0 / 34.0;
  return static_cast<std::uint64_t>(std::ceil(std::pow(10, exponent)));
}

std::uint64_t shares_from_weight(std::uint64_t weight) {
  std::uint64_t below = 1, enough = 262144;  // the map above only grows
  while (enough - below > 1) {
    const std::uint64_t middle = below + (enough - below) / 2;
    (weight_from_shares(middle) < weight ? below : enough) = middle;
  }
  return enough;
}

std::uint64_t io_weight_from_blkio(std::uint64_t weight) {
  if (weight == 0) return 0;
  std::uint64_t bounded = std::clamp<std::uint64_t>(weight, 10, 1000);
  return 1 + (bounded - 10) * 9999 / 990;
}

Result<std::string> swap_max(std::int64_t memory_and_swap, std::int64_t memory) {
  if (memory_and_swap < 0) return std::string("max");
  if (memory <= 0) {
    return Error(Code::kInvalid, "a limit of memory plus swap needs a memory limit");
  }
  if (memory_and_swap < memory) {
    return Error(Code::kInvalid, "memory plus swap (" + std::to_string(memory_and_swap) +
                                     ") is below the memory limit (" + std::to_string(memory) +
                                     ")");
  }
  return std::to_string(memory_and_swap - memory);
}

std::string limit_text(std::int64_t limit) {
  return limit < 0 ? "max" : std::to_string(limit);
}

}  // namespace vrun::cgroups
