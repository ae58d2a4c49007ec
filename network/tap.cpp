#include "network/tap.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "network/links.hpp"

namespace vrun::network {
namespace {

// Calls `work` inside the namespace.
template <typename Work>
auto inside_of(int netns, Work work) -> decltype(work()) {
  const Fd own = TRY(sys::open(At::cwd(), "/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  TRY(sys::set_namespace(netns, CLONE_NEWNET));
  auto done = work();
  // Coming back cannot fail for lack of rights, as we have just come from there.
  TRY(sys::set_namespace(own.get(), CLONE_NEWNET));
  return done;
}

// A tap belongs to the namespace in which its descriptor was opened (tun_chr_open).
Result<Fd> open_tap(const std::string& name) {
  Result<Fd> tap = sys::open(At::cwd(), "/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (!tap) {
    return std::move(tap).error().hint(
        "a micro-VM's network needs the module tun in the host's kernel: modprobe tun");
  }
  ifreq about{};
  about.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  std::memcpy(about.ifr_name, name.c_str(), std::min(name.size(), sizeof about.ifr_name - 1));
  if (::ioctl(tap->get(), TUNSETIFF, &about) != 0)
    return Error::system(errno, "make tap " + quote(name));
  return tap;
}

// /proc/sys/net is that of the reader's namespace. "all" sets those that are there and "default",
// which new ones begin with.
Result<void> disable_ipv6(const Host& host, const std::string& whose, const char* value) {
  const std::string knob = host.proc + "/sys/net/ipv6/conf/" + whose + "/disable_ipv6";
  Result<void> off = fs::write_value(At::cwd(), knob, value);
  if (!off && off.error().sys_errno() == ENOENT) return {};  // a kernel without IPv6
  return off;
}

}  // namespace

Result<Tap> make_tap(const Host& host, int netns, const std::string& interface,
                     const std::string& name) {
  LinkTable links = TRY(LinkTable::open_in(netns));
  const std::optional<Link> wire = TRY(links.find(interface));
  if (!wire || !wire->mac)
    return Error(Code::kState, "the guest's network namespace has no " + quote(interface));
  Tap tap;
  tap.mac = *wire->mac;
  tap.mtu = wire->mtu;
  tap.fd = TRY(inside_of(netns, [&] { return open_tap(name); }));
  TRY(inside_of(netns, [&] { return disable_ipv6(host, "all", "1"); }));
  const std::optional<Link> made = TRY(links.find(name));
  if (!made) return Error(Code::kState, "tap " + quote(name) + " has gone");
  TRY(links.set_mtu(made->index, tap.mtu));
  TRY(links.join_wires(wire->index, made->index));
  TRY(links.set_up(made->index));
  return tap;
}

Result<void> prepare_for_more(const Host& host, int netns) {
  return inside_of(netns, [&] { return disable_ipv6(host, "default", "0"); });
}

}  // namespace vrun::network
