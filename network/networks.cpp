#include "network/networks.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include <sys/random.h>

#include "base/id.hpp"
#include "base/text.hpp"
#include "network/host_settings.hpp"
#include "network/pools.hpp"
#include "network/session.hpp"

namespace vrun::network {
namespace {

constexpr std::array<std::string_view, 6> kReserved{"none",      "host",  "bridge",
                                                    "container", "pasta", "slirp4netns"};

std::string now_text() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  ::gmtime_r(&now.tv_sec, &utc);
  std::array<char, 32> text{};
  return {text.data(), ::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc)};
}

Result<void> check_name(const std::string& name) {
  const Result<Join> parsed = parse_join(name);
  const bool plain = parsed && parsed->network == name && name.find(':') == std::string::npos;
  const bool reserved = std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end();
  if (plain && !reserved) return {};
  return Error(Code::kInvalid, "network " + quote(name) + ": not a name for a network")
      .hint(reserved ? "the word has a meaning of its own in --network"
                     : "letters, digits, '_', '-' and '.', at most 64");
}

// Random, so that hosts with several run directories do not meet: 8 digits, 11 letters of 15.
Result<std::string> make_bridge_name() {
  std::uint32_t random = 0;
  if (::getrandom(&random, sizeof random, 0) != sizeof random) {
    return Error::system(errno, "get random bytes");
  }
  std::array<char, 16> name{};
  std::snprintf(name.data(), name.size(), "vr-%08x", random);
  return std::string(name.data());
}

template <typename Subnet>
Result<void> check_apart(const Subnet& subnet, const Network& other, const Subnet& taken) {
  if (!subnet.overlaps(taken)) return {};
  return Error(Code::kExists, "subnet " + to_text(subnet) + " overlaps " + to_text(taken) +
                                  " of network " + quote(other.name))
      .hint("choose another --subnet, or none: a free one is taken");
}

Result<void> check_apart_from_host(const Subnet4& subnet, const std::vector<Subnet4>& routed) {
  for (const Subnet4& route : routed) {
    if (!subnet.overlaps(route)) continue;
    return Error(Code::kExists,
                 "subnet " + to_text(subnet) + ": the host has a route to " + to_text(route))
        .hint("choose another --subnet, or none: a free one is taken");
  }
  return {};
}

Result<void> give_ipv4(Session& session, Network& network, const NewNetwork& wanted,
                       const std::vector<Network>& others) {
  std::vector<Subnet4> used = TRY(session.links.used_subnets());
  if (wanted.subnet4) {
    network.subnet4 = *wanted.subnet4;
    network.gateway4 = wanted.gateway4.value_or(network.subnet4.at(1));
    TRY(check_subnet(network.subnet4, network.gateway4));
    for (const Network& other : others)
      TRY(check_apart(network.subnet4, other, other.subnet4));
    return check_apart_from_host(network.subnet4, used);
  }
  for (const Network& other : others)
    used.push_back(other.subnet4);
  network.subnet4 = TRY(choose_subnet(used));
  network.gateway4 = wanted.gateway4.value_or(network.subnet4.at(1));
  return check_subnet(network.subnet4, network.gateway4);
}

Result<void> give_ipv6(Session& session, Network& network, const NewNetwork& wanted,
                       const std::vector<Network>& others) {
  if (!wanted.ipv6) return {};
  if (!has_ipv6(session.host)) {
    if (!wanted.subnet6) return {};
    return Error(Code::kUnsupported,
                 "subnet " + to_text(*wanted.subnet6) + ": this host has no IPv6 (ipv6.disable=1)");
  }
  const Subnet6 subnet =
      wanted.subnet6 ? *wanted.subnet6 : subnet6_for(TRY(session.records.ula()), network.subnet4);
  network.gateway6 = wanted.gateway6.value_or(subnet.at(1));
  TRY(check_subnet(subnet, network.gateway6));
  for (const Network& other : others) {
    if (other.subnet6) TRY(check_apart(subnet, other, *other.subnet6));
  }
  network.subnet6 = subnet;
  return {};
}

Error unknown(const std::string& name, const std::vector<Network>& known) {
  std::vector<std::string_view> names{"none", "host", kDefaultNetwork};
  for (const Network& network : known)
    names.push_back(network.name);
  Error error(Code::kNotFound, "network " + quote(name) + ": there is none of this name");
  const auto near = nearest(name, names);
  if (near) return std::move(error).hint("did you mean " + quote(*near) + "?");
  return std::move(error).hint("vrun network ls lists them, vrun network create makes one");
}

std::string plain_name(const std::string& name) {
  return name == "bridge" ? kDefaultNetwork : name;
}

Result<std::vector<std::string>> guests_on(const Session& session, const Network& network) {
  std::vector<std::string> names;
  for (const GuestRecord& record : TRY(session.records.guests(network.tenant))) {
    const auto& all = record.net.endpoints;
    const bool on = std::any_of(all.begin(), all.end(), [&](const Endpoint& endpoint) {
      return endpoint.network == network.name;
    });
    if (on) names.push_back(record.net.guest);
  }
  return names;
}

// The record last: what failed before can be tried again.
Result<void> remove_network(Session& session, const Network& network) {
  TRY(session.links.remove(network.bridge));
  TRY(session.records.forget_bridge(network.bridge));
  TRY(session.records.remove(network));
  if (TRY(session.records.networks(network.tenant)).empty()) TRY(remove_tenant_shapers(session));
  const bool last = TRY(session.records.all_networks()).empty();
  if (last) return sync_rules(session);
  return change_rules(session, remove_network_text(ruled(network)));
}

}  // namespace

Result<Network> make_network(Session& session, const NewNetwork& wanted) {
  TRY(check_name(wanted.name));
  if (TRY(session.records.network(session.tenant, wanted.name))) {
    return Error(Code::kExists, "network " + quote(wanted.name) + " already exists")
        .hint("choose another name, or remove it: vrun network rm " + wanted.name);
  }
  const std::vector<Network> others = TRY(session.records.all_networks());
  Network network;
  network.tenant = session.tenant;
  network.name = wanted.name;
  network.created = now_text();
  network.bridge = TRY(make_bridge_name());
  network.internal = wanted.internal;
  network.mtu = wanted.mtu;
  network.labels = wanted.labels;
  if (wanted.mtu != 0 && (wanted.mtu < 1280 || wanted.mtu > 65535)) {
    return Error(Code::kInvalid, "mtu " + std::to_string(wanted.mtu) + ": not from 1280 to 65535");
  }
  TRY(give_ipv4(session, network, wanted, others));
  TRY(give_ipv6(session, network, wanted, others));
  TRY(session.records.save(network));
  return network;
}

Result<Network> network_for(Session& session, const std::string& name) {
  const std::string plain = plain_name(name);
  std::optional<Network> found = TRY(session.records.network(session.tenant, plain));
  if (found) return *found;
  if (plain != kDefaultNetwork) {
    return unknown(plain, TRY(session.records.networks(session.tenant)));
  }
  NewNetwork wanted;
  wanted.name = kDefaultNetwork;
  return make_network(session, wanted);
}

Result<Networks> Networks::open(const NetworkPlaces& places, const std::string& tenant,
                                const Host& host) {
  // It becomes a directory's name.
  const Result<ContainerId> name = ContainerId::parse(tenant);
  if (!name) return Error(Code::kInvalid, "tenant " + quote(tenant) + ": not a name");
  return Networks(places, tenant, host);
}

Result<Session> Networks::begin() const {
  if (host_.rootless() || host_.nested()) {
    return Error(Code::kDenied, "networks of vrun need root: bridges and rules are the machine's")
        .hint(
            "run it with sudo; without root a guest has the default network (by pasta or "
            "slirp4netns), none or host");
  }
  const Records records(places_);
  Fd lock = TRY(records.lock());
  return Session{.tenant = tenant_,
                 .host = host_,
                 .records = records,
                 .lock = std::move(lock),
                 .links = TRY(LinkTable::open()),
                 .busy = {},
                 .warnings = {}};
}

Result<Network> Networks::create(const NewNetwork& wanted) {
  Session session = TRY(begin());
  return make_network(session, wanted);
}

Result<std::vector<Network>> Networks::list() const {
  return Records(places_).networks(tenant_);
}

Result<Network> Networks::find(const std::string& name) {
  const std::string plain = plain_name(name);
  std::optional<Network> found = TRY(Records(places_).network(tenant_, plain));
  if (found) return *found;
  Session session = TRY(begin());
  return network_for(session, plain);
}

Result<std::vector<GuestNetwork>> Networks::members(const std::string& name) const {
  const std::string plain = plain_name(name);
  std::vector<GuestNetwork> found;
  for (GuestNetwork& guest : TRY(guests())) {
    const auto on = [&](const Endpoint& endpoint) { return endpoint.network == plain; };
    if (std::any_of(guest.endpoints.begin(), guest.endpoints.end(), on)) {
      found.push_back(std::move(guest));
    }
  }
  return found;
}

Result<void> Networks::remove(const std::string& name) {
  Session session = TRY(begin());
  const std::string plain = plain_name(name);
  const std::optional<Network> network = TRY(session.records.network(tenant_, plain));
  if (!network) return unknown(plain, TRY(session.records.networks(tenant_)));
  if (!TRY(guests_on(session, *network)).empty()) TRY(network::repair(session));
  const std::vector<std::string> guests = TRY(guests_on(session, *network));
  if (guests.empty()) return remove_network(session, *network);
  return Error(Code::kState,
               "network " + quote(plain) + " is in use by " + printable(join(guests, ", ")))
      .hint("end them, or take them off: vrun network disconnect " + plain + " GUEST");
}

Result<void> Networks::relabel(const std::string& name, std::map<std::string, std::string> labels) {
  Session session = TRY(begin());
  const std::string plain = plain_name(name);
  std::optional<Network> network = TRY(session.records.network(tenant_, plain));
  if (!network) return unknown(plain, TRY(session.records.networks(tenant_)));
  network->labels = std::move(labels);
  return session.records.save(*network);
}

Result<std::vector<std::string>> Networks::prune() {
  Session session = TRY(begin());
  TRY(network::repair(session));
  std::vector<std::string> removed;
  for (const Network& network : TRY(session.records.networks(tenant_))) {
    const bool kept = network.name == kDefaultNetwork || !TRY(guests_on(session, network)).empty();
    if (kept) continue;
    TRY(remove_network(session, network));
    removed.push_back(network.name);
  }
  return removed;
}

Result<std::optional<GuestNetwork>> Networks::guest(const std::string& name) const {
  std::optional<GuestRecord> record = TRY(Records(places_).guest(tenant_, name));
  if (!record) return std::optional<GuestNetwork>();
  return std::optional<GuestNetwork>(std::move(record->net));
}

Result<std::vector<GuestNetwork>> Networks::guests() const {
  std::vector<GuestNetwork> all;
  for (GuestRecord& record : TRY(Records(places_).guests(tenant_)))
    all.push_back(std::move(record.net));
  return all;
}

Result<void> Networks::repair() {
  Session session = TRY(begin());
  return network::repair(session);
}

}  // namespace vrun::network
