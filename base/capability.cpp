#include "base/capability.hpp"

#include <array>
#include <cerrno>

#include <sys/syscall.h>
#include <unistd.h>

namespace vrun::sys {

Result<bool> set_capability(int capability, bool effective) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0)
    return Error::system(errno, "read our capabilities");
  const auto word = static_cast<std::size_t>(CAP_TO_INDEX(static_cast<unsigned>(capability)));
  const std::uint32_t bit = CAP_TO_MASK(static_cast<unsigned>(capability));
  const bool was = (sets[word].effective & bit) != 0;
  if (was == effective || (sets[word].permitted & bit) == 0) return was;
  sets[word].effective ^= bit;
  if (::syscall(SYS_capset, &header, sets.data()) != 0)
    return Error::system(errno, "change our capabilities");
  return was;
}

}  // namespace vrun::sys
