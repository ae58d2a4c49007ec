#include "vm/guest/adoption.hpp"

#include <array>
#include <cerrno>
#include <ctime>

#include <fcntl.h>
#include <linux/random.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/guest/interface.hpp"

namespace vrun::vm {
namespace {

constexpr std::size_t kMostUnread = 32 << 10;  // more than one reading of a connection
constexpr std::size_t kSeed = 32;

int digit(char letter) {
  if (letter >= '0' && letter <= '9') return letter - '0';
  return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

// rand_pool_info of <linux/random.h>, with room.
struct Pool {
  int entropy_bits = 8 * kSeed, bytes = kSeed;
  std::array<std::uint8_t, kSeed> seed{};
};

Result<Pool> pool_of(std::string_view seed) {
  Pool pool;
  bool good = seed.size() == 2 * kSeed;
  for (std::size_t i = 0; good && i < kSeed; ++i) {
    const int high = digit(seed[2 * i]), low = digit(seed[2 * i + 1]);
    good = high >= 0 && low >= 0;
    pool.seed[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  if (good) return pool;
  return Error(Code::kInvalid, "kAdopt: seed: 64 hexadecimal digits are wanted");
}

Result<void> reseed(std::string_view seed) {
  const Pool pool = TRY(pool_of(seed));
  const Fd device = TRY(sys::open(At::cwd(), "/dev/urandom", O_WRONLY));
  // RNDRESEEDCRNG: at once, and not when the next turn comes (random(4)).
  if (::ioctl(device.get(), RNDADDENTROPY, &pool) != 0 || ::ioctl(device.get(), RNDRESEEDCRNG) != 0)
    return Error::system(errno, "seed the random numbers");
  return {};
}

// In a child: entering a namespace is for ever.
Result<void> set_hostname(const std::string& name, Pid pid) {
  const std::string path = "/proc/" + std::to_string(pid.value) + "/ns/uts";
  const Fd space = TRY(sys::open(At::cwd(), path, O_RDONLY));
  const pid_t child = ::fork();
  if (child < 0) return Error::system(errno, "start a process");
  if (child == 0) {
    const bool set =
        ::setns(space.get(), CLONE_NEWUTS) == 0 && ::sethostname(name.data(), name.size()) == 0;
    ::_exit(set ? 0 : 1);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (status == 0) return {};
  return Error(Code::kSystem, "the guest's host name cannot be set");
}

}  // namespace

Result<Adoptions> Adoptions::create() {
  return Adoptions(TRY(sys::packet_pair()));
}

Result<void> Adoptions::hand_on(const Connection& connection) const {
  // A byte before what was read: a packet without any would be an end.
  const std::string packet = "+" + connection.unread();
  return sys::send(ends_.theirs.get(), packet, connection.fd());
}

Result<Connection> Adoptions::wait() const {
  std::string packet(kMostUnread, '\0');
  sys::Received received = TRY(sys::receive(ends_.mine.get(), packet));
  if (received.bytes == 0 || !received.fd)
    return Error(Code::kState, "nobody is left who could ask for the guest's process");
  packet.resize(received.bytes);
  return Connection(std::move(received.fd), std::string_view(packet).substr(1));
}

Result<void> become(const AdoptRequest& request, Pid pid) {
  const timespec now{.tv_sec = request.seconds, .tv_nsec = request.nanoseconds};
  if (::clock_settime(CLOCK_REALTIME, &now) != 0) return Error::system(errno, "set the clock");
  TRY(reseed(request.seed));
  for (const NetworkRequest& network : request.guest.networks)
    TRY(configure_again(network));
  const std::string& hostname = request.guest.hostname;
  return hostname.empty() ? Result<void>() : set_hostname(hostname, pid);
}

}  // namespace vrun::vm
