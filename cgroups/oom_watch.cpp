#include "cgroups/oom_watch.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/stats_parse.hpp"

namespace vrun::cgroups {
namespace {

using Clock = std::chrono::steady_clock;
// How often a group that may have been removed is looked at: v1 gives no event for every removal.
constexpr int kLookMs = 2000;

int remaining_ms(bool for_ever, Clock::time_point deadline) {
  if (for_ever) return kLookMs;
  auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, kLookMs));
}

}  // namespace

Result<void> OomWatch::arm(const std::string& dir, const std::string& file) {
  if (file == "memory.events") {
    Fd watch(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!watch) return Error::system(errno, "watch " + quote(dir));
    if (inotify_add_watch(watch.get(), fs::join(dir, file).c_str(), IN_MODIFY) < 0) {
      return Error::system(errno, "watch " + quote(fs::join(dir, file)));
    }
    notify_ = std::move(watch);
    return {};
  }
  Fd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return Error::system(errno, "watch " + quote(dir));
  control_ = TRY(sys::open(At::cwd(), fs::join(dir, file), O_RDONLY));
  std::string line = std::to_string(event.get()) + " " + std::to_string(control_.get());
  TRY(fs::write_value(At::cwd(), fs::join(dir, "cgroup.event_control"), line));
  notify_ = std::move(event);
  return {};
}

Result<std::uint64_t> OomWatch::count(const std::string& dir, const std::string& file) const {
  std::string text = TRY(fs::read_file(At::cwd(), fs::join(dir, file), 1U << 16U));
  auto keys = parse_flat_keyed(text);
  auto found = keys.find("oom_kill");
  return found == keys.end() ? 0 : found->second;
}

Result<bool> OomWatch::wait(const std::string& dir, const std::string& file, int timeout_ms) {
  if (!notify_) TRY(arm(dir, file));
  if (!seen_) seen_ = TRY(count(dir, file));
  Clock::time_point deadline = Clock::now() + std::chrono::milliseconds(std::max(timeout_ms, 0));
  while (true) {
    std::uint64_t now = TRY(count(dir, file));
    if (now > *seen_) {
      seen_ = now;
      return true;
    }
    int left = remaining_ms(timeout_ms < 0, deadline);
    if (left == 0) return false;
    std::array<pollfd, 1> fds = {pollfd{notify_.get(), POLLIN, 0}};
    if (TRY(sys::poll(fds, left)) > 0) {
      std::array<char, 4096> drained;
      // EAGAIN only says that nothing is left.
      while (::read(notify_.get(), drained.data(), drained.size()) > 0) {
      }
    }
  }
}

}  // namespace vrun::cgroups
