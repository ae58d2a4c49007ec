#include <algorithm>

#include "base/fs.hpp"
#include "base/id.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"
#include "network/flows.hpp"
#include "network/names.hpp"
#include "network/session.hpp"

namespace vrun::network {
namespace {

constexpr std::size_t kMostResolverBytes = 1U << 20U;

std::string host_text(const char* path) {
  return fs::read_file(At::cwd(), path, kMostResolverBytes).value_or("");
}

Result<void> write_resolver(Session& session, const AttachRequest& request) {
  if (request.resolv_file.empty()) return {};
  const ResolverWishes wishes{request.dns, request.dns_search, request.dns_options};
  const Resolver resolver = resolver_text(host_text("/etc/resolv.conf"),
                                          host_text("/run/systemd/resolve/resolv.conf"), wishes);
  if (!resolver.warning.empty()) session.warnings.push_back(resolver.warning);
  return write_in_place(At::cwd(), request.resolv_file, resolver.text);
}

GuestRecord record_of(const AttachRequest& request, const std::string& tenant) {
  GuestRecord record;
  record.net.tenant = tenant;
  record.net.guest = request.guest;
  record.net.bandwidth = request.bandwidth;
  record.hostname = request.hostname.empty() ? request.guest : request.hostname;
  record.hosts_file = request.hosts_file;
  record.extra_hosts = request.extra_hosts;
  return record;
}

// The lowest ethN that none of the interfaces has.
std::string free_interface(const GuestRecord& record) {
  const auto& all = record.net.endpoints;
  for (unsigned number = 0;; ++number) {
    std::string name = "eth" + std::to_string(number);
    const bool taken = std::any_of(all.begin(), all.end(), [&](const Endpoint& endpoint) {
      return endpoint.interface == name;
    });
    if (!taken) return name;
  }
}

const Endpoint* way_out(const GuestRecord& record) {
  const auto& all = record.net.endpoints;
  const auto found =
      std::find_if(all.begin(), all.end(), [](const Endpoint& one) { return !one.internal; });
  return found == all.end() ? nullptr : &*found;
}

Result<void> lease_all(Session& session, GuestRecord& record, const std::vector<Network>& networks,
                       const std::vector<Join>& joins) {
  for (std::size_t i = 0; i < joins.size(); ++i) {
    record.net.endpoints.push_back(
        TRY(lease_endpoint(session, networks[i], joins[i], free_interface(record), session.busy)));
  }
  return {};
}

// The order: the record before anything that it helps to take back; the ports when there is
// something to lead to; the names when the guest can be reached.
Result<void> bring_up(Session& session, GuestRecord& record, const std::vector<Network>& networks,
                      int netns) {
  for (std::size_t i = 0; i < networks.size(); ++i)
    TRY(plug_in(session, networks[i], record.net.endpoints[i], netns));
  if (const Endpoint* out = way_out(record)) TRY(add_default_routes(*out, netns));
  if (record.net.bandwidth != Bandwidth{}) TRY(set_limits(session, record));
  TRY(open_ports(session, record, record.net.ports));
  TRY(write_own_hosts(session, record));
  for (const Endpoint& endpoint : record.net.endpoints)
    TRY(join_names(session, record, endpoint));
  return {};
}

Result<GuestRecord> known_guest(Session& session, const std::string& guest) {
  std::optional<GuestRecord> record = TRY(session.records.guest(session.tenant, guest));
  if (record) return *std::move(record);
  return Error(Code::kNotFound, "guest " + quote(guest) + " has no network that can be changed")
      .hint("it is not running, or runs with --network none, host or container:NAME");
}

// What the host's end received is what the guest sent.
Counters counters_of(const LinkStats& host_side) {
  return {.in_bytes = host_side.sent_bytes,
          .in_packets = host_side.sent_packets,
          .in_dropped = host_side.sent_dropped,
          .out_bytes = host_side.received_bytes,
          .out_packets = host_side.received_packets,
          .out_dropped = host_side.received_dropped};
}

std::vector<Endpoint>::iterator find_endpoint(GuestRecord& record, const std::string& network) {
  return std::find_if(record.net.endpoints.begin(), record.net.endpoints.end(),
                      [&](const Endpoint& endpoint) { return endpoint.network == network; });
}

std::vector<Publish>::iterator find_port(std::vector<Publish>& ports, const Publish& wanted) {
  return std::find_if(ports.begin(), ports.end(), [&](const Publish& port) {
    Publish asked = wanted;
    if (asked.host_port == 0) asked.host_port = port.host_port;
    return port == asked;
  });
}

Result<void> undo_publish(Session& session, GuestRecord& record,
                          const std::vector<Publish>& ports) {
  for (const Publish& port : ports)
    std::erase(record.net.ports, port);
  TRY(session.records.save(record));
  const std::vector<RuledPorts> ruled = ruled_ports(record, ports);
  TRY(change_rules(session, remove_ports_text(ruled)));
  TRY(release_ports(session, ports));
  return forget_flows(ruled);
}

}  // namespace

Counters& Counters::operator+=(const Counters& more) {
  in_bytes += more.in_bytes;
  in_packets += more.in_packets;
  in_dropped += more.in_dropped;
  out_bytes += more.out_bytes;
  out_packets += more.out_packets;
  out_dropped += more.out_dropped;
  return *this;
}

Attachment::Attachment(Attachment&& other) noexcept
    : networks_(std::exchange(other.networks_, nullptr)),
      guest_(std::move(other.guest_)),
      warnings_(std::move(other.warnings_)) {}

Attachment::~Attachment() {
  if (networks_ != nullptr) static_cast<void>(networks_->detach(guest_.guest, Links::kRemove));
}

Result<Attachment> Networks::attach(const AttachRequest& request, const Fd& netns) {
  TRY(ContainerId::parse(request.guest));  // it becomes a file's name
  Session session = TRY(begin());
  session.busy = tenant_ + "/" + request.guest;
  // Left by a command that was killed: a guest of this name does not run, or its engine would know.
  std::optional<GuestRecord> old = TRY(session.records.guest(tenant_, request.guest));
  if (old) TRY(take_down(session, *std::move(old), Links::kRemove));

  GuestRecord record = record_of(request, tenant_);
  Undo undo([&] { static_cast<void>(take_down(session, record, Links::kRemove)); });
  std::vector<Network> networks;
  for (const Join& join : request.joins)
    networks.push_back(TRY(network_for(session, join.network)));
  TRY(lease_all(session, record, networks, request.joins));
  record.net.ports = TRY(reserve_ports(session, record, request.ports));
  TRY(session.records.save(record));
  TRY(bring_up(session, record, networks, netns.get()));
  TRY(write_resolver(session, request));
  undo.commit();
  return Attachment(this, std::move(record.net), std::move(session.warnings));
}

Result<void> Networks::detach(const std::string& guest, Links links) {
  if (!TRY(Records(places_).guest(tenant_, guest))) return {};
  Session session = TRY(begin());
  std::optional<GuestRecord> record = TRY(session.records.guest(tenant_, guest));
  if (!record) return {};
  return take_down(session, *std::move(record), links);
}

Result<Endpoint> Networks::connect(const std::string& guest, const Join& join, const Fd& netns) {
  Session session = TRY(begin());
  GuestRecord record = TRY(known_guest(session, guest));
  const Network network = TRY(network_for(session, join.network));
  if (find_endpoint(record, network.name) != record.net.endpoints.end()) {
    return Error(Code::kExists,
                 "guest " + quote(guest) + " is already on network " + quote(network.name));
  }
  const bool had_way_out = way_out(record) != nullptr;
  const std::string owner = tenant_ + "/" + guest;
  const Endpoint endpoint =
      TRY(lease_endpoint(session, network, join, free_interface(record), owner));
  const GuestRecord before = record;
  record.net.endpoints.push_back(endpoint);
  Undo undo([&] {
    static_cast<void>(leave_names(session, record, endpoint));
    static_cast<void>(session.links.remove(endpoint.host_side));
    static_cast<void>(remove_shaper(session, endpoint));
    static_cast<void>(release_endpoint(session, endpoint));
    static_cast<void>(session.records.save(before));
  });
  TRY(session.records.save(record));
  TRY(plug_in(session, network, endpoint, netns.get()));
  if (!had_way_out && !network.internal) {
    TRY(add_default_routes(endpoint, netns.get()));
    TRY(open_ports(session, record, record.net.ports));
  }
  if (record.net.bandwidth != Bandwidth{}) TRY(set_limits(session, record));
  TRY(write_own_hosts(session, record));
  TRY(join_names(session, record, endpoint));
  undo.commit();
  return endpoint;
}

Result<void> Networks::disconnect(const std::string& guest, const std::string& network,
                                  const Fd& netns) {
  Session session = TRY(begin());
  GuestRecord record = TRY(known_guest(session, guest));
  const std::string plain = network == "bridge" ? kDefaultNetwork : network;
  const auto found = find_endpoint(record, plain);
  if (found == record.net.endpoints.end()) {
    TRY(network_for(session, plain));  // an unknown name is a better reason
    return Error(Code::kState, "guest " + quote(guest) + " is not on network " + quote(plain));
  }
  const Endpoint endpoint = *found;
  const std::optional<Link> link = TRY(session.links.find(endpoint.host_side));
  if (link) record.past += counters_of(link->stats);
  const bool was_way_out = way_out(record) == &*found;
  record.net.endpoints.erase(found);
  TRY(session.records.save(record));
  if (was_way_out && !record.net.ports.empty()) TRY(sync_rules(session));
  if (record.net.bandwidth.packets != 0) TRY(sync_packet_limits(session));
  TRY(session.links.remove(endpoint.host_side));
  TRY(remove_shaper(session, endpoint));
  TRY(leave_names(session, record, endpoint));
  TRY(release_endpoint(session, endpoint));
  TRY(write_own_hosts(session, record));
  const Endpoint* next = way_out(record);
  if (was_way_out && next != nullptr) return add_default_routes(*next, netns.get());
  return {};
}

Result<std::vector<Publish>> Networks::publish(const std::string& guest,
                                               const std::vector<Publish>& ports) {
  Session session = TRY(begin());
  GuestRecord record = TRY(known_guest(session, guest));
  const std::vector<Publish> added = TRY(reserve_ports(session, record, ports));
  record.net.ports.insert(record.net.ports.end(), added.begin(), added.end());
  Undo undo([&] { static_cast<void>(undo_publish(session, record, added)); });
  TRY(session.records.save(record));
  TRY(open_ports(session, record, added));
  undo.commit();
  return added;
}

Result<void> Networks::unpublish(const std::string& guest, const std::vector<Publish>& ports) {
  Session session = TRY(begin());
  GuestRecord record = TRY(known_guest(session, guest));
  std::vector<Publish> removed;
  for (const Publish& wanted : ports) {
    const auto found = find_port(record.net.ports, wanted);
    if (found == record.net.ports.end()) {
      return Error(Code::kNotFound,
                   "guest " + quote(guest) + " has not published " + to_text(wanted))
          .hint("vrun port " + guest + " lists its ports");
    }
    removed.push_back(*found);
    record.net.ports.erase(found);
  }
  return undo_publish(session, record, removed);
}

Result<void> Networks::limit(const std::string& guest, const Bandwidth& bandwidth) {
  Session session = TRY(begin());
  const GuestRecord before = TRY(known_guest(session, guest));
  if (before.net.bandwidth == bandwidth) return {};
  GuestRecord record = before;
  record.net.bandwidth = bandwidth;
  const auto set = [&](const GuestRecord& wanted) -> Result<void> {
    TRY(session.records.save(wanted));
    TRY(set_limits(session, wanted));
    const bool none_left = wanted.net.bandwidth.packets == 0;
    const bool had = before.net.bandwidth.packets != 0 || bandwidth.packets != 0;
    if (none_left && had) return sync_packet_limits(session);
    return {};
  };
  Undo undo([&] { static_cast<void>(set(before)); });
  TRY(set(record));
  undo.commit();
  return {};
}

Result<void> Networks::rename(const std::string& guest, const std::string& name,
                              const std::string& hosts_file) {
  TRY(ContainerId::parse(name));
  Session session = TRY(begin());
  std::optional<GuestRecord> found = TRY(session.records.guest(tenant_, guest));
  if (!found) return {};
  GuestRecord record = *std::move(found);
  for (const Endpoint& endpoint : record.net.endpoints)
    TRY(leave_names(session, record, endpoint));
  record.net.guest = name;
  if (!hosts_file.empty()) record.hosts_file = hosts_file;
  if (record.hostname == guest) record.hostname = name;
  // The new record before the old one goes: at any moment one of them owns the leases.
  TRY(session.records.save(record));
  TRY(own_leases(session, record));
  TRY(session.records.remove_guest(tenant_, guest));
  TRY(write_own_hosts(session, record));
  for (const Endpoint& endpoint : record.net.endpoints)
    TRY(join_names(session, record, endpoint));
  return {};
}

Result<Counters> Networks::counters(const std::string& guest) const {
  const std::optional<GuestRecord> record = TRY(Records(places_).guest(tenant_, guest));
  if (!record) return Counters{};
  Counters sum = record->past;
  LinkTable links = TRY(LinkTable::open());
  for (const Endpoint& endpoint : record->net.endpoints) {
    const std::optional<Link> link = TRY(links.find(endpoint.host_side));
    if (link) sum += counters_of(link->stats);
  }
  return sum;
}

}  // namespace vrun::network
