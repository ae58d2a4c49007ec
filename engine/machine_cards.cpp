#include "engine/machine_cards.hpp"

#include <algorithm>
#include <chrono>

#include "base/json_table.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/disk.hpp"
#include "engine/guest_network.hpp"
#include "engine/micro_vm_call.hpp"
#include "network/tap.hpp"
#include "vm/agent/cards.hpp"

namespace vrun::engine {

struct Unplugged {
  bool gone = false;
};
constexpr auto json_fields(const Unplugged*) {
  return json::fields(json::field("gone", &Unplugged::gone, {.required = true}));
}

namespace {

using Clock = std::chrono::steady_clock;

// How long a guest may take to let go; it is asked again meanwhile, because one that still boots
// does not hear it.
constexpr std::chrono::seconds kToLetGo{15};
constexpr int kLookMs = 100;

std::uint64_t number_of(const network::Mac& mac) {
  std::uint64_t number = 0;
  for (const std::uint8_t byte : mac.bytes)
    number = number << 8U | byte;
  return number;
}

std::string call_about(std::string_view call, const network::Mac& mac, std::uint32_t mtu = 0) {
  json::Writer w;
  w.begin_object().member("call", call).member("mac", number_of(mac));
  if (mtu != 0) w.member("mtu", std::uint64_t{mtu});
  return w.end_object().take();
}

// Where there is no other way out, the new one is it.
Result<bool> leads_out(const Guests& guests, const GuestRecord& record,
                       const network::Endpoint& endpoint) {
  const network::GuestNetwork now = TRY(network_of(guests, record));
  const auto first = std::find_if(now.endpoints.begin(), now.endpoints.end(),
                                  [](const network::Endpoint& one) { return !one.internal; });
  return first != now.endpoints.end() && first->interface == endpoint.interface;
}

}  // namespace

vm::GuestCard card_of(const network::Endpoint& endpoint, bool leads_out) {
  vm::GuestCard card;
  card.name = endpoint.interface;
  card.mac = to_text(endpoint.mac);
  card.addresses.push_back(to_text(endpoint.ipv4) + "/" + std::to_string(endpoint.prefix4));
  if (endpoint.ipv6)
    card.addresses.push_back(to_text(*endpoint.ipv6) + "/" + std::to_string(endpoint.prefix6));
  if (!leads_out) return card;
  card.gateways.push_back(to_text(endpoint.gateway4));
  if (endpoint.gateway6) card.gateways.push_back(to_text(*endpoint.gateway6));
  return card;
}

Result<void> check_machine_changes(const Guests& guests, const Guest& guest,
                                   const std::string& what, const std::string& when_stopped) {
  if (guest.status == GuestStatus::kPaused) {
    return Error(Code::kState, what + ": guest " + quote(guest.record.name) + " is paused")
        .hint("vrun unpause " + guest.record.name);
  }
  const MachineMemory machine = TRY(machine_memory(guests, guest.record));
  if (machine.engine == vm::Engine::kKvm) return {};
  return Error(Code::kUnsupported, what + ": QEMU's machine has the devices of its start")
      .hint(when_stopped + "; with the engine kvm (vrun doctor) it works while it runs");
}

Result<void> check_machine_cards(const Guests& guests, const Guest& guest, const char* what) {
  const std::string verb(what);
  const std::string when_stopped = "vrun stop, vrun " + verb + ", vrun start";
  if (is_disk_guest(guest.record.request)) {
    return Error(Code::kUnsupported,
                 verb + ": a system on a disk has the network cards of its start")
        .hint(when_stopped);
  }
  return check_machine_changes(guests, guest, verb, when_stopped);
}

Result<void> unplug(const Guests& guests, const GuestRecord& record, std::string_view unplug_call,
                    std::string_view keep_call, const std::string& device) {
  const Clock::time_point deadline = Clock::now() + kToLetGo;
  while (true) {
    const std::string answer = TRY(call_vmm(guests, record, unplug_call));
    if (TRY(json::read<Unplugged>(answer, "the answer of vrun-vmm")).gone) return {};
    if (Clock::now() > deadline) break;
    TRY(sys::poll({}, kLookMs));
  }
  TRY(call_vmm(guests, record, keep_call));
  return Error(Code::kTimeout,
               "the guest's kernel does not let go of the " + device + ", and keeps it")
      .hint("once more when the guest has booted, or while it is stopped");
}

Result<void> plug_card(const Guests& guests, const GuestRecord& record,
                       const network::Endpoint& endpoint, const Fd& netns) {
  network::Tap tap = TRY(network::make_tap(guests.host(), netns.get(), endpoint.interface,
                                           "tap-" + endpoint.interface));
  const std::string call = call_about("plug-card", tap.mac, tap.mtu);
  TRY(hand_vmm(guests, record, call, tap.fd));
  tap.fd.reset();
  const vm::GuestCard card = card_of(endpoint, TRY(leads_out(guests, record, endpoint)));
  Result<std::string> configured = call_agent(guests, record, vm::card_call("add-card", card));
  if (configured) return {};
  static_cast<void>(unplug_card(guests, record, endpoint));
  return std::move(configured).error();
}

Result<void> unplug_card(const Guests& guests, const GuestRecord& record,
                         const network::Endpoint& endpoint) {
  return unplug(guests, record, call_about("unplug-card", endpoint.mac),
                call_about("keep-card", endpoint.mac),
                "network card of " + quote(endpoint.network));
}

Result<void> lead_out(const Guests& guests, const GuestRecord& record,
                      const network::Endpoint& endpoint) {
  TRY(call_agent(guests, record, vm::card_call("way-out", card_of(endpoint, true))));
  return {};
}

}  // namespace vrun::engine
