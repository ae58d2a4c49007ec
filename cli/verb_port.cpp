// `vrun port`: what is published, from the guest's record.
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/published_ports.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_tools.hpp"

namespace vrun::cli {

std::optional<PublishedPort> parse_published(std::string_view text) {
  PublishedPort port;
  const std::size_t slash = text.rfind('/');
  port.protocol = slash == std::string_view::npos ? "tcp" : text.substr(slash + 1);
  text = text.substr(0, slash);
  const std::size_t colon = text.rfind(':');
  port.guest_port = text.substr(colon == std::string_view::npos ? 0 : colon + 1);
  port.host_port = port.guest_port;
  port.address = "0.0.0.0";
  if (port.guest_port.empty() || port.protocol.empty()) return std::nullopt;
  if (colon == std::string_view::npos) return port;
  text = text.substr(0, colon);  // "[ADDRESS:]HOST", HOST may be empty
  const std::size_t before = text.rfind(':');
  const bool is_address = text.ends_with(']');
  if (!is_address && text.substr(before == std::string_view::npos ? 0 : before + 1).size() > 0) {
    port.host_port = text.substr(before == std::string_view::npos ? 0 : before + 1);
  }
  if (is_address) {
    port.address = text;
  } else if (before != std::string_view::npos && before > 0) {
    port.address = text.substr(0, before);
  }
  return port;
}

Result<int> everyday_port(const EverydayCall& call) {
  const engine::Guests guests = TRY(guests_of(call));
  const engine::Guest guest = TRY(guests.find(call.arguments.word(0)));
  const bool all = call.arguments.words().size() < 2;
  std::string wanted = call.arguments.word(1);
  if (wanted.find('/') == std::string::npos) wanted += "/tcp";
  std::string out;
  for (const std::string& text : guest.record.request.publish) {
    const auto port = parse_published(text);
    if (!port) continue;
    const std::string name = port->guest_port + "/" + port->protocol;
    const std::string where = port->address + ":" + port->host_port;
    if (all) out += printable(name + " -> " + where) + "\n";
    if (!all && name == wanted) out += printable(where) + "\n";
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
