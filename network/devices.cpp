#include "network/devices.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "network/netlink.hpp"

namespace vrun::network {
namespace {

struct Address {
  ifaddrmsg about{};
  std::uint32_t flags = 0;
  std::vector<std::pair<std::uint16_t, std::string>> attributes;
};

struct Link {
  int index = 0;
  bool up = false;
  std::vector<Address> addresses;
};

Request link_request(std::uint16_t type, std::uint16_t flags, int index, unsigned change = 0,
                     unsigned state = 0) {
  ifinfomsg about{};
  about.ifi_family = AF_UNSPEC;
  about.ifi_index = index;
  about.ifi_change = change;
  about.ifi_flags = state;
  return Request(type, flags, about);
}

template <typename Body>
std::optional<Body> body_of(const nlmsghdr& message) {
  if (message.nlmsg_len < NLMSG_HDRLEN + sizeof(Body)) return std::nullopt;
  Body body{};
  std::memcpy(&body, reinterpret_cast<const char*>(&message) + NLMSG_HDRLEN, sizeof body);
  return body;
}

Result<Link> find_link(Netlink& netlink, const std::string& name) {
  Link link;
  Request request = link_request(RTM_GETLINK, NLM_F_ACK, 0);
  request.add_text(IFLA_IFNAME, name);
  TRY(netlink.read_all(request, "find interface " + quote(name), [&](const nlmsghdr& message) {
    if (const auto about = body_of<ifinfomsg>(message)) {
      link.index = about->ifi_index;
      link.up = (about->ifi_flags & IFF_UP) != 0;
    }
  }));
  return link;
}

// What ip(8) calls permanent: neither leased, nor made by the kernel from router advertisements.
std::optional<Address> kept_address(const nlmsghdr& message, int index) {
  const auto about = body_of<ifaddrmsg>(message);
  if (!about || about->ifa_index != static_cast<unsigned>(index)) return std::nullopt;
  Address address{*about, about->ifa_flags, {}};
  for (const Attribute& one : attributes_of(message, sizeof(ifaddrmsg))) {
    if (one.type == IFA_FLAGS && one.bytes.size() == sizeof address.flags) {
      std::memcpy(&address.flags, one.bytes.data(), sizeof address.flags);
    }
    const bool copied = one.type == IFA_ADDRESS || one.type == IFA_LOCAL ||
                        one.type == IFA_BROADCAST || one.type == IFA_RT_PRIORITY;
    if (copied) address.attributes.emplace_back(one.type, std::string(one.bytes));
  }
  if ((address.flags & IFA_F_PERMANENT) == 0) return std::nullopt;
  return address;
}

Result<std::vector<Address>> list_addresses(Netlink& netlink, int index) {
  std::vector<Address> found;
  ifaddrmsg all{};
  Request request(RTM_GETADDR, NLM_F_DUMP, all);
  TRY(netlink.read_all(request, "list addresses", [&](const nlmsghdr& message) {
    if (message.nlmsg_type != RTM_NEWADDR) return;
    if (auto address = kept_address(message, index)) found.push_back(std::move(*address));
  }));
  return found;
}

Result<void> add_address(Netlink& netlink, const Address& address, int index,
                         const std::string& name) {
  // The rest of the flags is the kernel's own record (permanent, tentative, secondary ...).
  constexpr std::uint32_t kSettable = IFA_F_NOPREFIXROUTE | IFA_F_NODAD | IFA_F_HOMEADDRESS;
  ifaddrmsg about = address.about;
  about.ifa_index = static_cast<unsigned>(index);
  about.ifa_flags = 0;
  Request request(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, about);
  for (const auto& [type, bytes] : address.attributes)
    request.add(type, bytes);
  request.add_u32(IFA_FLAGS, address.flags & kSettable);
  auto added = netlink.request(request, "add an address to interface " + quote(name));
  // IPv6 addresses may survive (net.ipv6.conf.*.keep_addr_on_down).
  if (!added && added.error().sys_errno() == EEXIST) return {};
  return added;
}

Result<void> set_up(Netlink& netlink, int index, const std::string& name) {
  Request request = link_request(RTM_NEWLINK, NLM_F_ACK, index, IFF_UP, IFF_UP);
  return netlink.request(request, "set interface " + quote(name) + " up");
}

// Moves and renames in one message: nobody sees the interface under its old name inside.
Result<void> send_over(Netlink& from, int index, const std::string& name, int netns_fd) {
  Request request = link_request(RTM_NEWLINK, NLM_F_ACK, index);
  request.add_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(netns_fd));
  request.add_text(IFLA_IFNAME, name);
  return from.request(request, "move interface " + quote(name));
}

bool is_template(const std::string& name) {
  return name.ends_with("%d");
}

// Answers the name that the kernel made of "eth%d".
Result<std::string> rename_by_template(Netlink& netlink, const std::string& from,
                                       const std::string& to) {
  const Link link = TRY(find_link(netlink, from));
  Request rename = link_request(RTM_NEWLINK, NLM_F_ACK, link.index);
  rename.add_text(IFLA_IFNAME, to);
  TRY(netlink.request(rename, "rename interface to " + quote(to)));
  std::string name;
  Request look = link_request(RTM_GETLINK, NLM_F_ACK, link.index);
  TRY(netlink.read_all(look, "find the renamed interface", [&](const nlmsghdr& message) {
    for (const Attribute& one : attributes_of(message, sizeof(ifinfomsg))) {
      if (one.type == IFLA_IFNAME) name = std::string(one.bytes.substr(0, one.bytes.find('\0')));
    }
  }));
  return name;
}

enum class Keep { kGlobal, kAll };

// Gives an interface that has just arrived what the move took. The specification wants addresses
// of global scope to come along; on the way back all of them do.
Result<void> settle(Netlink& netlink, const Link& link, const std::string& name, Keep keep,
                    bool up) {
  const Link here = TRY(find_link(netlink, name));
  for (const Address& address : link.addresses) {
    if (keep == Keep::kGlobal && address.about.ifa_scope != RT_SCOPE_UNIVERSE) continue;
    TRY(add_address(netlink, address, here.index, name));
  }
  if (up) TRY(set_up(netlink, here.index, name));
  return {};
}

struct Moved {
  std::string host_name, name;
  Link link;
};

class Move {
 public:
  Move(Netlink host, Netlink inside, Fd host_ns, int netns_fd)
      : host_(std::move(host)),
        inside_(std::move(inside)),
        host_ns_(std::move(host_ns)),
        netns_fd_(netns_fd) {}
  Move(Move&&) = delete;
  Move& operator=(Move&&) = delete;
  Move(const Move&) = delete;
  Move& operator=(const Move&) = delete;

  // Best effort, in reverse order: what was moved goes back.
  ~Move() {
    while (!moved_.empty()) {
      take_back(moved_.back());
      moved_.pop_back();
    }
  }

  Result<void> move(const oci::NetDevice& device) {
    const std::string& name = device.name.empty() ? device.host_name : device.name;
    Link link = TRY(find_link(host_, device.host_name));
    link.addresses = TRY(list_addresses(host_, link.index));
    // With a template the kernel chooses the name inside, so it arrives under one that we know.
    const std::string arrival = is_template(name) ? "vrun" + std::to_string(link.index) : name;
    TRY(arrive(device.host_name, arrival, std::move(link)));
    if (arrival != name) moved_.back().name = TRY(rename_by_template(inside_, arrival, name));
    // The specification wants it usable at once.
    return settle(inside_, moved_.back().link, moved_.back().name, Keep::kGlobal, true);
  }

  void commit() { moved_.clear(); }

 private:
  // Whatever is inside afterwards is in moved_.
  Result<void> arrive(const std::string& host_name, const std::string& name, Link link) {
    // The kernel moves first and renames then: a taken name would leave it inside unrenamed.
    if (find_link(inside_, name)) {
      return Error::system(EEXIST, "move interface to " + quote(name));
    }
    auto sent = send_over(host_, link.index, name, netns_fd_);
    if (sent) {
      moved_.push_back({host_name, name, std::move(link)});
    } else if (!find_link(host_, host_name)) {
      moved_.push_back({host_name, host_name, std::move(link)});
    }
    return sent;
  }

  void take_back(const Moved& moved) {
    const auto here = find_link(inside_, moved.name);
    if (!here) return;
    if (!send_over(inside_, here->index, moved.host_name, host_ns_.get())) return;
    (void)settle(host_, moved.link, moved.host_name, Keep::kAll, moved.link.up);
  }

  Netlink host_, inside_;
  Fd host_ns_;
  int netns_fd_;
  std::vector<Moved> moved_;
};

Error explained(Error error, const oci::NetDevice& device) {
  const int number = error.sys_errno();
  error = std::move(error).at("linux.netDevices." + device.host_name);
  if (number == ENODEV) return std::move(error).hint("the host has no interface of this name");
  if (number == EEXIST) return std::move(error).hint("the name is taken in the container");
  if (number == EINVAL)
    return std::move(error).hint("this kind of interface may be bound to its namespace");
  return error;
}

}  // namespace

Result<void> move_devices(const std::vector<oci::NetDevice>& devices, int netns_fd) {
  if (devices.empty()) return {};
  Fd host_ns = TRY(sys::open(At::cwd(), "/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  Netlink host = TRY(Netlink::open());
  Netlink inside = TRY(Netlink::open_in(netns_fd));
  Move all(std::move(host), std::move(inside), std::move(host_ns), netns_fd);
  for (const oci::NetDevice& device : devices) {
    auto moved = all.move(device);
    if (!moved) return explained(std::move(moved).error(), device);
  }
  all.commit();
  return {};
}

}  // namespace vrun::network
