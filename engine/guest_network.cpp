#include "engine/guest_network.hpp"

#include <algorithm>

#include <fcntl.h>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/checkpoint.hpp"
#include "engine/events.hpp"
#include "engine/machine_cards.hpp"
#include "engine/micro_vm.hpp"
#include "engine/rootless.hpp"
#include "engine/rootless_network.hpp"
#include "engine/tenant_policy.hpp"
#include "network/networks.hpp"
#include "network/tap.hpp"

namespace vrun::engine {
namespace {

using network::Mode;

Result<Mode> mode_of(const RunRequest& request) {
  std::vector<std::string> texts{request.network};
  texts.insert(texts.end(), request.more_networks.begin(), request.more_networks.end());
  return network::parse_mode(texts);
}

// What resolv.conf takes: addresses, and words without blanks that could begin another line.
Result<void> check_resolver(const RunRequest& request) {
  for (const std::string& server : request.dns) {
    if (network::parse_ipv4(server) || network::parse_ipv6(server)) continue;
    return Error(Code::kInvalid, "--dns " + quote(server) + ": not an address");
  }
  const auto check = [](const char* flag, const std::vector<std::string>& words) -> Result<void> {
    for (const std::string& word : words) {
      const bool plain = std::all_of(word.begin(), word.end(),
                                     [](unsigned char c) { return c > ' ' && c != 0x7F; });
      if (word.empty() || !plain) {
        return Error(Code::kInvalid, std::string(flag) + " " + quote(word) + ": not one word");
      }
    }
    return {};
  };
  TRY(check("--dns-search", request.dns_search));
  return check("--dns-option", request.dns_options);
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
  if (!request.mac_address.empty() && !(join.mac = network::parse_mac(request.mac_address))) {
    return Error(Code::kInvalid,
                 "--mac-address " + quote(request.mac_address) + ": not a hardware address")
        .hint("such as 02:42:ac:11:00:02");
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

Result<network::Bandwidth> bandwidth_of(const RunRequest& request) {
  network::Bandwidth bandwidth;
  const auto limits = [](const std::string& text) { return !text.empty() && text != "-1"; };
  if (limits(request.bandwidth_in)) {
    bandwidth.in = TRY(network::parse_rate("--bandwidth-in", request.bandwidth_in));
  }
  if (limits(request.bandwidth_out)) {
    bandwidth.out = TRY(network::parse_rate("--bandwidth-out", request.bandwidth_out));
  }
  if (limits(request.network_pps))
    bandwidth.packets = TRY(network::parse_packets("--network-pps", request.network_pps));
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
  TRY(check_resolver(request));
  TRY(parse_all(request.expose));
  for (const std::string& text : request.add_hosts)
    attach.extra_hosts.push_back(TRY(network::parse_extra_host(text)));
  attach.dns = request.dns;
  attach.dns_search = request.dns_search;
  attach.dns_options = request.dns_options;
  attach.hosts_file = fs::join(files, "hosts");
  attach.resolv_file = fs::join(files, "resolv.conf");
  return attach;
}

// What the machine that goes on has, and its peers know.
void take_again(const network::GuestNetwork& had, network::AttachRequest& request) {
  for (network::Join& join : request.joins) {
    for (const network::Endpoint& one : had.endpoints) {
      if (one.network != join.network) continue;
      join.ipv4 = one.ipv4;
      join.ipv6 = one.ipv6;
      join.mac = one.mac;
    }
  }
  request.ports = had.ports;
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

}  // namespace

Result<Fd> netns_of(const Guests& guests, Pid pid) {
  return sys::open(At::cwd(), guests.host().proc + "/" + std::to_string(pid.value) + "/ns/net",
                   O_RDONLY);
}

Result<void> check_network(const RunRequest& request) {
  const Mode mode = TRY(mode_of(request));
  TRY(to_attach(request, GuestRecord(), ""));
  if (mode.kind == Mode::Kind::kNetworks) return {};
  if (!request.publish.empty()) {
    return needs_network("--publish " + request.publish[0], request.network);
  }
  for (const auto& [flag, rate] : {std::pair("--bandwidth-in", &request.bandwidth_in),
                                   std::pair("--bandwidth-out", &request.bandwidth_out),
                                   std::pair("--network-pps", &request.network_pps)}) {
    if (!rate->empty() && *rate != "-1") return needs_network(flag, request.network);
  }
  if (!request.ip.empty()) return needs_network("--ip " + request.ip, request.network);
  if (!request.ip6.empty()) return needs_network("--ip6 " + request.ip6, request.network);
  if (!request.mac_address.empty()) return needs_network("--mac-address", request.network);
  if (request.publish_all) return needs_network("--publish-all", request.network);
  if (!request.network_aliases.empty()) return needs_network("--network-alias", request.network);
  return {};
}

Result<void> publish_exposed(const std::vector<std::string>& of_image, RunRequest& request) {
  if (!request.publish_all) return {};
  std::vector<network::Publish> ports = TRY(parse_all(request.publish));
  std::vector<std::string> wanted = of_image;
  wanted.insert(wanted.end(), request.expose.begin(), request.expose.end());
  for (const std::string& text : wanted) {
    const network::Publish port = TRY(network::parse_publish(text));
    const bool known = std::any_of(ports.begin(), ports.end(), [&](const auto& one) {
      return one.guest_port == port.guest_port && one.protocol == port.protocol;
    });
    if (known) continue;
    ports.push_back(port);
    request.publish.push_back(text);
  }
  return {};
}

bool shares_network(const RunRequest& request) {
  return request.network == "host" || request.network.starts_with("container:");
}

Result<std::string> shared_network_path(const Guests& guests, const RunRequest& request) {
  const Mode mode = TRY(mode_of(request));
  if (mode.kind != Mode::Kind::kContainer) return std::string();
  if (guests.host().nested()) {
    return Error(Code::kUnsupported, "--network " + quote(request.network) +
                                         ": without root a guest cannot join another's network, "
                                         "which belongs to that one's user namespace")
        .hint("run it with sudo, or publish a port of the other guest and use --network host");
  }
  const Guest other = TRY(guests.find(mode.container));
  if (other.runs()) {
    return guests.host().proc + "/" + std::to_string(other.pid.value) + "/ns/net";
  }
  return Error(Code::kState, "--network " + quote(request.network) + ": guest " +
                                 quote(other.record.name) + " is not running");
}

Result<void> attach_network(const Guests& guests, const GuestRecord& record, Pid pid) {
  TRY(note_guest(guests.places(), guests.host(), record.id, pid));
  const Mode mode = TRY(mode_of(record.request));
  if (mode.kind != Mode::Kind::kNetworks) return {};
  TRY(check_ports(guests, record.request.publish));
  network::AttachRequest request =
      TRY(to_attach(record.request, record, fs::join(guests.path_of(record), "files")));
  if (is_checkpointed(record)) take_again(record.checkpoint.network, request);
  if (guests.host().nested()) return attach_uplink(guests, record, request, pid);
  const Fd netns = TRY(netns_of(guests, pid));
  network::Networks networks = TRY(networks_of(guests));
  network::Attachment attached = TRY(networks.attach(request, netns));
  for (const std::string& warning : attached.warnings())
    log::warning(warning);
  attached.commit();  // from here on detach_network() undoes it
  return {};
}

Result<void> change_ports(const Guests& guests, const GuestRecord& record,
                          const std::vector<std::string>& add,
                          const std::vector<std::string>& remove) {
  const std::vector<network::Publish> added = TRY(parse_all(add));
  const std::vector<network::Publish> removed = TRY(parse_all(remove));
  TRY(check_ports(guests, add));
  LockedGuest locked = TRY(guests.lock(record));
  TRY(refuse_for_checkpoint(locked.guest.record, "change"));
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

namespace {

Result<void> refuse_rootless(const Guests& guests, const char* what) {
  if (!guests.host().nested()) return {};
  return Error(Code::kUnsupported, std::string(what) + ": not without root")
      .hint("pasta and slirp4netns give a guest one way out; run vrun with sudo for networks");
}

const network::Endpoint* on_network(const network::GuestNetwork& now, const std::string& name) {
  const std::string plain = name == "bridge" ? network::kDefaultNetwork : name;
  const auto found = std::find_if(now.endpoints.begin(), now.endpoints.end(),
                                  [&](const auto& one) { return one.network == plain; });
  return found == now.endpoints.end() ? nullptr : &*found;
}

// The card goes first: a machine that does not let go of it keeps its network. What is gone
// already, by a command that was killed, is no fault.
Result<void> take_off(const Guests& guests, const Guest& guest, network::Networks& networks,
                      const std::string& name, const Fd& netns) {
  const network::GuestNetwork now = TRY(network_of(guests, guest.record));
  const network::Endpoint* const endpoint = on_network(now, name);
  if (endpoint == nullptr) return {};
  if (is_micro_vm(guest.record.request)) TRY(unplug_card(guests, guest.record, *endpoint));
  return networks.disconnect(guest.record.name, name, netns);
}

Result<void> connect_running(const Guests& guests, const Guest& guest, network::Networks& networks,
                             const network::Join& join) {
  const bool machine = is_micro_vm(guest.record.request);
  if (machine) TRY(check_machine_cards(guests, guest, "network connect"));
  const Fd netns = TRY(netns_of(guests, guest.pid));
  TRY(take_off(guests, guest, networks, join.network, netns));  // left by a killed command
  if (machine) TRY(network::prepare_for_more(guests.host(), netns.get()));
  const network::Endpoint endpoint = TRY(networks.connect(guest.record.name, join, netns));
  if (!machine) return {};
  Result<void> plugged = plug_card(guests, guest.record, endpoint, netns);
  if (!plugged) static_cast<void>(networks.disconnect(guest.record.name, join.network, netns));
  return plugged;
}

Result<void> disconnect_running(const Guests& guests, const Guest& guest, const std::string& name) {
  const bool machine = is_micro_vm(guest.record.request);
  if (machine) TRY(check_machine_cards(guests, guest, "network disconnect"));
  const Fd netns = TRY(netns_of(guests, guest.pid));
  network::Networks networks = TRY(networks_of(guests));
  TRY(take_off(guests, guest, networks, name, netns));
  if (!machine) return {};
  const network::GuestNetwork left = TRY(network_of(guests, guest.record));
  for (const network::Endpoint& endpoint : left.endpoints)
    if (!endpoint.internal) return lead_out(guests, guest.record, endpoint);
  return {};
}

}  // namespace

Result<void> connect_network(const Guests& guests, const GuestRecord& record,
                             const std::string& network) {
  TRY(refuse_rootless(guests, "network connect"));
  const network::Join join = TRY(network::parse_join(network));
  LockedGuest locked = TRY(guests.lock(record));
  TRY(refuse_for_checkpoint(locked.guest.record, "change"));
  RunRequest& request = locked.guest.record.request;
  if (shares_network(request)) return needs_network("network connect", request.network);
  for (const network::Join& there : TRY(mode_of(request)).joins) {
    if (there.network != join.network) continue;
    return Error(Code::kState, "guest " + quote(record.name) + " is on network " +
                                   quote(join.network) + " already");
  }
  if (request.network == "none") {
    request.network = network;
  } else {
    request.more_networks.push_back(network);
  }
  TRY(check_network(request));
  network::Networks networks = TRY(networks_of(guests));
  TRY(networks.find(join.network));
  if (locked.guest.runs()) {
    TRY(connect_running(guests, locked.guest, networks, join));
  }
  TRY(locked.save());
  note_network(guests, join.network, "connect", &record);
  return {};
}

Result<void> disconnect_network(const Guests& guests, const GuestRecord& record,
                                const std::string& network) {
  TRY(refuse_rootless(guests, "network disconnect"));
  const std::string name = TRY(network::parse_join(network)).network;
  LockedGuest locked = TRY(guests.lock(record));
  TRY(refuse_for_checkpoint(locked.guest.record, "change"));
  RunRequest& request = locked.guest.record.request;
  std::vector<std::string> texts{request.network};
  texts.insert(texts.end(), request.more_networks.begin(), request.more_networks.end());
  const auto removed = std::remove_if(texts.begin(), texts.end(), [&](const std::string& text) {
    const auto join = network::parse_join(text);
    return !shares_network(request) && text != "none" && join && join->network == name;
  });
  if (removed == texts.end()) {
    return Error(Code::kState, "guest " + quote(record.name) + " is not on network " + quote(name))
        .hint("`vrun inspect " + record.name + "` says where it is");
  }
  texts.erase(removed, texts.end());
  request.network = texts.empty() ? "none" : texts[0];
  request.more_networks.assign(texts.begin() + (texts.empty() ? 0 : 1), texts.end());
  if (request.network == "none" && !request.publish.empty()) {
    return Error(Code::kState, "guest " + quote(record.name) + " has published ports, and " +
                                   quote(name) + " is its last network")
        .hint("take them back first: vrun update --publish-rm");
  }
  if (locked.guest.runs()) {
    TRY(disconnect_running(guests, locked.guest, name));
  }
  TRY(locked.save());
  note_network(guests, name, "disconnect", &record);
  return {};
}

Result<void> change_bandwidth(const Guests& guests, const GuestRecord& record,
                              const BandwidthChange& change) {
  TRY(refuse_rootless(guests, change.packets.empty() ? "--bandwidth" : "--network-pps"));
  LockedGuest locked = TRY(guests.lock(record));
  TRY(refuse_for_checkpoint(locked.guest.record, "change"));
  RunRequest& request = locked.guest.record.request;
  const auto set = [](const std::string& wished, std::string& value) {
    if (!wished.empty()) value = wished == "-1" ? "" : wished;
  };
  set(change.in, request.bandwidth_in);
  set(change.out, request.bandwidth_out);
  set(change.packets, request.network_pps);
  const network::Bandwidth bandwidth = TRY(bandwidth_of(request));
  TRY(check_network(request));
  if (locked.guest.runs() && has_own_network(request)) {
    network::Networks networks = TRY(networks_of(guests));
    TRY(networks.limit(record.name, bandwidth));
  }
  return locked.save();
}

Result<std::vector<network::Publish>> ports_of(const Guests& guests, const GuestRecord& record) {
  const network::Networks networks = TRY(networks_of(guests));
  std::optional<network::GuestNetwork> now = TRY(networks.guest(record.name));
  if (now) return std::move(now->ports);
  return parse_all(record.request.publish);
}

Result<network::GuestNetwork> network_of(const Guests& guests, const GuestRecord& record) {
  const network::Networks networks = TRY(networks_of(guests));
  std::optional<network::GuestNetwork> now = TRY(networks.guest(record.name));
  if (now) return *std::move(now);
  network::GuestNetwork none;
  none.tenant = record.tenant;
  none.guest = record.name;
  none.ports = TRY(parse_all(record.request.publish));
  return none;
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
  if (guests.host().nested()) return {};  // nobody else knows it by name
  network::Networks networks = TRY(networks_of(guests));
  return networks.rename(old_name, record.name, fs::join(guests.path_of(record), "files/hosts"));
}

Result<void> detach_network(const Guests& guests, const GuestRecord& record) {
  if (guests.host().nested()) {
    forget_guest(guests.places(), guests.host(), record.id);
    return detach_uplink(guests, record.id);
  }
  network::Networks networks = TRY(networks_of(guests));
  return networks.detach(record.name, network::Links::kLeave);
}

}  // namespace vrun::engine
