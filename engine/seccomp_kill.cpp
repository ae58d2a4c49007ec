#include "engine/seccomp_kill.hpp"

#include <array>
#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "seccomp/seccomp.hpp"

namespace vrun::engine {
namespace {

constexpr std::chrono::milliseconds kPatience{500};

std::optional<std::uint64_t> parse_hex(std::string_view text) {
  std::uint64_t value = 0;
  if (text.empty() || text.size() > 16) return std::nullopt;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return std::nullopt;
    value = value << 4U | static_cast<std::uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return value;
}

// The value of " KEY=" in a record; keys stand between blanks, and no value before them has any.
std::string_view value_of(std::string_view line, std::string_view key) {
  const std::size_t at = line.find(" " + std::string(key) + "=");
  if (at == std::string_view::npos) return {};
  const std::string_view rest = line.substr(at + key.size() + 2);
  return rest.substr(0, rest.find_first_of(" \n"));
}

using Clock = std::chrono::steady_clock;

int left_ms(Clock::time_point end) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
  return left.count() > 0 ? static_cast<int>(left.count()) : 0;
}

// The last record of that process: numbers are used again.
std::optional<SeccompRecord> in_kernel_log(Pid pid) {
  const Result<Fd> log = sys::open(At::cwd(), "/dev/kmsg", O_RDONLY | O_NONBLOCK);
  if (!log) return std::nullopt;
  std::optional<SeccompRecord> found;
  const Clock::time_point end = Clock::now() + kPatience;
  std::array<char, 8192> buffer{};  // a read(2) gives one whole record (dev-kmsg)
  while (true) {
    const ssize_t n = ::read(log->get(), buffer.data(), buffer.size());
    if (n > 0) {
      const auto record = parse_seccomp_record({buffer.data(), static_cast<std::size_t>(n)}, pid);
      if (record) found = record;
      continue;
    }
    if (n < 0 && (errno == EPIPE || errno == EINTR)) continue;  // older ones were overwritten
    if (n == 0 || errno != EAGAIN || found || left_ms(end) == 0) return found;
    std::array<pollfd, 1> wait{{{.fd = log->get(), .events = POLLIN, .revents = 0}}};
    if (!sys::poll(wait, left_ms(end))) return found;
  }
}

std::optional<SeccompRecord> in_audit_log(Pid pid) {
  constexpr off_t kTail = 1 << 20;
  const Result<Fd> log = sys::open(At::cwd(), "/var/log/audit/audit.log", O_RDONLY | O_NOFOLLOW);
  if (!log) return std::nullopt;
  const Result<struct stat> st = sys::stat(log->get());
  if (!st) return std::nullopt;
  std::string text(static_cast<std::size_t>(kTail), '\0');
  const ssize_t n =
      ::pread(log->get(), text.data(), text.size(), st->st_size > kTail ? st->st_size - kTail : 0);
  std::optional<SeccompRecord> found;
  for (const std::string_view line :
       split(std::string_view(text).substr(0, n > 0 ? static_cast<std::size_t>(n) : 0), '\n')) {
    if (const auto record = parse_seccomp_record(line, pid)) found = record;
  }
  return found;
}

}  // namespace

std::optional<SeccompRecord> parse_seccomp_record(std::string_view line, Pid pid) {
  // A process chooses its comm= and exe=, the kernel writes odd ones in hex: no blank in them can
  // bring in another key. Still, what comes before them is read from that part only.
  if (line.find("type=1326 ") == std::string_view::npos &&
      line.find("type=SECCOMP ") == std::string_view::npos) {
    return std::nullopt;
  }
  const std::size_t comm = line.find(" comm=");
  const std::string_view head = line.substr(0, comm);
  const std::size_t after = line.rfind(" sig=");
  if (comm == std::string_view::npos || after == std::string_view::npos) return std::nullopt;
  const std::string_view tail = line.substr(after);
  const auto who = parse_u64(value_of(head, "pid"));
  if (!who || *who != static_cast<std::uint64_t>(pid.value)) return std::nullopt;
  if (value_of(tail, "sig") != std::to_string(SIGSYS)) return std::nullopt;
  const auto arch = parse_hex(value_of(tail, "arch"));
  const auto call = parse_i64(value_of(tail, "syscall"));
  if (!arch || *arch > 0xFFFFFFFFU || !call) return std::nullopt;
  return SeccompRecord{static_cast<std::uint32_t>(*arch), *call};
}

std::string killed_for(Pid pid) {
  if (pid.value <= 0) return {};
  // The audit daemon, where there is one, takes the records away from the kernel's log.
  std::optional<SeccompRecord> record = in_audit_log(pid);
  if (!record) record = in_kernel_log(pid);
  if (!record) return {};
  const std::string name = seccomp::syscall_name(record->arch, record->call);
  return name.empty() ? "number " + std::to_string(record->call) : name;
}

}  // namespace vrun::engine
