#include "vm/vmm/cpu.hpp"

#include <bit>
#include <vector>

#include "vm/vmm/layout.hpp"

namespace vrun::vmm {
namespace {

// Bits of registers, by their names in the processor's manual.
constexpr std::uint64_t kCr0Pe = 1, kCr0Et = 1 << 4, kCr0Pg = 1ull << 31;
constexpr std::uint64_t kCr4Pae = 1 << 5;
constexpr std::uint64_t kEferLme = 1 << 8, kEferLma = 1 << 10;
constexpr std::uint32_t kMsrMiscEnable = 0x1a0, kMsrMtrrDefType = 0x2ff;
constexpr std::uint32_t kFeatureDeadlineTimer = 1u << 24, kFeatureHypervisor = 1u << 31;
constexpr std::uint32_t kFeatureHyperThreads = 1u << 28;

constexpr std::uint64_t kCodeSelector = 0x10, kDataSelector = 0x18;  // __BOOT_CS, __BOOT_DS
constexpr std::uint64_t kFlatCode = 0x00af9b000000ffff, kFlatData = 0x00cf93000000ffff;

void set_topology(kvm_cpuid_entry2& entry, std::uint32_t id, std::uint32_t count) {
  // One socket, a core for each processor.
  const std::uint32_t bits = static_cast<std::uint32_t>(std::bit_width(count - 1));
  entry.edx = id;
  if (entry.index == 0) {  // threads of a core
    entry.eax = 0;
    entry.ebx = 1;
    entry.ecx = 1 << 8;
  } else if (entry.index == 1) {  // cores of the socket
    entry.eax = bits;
    entry.ebx = count;
    entry.ecx = (2 << 8) | 1;
  } else {
    entry.eax = entry.ebx = 0;
    entry.ecx = entry.index;
  }
}

std::vector<kvm_cpuid_entry2> features_of(const Vm& vm, std::uint32_t id, std::uint32_t count) {
  std::vector<kvm_cpuid_entry2> out;
  bool has_core_level = false;
  for (kvm_cpuid_entry2 entry : vm.cpuid()) {
    switch (entry.function) {
      case 0x1:
        // KVM leaves the deadline timer to us, because it needs the in-kernel interrupt controller.
        entry.ecx |= kFeatureDeadlineTimer | kFeatureHypervisor;
        entry.ebx = (entry.ebx & 0xffff) | (count << 16) | (id << 24);
        entry.edx =
            count > 1 ? entry.edx | kFeatureHyperThreads : entry.edx & ~kFeatureHyperThreads;
        break;
      case 0x4:  // caches: private to each core
        entry.eax &= ~((0xfffu << 14) | (0x3fu << 26));
        entry.eax |= (count - 1) << 26;
        break;
      case 0xb:
      case 0x1f:
        if (entry.index == 1) has_core_level = true;
        set_topology(entry, id, count);
        break;
      case 0xa:  // no performance counters: they tell guests about each other
        entry.eax = entry.ebx = entry.ecx = entry.edx = 0;
        break;
      case 0x80000008:
        entry.ecx = (entry.ecx & ~0xffffu) | (count - 1) |
                    (static_cast<std::uint32_t>(std::bit_width(count - 1)) << 12);
        break;
      case 0x8000001e:
        entry.eax = id;
        entry.ebx = id;
        entry.ecx = 0;
        break;
      default:
        break;
    }
    out.push_back(entry);
  }
  for (const std::uint32_t leaf : {0xbu, 0x1fu}) {
    for (const kvm_cpuid_entry2& entry : vm.cpuid()) {
      if (entry.function != leaf || entry.index != 0 || has_core_level) continue;
      kvm_cpuid_entry2 core = entry;
      core.index = 1;
      core.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
      set_topology(core, id, count);
      out.push_back(core);
    }
  }
  return out;
}

kvm_segment flat(std::uint64_t selector, bool code) {
  kvm_segment segment{};
  segment.base = 0;
  segment.limit = 0xffffffff;
  segment.selector = static_cast<std::uint16_t>(selector);
  segment.type = code ? 0xb : 0x3;
  segment.present = 1;
  segment.s = 1;
  segment.g = 1;
  segment.l = code ? 1 : 0;
  segment.db = code ? 0 : 1;
  return segment;
}

}  // namespace

Result<void> prepare_processor(const Vm& vm, const Vcpu& vcpu, std::uint32_t count) {
  TRY(vcpu.set_cpuid(features_of(vm, vcpu.id(), count)));
  kvm_fpu fpu{};
  fpu.fcw = 0x37f;
  fpu.mxcsr = 0x1f80;
  TRY(vcpu.set(KVM_SET_FPU, fpu, "set the floating point state"));
  // Memory is write-back: without a default type Linux gives up page attributes as well ("MTRRs
  // disabled, skipping PAT"). Fast string operations are what every firmware turns on.
  std::vector<kvm_msr_entry> msrs;
  for (kvm_msr_entry entry : TRY(vcpu.msrs({kMsrMiscEnable, kMsrMtrrDefType}))) {
    entry.data = entry.index == kMsrMiscEnable ? entry.data | 1 : (1 << 11) | 6;
    msrs.push_back(entry);
  }
  return vcpu.set_msrs(msrs);
}

Result<void> write_boot_tables(const GuestMemory& memory) {
  constexpr std::uint64_t kPresent = 3, kLarge = 0x80;  // present and writable; 2 MiB page
  bool good = true;
  const std::uint64_t gdt[] = {0, 0, kFlatCode, kFlatData};
  for (std::uint64_t i = 0; i < 4; ++i)
    good = good && memory.write(layout::kGdt + i * 8, gdt[i]);
  const std::uint64_t pointers = layout::kPageTables + layout::kPage;
  const std::uint64_t directories = pointers + layout::kPage;
  good = good && memory.write(layout::kPageTables, pointers | kPresent);
  for (std::uint64_t gib = 0; gib < 4; ++gib) {
    const std::uint64_t directory = directories + gib * layout::kPage;
    good = good && memory.write(pointers + gib * 8, directory | kPresent);
    for (std::uint64_t i = 0; i < 512; ++i)
      good = good && memory.write(directory + i * 8, (gib << 30) | (i << 21) | kPresent | kLarge);
  }
  if (!good) return Error(Code::kInvalid, "the guest's memory is too small for its first page");
  return {};
}

Result<void> enter_kernel(const Vcpu& vcpu, std::uint64_t entry) {
  kvm_sregs special = TRY(vcpu.get<kvm_sregs>(KVM_GET_SREGS, "read the special registers"));
  special.cs = flat(kCodeSelector, true);
  special.ds = special.es = special.ss = special.fs = special.gs = flat(kDataSelector, false);
  special.gdt.base = layout::kGdt;
  special.gdt.limit = 4 * 8 - 1;
  special.idt.base = 0;
  special.idt.limit = 0;
  special.cr3 = layout::kPageTables;
  special.cr4 = kCr4Pae;
  special.cr0 = kCr0Pe | kCr0Et | kCr0Pg;
  special.efer = kEferLme | kEferLma;
  TRY(vcpu.set(KVM_SET_SREGS, special, "set the special registers"));
  kvm_regs registers{};
  registers.rip = entry;
  registers.rsi = layout::kZeroPage;
  registers.rflags = 2;  // interrupts off; bit 1 is always set
  return vcpu.set(KVM_SET_REGS, registers, "set the registers");
}

}  // namespace vrun::vmm
