#include "vm/vmm/kvm_state.hpp"

#include <algorithm>
#include <cerrno>
#include <vector>

#include <sys/ioctl.h>

#include "vm/vmm/kvm_requests.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint32_t kPics[] = {KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE,
                                   KVM_IRQCHIP_IOAPIC};
constexpr std::size_t kMostMsrs = 4096, kMostXsave = 64 << 10;

// Features by which a program chooses its instructions.
struct Features {
  std::uint32_t function, index, ebx, ecx, edx;
  bool operator==(const Features&) const = default;
};

std::vector<Features> features_of(const Vm& vm) {
  std::vector<Features> all;
  for (const kvm_cpuid_entry2& entry : vm.cpuid()) {
    // Leaf 1 and 0x80000008 say in ebx and ecx on which processor was asked.
    if (entry.function == 0 || entry.function == 7)
      all.push_back({entry.function, entry.index, entry.ebx, entry.ecx, entry.edx});
    if (entry.function == 1 || entry.function == 0x80000001)
      all.push_back({entry.function, entry.index, 0, entry.ecx, entry.edx});
    if (entry.function == 0x80000008) all.push_back({entry.function, entry.index, entry.ebx, 0, 0});
  }
  return all;
}

std::size_t xsave_size(const Vm& vm) {
  const int size = ::ioctl(vm.fd(), KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
  return size > static_cast<int>(kXsave) ? static_cast<std::size_t>(size) : kXsave;
}

Result<void> save_xsave(const Vm& vm, const Vcpu& vcpu, StateWriter& to) {
  std::string area(xsave_size(vm), '\0');
  const unsigned long request = area.size() > kXsave ? kGetXsave2 : kGetXsave;
  if (::ioctl(vcpu.fd(), request, area.data()) != 0)
    return Error::system(errno, "read the extended registers of a processor");
  to.put_text(area);
  return {};
}

Result<void> load_xsave(const Vm& vm, const Vcpu& vcpu, StateReader& from) {
  std::string area = TRY(from.get_text(kMostXsave));
  if (area.size() != xsave_size(vm))
    return Error(Code::kUnsupported, "this host's processor has other extended registers");
  if (::ioctl(vcpu.fd(), kSetXsave, area.data()) != 0)
    return Error::system(errno, "set the extended registers of a processor");
  return {};
}

// One that KVM does not take is no loss where it has that value anyway.
Result<void> load_msrs(const Vcpu& vcpu, const std::vector<kvm_msr_entry>& values) {
  std::size_t done = 0;
  while (done < values.size()) {
    done += TRY(vcpu.try_msrs(std::span(values).subspan(done)));
    if (done == values.size()) break;
    const std::vector<kvm_msr_entry> now = TRY(vcpu.msrs({values[done].index}));
    if (now.empty() || now.front().data != values[done].data)
      return Error(Code::kUnsupported, "this KVM does not take model-specific register " +
                                           std::to_string(values[done].index) + " as it was");
    ++done;
  }
  return {};
}

template <typename T>
Result<void> copy(const Vcpu& vcpu, unsigned long request, const char* what, StateWriter& to) {
  to.put(TRY(vcpu.get<T>(request, what)));
  return {};
}

template <typename T>
Result<void> copy(const Vcpu& vcpu, unsigned long request, const char* what, StateReader& from) {
  return vcpu.set(request, TRY(from.get<T>()), what);
}

// The rate of the guest's time stamp counter.
Result<void> load_rate(const Vcpu& vcpu, std::int32_t khz) {
  if (khz <= 0 || ::ioctl(vcpu.fd(), KVM_GET_TSC_KHZ, 0) == khz) return {};
  if (::ioctl(vcpu.fd(), KVM_SET_TSC_KHZ, khz) == 0) return {};
  return Error(Code::kUnsupported,
               "this host's time stamp counter has another rate, and its "
               "processor cannot scale it");
}

}  // namespace

void save_features(const Vm& vm, StateWriter& to) {
  to.section("CPUF");
  const std::vector<Features> all = features_of(vm);
  to.put(static_cast<std::uint32_t>(all.size()));
  for (const Features& one : all)
    to.put(one);
}

Result<void> check_features(const Vm& vm, StateReader& from) {
  TRY(from.section("CPUF"));
  const std::vector<Features> ours = features_of(vm);
  bool same = TRY(from.get<std::uint32_t>()) == ours.size();
  for (std::size_t i = 0; same && i < ours.size(); ++i)
    same = TRY(from.get<Features>()) == ours[i];
  if (same) return {};
  return Error(Code::kUnsupported,
               "the machine was saved on a host whose processor has other features")
      .hint("start the guest anew instead of restoring it");
}

Result<void> save_processor(const Vm& vm, const Vcpu& vcpu, StateWriter& to) {
  to.section("VCPU");
  to.put(static_cast<std::int32_t>(::ioctl(vcpu.fd(), KVM_GET_TSC_KHZ, 0)));
  // First: it lets what waits for the processor (INIT, SIPI) take effect.
  TRY(copy<kvm_mp_state>(vcpu, KVM_GET_MP_STATE, "read the state", to));
  TRY(copy<kvm_sregs>(vcpu, KVM_GET_SREGS, "read the special registers", to));
  TRY(copy<kvm_regs>(vcpu, KVM_GET_REGS, "read the registers", to));
  TRY(save_xsave(vm, vcpu, to));
  TRY(copy<kvm_xcrs>(vcpu, KVM_GET_XCRS, "read the extended control registers", to));
  TRY(copy<kvm_debugregs>(vcpu, KVM_GET_DEBUGREGS, "read the debug registers", to));
  TRY(copy<kvm_lapic_state>(vcpu, KVM_GET_LAPIC, "read the interrupt controller", to));
  const std::vector<kvm_msr_entry> msrs = TRY(vcpu.msrs(vm.msr_indices()));
  to.put(static_cast<std::uint32_t>(msrs.size()));
  for (const kvm_msr_entry& msr : msrs)
    to.put(msr);
  return copy<kvm_vcpu_events>(vcpu, KVM_GET_VCPU_EVENTS, "read the events", to);
}

Result<void> load_processor(const Vm& vm, const Vcpu& vcpu, StateReader& from) {
  TRY(from.section("VCPU"));
  const auto rate = TRY(from.get<std::int32_t>());
  TRY(load_rate(vcpu, rate));
  const auto run_state = TRY(from.get<kvm_mp_state>());
  TRY(copy<kvm_sregs>(vcpu, KVM_SET_SREGS, "set the special registers", from));
  TRY(copy<kvm_regs>(vcpu, KVM_SET_REGS, "set the registers", from));
  TRY(load_xsave(vm, vcpu, from));
  TRY(copy<kvm_xcrs>(vcpu, KVM_SET_XCRS, "set the extended control registers", from));
  TRY(copy<kvm_debugregs>(vcpu, KVM_SET_DEBUGREGS, "set the debug registers", from));
  // After the special registers, which switch it on, and before the deadline timer, a register
  // that only counts while the controller's timer is in that mode.
  TRY(copy<kvm_lapic_state>(vcpu, KVM_SET_LAPIC, "set the interrupt controller", from));
  const auto count = TRY(from.get<std::uint32_t>());
  if (count > kMostMsrs)
    return Error(Code::kInvalid, "the machine's state has more registers than there are");
  std::vector<kvm_msr_entry> msrs(count);
  for (kvm_msr_entry& msr : msrs)
    msr = TRY(from.get<kvm_msr_entry>());
  TRY(load_msrs(vcpu, msrs));
  // After the special registers, which clear a pending interrupt.
  TRY(copy<kvm_vcpu_events>(vcpu, KVM_SET_VCPU_EVENTS, "set the events", from));
  return vcpu.set(KVM_SET_MP_STATE, run_state, "set the state");
}

Result<void> save_controllers(const Vm& vm, StateWriter& to) {
  to.section("CHIP");
  for (const std::uint32_t id : kPics) {
    kvm_irqchip chip{};
    chip.chip_id = id;
    if (::ioctl(vm.fd(), KVM_GET_IRQCHIP, &chip) != 0)
      return Error::system(errno, "read an interrupt controller");
    to.put(chip);
  }
  kvm_clock_data clock{};
  if (::ioctl(vm.fd(), KVM_GET_CLOCK, &clock) != 0)
    return Error::system(errno, "read the guest's clock");
  to.put(clock.clock);
  return {};
}

Result<void> load_controllers(const Vm& vm, StateReader& from) {
  TRY(from.section("CHIP"));
  for (const std::uint32_t id : kPics) {
    auto chip = TRY(from.get<kvm_irqchip>());
    chip.chip_id = id;
    if (::ioctl(vm.fd(), KVM_SET_IRQCHIP, &chip) != 0)
      return Error::system(errno, "set an interrupt controller");
  }
  kvm_clock_data clock{};
  clock.clock = TRY(from.get<std::uint64_t>());
  if (::ioctl(vm.fd(), KVM_SET_CLOCK, &clock) != 0)
    return Error::system(errno, "set the guest's clock");
  return {};
}

void note_standstill(const Vcpu& vcpu) {
  // Refused before the guest has a clock of KVM's; then nothing watches yet.
  ::ioctl(vcpu.fd(), KVM_KVMCLOCK_CTRL, 0);
}

}  // namespace vrun::vmm
