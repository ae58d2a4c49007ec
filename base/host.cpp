#include "base/host.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <unistd.h>

#include "base/fs.hpp"
#include "base/text.hpp"

namespace vrun {
namespace {

// XDG says that a relative XDG_RUNTIME_DIR is to be ignored; systemd makes /run/user/UID.
std::string user_runtime_dir(const Host& host) {
  const std::string_view told = host.variable("XDG_RUNTIME_DIR");
  if (told.starts_with('/')) return std::string(told);
  return "/run/user/" + std::to_string(host.euid.value);
}

// The ids from 0 on that both maps of our user namespace have; 0: it is the machine's own.
std::uint32_t ids_of_namespace(const Host& host) {
  constexpr std::uint64_t kAll = 0xFFFFFFFF;
  std::uint64_t least = kAll;
  for (const char* file : {"/self/uid_map", "/self/gid_map"}) {
    const auto text = fs::read_file(At::cwd(), host.proc + file, 1U << 16U);
    if (text) least = std::min(least, ids_in_map(*text));
  }
  return least == kAll ? 0 : static_cast<std::uint32_t>(least);
}

}  // namespace

std::uint64_t ids_in_map(std::string_view map) {
  std::uint64_t end = 0;
  for (const std::string_view line : split(map, '\n')) {  // sorted by the id inside
    std::array<std::uint64_t, 3> numbers{};
    std::size_t count = 0;
    for (const std::string_view word : split(line, ' ')) {
      if (word.empty() || count == numbers.size()) continue;
      numbers[count++] = parse_u64(word).value_or(0);
    }
    if (count == numbers.size() && numbers[0] == end) end += numbers[2];
  }
  return end;
}

std::string_view Host::variable(std::string_view name) const {
  for (const std::string_view entry : env) {
    if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=') {
      return entry.substr(name.size() + 1);
    }
  }
  return {};
}

Host Host::current() {
  Host host;
  host.euid = Uid(::geteuid());
  host.egid = Gid(::getegid());
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    host.env.emplace_back(*entry);
  }
  host.runtime_dir = (host.rootless() ? user_runtime_dir(host) : "/run") + "/vrun";
  host.cache_dir = host.runtime_dir + "/cache";
  if (!host.rootless()) host.nested_ids = ids_of_namespace(host);
  return host;
}

}  // namespace vrun
