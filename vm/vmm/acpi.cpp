#include "vm/vmm/acpi.hpp"

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "vm/vmm/aml.hpp"
#include "vm/vmm/layout.hpp"
#include "vm/vmm/pci.hpp"
#include "vm/vmm/power.hpp"
#include "vm/vmm/slots.hpp"

namespace vrun::vmm {
namespace {

// A table that is being written: little-endian fields behind each other.
class Table {
 public:
  Table(std::string_view signature, unsigned revision) {
    text(signature).u32(0).u8(revision).u8(0);  // length and checksum come last
    text("VRUN  ").text("VRUNMACH").u32(1).text("VRUN").u32(1);
  }
  Table& text(std::string_view bytes) {
    bytes_.append(bytes);
    return *this;
  }
  Table& u8(std::uint64_t value) { return put(value, 1); }
  Table& u16(std::uint64_t value) { return put(value, 2); }
  Table& u32(std::uint64_t value) { return put(value, 4); }
  Table& u64(std::uint64_t value) { return put(value, 8); }
  Table& zeros(std::size_t count) {
    bytes_.append(count, '\0');
    return *this;
  }
  // A register in port space, one byte wide (generic address structure).
  Table& port(std::uint16_t number) { return u8(1).u8(8).u8(0).u8(1).u64(number); }
  std::string finished() {
    const auto length = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data() + 4, &length, sizeof length);
    bytes_[9] = checksum(bytes_);
    return std::move(bytes_);
  }
  static char checksum(std::string_view bytes) {
    unsigned sum = 0;
    for (const char byte : bytes)
      sum += static_cast<unsigned char>(byte);
    return static_cast<char>(0x100 - (sum & 0xff));
  }

 private:
  Table& put(std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i)
      bytes_.push_back(static_cast<char>(value >> (8 * i)));
    return *this;
  }
  std::string bytes_;
};

std::string slot_name(unsigned slot) {
  return {'S', static_cast<char>('0' + slot / 10), static_cast<char>('0' + slot % 10), '_'};
}

// A slot with _EJ0 is one whose device may come and go (ACPI 6.4, 6.3.3).
aml::Term slots() {
  using namespace aml;
  Term all = port_words("SLTR", Slots::kPort, {"SINS", "SWNT", "SEJT"});
  for (unsigned slot = 1; slot < PciBus::kSlots; ++slot) {
    all += device(slot_name(slot),
                  named("_ADR", number(std::uint64_t{slot} << 16)) + named("_SUN", number(slot)) +
                      method("_EJ0", 1, store(number(std::uint64_t{1} << slot), path("SEJT"))));
  }
  return all;
}

aml::Term tell_slots() {
  using namespace aml;
  constexpr std::uint64_t kDeviceCheck = 1, kEjectRequest = 3;  // ACPI 6.4, 5.6.6
  Term all = store(path("\\_SB_.PC00.SINS"), local(1)) + store(path("\\_SB_.PC00.SWNT"), local(2));
  for (unsigned slot = 1; slot < PciBus::kSlots; ++slot) {
    const std::string name = "\\_SB_.PC00." + slot_name(slot);
    const Term bit = number(std::uint64_t{1} << slot);
    all += when(both(local(1), bit), notify(name, kDeviceCheck));
    all += when(both(local(2), bit), notify(name, kEjectRequest));
  }
  return all;
}

std::string dsdt() {
  using namespace aml;
  const Term bus = device(
      "PC00",
      named("_HID", eisa_id("PNP0A08")) + named("_CID", eisa_id("PNP0A03")) +
          named("_UID", number(0)) + named("_SEG", number(0)) + named("_BBN", number(0)) +
          named("_CRS", resources({bus_numbers(0, 0),
                                   memory_window(layout::kPciWindow, layout::kPciWindowSize)})) +
          slots());
  const Term board = device(
      "MBRD", named("_HID", eisa_id("PNP0C02")) + named("_UID", number(0)) +
                  named("_CRS", resources({fixed_memory(layout::kEcam, layout::kEcamSize)})));
  const Term serial =
      device("COM1", named("_HID", eisa_id("PNP0501")) + named("_UID", number(0)) +
                         named("_CRS", resources({io_ports(layout::kSerialPort, 8),
                                                  interrupt(layout::kSerialLine)})));
  const Term clock = device("RTC_", named("_HID", eisa_id("PNP0B00")) +
                                        named("_CRS", resources({io_ports(layout::kRtcPort, 2)})));
  const Term button = device("PWRB", named("_HID", eisa_id("PNP0C0C")) + named("_UID", number(0)));
  const Term handler = store(path("EVST"), local(0)) +
                       when(both(local(0), number(Power::kButton)), notify("\\_SB_.PWRB", 0x80)) +
                       when(both(local(0), number(Power::kRescan)), notify("\\_SB_.PC00", 0)) +
                       when(both(local(0), number(Power::kSlots)), tell_slots());
  const Term events =
      device("GED_", named("_HID", text("ACPI0013")) + named("_UID", number(0)) +
                         named("_CRS", resources({interrupt(layout::kEventLine)})) +
                         port_byte("EVTR", "EVST", Power::kEventPort) + method("_EVT", 1, handler));
  const Term off =
      named("\\_S5_", package({number(Power::kOffType), number(0), number(0), number(0)}));
  return Table("DSDT", 6)
      .text(scope("\\_SB_", bus + board + serial + clock + button + events))
      .text(off)
      .finished();
}

std::string fadt(std::uint64_t dsdt_at) {
  constexpr std::uint32_t kWbinvd = 1, kSleepButtonIsDevice = 1 << 5, kResetRegister = 1 << 10;
  constexpr std::uint32_t kReducedHardware = 1 << 20;
  constexpr std::uint16_t kNoVga = 1 << 2, kLegacyDevices = 1;
  Table table("FACP", 6);
  table.u32(0).u32(static_cast<std::uint32_t>(dsdt_at)).u8(0).u8(0).u16(0);  // to offset 48
  table.zeros(109 - 48);
  // No keyboard controller: the kernel does not look for one.
  table.u16(kLegacyDevices | kNoVga).u8(0);
  table.u32(kWbinvd | kSleepButtonIsDevice | kResetRegister | kReducedHardware);
  table.port(Power::kResetPort).u8(Power::kResetValue).u16(0).u8(5);  // minor version
  table.u64(0).u64(dsdt_at);
  table.zeros(244 - 148);
  table.port(Power::kSleepPort).port(Power::kSleepStatusPort).text("VRUNKVM ");
  return table.finished();
}

std::string madt(std::uint32_t processors) {
  Table table("APIC", 5);
  table.u32(layout::kLocalApic).u32(0);
  for (std::uint32_t id = 0; id < processors; ++id)
    table.u8(0).u8(8).u8(id).u8(id).u32(1);  // local APIC, enabled
  table.u8(1).u8(12).u8(0).u8(0).u32(layout::kIoApic).u32(0);
  return table.finished();
}

std::string mcfg() {
  return Table("MCFG", 1).u64(0).u64(layout::kEcam).u16(0).u8(0).u8(0).u32(0).finished();
}

}  // namespace

Result<void> write_acpi_tables(const GuestMemory& memory, std::uint32_t processors) {
  std::uint64_t next = layout::kAcpi + 64;  // behind the RSDP
  bool fits = true;
  const auto place = [&](const std::string& table) {
    const std::uint64_t at = next;
    std::byte* to = memory.at(at, table.size());
    fits = fits && to != nullptr && at + table.size() <= layout::kAcpiEnd;
    if (fits) std::memcpy(to, table.data(), table.size());
    next = (at + table.size() + 15) & ~std::uint64_t{15};
    return at;
  };
  const std::uint64_t fadt_at = place(fadt(place(dsdt())));
  const std::uint64_t madt_at = place(madt(processors));
  const std::uint64_t mcfg_at = place(mcfg());
  const std::uint64_t xsdt_at =
      place(Table("XSDT", 1).u64(fadt_at).u64(madt_at).u64(mcfg_at).finished());

  std::string rsdp = "RSD PTR ";
  rsdp.push_back('\0');
  rsdp += "VRUN  ";
  rsdp.push_back(2);                // revision
  rsdp.append(4, '\0');             // no RSDT
  rsdp[8] = Table::checksum(rsdp);  // of the first 20 bytes
  const std::uint32_t length = 36;
  rsdp.append(reinterpret_cast<const char*>(&length), 4);
  rsdp.append(reinterpret_cast<const char*>(&xsdt_at), 8);
  rsdp.append(4, '\0');
  rsdp[32] = Table::checksum(rsdp);
  std::byte* to = memory.at(layout::kAcpi, rsdp.size());
  if (!fits || to == nullptr)
    return Error(Code::kInvalid,
                 std::to_string(processors) + " processors: their tables do not fit into 128 KiB");
  std::memcpy(to, rsdp.data(), rsdp.size());
  return {};
}

}  // namespace vrun::vmm
