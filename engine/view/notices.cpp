#include "engine/view/notices.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/sysinfo.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::view {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kNativeArch = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kNativeArch = AUDIT_ARCH_AARCH64;
#elif defined(__riscv) && __riscv_xlen == 64
constexpr std::uint32_t kNativeArch = AUDIT_ARCH_RISCV64;
#else
#error "which AUDIT_ARCH is this?"
#endif

// A notification whose sender was killed between poll and RECV would make RECV wait for the next.
void limit_wait(bool on) {
  itimerval timer{};
  if (on) timer.it_value.tv_sec = 1;
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

}  // namespace

void Notices::accept() {
  const Result<Fd> connection = sys::accept(shared_.listen);
  if (!connection) return;
  timeval patience{1, 0};
  ::setsockopt(connection->get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  std::array<char, 8192> state{};
  Result<sys::Received> received = sys::receive(connection->get(), state);
  if (!received || !received->fd) return;
  for (int& listener : shared_.listeners) {
    if (listener >= 0) continue;
    listener = received->fd.release();
    return;
  }
}

bool Notices::is_valid(int listener) const {
  return ::ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &shared_.notice.id) == 0;
}

Notices::Answer Notices::write(int listener, std::uint64_t at, const void* bytes,
                               std::size_t count) const {
  if (!is_valid(listener)) return {};
  const iovec from{const_cast<void*>(bytes), count};
  const iovec to{reinterpret_cast<void*>(at), count};
  const ssize_t n =
      ::process_vm_writev(static_cast<pid_t>(shared_.notice.pid), &from, 1, &to, 1, 0);
  if (n < 0 && errno != EFAULT) return {};
  if (n != static_cast<ssize_t>(count)) return {false, EFAULT, 0};
  return {false, 0, 0};
}

Notices::Answer Notices::system_info(int listener) const {
  const Facts facts = look_();
  struct sysinfo info {};
  info.uptime = static_cast<long>(facts.uptime);
  for (std::size_t i = 0; i < 3; ++i)
    info.loads[i] = static_cast<unsigned long>(facts.load[i] * (1U << SI_LOAD_SHIFT));
  info.totalram = facts.memory_total;
  info.freeram = facts.memory_free;
  info.sharedram = facts.memory.shmem;
  info.totalswap = facts.swap_total;
  info.freeswap = facts.swap_total - facts.swap_used;
  info.procs = static_cast<std::uint16_t>(std::min<std::uint64_t>(facts.processes, 65535));
  info.mem_unit = 1;
  return write(listener, shared_.notice.data.args[0], &info, sizeof info);
}

// Pid 0, or the caller's own number in its pid namespace: the last of NSpid.
bool Notices::asks_for_itself(std::uint64_t pid) const {
  const auto number = static_cast<std::uint32_t>(pid);
  if (number == 0) return true;
  std::array<char, 4096> buffer{};
  const auto status = fs::read_kernel_file(
      At::cwd(), host_.proc + "/" + std::to_string(shared_.notice.pid) + "/status", buffer);
  if (!status) return false;
  constexpr std::string_view kName = "\nNSpid:";
  const std::size_t at = status->find(kName);
  if (at == std::string_view::npos) return false;
  std::string_view line = status->substr(at + kName.size());
  line = trim(line.substr(0, line.find('\n')));
  const std::size_t last = line.find_last_of("\t ");
  return parse_u64(line.substr(last == std::string_view::npos ? 0 : last + 1)) == number;
}

Notices::Answer Notices::affinity(int listener) const {
  if (!asks_for_itself(shared_.notice.data.args[0])) return {};
  constexpr std::size_t kMostBytes = 512;
  std::array<unsigned char, kMostBytes> mask{};
  const long bytes = ::syscall(SYS_sched_getaffinity, shared_.notice.pid, mask.size(), mask.data());
  const std::uint64_t room = static_cast<std::uint32_t>(shared_.notice.data.args[1]);
  if (bytes <= 0 || room < static_cast<std::uint64_t>(bytes) || room % sizeof(long) != 0) return {};
  const std::vector<unsigned> shown = look_().cpus;
  std::array<unsigned char, kMostBytes> seen{};
  bool any = false;
  for (const unsigned cpu : shown) {
    const auto bit = static_cast<unsigned char>(1U << (cpu % 8));
    if (cpu / 8 >= mask.size() || (mask[cpu / 8] & bit) == 0) continue;
    seen[cpu / 8] |= bit;
    any = true;
  }
  if (!any) return {};  // it chose others by sched_setaffinity(2)
  Answer answer =
      write(listener, shared_.notice.data.args[2], seen.data(), static_cast<std::size_t>(bytes));
  if (!answer.goes_on && answer.error == 0) answer.value = bytes;
  return answer;
}

void Notices::send(int listener, const Answer& answer) const {
  seccomp_notif_resp response{};
  response.id = shared_.notice.id;
  response.val = answer.value;
  response.error = -answer.error;
  response.flags = answer.goes_on ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0U;
  ::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

void Notices::refuse() {
  if (shared_.notice.id != 0 && shared_.notified >= 0) send(shared_.notified, {});
  shared_.notice = {};
  shared_.notified = -1;
}

void Notices::finish() {
  seccomp_notif& notice = shared_.notice;
  const int listener = shared_.notified;
  if (notice.id != 0 && listener >= 0 && is_valid(listener)) {
    Answer answer;
    if (notice.data.arch == kNativeArch && notice.data.nr == SYS_sysinfo)
      answer = system_info(listener);
    if (notice.data.arch == kNativeArch && notice.data.nr == SYS_sched_getaffinity)
      answer = affinity(listener);
    send(listener, answer);
  }
  notice = {};  // RECV wants zeros
  shared_.notified = -1;
}

bool Notices::serve(int listener) {
  shared_.notified = listener;
  limit_wait(true);
  const int result = ::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &shared_.notice);
  const int why = errno;
  limit_wait(false);
  if (result == 0) {
    finish();
    return true;
  }
  shared_.notice = {};
  shared_.notified = -1;
  return why == EINTR || why == ENOENT || why == EAGAIN;
}

}  // namespace vrun::view
