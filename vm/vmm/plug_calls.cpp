#include "vm/vmm/plug_calls.hpp"

#include "base/json_table.hpp"
#include "base/json_writer.hpp"
#include "base/text.hpp"
#include "vm/vmm/net.hpp"

namespace vrun::vmm {
namespace {

struct CardWish {
  std::uint64_t mac = 0;
  std::uint16_t mtu = 1500;
};
constexpr auto json_fields(const CardWish*) {
  return json::fields(
      json::field("mac", &CardWish::mac, {.max = 0xffff'ffff'ffff, .required = true}),
      json::field("mtu", &CardWish::mtu, {.min = 68}));
}

struct DiskWish {
  std::string disk;
  bool read_only = false;
};
constexpr auto json_fields(const DiskWish*) {
  return json::fields(json::field("disk", &DiskWish::disk, {.required = true, .non_empty = true}),
                      json::field("readOnly", &DiskWish::read_only));
}

std::string card_key(std::uint64_t mac) {
  return "card " + std::to_string(mac);
}

std::string disk_key(const std::string& name) {
  return "disk " + name;
}

NetCard card_of(const CardWish& wish) {
  NetCard card;
  for (std::size_t i = 0; i < card.mac.size(); ++i)
    card.mac[i] = static_cast<std::uint8_t>(wish.mac >> (8 * (card.mac.size() - 1 - i)));
  card.mtu = wish.mtu;
  return card;
}

std::uint64_t number_of(const NetCard& card) {
  std::uint64_t number = 0;
  for (const std::uint8_t byte : card.mac)
    number = number << 8U | byte;
  return number;
}

}  // namespace

Result<std::unique_ptr<Plugs>> Plugs::create(Machine& machine) {
  std::unique_ptr<Worker> maker = TRY(Worker::create("maker"));
  return std::unique_ptr<Plugs>(new Plugs(machine, std::move(maker)));
}

void Plugs::know_card(const NetCard& card, const VirtioDevice& device) {
  devices_[card_key(number_of(card))] = &device;
}

void Plugs::know_disk(const std::string& name, const VirtioDevice& device) {
  devices_[disk_key(name)] = &device;
}

Result<void> Plugs::plug(const std::string& key,
                         const std::function<Result<std::unique_ptr<VirtioDevice>>()>& make) {
  if (devices_.contains(key)) return Error(Code::kExists, "the machine has it already");
  Result<void> plugged;
  maker_->run([&] {
    Result<std::unique_ptr<VirtioDevice>> device = make();
    if (!device) {
      plugged = std::move(device).error();
      return;
    }
    const VirtioDevice* const kept = device->get();
    plugged = machine_.plug(*std::move(device));
    if (plugged) devices_[key] = kept;
  });
  return plugged;
}

Result<std::string> Plugs::plug_card(std::string_view json, Fd tap) {
  const CardWish wish = TRY(json::read<CardWish>(json, "kCall"));
  Result<void> plugged = plug(card_key(wish.mac), [&]() -> Result<std::unique_ptr<VirtioDevice>> {
    std::unique_ptr<VirtioDevice> net = TRY(Net::create(std::move(tap), card_of(wish)));
    return net;
  });
  TRY(std::move(plugged));
  return std::string("{}");
}

Result<std::string> Plugs::plug_disk(std::string_view json, Fd file) {
  const DiskWish wish = TRY(json::read<DiskWish>(json, "kCall"));
  Block* made = nullptr;
  if (devices_.contains(disk_key(wish.disk)))
    return Error(Code::kExists, "the machine has the disk already");
  std::string serial = "vrun";
  if (tell_.comes) serial = TRY(tell_.comes(wish.disk, wish.read_only, file));
  Result<void> plugged = plug(disk_key(wish.disk), [&]() -> Result<std::unique_ptr<VirtioDevice>> {
    std::unique_ptr<Block> block = TRY(Block::create(std::move(file), wish.read_only, serial));
    made = block.get();
    return std::unique_ptr<VirtioDevice>(std::move(block));
  });
  if (!plugged && tell_.has_gone) tell_.has_gone(wish.disk);
  TRY(std::move(plugged));
  if (tell_.has_come) tell_.has_come(wish.disk, *made);
  return std::string("{}");
}

Result<std::string> Plugs::unplug(const std::string& key, const std::function<void()>& gone) {
  const auto answer = [](bool is_gone) {
    return json::Writer().begin_object().member("gone", is_gone).end_object().take();
  };
  const auto found = devices_.find(key);
  if (found == devices_.end()) return answer(true);
  Result<bool> done = false;
  maker_->run([&] { done = machine_.unplug(*found->second); });
  if (!TRY(std::move(done))) return answer(false);
  devices_.erase(found);
  gone();
  return answer(true);
}

Result<std::string> Plugs::keep(const std::string& key) {
  const auto found = devices_.find(key);
  if (found != devices_.end()) machine_.keep(*found->second);
  return std::string("{}");
}

void Plugs::add_calls(std::map<std::string, Control::Call>& calls,
                      std::map<std::string, Control::FileCall>& file_calls) {
  file_calls["plug-card"] = [this](std::string_view json, Fd tap) {
    return plug_card(json, std::move(tap));
  };
  file_calls["plug-disk"] = [this](std::string_view json, Fd file) {
    return plug_disk(json, std::move(file));
  };
  calls["unplug-card"] = [this](std::string_view json) -> Result<std::string> {
    return unplug(card_key(TRY(json::read<CardWish>(json, "kCall")).mac), [] {});
  };
  calls["unplug-disk"] = [this](std::string_view json) -> Result<std::string> {
    const DiskWish wish = TRY(json::read<DiskWish>(json, "kCall"));
    return unplug(disk_key(wish.disk), [&] {
      if (tell_.has_gone) tell_.has_gone(wish.disk);
    });
  };
  calls["keep-card"] = [this](std::string_view json) -> Result<std::string> {
    return keep(card_key(TRY(json::read<CardWish>(json, "kCall")).mac));
  };
  calls["keep-disk"] = [this](std::string_view json) -> Result<std::string> {
    return keep(disk_key(TRY(json::read<DiskWish>(json, "kCall")).disk));
  };
}

}  // namespace vrun::vmm
