#include "cli/verb_network.hpp"

#include <algorithm>
#include <array>

#include <fcntl.h>
#include <unistd.h>

#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/complain.hpp"
#include "cli/table.hpp"
#include "cli/verb_guests.hpp"
#include "engine/events.hpp"
#include "engine/guest_network.hpp"
#include "engine/tenant_policy.hpp"
#include "network/documents.hpp"
#include "network/networks.hpp"

namespace vrun::cli {
namespace {

using network::GuestNetwork;
using network::Network;
using network::Networks;

Result<Networks> networks_of(const EverydayCall& call) {
  return Networks::open({call.places.data, call.places.run}, call.tenant, call.host);
}

Result<int> print(const std::string& text) {
  TRY(sys::write_all(STDOUT_FILENO, text));
  return 0;
}

Error wrong_value(std::string_view flag, const std::string& value, std::string_view wanted) {
  return Error(Code::kInvalid,
               "--" + std::string(flag) + " " + quote(value) + ": not " + std::string(wanted));
}

Result<bool> wants_json(const EverydayCall& call) {
  const std::string form = call.arguments.text("format");
  if (form == "json" || form == "table") return form == "json";
  return wrong_value("format", form, "table or json");
}

Result<void> take_labels(const EverydayCall& call, network::NewNetwork& wanted) {
  for (const std::string& label : call.arguments.list("label")) {
    const std::size_t equals = label.find('=');
    if (equals == 0 || label.empty()) return wrong_value("label", label, "KEY=VALUE");
    wanted.labels[label.substr(0, equals)] =
        equals == std::string::npos ? "" : label.substr(equals + 1);
  }
  return {};
}

Result<void> take_addresses(const EverydayCall& call, network::NewNetwork& wanted) {
  for (const std::string& text : call.arguments.list("subnet")) {
    const auto subnet4 = network::parse_subnet4(text);
    const auto subnet6 = network::parse_subnet6(text);
    if (!subnet4 && !subnet6) {
      return wrong_value("subnet", text, "a subnet")
          .hint("write ADDRESS/BITS with no bits set beyond BITS: 10.7.0.0/24, fd07::/64");
    }
    if ((subnet4 && wanted.subnet4) || (subnet6 && wanted.subnet6)) {
      return wrong_value("subnet", text, "the first of its family: one of each is enough");
    }
    if (subnet4) wanted.subnet4 = subnet4;
    if (subnet6) wanted.subnet6 = subnet6;
  }
  for (const std::string& text : call.arguments.list("gateway")) {
    const auto gateway4 = network::parse_ipv4(text);
    const auto gateway6 = network::parse_ipv6(text);
    if (!gateway4 && !gateway6) return wrong_value("gateway", text, "an address");
    if (gateway4) wanted.gateway4 = gateway4;
    if (gateway6) wanted.gateway6 = gateway6;
  }
  return {};
}

// The networks are made and gone whether or not that can be noted.
void note(const EverydayCall& call, const std::string& network, std::string_view action) {
  const Result<engine::Guests> guests = guests_of(call);
  if (guests) engine::note_network(*guests, network, action);
}

Result<int> create(const EverydayCall& call) {
  network::NewNetwork wanted;
  wanted.name = call.arguments.word(0);
  if (const std::string driver = call.arguments.text("driver"); driver != "bridge") {
    return wrong_value("driver", driver, "bridge, the one kind of network that there is");
  }
  wanted.internal = call.arguments.on("internal");
  wanted.ipv6 = call.arguments.on("ipv6") || !call.arguments.has("ipv6");
  const std::int64_t mtu = call.arguments.has("mtu") ? call.arguments.number("mtu") : 0;
  if (mtu < 0 || mtu > 65535) {
    return wrong_value("mtu", std::to_string(mtu), "a size from 1280 to 65535");
  }
  wanted.mtu = static_cast<std::uint32_t>(mtu);
  TRY(take_addresses(call, wanted));
  TRY(take_labels(call, wanted));
  Networks networks = TRY(networks_of(call));
  const Network made = TRY(networks.create(wanted));
  note(call, made.name, "create");
  return print(made.name + "\n");
}

Result<bool> passes(const Network& one, const std::string& filter) {
  const std::size_t equals = filter.find('=');
  const std::string key = filter.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : filter.substr(equals + 1);
  if (key == "name") return one.name.find(value) != std::string::npos;
  if (key == "label") {
    const std::size_t inner = value.find('=');
    const auto found = one.labels.find(value.substr(0, inner));
    if (found == one.labels.end()) return false;
    return inner == std::string::npos || found->second == value.substr(inner + 1);
  }
  return wrong_value("filter", filter, "name=TEXT or label=KEY[=VALUE]");
}

Result<std::vector<Network>> wanted_networks(const EverydayCall& call, const Networks& networks) {
  std::vector<Network> kept;
  for (Network& one : TRY(networks.list())) {
    bool keep = true;
    for (const std::string& filter : call.arguments.list("filter"))
      keep = TRY(passes(one, filter)) && keep;
    if (keep) kept.push_back(std::move(one));
  }
  return kept;
}

std::string json_of(const std::vector<Network>& networks) {
  json::Writer writer(json::Style::kSpaces);
  writer.begin_array();
  for (const Network& one : networks)
    json::encode(writer, json::Rule(), one);
  writer.end_array();
  return writer.take() + "\n";
}

Result<int> list(const EverydayCall& call) {
  const Networks networks = TRY(networks_of(call));
  const std::vector<Network> all = TRY(wanted_networks(call, networks));
  if (call.arguments.on("quiet")) {
    std::string names;
    for (const Network& one : all)
      names += printable(one.name) + "\n";
    return print(names);
  }
  if (TRY(wants_json(call))) return print(json_of(all));
  std::vector<std::vector<std::string>> rows{
      {"NAME", "SUBNET", "SUBNET6", "BRIDGE", "INTERNAL", "GUESTS"}};
  for (const Network& one : all) {
    rows.push_back({one.name, to_text(one.subnet4), one.subnet6 ? to_text(*one.subnet6) : "-",
                    one.bridge, one.internal ? "yes" : "no",
                    std::to_string(TRY(networks.members(one.name)).size())});
  }
  return print(table(rows));
}

void write_inspected(json::Writer& writer, const Network& one,
                     const std::vector<GuestNetwork>& members) {
  writer.begin_object();
  writer.key("network");
  json::encode(writer, json::Rule(), one);
  writer.key("guests").begin_array();
  for (const GuestNetwork& member : members)
    json::encode(writer, json::Rule(), member);
  writer.end_array();
  writer.end_object();
}

Result<int> inspect(const EverydayCall& call) {
  Networks networks = TRY(networks_of(call));
  json::Writer writer(json::Style::kSpaces);
  writer.begin_array();
  for (std::size_t i = 0; i < call.arguments.words().size(); ++i) {
    const Network one = TRY(networks.find(call.arguments.word(i)));
    write_inspected(writer, one, TRY(networks.members(one.name)));
  }
  writer.end_array();
  return print(writer.take() + "\n");
}

// A failure does not keep the others.
Result<int> remove(const EverydayCall& call) {
  Networks networks = TRY(networks_of(call));
  int failed = 0;
  for (std::size_t i = 0; i < call.arguments.words().size(); ++i) {
    const std::string name = call.arguments.word(i);
    Result<void> removed = networks.remove(name);
    if (removed) {
      note(call, name, "remove");
      TRY(print(name + "\n"));
      continue;
    }
    if (call.arguments.on("force") && removed.error().code() == Code::kNotFound) continue;
    complain("vrun", std::move(removed).error().during("network rm"));
    failed = kOwnFailure;
  }
  return failed;
}

// As a text of --network.
Result<std::string> join_of(const EverydayCall& call) {
  // One parser for the options, whether they stand here or in --network NAME:ip=...
  std::vector<std::string> options;
  const auto take = [&](std::string_view flag, const std::string& key) {
    if (call.arguments.has(flag)) options.push_back(key + "=" + call.arguments.text(flag));
  };
  take("ip", "ip");
  take("ip6", "ip6");
  take("mac-address", "mac");
  for (const std::string& alias : call.arguments.list("alias"))
    options.push_back("alias=" + alias);
  std::string text = call.arguments.word(0);
  if (!options.empty()) text += ":" + join(options, ",");
  TRY(network::parse_join(text));
  return text;
}

Result<int> connect(const EverydayCall& call) {
  const std::string text = TRY(join_of(call));
  const network::Join join = TRY(network::parse_join(text));
  TRY(engine::check_networks(call.places, call.tenant, std::vector{join.network}));
  const engine::Guests guests = TRY(guests_of(call));
  const engine::Guest guest = TRY(guests.find(call.arguments.word(1)));
  TRY(engine::connect_network(guests, guest.record, text));
  return 0;
}

Result<int> disconnect(const EverydayCall& call) {
  const engine::Guests guests = TRY(guests_of(call));
  const engine::Guest guest = TRY(guests.find(call.arguments.word(1)));
  Result<void> done = engine::disconnect_network(guests, guest.record, call.arguments.word(0));
  if (!done && call.arguments.on("force") && done.error().code() == Code::kState) return 0;
  if (!done) return std::move(done).error();
  return 0;
}

Result<int> prune(const EverydayCall& call) {
  Networks networks = TRY(networks_of(call));
  for (const std::string& name : TRY(networks.prune())) {
    note(call, name, "remove");
    TRY(print(name + "\n"));
  }
  return 0;
}

struct Row {
  std::string_view verb;
  Result<int> (*function)(const EverydayCall&);
};
constexpr std::array kFunctions{
    Row{"network create", &create},   Row{"network ls", &list},
    Row{"network inspect", &inspect}, Row{"network rm", &remove},
    Row{"network connect", &connect}, Row{"network disconnect", &disconnect},
    Row{"network prune", &prune},
};

const Row* find_row(std::string_view verb) {
  const auto found = std::find_if(kFunctions.begin(), kFunctions.end(),
                                  [&](const Row& row) { return row.verb == verb; });
  return found == kFunctions.end() ? nullptr : &*found;
}

}  // namespace

bool is_network_verb(std::string_view verb) {
  return find_row(verb) != nullptr;
}

Result<int> everyday_network(std::string_view verb, const EverydayCall& call) {
  return find_row(verb)->function(call);
}

}  // namespace vrun::cli
