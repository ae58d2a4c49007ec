#include "vm/vmm/disk_news.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <poll.h>

#include "base/sys.hpp"

namespace vrun::vmm {
namespace {

struct News {
  std::array<char, kMostDiskName> name{};
  bool came = false, read_only = false;
};

Result<void> tell(const Fd& to, const std::string& name, News news, int file) {
  if (name.size() >= news.name.size()) return Error(Code::kInvalid, "the name is too long");
  std::memcpy(news.name.data(), name.data(), name.size());
  std::array<pollfd, 1> ready{pollfd{to.get(), POLLOUT, 0}};
  if (TRY(sys::poll(ready, 1000)) == 0)
    return Error(Code::kState, "too many changes of disks at a time");
  const auto bytes = std::as_bytes(std::span(&news, 1));
  return sys::send(to.get(), {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file);
}

}  // namespace

Result<void> tell_disk_came(const Fd& news, const std::string& name, bool read_only,
                            const Fd& file) {
  return tell(news, name, {.came = true, .read_only = read_only}, file.get());
}

Result<void> tell_disk_went(const Fd& news, const std::string& name) {
  return tell(news, name, {}, -1);
}

Result<void> take_disk_news(const Fd& news, std::vector<DiskOption>& disks) {
  while (true) {
    std::array<pollfd, 1> ready{pollfd{news.get(), POLLIN, 0}};
    if (TRY(sys::poll(ready, 0)) == 0) return {};
    std::array<char, sizeof(News)> buffer{};
    sys::Received got = TRY(sys::receive(news.get(), buffer));
    if (got.bytes != sizeof(News)) return {};
    News one;
    std::memcpy(&one, buffer.data(), sizeof one);
    one.name.back() = '\0';
    const std::string name = one.name.data();
    if (!one.came) {
      forget_disk(name, disks, nullptr);
    } else if (got.fd && disks.size() < Kept::kMostDisks) {
      disks.push_back({.file = std::move(got.fd), .read_only = one.read_only, .name = name});
    }
  }
}

void forget_disk(const std::string& name, std::vector<DiskOption>& disks, Kept* kept) {
  const auto found = std::find_if(disks.begin(), disks.end(),
                                  [&](const DiskOption& one) { return one.name == name; });
  if (found == disks.end()) return;
  const auto at = static_cast<std::size_t>(found - disks.begin());
  disks.erase(found);
  if (kept == nullptr) return;
  for (std::size_t i = at; i + 1 < Kept::kMostDisks; ++i)
    kept->disks[i] = kept->disks[i + 1];
}

}  // namespace vrun::vmm
