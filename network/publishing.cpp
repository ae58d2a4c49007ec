#include <algorithm>
#include <cerrno>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/text.hpp"
#include "network/host_settings.hpp"
#include "network/session.hpp"

namespace vrun::network {
namespace {

using PortLease = Records::PortLease;

// Where free ports are looked for: the dynamic ones of RFC 6335.
constexpr std::uint32_t kFirstDynamic = 49152, kLastPort = 65535;

std::string address_of(const Publish& port) {
  if (port.host4) return to_text(*port.host4);
  return port.host6 ? to_text(*port.host6) : "*";
}

bool is_ipv6(std::string_view address) {
  return address.find(':') != std::string_view::npos;
}

bool is_any(std::string_view address) {
  return address == "*" || address == "0.0.0.0" || address == "::";
}

// Can both be open at once?
bool collide(std::string_view a, std::string_view b) {
  if (a == "*" || b == "*") return true;
  if (is_ipv6(a) != is_ipv6(b)) return false;
  return a == b || is_any(a) || is_any(b);
}

// 0, or why a program of the host could not listen there now.
int try_to_bind(Protocol protocol, const sockaddr* address, socklen_t size) {
  const int type = protocol == Protocol::kTcp ? SOCK_STREAM : SOCK_DGRAM;
  const Fd socket(::socket(address->sa_family, type | SOCK_CLOEXEC, 0));
  if (!socket) return errno == EAFNOSUPPORT ? 0 : errno;
  const int on = 1;
  // For TCP: connections that have just ended do no harm, a listener still does.
  if (protocol == Protocol::kTcp) {
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  }
  if (address->sa_family == AF_INET6) {
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  }
  return ::bind(socket.get(), address, size) == 0 ? 0 : errno;
}

int try_ipv4(Protocol protocol, Ipv4 address, std::uint16_t port) {
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(port);
  where.sin_addr.s_addr = htonl(address.bits);
  return try_to_bind(protocol, reinterpret_cast<const sockaddr*>(&where), sizeof where);
}

int try_ipv6(Protocol protocol, const Ipv6& address, std::uint16_t port) {
  sockaddr_in6 where{};
  where.sin6_family = AF_INET6;
  where.sin6_port = htons(port);
  std::copy(address.bytes.begin(), address.bytes.end(), where.sin6_addr.s6_addr);
  return try_to_bind(protocol, reinterpret_cast<const sockaddr*>(&where), sizeof where);
}

int try_port(const Publish& port, std::uint16_t number) {
  int why = 0;
  if (port.on_ipv4()) why = try_ipv4(port.protocol, port.host4.value_or(Ipv4{}), number);
  if (why == 0 && port.on_ipv6()) {
    why = try_ipv6(port.protocol, port.host6.value_or(Ipv6{}), number);
  }
  return why;
}

std::string named(const Publish& port, std::uint32_t number) {
  return "publish " + to_text(port) + ": port " + std::to_string(number) + "/" +
         to_text(port.protocol);
}

Error used_by_guest(Session& session, const Publish& port, const PortLease& lease) {
  const std::string owner = session.records.port_owner(lease).value_or("");
  return Error(Code::kExists, named(port, lease.port) + " is in use")
      .hint("guest " + quote(owner.substr(owner.find('/') + 1)) +
            " has published it; choose another port of the host");
}

Error used_by_program(const Publish& port, std::uint16_t number, int why) {
  if (why == EADDRNOTAVAIL) {
    return Error(Code::kInvalid, "publish " + to_text(port) + ": the host has no such address");
  }
  if (why != EADDRINUSE) return Error::system(why, named(port, number));
  return Error(Code::kExists, named(port, number) + " is in use")
      .hint("a program of the host listens there; `ss -lntup` names it, or choose another port");
}

const PortLease* find_collision(const std::vector<PortLease>& leases, const Publish& port,
                                std::uint32_t number) {
  const auto found = std::find_if(leases.begin(), leases.end(), [&](const PortLease& lease) {
    return lease.protocol == port.protocol && lease.port == number &&
           collide(lease.address, address_of(port));
  });
  return found == leases.end() ? nullptr : &*found;
}

bool are_free(const std::vector<PortLease>& leases, const Publish& port, std::uint32_t first) {
  for (std::uint32_t i = 0; i < port.count; ++i) {
    if (find_collision(leases, port, first + i) != nullptr) return false;
    if (try_port(port, static_cast<std::uint16_t>(first + i)) != 0) return false;
  }
  return true;
}

Result<std::uint16_t> choose_ports(const std::vector<PortLease>& leases, const Publish& port) {
  for (std::uint32_t first = kFirstDynamic; first + port.count - 1 <= kLastPort; ++first) {
    if (are_free(leases, port, first)) return static_cast<std::uint16_t>(first);
  }
  return Error(Code::kState, "publish " + to_text(port) + ": no free port on the host")
      .hint("name one: HOST-PORT:GUEST-PORT");
}

Result<void> check_free(Session& session, const std::vector<PortLease>& leases,
                        const Publish& port) {
  for (std::uint32_t i = 0; i < port.count; ++i) {
    const auto number = static_cast<std::uint16_t>(port.host_port + i);
    if (const PortLease* lease = find_collision(leases, port, number)) {
      return used_by_guest(session, port, *lease);
    }
    if (const int why = try_port(port, number)) return used_by_program(port, number, why);
  }
  return {};
}

Result<void> reserve(Session& session, const Publish& port, const std::string& owner) {
  for (std::uint32_t i = 0; i < port.count; ++i) {
    TRY(session.records.lease_port(
        {port.protocol, static_cast<std::uint16_t>(port.host_port + i), address_of(port), owner}));
  }
  return {};
}

Result<Publish> reserve_one(Session& session, const std::string& owner, Publish port) {
  std::vector<PortLease> leases = TRY(session.records.port_leases());
  if (port.host_port == 0) {
    port.host_port = TRY(choose_ports(leases, port));
  } else if (auto free = check_free(session, leases, port); !free) {
    if (!TRY(repair_once(session))) return std::move(free).error();
    leases = TRY(session.records.port_leases());
    TRY(check_free(session, leases, port));
  }
  Result<void> reserved = reserve(session, port, owner);
  if (reserved) return port;
  static_cast<void>(release_ports(session, {port}));
  return std::move(reserved).error();
}

const Endpoint* way_out(const GuestRecord& record) {
  const auto& all = record.net.endpoints;
  const auto found =
      std::find_if(all.begin(), all.end(), [](const Endpoint& one) { return !one.internal; });
  return found == all.end() ? nullptr : &*found;
}

Result<void> check_reachable(const GuestRecord& record, const std::vector<Publish>& wanted) {
  if (wanted.empty()) return {};
  const Endpoint* out = way_out(record);
  if (out == nullptr) {
    return Error(Code::kInvalid, "publish " + to_text(wanted[0]) +
                                     ": the guest is on no network that leads outside")
        .hint("ports need a network that is not internal");
  }
  for (const Publish& port : wanted) {
    if (port.host6 && *port.host6 == Ipv6{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}) {
      return Error(Code::kUnsupported,
                   "publish " + to_text(port) + ": the kernel routes nothing from [::1] to guests")
          .hint("publish on 127.0.0.1, or on an IPv6 address of an interface");
    }
    if (!port.host6 || out->ipv6) continue;
    return Error(Code::kInvalid, "publish " + to_text(port) + ": network " + quote(out->network) +
                                     " has no IPv6 addresses");
  }
  return {};
}

bool is_for_loopback(const Publish& port) {
  if (!port.on_ipv4()) return false;
  const Ipv4 address = port.host4.value_or(Ipv4{});
  return address == Ipv4{} || address.bits >> 24U == 127;
}

}  // namespace

Result<std::vector<Publish>> reserve_ports(Session& session, const GuestRecord& record,
                                           const std::vector<Publish>& wanted) {
  TRY(check_reachable(record, wanted));
  const std::string owner = record.net.tenant + "/" + record.net.guest;
  std::vector<Publish> reserved;
  for (const Publish& port : wanted) {
    Result<Publish> one = reserve_one(session, owner, port);
    if (!one) {
      static_cast<void>(release_ports(session, reserved));
      return std::move(one).error();
    }
    reserved.push_back(*one);
  }
  return reserved;
}

Result<void> release_ports(Session& session, const std::vector<Publish>& ports) {
  for (const Publish& port : ports) {
    for (std::uint32_t i = 0; i < port.count; ++i) {
      TRY(session.records.release_port(
          {port.protocol, static_cast<std::uint16_t>(port.host_port + i), address_of(port), ""}));
    }
  }
  return {};
}

Result<void> own_leases(Session& session, const GuestRecord& record) {
  const std::string owner = record.net.tenant + "/" + record.net.guest;
  for (const Endpoint& endpoint : record.net.endpoints) {
    TRY(session.records.set_owner(endpoint.bridge, to_text(endpoint.ipv4), owner));
    if (!endpoint.ipv6) continue;
    TRY(session.records.set_owner(endpoint.bridge, to_text(*endpoint.ipv6), owner));
  }
  for (const Publish& port : record.net.ports) {
    for (std::uint32_t i = 0; i < port.count; ++i) {
      const auto number = static_cast<std::uint16_t>(port.host_port + i);
      TRY(session.records.set_port_owner({port.protocol, number, address_of(port), owner}));
    }
  }
  return {};
}

std::vector<RuledPorts> ruled_ports(const GuestRecord& record, const std::vector<Publish>& ports) {
  std::vector<RuledPorts> ruled;
  const Endpoint* out = way_out(record);
  if (out == nullptr) return ruled;
  for (const Publish& port : ports)
    ruled.push_back({port, out->ipv4, out->ipv6});
  return ruled;
}

Result<void> open_ports(Session& session, const GuestRecord& record,
                        const std::vector<Publish>& ports) {
  if (ports.empty()) return {};
  TRY(change_rules(session, add_ports_text(ruled_ports(record, ports))));
  const Endpoint* out = way_out(record);
  if (out == nullptr) return {};
  const std::optional<Link> link = TRY(session.links.find(out->host_side));
  if (link) TRY(session.links.allow_hairpin(link->index));
  if (std::none_of(ports.begin(), ports.end(), is_for_loopback)) return {};
  if (auto routed = route_loopback(session.host, out->bridge); !routed) {
    session.warnings.push_back("published ports do not answer on 127.0.0.1: " +
                               routed.error().text());
  }
  return {};
}

}  // namespace vrun::network
