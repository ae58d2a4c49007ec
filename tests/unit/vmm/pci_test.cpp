#include "vm/vmm/pci.hpp"

#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "vm/vmm/layout.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint64_t kSlot = 8 * 4096;

class Card : public PciDevice {
 public:
  Card() : PciDevice(0x1042'1af4, 0x0002'1af4, 0x010000, 0x8000) {
    const std::array<std::uint8_t, 4> capability{9, 9, 9, 9};
    add_capability(0x09, capability);
    add_capability(0x11, capability);
  }
  void read_memory(std::uint64_t offset, std::span<std::uint8_t> bytes) override {
    put_number(bytes, offset);
  }
  void write_memory(std::uint64_t, std::span<const std::uint8_t>) override {}
  std::vector<std::pair<std::uint64_t, std::uint64_t>> moves;

 protected:
  void config_written(std::uint64_t, std::uint64_t) override {}
  void memory_moved(std::uint64_t from, std::uint64_t to) override { moves.push_back({from, to}); }
};

struct Host {
  Host() {
    EXPECT_TRUE(pci.add(card).has_value());
    pci.connect(bus, ports);
  }
  std::uint64_t config(std::uint64_t offset, std::size_t size, std::uint64_t slot = 1) {
    std::vector<std::uint8_t> bytes(size);
    bus.read(layout::kEcam + slot * kSlot + offset, bytes);
    return number_of(bytes);
  }
  void set_config(std::uint64_t offset, std::uint64_t value, std::size_t size) {
    std::vector<std::uint8_t> bytes(size);
    put_number(bytes, value);
    bus.write(layout::kEcam + kSlot + offset, bytes);
  }
  Card card;
  std::uint64_t port(std::uint64_t number, std::size_t size) {
    std::vector<std::uint8_t> bytes(size);
    ports.read(number, bytes);
    return number_of(bytes);
  }
  void set_port(std::uint64_t number, std::uint64_t value, std::size_t size) {
    std::vector<std::uint8_t> bytes(size);
    put_number(bytes, value);
    ports.write(number, bytes);
  }
  PciBus pci;
  Bus bus, ports;
};

TEST(Pci, empty_slots_and_further_functions_answer_ones) {
  Host host;
  EXPECT_EQ(host.config(0, 4, 2), 0xffffffffu);
  EXPECT_EQ(host.config(4096, 4), 0xffffffffu);
  EXPECT_EQ(host.config(0, 4), 0x1042'1af4u);
  EXPECT_EQ(host.config(0, 2, 0), 0x8086u);
}

TEST(Pci, the_bar_tells_its_size) {
  Host host;
  EXPECT_EQ(host.config(0x10, 4), layout::kPciWindow);
  host.set_config(0x10, 0xffffffff, 4);
  EXPECT_EQ(host.config(0x10, 4), 0xffff8000u);
  host.set_config(0x14, 0xffffffff, 4);
  EXPECT_EQ(host.config(0x14, 4), 0u);
}

TEST(Pci, memory_is_seen_where_the_guest_put_it_once_it_is_enabled) {
  Host host;
  std::array<std::uint8_t, 4> bytes{};
  host.bus.read(layout::kPciWindow + 0x20, bytes);
  EXPECT_EQ(number_of(bytes), 0xffffffffu);
  host.set_config(4, 2, 2);
  host.bus.read(layout::kPciWindow + 0x20, bytes);
  EXPECT_EQ(number_of(bytes), 0x20u);
  host.set_config(0x10, layout::kPciWindow + 0x100000, 4);
  host.bus.read(layout::kPciWindow + 0x100020, bytes);
  EXPECT_EQ(number_of(bytes), 0x20u);
  host.set_config(4, 0, 2);
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> moves = {
      {0, layout::kPciWindow},
      {layout::kPciWindow, layout::kPciWindow + 0x100000},
      {layout::kPciWindow + 0x100000, 0}};
  EXPECT_EQ(host.card.moves, moves);
}

TEST(Pci, a_slot_that_became_free_is_the_last_to_be_taken) {
  Host host;
  host.set_config(4, 2, 2);
  host.pci.remove(1);
  EXPECT_EQ(host.config(0, 4), 0xffffffffu);
  std::array<std::uint8_t, 4> bytes{};
  host.bus.read(layout::kPciWindow + 0x20, bytes);
  EXPECT_EQ(number_of(bytes), 0xffffffffu);
  std::array<Card, 31> cards;
  for (unsigned i = 0; i < cards.size(); ++i)
    EXPECT_EQ(host.pci.add(cards[i]).value_or(0), i == 30 ? 1u : i + 2);
  EXPECT_FALSE(host.pci.add(host.card).has_value());
}

TEST(Pci, capabilities_are_a_list) {
  Host host;
  EXPECT_EQ(host.config(6, 2) & 0x10, 0x10u);
  const std::uint64_t first = host.config(0x34, 1);
  EXPECT_EQ(host.config(first, 1), 0x09u);
  const std::uint64_t second = host.config(first + 1, 1);
  EXPECT_EQ(host.config(second, 1), 0x11u);
  EXPECT_EQ(host.config(second + 1, 1), 0u);
}

TEST(Pci, identity_cannot_be_written) {
  Host host;
  host.set_config(0, 0, 4);
  host.set_config(0xfe, 0xffff, 4);  // over the end of what there is
  EXPECT_EQ(host.config(0, 4), 0x1042'1af4u);
}

TEST(Pci, ports_show_the_same_configuration) {
  Host host;
  // What Linux asks first: does the address register keep its value?
  host.set_port(0xcf8, 0x80000000, 4);
  EXPECT_EQ(host.port(0xcf8, 4), 0x80000000u);
  EXPECT_EQ(host.port(0xcfc, 2), 0x8086u);
  host.set_port(0xcf8, 0x80000800, 4);
  EXPECT_EQ(host.port(0xcfc, 4), 0x1042'1af4u);
  EXPECT_EQ(host.port(0xcfe, 2), 0x1042u);
  host.set_port(0xcf8, 0x80000804, 4);
  host.set_port(0xcfc, 2, 2);
  EXPECT_EQ(host.config(4, 2), 2u);
}

TEST(Pci, ports_answer_ones_for_what_is_not_there) {
  Host host;
  EXPECT_EQ(host.port(0xcfc, 4), 0xffffffffu);  // not enabled
  for (const std::uint64_t address : {0x80010000u, 0x80001000u, 0x80000900u}) {
    host.set_port(0xcf8, address, 4);
    EXPECT_EQ(host.port(0xcfc, 4), 0xffffffffu) << address;
    host.set_port(0xcfc, 0, 4);
  }
  host.set_port(0xcf8, 1, 1);  // no access to the address register
  EXPECT_EQ(host.port(0xcf8, 4), 0x80000900u);
}

TEST(Pci, a_bus_has_thirty_one_devices) {
  PciBus pci;
  std::vector<Card> cards(32);
  for (std::size_t i = 0; i < 31; ++i)
    EXPECT_TRUE(pci.add(cards[i]).has_value());
  EXPECT_EQ(pci.add(cards[31]).error().code(), Code::kInvalid);
}

}  // namespace
}  // namespace vrun::vmm
