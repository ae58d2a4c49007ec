// What a hostile QEMU may say to a device that is ours: no message, order of messages, region,
// queue or descriptor crashes the monitor or lets it wait.
//
// An input is a row of messages: request, flags, which file comes along, length, content.
#include <array>
#include <string>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "tests/fuzz/hostile_guest.hpp"
#include "vm/vmm/entropy.hpp"
#include "vm/vmm/vhost_user.hpp"

using namespace vrun;
using namespace vrun::fuzz;

namespace {

constexpr std::size_t kMostMessages = 32;
constexpr int kPatienceMs = 2000;

// The files that a message may bring.
struct Files {
  Fd memory = *sys::memfd("fuzz-memory"), bell = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  Files() { require(::ftruncate(memory.get(), HostileGuest::kMemory) == 0); }
  int of(unsigned kind) const { return kind == 1 ? memory.get() : kind == 2 ? bell.get() : -1; }
};

void say(int socket, const Files& files, Bytes& input) {
  // Small numbers are requests; the upper bits choose the file.
  const auto first = input.take<std::uint8_t>();
  const std::uint32_t request = first & 0x1f, flags = input.take<std::uint8_t>() | 1U;
  const std::string_view content = input.take_most(input.take<std::uint8_t>());
  const std::array<std::uint32_t, 3> header{request, flags,
                                            static_cast<std::uint32_t>(content.size())};
  std::string bytes(reinterpret_cast<const char*>(header.data()), sizeof header);
  bytes += content;
  // The other side may be gone already.
  static_cast<void>(sys::send(socket, bytes, files.of(first >> 6U)));
}

// Takes answers until the device has understood all, and hangs up.
void drain(int socket) {
  std::array<char, 4096> buffer;
  pollfd ready{.fd = socket, .events = POLLIN, .revents = 0};
  for (;;) {
    require(::poll(&ready, 1, kPatienceMs) == 1);
    if (::recv(socket, buffer.data(), buffer.size(), 0) <= 0) return;
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Files files;
  std::array<int, 2> ends{};
  require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  const Fd front(ends[0]);
  vmm::VhostUser device(*vmm::Entropy::create(), Fd(ends[1]), 1, [](const std::string&) {});
  Bytes input(data, size);
  for (std::size_t i = 0; i < kMostMessages && !input.rest().empty(); ++i)
    say(front.get(), files, input);
  ::eventfd_write(files.bell.get(), 1);
  require(::shutdown(front.get(), SHUT_WR) == 0);
  drain(front.get());
  return 0;
}
