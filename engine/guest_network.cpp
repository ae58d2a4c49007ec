#include "engine/guest_network.hpp"

#include <algorithm>

#include <fcntl.h>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::engine {
namespace {

using network::Mode;

Result<Mode> mode_of(const RunRequest& request) {
  std::vector<std::string> networks{request.network};
  networks.insert(networks.end(), request.connected.begin(), request.connected.end());
  return network::parse_mode(networks);
}

Error needs_network(const std::string& flag, const std::string& network) {
  return Error(Code::kInvalid,
               flag + ": the guest has no network of its own with --network " + network)
      .hint("leave --network away, or name a network");
}

// --ip, --ip6 and --network-alias belong to the first network.
Result<void> add_flags(const RunRequest& request, network::Join& join) {
  if (!request.ip.empty() && !(join.ipv4 = network::parse_ipv4(request.ip))) {
    return Error(Code::kInvalid, "--ip " + quote(request.ip) + ": not an IPv4 address");
  }
  if (!request.ip6.empty() && !(join.ipv6 = network::parse_ipv6(request.ip6))) {
    return Error(Code::kInvalid, "--ip6 " + quote(request.ip6) + ": not an IPv6 address");
  }
  for (const std::string& alias : request.network_aliases) {
    TRY(network::check_alias(alias));
    join.aliases.push_back(alias);
  }
  return {};
}

Result<std::vector<network::Publish>> parse_all(const std::vector<std::string>& texts) {
  std::vector<network::Publish> ports;
  for (const std::string& text : texts)
    ports.push_back(TRY(network::parse_publish(text)));
  return ports;
}

Result<void> check_servers(const std::vector<std::string>& servers) {
  for (const std::string& server : servers) {
    if (network::parse_ipv4(server) || network::parse_ipv6(server)) continue;
    return Error(Code::kInvalid, "--dns " + quote(server) + ": not an address")
        .hint("name servers are written as addresses: 192.0.2.53, 2001:db8::53");
  }
  return {};
}

Result<network::Bandwidth> bandwidth_of(const RunRequest& request) {
  network::Bandwidth bandwidth;
  if (!request.bandwidth_in.empty()) {
    bandwidth.in = TRY(network::parse_rate("--bandwidth-in", request.bandwidth_in));
  }
  if (!request.bandwidth_out.empty()) {
    bandwidth.out = TRY(network::parse_rate("--bandwidth-out", request.bandwidth_out));
  }
  return bandwidth;
}

Result<network::AttachRequest> to_attach(const RunRequest& request, const GuestRecord& record,
                                         const std::string& files) {
  Mode mode = TRY(mode_of(request));
  network::AttachRequest attach;
  attach.guest = record.name;
  attach.hostname = request.hostname;
  if (!mode.joins.empty()) TRY(add_flags(request, mode.joins[0]));
  attach.joins = std::move(mode.joins);
  attach.ports = TRY(parse_all(request.publish));
  attach.bandwidth = TRY(bandwidth_of(request));
  for (const std::string& text : request.add_hosts)
    attach.extra_hosts.push_back(TRY(network::parse_extra_host(text)));
  TRY(check_servers(request.dns));
  attach.dns = request.dns;
  attach.dns_search = request.dns_search;
  attach.dns_options = request.dns_options;
  attach.hosts_file = fs::join(files, "hosts");
  attach.resolv_file = fs::join(files, "resolv.conf");
  return attach;
}

Result<network::Networks> networks_of(const Guests& guests) {
  return network::Networks::open({guests.places().data, guests.places().run}, guests.tenant(),
                                 guests.host());
}

// The words may differ from those of --publish; what they mean counts.
Result<void> forget_text(std::vector<std::string>& texts, const network::Publish& port,
                         const std::string& guest) {
  for (auto text = texts.begin(); text != texts.end(); ++text) {
    const auto parsed = network::parse_publish(*text);
    if (!parsed || *parsed != port) continue;
    texts.erase(text);
    return {};
  }
  return Error(Code::kNotFound,
               "guest " + quote(guest) + " has not published " + network::to_text(port))
      .hint("vrun port " + guest + " lists its ports");
}

Result<Fd> netns_of(const Guests& guests, Pid pid) {
  return sys::open(At::cwd(), guests.host().proc + "/" + std::to_string(pid.value) + "/ns/net",
                   O_RDONLY);
}

bool is_of(const std::string& join, const std::string& network) {
  const auto parsed = network::parse_join(join);
  return parsed && parsed->network == network;
}

// The first network has flags of its own; when it goes, the next one takes its place.
void forget_network(RunRequest& request, const std::string& network) {
  auto& more = request.connected;
  if (std::erase_if(more, [&](const std::string& one) { return is_of(one, network); }) > 0) return;
  if (!is_of(request.network, network)) return;
  if (more.empty()) return;  // a guest without any comes back to it
  request.network = more.front();
  more.erase(more.begin());
  request.ip.clear();
  request.ip6.clear();
  request.network_aliases.clear();
}

}  // namespace

Result<void> check_network(const RunRequest& request) {
  const Mode mode = TRY(mode_of(request));
  TRY(to_attach(request, GuestRecord(), ""));
  if (mode.kind == Mode::Kind::kNetworks) return {};
  if (!request.publish.empty()) {
    return needs_network("--publish " + request.publish[0], request.network);
  }
  if (!request.ip.empty()) return needs_network("--ip " + request.ip, request.network);
  if (!request.ip6.empty()) return needs_network("--ip6 " + request.ip6, request.network);
  if (!request.network_aliases.empty()) return needs_network("--network-alias", request.network);
  if (!request.bandwidth_in.empty()) return needs_network("--bandwidth-in", request.network);
  if (!request.bandwidth_out.empty()) return needs_network("--bandwidth-out", request.network);
  return {};
}

bool shares_network(const RunRequest& request) {
  return request.network == "host" || request.network.starts_with("container:");
}

Result<std::string> shared_network_path(const Guests& guests, const RunRequest& request) {
  const Mode mode = TRY(mode_of(request));
  if (mode.kind != Mode::Kind::kContainer) return std::string();
  const Guest other = TRY(guests.find(mode.container));
  if (other.runs()) {
    return guests.host().proc + "/" + std::to_string(other.pid.value) + "/ns/net";
  }
  return Error(Code::kState, "--network " + quote(request.network) + ": guest " +
                                 quote(other.record.name) + " is not running");
}

Result<void> attach_network(const Guests& guests, const GuestRecord& record, Pid pid) {
  const Mode mode = TRY(mode_of(record.request));
  if (mode.kind != Mode::Kind::kNetworks) return {};
  const network::AttachRequest request =
      TRY(to_attach(record.request, record, fs::join(guests.path_of(record), "files")));
  const Fd netns = TRY(netns_of(guests, pid));
  network::Networks networks = TRY(networks_of(guests));
  network::Attachment attached = TRY(networks.attach(request, netns));
  for (const std::string& warning : attached.warnings())
    log::warning(warning);
  attached.commit();  // from here on detach_network() undoes it
  return {};
}

Result<void> connect_guest(const Guests& guests, const GuestRecord& record,
                           const std::string& join) {
  const network::Join parsed = TRY(network::parse_join(join));
  LockedGuest locked = TRY(guests.lock(record));
  RunRequest& request = locked.guest.record.request;
  if (!has_own_network(request)) return needs_network("network connect", request.network);
  // It may come back to the only network that it was taken off.
  std::vector<std::string>& more = request.connected;
  const bool has = is_of(request.network, parsed.network) ||
                   std::any_of(more.begin(), more.end(),
                               [&](const std::string& one) { return is_of(one, parsed.network); });
  network::Networks networks = TRY(networks_of(guests));
  TRY(networks.find(parsed.network));
  if (locked.guest.runs()) {
    const Fd netns = TRY(netns_of(guests, locked.guest.pid));
    TRY(networks.connect(record.name, parsed, netns));
  } else if (has) {
    return Error(Code::kExists,
                 "guest " + quote(record.name) + " is already on network " + quote(parsed.network));
  }
  if (has) return {};
  more.push_back(join);
  return locked.save();
}

Result<void> disconnect_guest(const Guests& guests, const GuestRecord& record,
                              const std::string& network) {
  const std::string plain = TRY(network::parse_join(network)).network;
  LockedGuest locked = TRY(guests.lock(record));
  RunRequest& request = locked.guest.record.request;
  if (locked.guest.runs()) {
    network::Networks networks = TRY(networks_of(guests));
    const Fd netns = TRY(netns_of(guests, locked.guest.pid));
    TRY(networks.disconnect(record.name, plain, netns));
  } else if (is_of(request.network, plain) && request.connected.empty()) {
    return Error(Code::kState, "network " + quote(plain) + " is the only one of guest " +
                                   quote(record.name) + ", which does not run")
        .hint("connect it to another one first");
  }
  const RunRequest before = request;
  forget_network(request, plain);
  if (request == before && !locked.guest.runs()) {
    return Error(Code::kState,
                 "guest " + quote(record.name) + " is not on network " + quote(plain));
  }
  return locked.save();
}

Result<void> change_ports(const Guests& guests, const GuestRecord& record,
                          const std::vector<std::string>& add,
                          const std::vector<std::string>& remove) {
  const std::vector<network::Publish> added = TRY(parse_all(add));
  const std::vector<network::Publish> removed = TRY(parse_all(remove));
  LockedGuest locked = TRY(guests.lock(record));
  std::vector<std::string>& kept = locked.guest.record.request.publish;
  for (const network::Publish& port : removed)
    TRY(forget_text(kept, port, record.name));
  kept.insert(kept.end(), add.begin(), add.end());
  TRY(check_network(locked.guest.record.request));
  if (locked.guest.runs()) {
    network::Networks networks = TRY(networks_of(guests));
    if (!removed.empty()) TRY(networks.unpublish(record.name, removed));
    if (!added.empty()) TRY(networks.publish(record.name, added));
  }
  return locked.save();
}

Result<std::optional<network::GuestNetwork>> network_of(const Guests& guests,
                                                        const GuestRecord& record) {
  const network::Networks networks = TRY(networks_of(guests));
  return networks.guest(record.name);
}

Result<std::vector<network::Publish>> ports_of(const Guests& guests, const GuestRecord& record) {
  std::optional<network::GuestNetwork> now = TRY(network_of(guests, record));
  if (now) return std::move(now->ports);
  return parse_all(record.request.publish);
}

Result<void> change_bandwidth(const Guests& guests, const GuestRecord& record,
                              const RunRequest& request) {
  const network::Bandwidth bandwidth = TRY(bandwidth_of(request));
  network::Networks networks = TRY(networks_of(guests));
  return networks.limit(record.name, bandwidth);
}

Result<network::Counters> traffic_of(const Guests& guests, const GuestRecord& record) {
  const network::Networks networks = TRY(networks_of(guests));
  network::Counters sum = record.traffic;
  sum += TRY(networks.counters(record.name));
  return sum;
}

bool has_own_network(const RunRequest& request) {
  return !shares_network(request) && request.network != "none";
}

Result<void> rename_network(const Guests& guests, const std::string& old_name,
                            const GuestRecord& record) {
  network::Networks networks = TRY(networks_of(guests));
  return networks.rename(old_name, record.name, fs::join(guests.path_of(record), "files/hosts"));
}

Result<void> detach_network(const Guests& guests, const GuestRecord& record) {
  network::Networks networks = TRY(networks_of(guests));
  return networks.detach(record.name, network::Links::kLeave);
}

}  // namespace vrun::engine
