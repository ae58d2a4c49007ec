// A tap and the far end of its wire, a packet socket, in a network namespace that only its test
// has.
#pragma once

#include <array>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fs.hpp"

namespace vrun::vmm {

struct Wire {
  Fd tap, far;
};

// In a namespace that goes with the descriptors; empty without the rights or the module.
inline Wire make_wire() {
  Wire wire;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) != 0) return;
    Fd tap(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    ifreq about{};
    about.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (!tap || ::ioctl(tap.get(), TUNSETIFF, &about) != 0) return;
    // IPv6 would speak on the wire unasked.
    static_cast<void>(fs::write_value(At::cwd(), "/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"));
    Fd far(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
    ::ioctl(far.get(), SIOCGIFINDEX, &about);
    sockaddr_ll where{};
    where.sll_family = AF_PACKET;
    where.sll_protocol = htons(ETH_P_ALL);
    where.sll_ifindex = about.ifr_ifindex;
    about.ifr_mtu = 9000;
    EXPECT_EQ(::ioctl(far.get(), SIOCSIFMTU, &about), 0);
    about.ifr_flags = IFF_UP;
    EXPECT_EQ(::ioctl(far.get(), SIOCSIFFLAGS, &about), 0);
    EXPECT_EQ(::bind(far.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where), 0);
    wire = {std::move(tap), std::move(far)};
  }).join();
  return wire;
}

// The next frame of the tests' kind (0x88b5); the kernel may speak on the wire, too. Empty after
// two seconds without one.
inline std::string hear(const Fd& far) {
  std::array<char, 70000> buffer{};
  pollfd poll{far.get(), POLLIN, 0};
  while (::poll(&poll, 1, 2000) > 0) {
    const ssize_t got = ::recv(far.get(), buffer.data(), buffer.size(), 0);
    if (got > 14 && buffer[12] == '\x88' && buffer[13] == '\xb5')
      return {buffer.data(), static_cast<std::size_t>(got)};
  }
  return {};
}

}  // namespace vrun::vmm
