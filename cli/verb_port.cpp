// `vrun port`: what is published, with the host's ports as they were chosen.
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/published_ports.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_tools.hpp"
#include "engine/guest_network.hpp"

namespace vrun::cli {

std::vector<PublishedPort> published_ports(const std::vector<network::Publish>& ports) {
  std::vector<PublishedPort> all;
  for (const network::Publish& port : ports) {
    const std::string address = port.host4   ? to_text(*port.host4)
                                : port.host6 ? "[" + to_text(*port.host6) + "]"
                                             : "0.0.0.0";
    for (int i = 0; i < port.count; ++i) {
      const std::string inside = std::to_string(port.guest_port + i);
      const std::string outside = port.host_port == 0 ? "" : std::to_string(port.host_port + i);
      all.push_back({inside + "/" + to_text(port.protocol), address, outside});
    }
  }
  return all;
}

std::string where(const PublishedPort& port) {
  return port.address + ":" + (port.host_port.empty() ? "(chosen when it starts)" : port.host_port);
}

Result<int> everyday_port(const EverydayCall& call) {
  const engine::Guests guests = TRY(guests_of(call));
  const engine::Guest guest = TRY(guests.find(call.arguments.word(0)));
  const bool all = call.arguments.words().size() < 2;
  std::string wanted = call.arguments.word(1);
  if (wanted.find('/') == std::string::npos) wanted += "/tcp";
  std::string out;
  for (const PublishedPort& port : published_ports(TRY(engine::ports_of(guests, guest.record)))) {
    if (all) out += port.guest_port + " -> " + where(port) + "\n";
    if (!all && port.guest_port == wanted) out += where(port) + "\n";
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
