#include "vm/vmm/kvm.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <sys/ioctl.h>
#include <sys/mman.h>

#include "vm/vmm/kvm_requests.hpp"
#include "vm/vmm/layout.hpp"

namespace vrun::vmm {
namespace {

template <typename Entry>
std::vector<char> block(const std::vector<Entry>& entries) {
  std::vector<char> bytes(kKvmHeader + entries.size() * sizeof(Entry));
  const std::uint32_t count = static_cast<std::uint32_t>(entries.size());
  std::memcpy(bytes.data(), &count, sizeof count);
  if (!entries.empty())
    std::memcpy(bytes.data() + kKvmHeader, entries.data(), entries.size() * sizeof(Entry));
  return bytes;
}

template <typename Entry>
std::vector<Entry> entries_of(const std::vector<char>& bytes, std::size_t count) {
  std::vector<Entry> entries(count);
  if (count > 0) std::memcpy(entries.data(), bytes.data() + kKvmHeader, count * sizeof(Entry));
  return entries;
}

struct Needed {
  int capability;
  const char* what;
};
constexpr Needed kNeeded[] = {
    {KVM_CAP_IRQCHIP, "interrupt controllers"},
    {KVM_CAP_USER_MEMORY, "user memory"},
    {KVM_CAP_IOEVENTFD, "ioeventfd"},
    {KVM_CAP_SIGNAL_MSI, "message interrupts"},
    {KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
    {KVM_CAP_EXT_CPUID, "processor features"},
    {KVM_CAP_TSC_DEADLINE_TIMER, "deadline timers"},
    {KVM_CAP_ADJUST_CLOCK, "a settable clock"},
};

Result<std::vector<kvm_cpuid_entry2>> supported_cpuid(const Fd& kvm) {
  constexpr std::size_t kMost = 256;
  std::vector<char> bytes = block(std::vector<kvm_cpuid_entry2>(kMost));
  if (::ioctl(kvm.get(), kGetSupportedCpuid, bytes.data()) != 0)
    return Error::system(errno, "ask KVM for the processor's features");
  std::uint32_t count = 0;
  std::memcpy(&count, bytes.data(), sizeof count);
  return entries_of<kvm_cpuid_entry2>(bytes, count);
}

Result<std::vector<std::uint32_t>> listed_msrs(const Fd& kvm) {
  constexpr std::uint32_t kMost = 4096;
  std::vector<std::uint32_t> list(kMost + 1);
  list[0] = kMost;
  if (::ioctl(kvm.get(), kGetMsrIndexList, list.data()) != 0)
    return Error::system(errno, "ask KVM for its model-specific registers");
  const std::uint32_t count = list[0];
  list.erase(list.begin());
  list.resize(count);
  return list;
}

}  // namespace

Result<Vm> Vm::create(const Fd& kvm) {
  const int version = ::ioctl(kvm.get(), KVM_GET_API_VERSION, 0);
  if (version != KVM_API_VERSION)
    return Error(Code::kUnsupported, "/dev/kvm speaks version " + std::to_string(version) +
                                         " of its interface, not " +
                                         std::to_string(KVM_API_VERSION));
  for (const Needed& needed : kNeeded) {
    if (::ioctl(kvm.get(), KVM_CHECK_EXTENSION, needed.capability) <= 0)
      return Error(Code::kUnsupported, std::string("this KVM has no ") + needed.what);
  }
  const int run_size = ::ioctl(kvm.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (run_size < 0) return Error::system(errno, "ask KVM for the size of its processor's page");
  std::vector<kvm_cpuid_entry2> cpuid = TRY(supported_cpuid(kvm));
  std::vector<std::uint32_t> msrs = TRY(listed_msrs(kvm));

  int made;
  do {  // a signal during the creation is no failure
    made = ::ioctl(kvm.get(), KVM_CREATE_VM, 0);
  } while (made < 0 && errno == EINTR);
  if (made < 0) return Error::system(errno, "make a virtual machine");
  Fd fd(made);
  std::uint64_t identity = layout::kKvmIdentityMap;
  if (::ioctl(fd.get(), KVM_SET_IDENTITY_MAP_ADDR, &identity) != 0 ||
      ::ioctl(fd.get(), KVM_SET_TSS_ADDR, layout::kKvmTss) != 0)
    return Error::system(errno, "give KVM its pages");
  if (::ioctl(fd.get(), KVM_CREATE_IRQCHIP, 0) != 0)
    return Error::system(errno, "make the interrupt controllers");
  return Vm(std::move(fd), static_cast<std::size_t>(run_size), std::move(cpuid), std::move(msrs));
}

Result<void> Vm::add_memory(const GuestMemory& memory) {
  std::uint32_t slot = 0;
  for (const GuestMemory::Region& region : memory.regions()) {
    kvm_userspace_memory_region given{};
    given.slot = slot++;
    given.guest_phys_addr = region.guest;
    given.memory_size = region.size;
    given.userspace_addr = reinterpret_cast<std::uint64_t>(memory.host(region));
    if (::ioctl(fd_.get(), KVM_SET_USER_MEMORY_REGION, &given) != 0)
      return Error::system(errno, "give the guest its memory");
  }
  return {};
}

Result<Vcpu> Vm::add_vcpu(std::uint32_t id) const {
  const int made = ::ioctl(fd_.get(), KVM_CREATE_VCPU, id);
  if (made < 0) return Error::system(errno, "make processor " + std::to_string(id));
  Fd fd(made);
  void* run = ::mmap(nullptr, run_size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (run == MAP_FAILED) return Error::system(errno, "map the page of a processor");
  return Vcpu(std::move(fd), static_cast<struct kvm_run*>(run), run_size_, id);
}

void Vm::set_line(std::uint32_t line, bool level) const {
  kvm_irq_level wanted{};
  wanted.irq = line;
  wanted.level = level ? 1 : 0;
  ::ioctl(fd_.get(), KVM_IRQ_LINE, &wanted);  // fails for lines only that do not exist
}

void Vm::signal_msi(std::uint64_t address, std::uint32_t data) const {
  kvm_msi message{};
  message.address_lo = static_cast<std::uint32_t>(address);
  message.address_hi = static_cast<std::uint32_t>(address >> 32);
  message.data = data;
  ::ioctl(fd_.get(), KVM_SIGNAL_MSI, &message);  // what the guest wrote may lead nowhere
}

Result<void> Vm::doorbell(std::uint64_t address, std::uint16_t value, const Fd& eventfd,
                          std::uint32_t flags) const {
  kvm_ioeventfd bell{};
  bell.addr = address;
  bell.datamatch = value;
  bell.len = sizeof value;
  bell.fd = eventfd.get();
  bell.flags = KVM_IOEVENTFD_FLAG_DATAMATCH | flags;
  if (::ioctl(fd_.get(), KVM_IOEVENTFD, &bell) != 0)
    return Error::system(errno, "set the doorbell of a queue");
  return {};
}

Result<void> Vm::add_doorbell(std::uint64_t address, std::uint16_t value, const Fd& eventfd) const {
  return doorbell(address, value, eventfd, 0);
}

Result<void> Vm::remove_doorbell(std::uint64_t address, std::uint16_t value,
                                 const Fd& eventfd) const {
  return doorbell(address, value, eventfd, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

Vcpu::Vcpu(Fd fd, struct kvm_run* run, std::size_t run_size, std::uint32_t id)
    : fd_(std::move(fd)), run_(run), run_size_(run_size), id_(id) {}

Vcpu::Vcpu(Vcpu&& other) noexcept
    : fd_(std::move(other.fd_)),
      run_(std::exchange(other.run_, nullptr)),
      run_size_(other.run_size_),
      id_(other.id_) {}

Vcpu::~Vcpu() {
  if (run_ != nullptr) ::munmap(run_, run_size_);
}

int Vcpu::enter() {
  return ::ioctl(fd_.get(), KVM_RUN, 0) == 0 ? 0 : errno;
}

Result<void> Vcpu::call(unsigned long request, void* argument, const char* what) const {
  if (::ioctl(fd_.get(), request, argument) < 0)
    return Error::system(errno, std::string(what) + " of processor " + std::to_string(id_));
  return {};
}

Result<void> Vcpu::set_cpuid(const std::vector<kvm_cpuid_entry2>& entries) const {
  std::vector<char> bytes = block(entries);
  return call(kSetCpuid, bytes.data(), "set the features");
}

Result<std::vector<kvm_msr_entry>> Vcpu::msrs(const std::vector<std::uint32_t>& indices) const {
  std::vector<kvm_msr_entry> found;
  for (const std::uint32_t index : indices) {  // one at a time: KVM stops at the first it lacks
    std::vector<char> bytes =
        block(std::vector<kvm_msr_entry>{{.index = index, .reserved = 0, .data = 0}});
    if (::ioctl(fd_.get(), kGetMsrs, bytes.data()) == 1)
      found.push_back(entries_of<kvm_msr_entry>(bytes, 1).front());
  }
  return found;
}

Result<std::size_t> Vcpu::try_msrs(std::span<const kvm_msr_entry> values) const {
  // No more than KVM takes at once (MAX_IO_MSRS).
  constexpr std::size_t kMost = 256;
  std::size_t all = 0;
  while (all < values.size()) {
    const auto some = values.subspan(all, std::min(kMost, values.size() - all));
    std::vector<char> bytes = block(std::vector<kvm_msr_entry>(some.begin(), some.end()));
    const int done = ::ioctl(fd_.get(), kSetMsrs, bytes.data());
    if (done < 0)
      return Error::system(errno,
                           "set the model-specific registers of processor " + std::to_string(id_));
    all += static_cast<std::size_t>(done);
    if (static_cast<std::size_t>(done) != some.size()) break;
  }
  return all;
}

Result<void> Vcpu::set_msrs(const std::vector<kvm_msr_entry>& values) const {
  const std::size_t done = TRY(try_msrs(values));
  if (done != values.size())
    return Error(Code::kUnsupported,
                 "this KVM refuses model-specific register " + std::to_string(values[done].index));
  return {};
}

}  // namespace vrun::vmm
