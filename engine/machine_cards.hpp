// Network cards of a micro-VM that come and go while it runs (vm/vmm/plug_calls.hpp).
#pragma once

#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"
#include "network/networks.hpp"
#include "vm/lower.hpp"

namespace vrun::engine {

// The card of an endpoint; `leads_out`: with the gateways of the network.
vm::GuestCard card_of(const network::Endpoint& endpoint, bool leads_out);

// Before anything is changed: the machine can get and lose devices now. kUnsupported or kState,
// with the remedy. `what`: verb or flag; `when_stopped`: commands that change it otherwise.
Result<void> check_machine_changes(const Guests& guests, const Guest& guest,
                                   const std::string& what, const std::string& when_stopped);
// The same for cards, which the agent has to configure.
Result<void> check_machine_cards(const Guests& guests, const Guest& guest, const char* what);

// Asks until the guest has let go of `device` (words for people). kTimeout after some seconds: then
// it has been told that it may keep it. Both are calls of vrun-vmm.
Result<void> unplug(const Guests& guests, const GuestRecord& record, std::string_view unplug_call,
                    std::string_view keep_call, const std::string& device);

// The sandbox has the endpoint already (Networks::connect): a card joined with it comes into the
// machine, and the agent configures it. Nothing of the card is left after an error.
Result<void> plug_card(const Guests& guests, const GuestRecord& record,
                       const network::Endpoint& endpoint, const Fd& netns);

// The guest lets go of the card; kTimeout, and it has the card as before, when it does not.
Result<void> unplug_card(const Guests& guests, const GuestRecord& record,
                         const network::Endpoint& endpoint);

// After one was unplugged: what is the way out now, if anything is.
Result<void> lead_out(const Guests& guests, const GuestRecord& record,
                      const network::Endpoint& endpoint);

}  // namespace vrun::engine
