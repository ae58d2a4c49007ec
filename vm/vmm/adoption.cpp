#include "vm/vmm/adoption.hpp"

#include <array>
#include <cstdint>
#include <ctime>

#include <sys/random.h>

#include "base/json_table.hpp"
#include "base/json_writer.hpp"

namespace vrun::vmm {

struct AdoptionWish {
  std::string hostname;
};
constexpr auto json_fields(const AdoptionWish*) {
  return json::fields(json::field("hostname", &AdoptionWish::hostname));
}

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

Result<std::function<std::string()>> adoption_of(std::string_view wish) {
  const AdoptionWish asked = TRY(json::read<AdoptionWish>(wish, "--run"));
  return std::function<std::string()>([hostname = asked.hostname] {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return json::Writer()
        .begin_object()
        .member("hostname", hostname)
        .member("seed", fresh_seed())
        .member("seconds", static_cast<std::int64_t>(now.tv_sec))
        .member("nanoseconds", static_cast<std::int64_t>(now.tv_nsec))
        .end_object()
        .take();
  });
}

}  // namespace vrun::vmm
