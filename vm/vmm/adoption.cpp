#include "vm/vmm/adoption.hpp"

#include <array>
#include <cstdint>
#include <ctime>

#include <sys/random.h>

#include "base/json_writer.hpp"

namespace vrun::vmm {

namespace {

// Empty when the host has none to give: the guest refuses to go on then.
std::string fresh_seed() {
  constexpr char kDigits[] = "0123456789abcdef";
  std::array<std::uint8_t, 32> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return {};
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

}  // namespace

std::string adoption_of(std::string_view guest) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::string rest = json::Writer()
                               .begin_object()
                               .member("seed", fresh_seed())
                               .member("seconds", static_cast<std::int64_t>(now.tv_sec))
                               .member("nanoseconds", static_cast<std::int64_t>(now.tv_nsec))
                               .end_object()
                               .take();
  // One object of the engine's and ours.
  return "{\"guest\":" + std::string(guest) + "," + rest.substr(1);
}

}  // namespace vrun::vmm
