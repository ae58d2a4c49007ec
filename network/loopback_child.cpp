#include "network/loopback_child.hpp"

#include <linux/errno.h>

namespace vrun::network {
namespace {

// <linux/if.h> and <net/if.h> cannot meet; these are the kernel's numbers and layout
// (netdevice(7)).
constexpr long kInet = 2;                 // AF_INET
constexpr long kDatagram = 2 | 02000000;  // SOCK_DGRAM | SOCK_CLOEXEC
constexpr long kGetFlags = 0x8913;        // SIOCGIFFLAGS
constexpr long kSetFlags = 0x8914;        // SIOCSIFFLAGS
constexpr short kUp = 1;                  // IFF_UP

struct Request {  // struct ifreq
  char name[16];
  short flags;
  char rest[22];
};
static_assert(sizeof(Request) == 40);

}  // namespace

long loopback_up(steps::Context& context) {
  const long socket = raw::call(__NR_socket, kInet, kDatagram);
  if (socket < 0) {
    context.say("socket");
    return socket;
  }
  Request request{};
  request.name[0] = 'l';
  request.name[1] = 'o';
  long result = raw::call(__NR_ioctl, socket, kGetFlags, raw::ptr(&request));
  if (result == 0) {
    request.flags = static_cast<short>(request.flags | kUp);
    result = raw::call(__NR_ioctl, socket, kSetFlags, raw::ptr(&request));
  }
  raw::close(static_cast<int>(socket));
  return result;
}

}  // namespace vrun::network
