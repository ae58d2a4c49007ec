// `vrun port`: where published ports answer.
#include <algorithm>

#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/published_ports.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_tools.hpp"
#include "engine/guest_network.hpp"

namespace vrun::cli {
namespace {

std::vector<std::string> addresses_of(const network::Publish& port, Families families) {
  std::vector<std::string> addresses;
  if (port.on_ipv4()) addresses.push_back(to_text(port.host4.value_or(network::Ipv4{})));
  const bool with_ipv6 = port.host6 || families == Families::kBoth;
  if (port.on_ipv6() && with_ipv6) {
    addresses.push_back("[" + to_text(port.host6.value_or(network::Ipv6{})) + "]");
  }
  return addresses;
}

// A guest that runs says by its addresses what answers.
Families families_of(const std::optional<network::GuestNetwork>& now) {
  if (!now) return Families::kBoth;
  const bool any6 = std::any_of(now->endpoints.begin(), now->endpoints.end(),
                                [](const network::Endpoint& one) { return one.ipv6.has_value(); });
  return any6 ? Families::kBoth : Families::kIpv4;
}

}  // namespace

std::vector<PublishedPort> published(const network::Publish& port, Families families) {
  std::vector<PublishedPort> all;
  for (unsigned i = 0; i < port.count; ++i) {
    const std::string inside =
        std::to_string(port.guest_port + i) + "/" + network::to_text(port.protocol);
    const std::string outside = port.host_port == 0 ? "any" : std::to_string(port.host_port + i);
    for (const std::string& address : addresses_of(port, families))
      all.push_back({inside, address + ":" + outside});
  }
  return all;
}

Result<std::vector<std::string>> port_texts(const engine::Guests& guests,
                                            const engine::GuestRecord& record) {
  std::vector<std::string> texts;
  if (record.request.publish.empty()) return texts;  // `ps` of many guests reads no more files
  for (const network::Publish& port : TRY(engine::ports_of(guests, record)))
    texts.push_back(to_text(port));
  return texts;
}

Result<int> everyday_port(const EverydayCall& call) {
  const engine::Guests guests = TRY(guests_of(call));
  const engine::Guest guest = TRY(guests.find(call.arguments.word(0)));
  const bool all = call.arguments.words().size() < 2;
  std::string wanted = call.arguments.word(1);
  if (wanted.find('/') == std::string::npos) wanted += "/tcp";
  std::string out;
  const Families families = families_of(TRY(engine::network_of(guests, guest.record)));
  for (const network::Publish& port : TRY(engine::ports_of(guests, guest.record))) {
    for (const PublishedPort& one : published(port, families)) {
      if (all) out += one.inside + " -> " + one.where + "\n";
      if (!all && one.inside == wanted) out += one.where + "\n";
    }
  }
  if (!all && out.empty()) {
    return Error(Code::kNotFound, "guest " + quote(guest.record.name) + " has no published port " +
                                      quote(call.arguments.word(1)))
        .hint("`vrun port " + guest.record.name + "` lists what it has");
  }
  TRY(sys::write_all(STDOUT_FILENO, out));
  return 0;
}

}  // namespace vrun::cli
