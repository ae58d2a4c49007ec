#include "vm/vmm/net_cards.hpp"

#include <cstring>

#include "base/sys.hpp"
#include "vm/agent/cards.hpp"

namespace vrun::vmm {

Result<std::vector<TakenCard>> take_cards(const Fd& socket) {
  std::vector<TakenCard> cards;
  while (true) {
    std::array<char, sizeof(vm::CardMessage) + 1> buffer{};
    sys::Received received = TRY(sys::receive(socket.get(), buffer));
    if (received.bytes == 0) return cards;
    if (received.bytes != sizeof(vm::CardMessage) || !received.fd || cards.size() == vm::kMostCards)
      return Error(Code::kInvalid, "--cards: that is no network card");
    vm::CardMessage message;
    std::memcpy(&message, buffer.data(), sizeof message);
    cards.push_back({std::move(received.fd), {.mac = message.mac, .mtu = message.mtu}});
  }
}

}  // namespace vrun::vmm
