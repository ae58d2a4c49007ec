#include "vm/kvm_probe.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/faults.hpp"
#include "base/result.hpp"
#include "base/sys.hpp"

namespace vrun::vm {
namespace {

// The guest's memory: page tables that map its first 2 MiB to themselves, code, one operand.
constexpr std::size_t kMemory = 64 << 10;
constexpr std::uint64_t kTable4 = 0x1000, kTable3 = 0x2000, kTable2 = 0x3000, kCode = 0x4000,
                        kOperand = 0x5000;
constexpr std::uint64_t kPresentWritable = 3, kLargePage = 1U << 7U;
constexpr std::uint64_t kMark = 0x76726e21;
constexpr std::array<unsigned char, 5> kInstructions{0x48, 0x0f, 0xc7, 0x0e,  // cmpxchg16b [rsi]
                                                     0xf4};                   // hlt
constexpr int kMostEntries = 256;
// The header's own numbers count the size of kvm_cpuid2, which in C++ is not that of C: its array
// without a length takes space.
constexpr std::size_t kListHead = 8;
constexpr unsigned long kGetSupportedCpuid = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x05, kListHead);
constexpr unsigned long kSetCpuid = _IOC(_IOC_WRITE, KVMIO, 0x90, kListHead);

class Mapping {
 public:
  static Result<Mapping> make(std::size_t size, int flags, int fd, const char* what) {
    void* start = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (start == MAP_FAILED) return Error::system(errno, std::string("map ") + what);
    return Mapping(static_cast<unsigned char*>(start), size);
  }
  Mapping(Mapping&& other) noexcept
      : start_(std::exchange(other.start_, nullptr)), size_(other.size_) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  Mapping& operator=(Mapping&&) = delete;
  ~Mapping() {
    if (start_ != nullptr) ::munmap(start_, size_);
  }
  unsigned char* at(std::uint64_t offset) const { return start_ + offset; }

 private:
  Mapping(unsigned char* start, std::size_t size) : start_(start), size_(size) {}
  unsigned char* start_;
  std::size_t size_;
};

Result<int> call(const Fd& fd, unsigned long request, void* argument, const char* what) {
  const int answer = ::ioctl(fd.get(), request, argument);
  if (answer < 0) return Error::system(errno, what);
  return answer;
}
Result<Fd> make(const Fd& fd, unsigned long request, const char* what) {
  return Fd(TRY(call(fd, request, nullptr, what)));
}

void write_guest(const Mapping& memory) {
  const auto put = [&](std::uint64_t at, std::uint64_t value) {
    std::memcpy(memory.at(at), &value, sizeof value);
  };
  put(kTable4, kTable3 | kPresentWritable);
  put(kTable3, kTable2 | kPresentWritable);
  put(kTable2, kLargePage | kPresentWritable);
  std::memcpy(memory.at(kCode), kInstructions.data(), kInstructions.size());
}

// Without it the guest has no long mode.
Result<void> offer_features(const Fd& kvm, const Fd& vcpu) {
  std::vector<char> list(kListHead + kMostEntries * sizeof(kvm_cpuid_entry2));
  const std::uint32_t count = kMostEntries;
  std::memcpy(list.data(), &count, sizeof count);
  TRY(call(kvm, kGetSupportedCpuid, list.data(), "ask KVM for processor features"));
  TRY(call(vcpu, kSetCpuid, list.data(), "give the processor its features"));
  return {};
}

Result<void> enter_long_mode(const Fd& vcpu) {
  kvm_sregs system{};
  TRY(call(vcpu, KVM_GET_SREGS, &system, "read the processor's state"));
  constexpr std::uint64_t kProtected = 1, kExtensionType = 1U << 4U, kPaging = 1U << 31U;
  constexpr std::uint64_t kPae = 1U << 5U, kLongEnabledActive = 0x500;
  system.cr0 = kProtected | kExtensionType | kPaging;
  system.cr3 = kTable4;
  system.cr4 = kPae;
  system.efer = kLongEnabledActive;
  kvm_segment code{};
  code.limit = 0xffffffff;
  code.selector = 8;
  code.type = 11;  // execute, read, accessed
  code.present = code.s = code.l = code.g = 1;
  system.cs = code;
  kvm_segment data = code;
  data.selector = 16;
  data.type = 3;  // read, write, accessed
  data.l = 0;
  data.db = 1;
  system.ds = system.es = system.fs = system.gs = system.ss = data;
  TRY(call(vcpu, KVM_SET_SREGS, &system, "set the processor's state"));
  kvm_regs registers{};
  registers.rip = kCode;
  registers.rsi = kOperand;
  registers.rbx = kMark;  // rdx:rax and the operand are 0, so rcx:rbx is stored
  registers.rflags = 2;
  TRY(call(vcpu, KVM_SET_REGS, &registers, "set the processor's registers"));
  return {};
}

// Whether the instruction was executed.
Result<bool> run_guest(const Fd& kvm) {
  const Mapping memory = TRY(Mapping::make(kMemory, MAP_PRIVATE | MAP_ANONYMOUS, -1, "memory"));
  write_guest(memory);
  const Fd vm = TRY(make(kvm, KVM_CREATE_VM, "make a virtual machine"));
  kvm_userspace_memory_region region{};
  region.memory_size = kMemory;
  region.userspace_addr = reinterpret_cast<std::uintptr_t>(memory.at(0));
  TRY(call(vm, KVM_SET_USER_MEMORY_REGION, &region, "give it memory"));
  const Fd vcpu = TRY(make(vm, KVM_CREATE_VCPU, "make a virtual processor"));
  const int size = TRY(call(kvm, KVM_GET_VCPU_MMAP_SIZE, nullptr, "ask for a size"));
  const Mapping shared =
      TRY(Mapping::make(static_cast<std::size_t>(size), MAP_SHARED, vcpu.get(), "a processor"));
  TRY(offer_features(kvm, vcpu));
  TRY(enter_long_mode(vcpu));
  while (::ioctl(vcpu.get(), KVM_RUN, nullptr) < 0) {
    if (errno != EINTR) return Error::system(errno, "run a guest");
  }
  kvm_run state{};
  std::memcpy(&state.exit_reason, shared.at(offsetof(kvm_run, exit_reason)),
              sizeof state.exit_reason);
  std::uint64_t stored = 0;
  std::memcpy(&stored, memory.at(kOperand), sizeof stored);
  return state.exit_reason == KVM_EXIT_HLT && stored == kMark;
}

}  // namespace

const char* to_text(Kvm kvm) {
  switch (kvm) {
    case Kvm::kAbsent:
      return "absent";
    case Kvm::kRefused:
      return "refused";
    case Kvm::kEmulates:
      return "emulates";
    case Kvm::kWorks:
      return "works";
  }
  return "unknown";
}

KvmFacts probe_kvm(const std::string& device) {
  if (!sys::stat(At::cwd(), device)) return {Kvm::kAbsent, "no " + device};
  const Result<Fd> kvm = sys::open(At::cwd(), device, O_RDWR);
  if (!kvm) return {Kvm::kRefused, kvm.error().text()};
  if (::ioctl(kvm->get(), KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
    return {Kvm::kRefused, device + " is no KVM that this program knows"};
  const Result<bool> ran = run_guest(*kvm);
  if (!ran) return {Kvm::kRefused, device + ": " + ran.error().text()};
  if (*ran) return {Kvm::kWorks, ""};
  return {Kvm::kEmulates, device +
                              " opens, but is paravirtual: it emulates the kernel mode of guests "
                              "and cannot run stock kernels"};
}

}  // namespace vrun::vm
