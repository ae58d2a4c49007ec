// KVM's interface (Documentation/virt/kvm/api.rst), each request once and typed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <linux/kvm.h>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/vmm/memory.hpp"

namespace vrun::vmm {

// One virtual processor. Its thread is the only one that may call anything here but kick().
class Vcpu {
 public:
  Vcpu(Fd fd, struct kvm_run* run, std::size_t run_size, std::uint32_t id);
  Vcpu(Vcpu&& other) noexcept;
  Vcpu& operator=(Vcpu&&) = delete;
  ~Vcpu();

  std::uint32_t id() const { return id_; }
  int fd() const { return fd_.get(); }
  // Enters the guest until it needs something. 0, or the errno: EINTR after a signal or
  // kick(), EAGAIN while a second processor waits for its start.
  int enter();
  struct kvm_run& shared() const {
    return *run_;
  }
  // Lets the current or the next enter() come back at once; any thread.
  void kick() { __atomic_store_n(&run_->immediate_exit, 1, __ATOMIC_RELEASE); }
  void unkick() { __atomic_store_n(&run_->immediate_exit, 0, __ATOMIC_RELEASE); }

  template <typename T>
  Result<T> get(unsigned long request, const char* what) const;
  template <typename T>
  Result<void> set(unsigned long request, const T& value, const char* what) const;
  Result<void> set_cpuid(const std::vector<kvm_cpuid_entry2>& entries) const;
  // Those of `indices` that the processor has.
  Result<std::vector<kvm_msr_entry>> msrs(const std::vector<std::uint32_t>& indices) const;
  Result<void> set_msrs(const std::vector<kvm_msr_entry>& values) const;
  // Sets them in their order up to the first that KVM refuses; answers how many.
  Result<std::size_t> try_msrs(std::span<const kvm_msr_entry> values) const;

 private:
  Result<void> call(unsigned long request, void* argument, const char* what) const;
  Fd fd_;
  struct kvm_run* run_;
  std::size_t run_size_;
  std::uint32_t id_;
};

// One virtual machine with KVM's interrupt controllers. Every function may be called by any thread.
class Vm {
 public:
  // `kvm`: an open /dev/kvm. kUnsupported with the reason when it is too old.
  static Result<Vm> create(const Fd& kvm);

  Result<void> add_memory(const GuestMemory& memory);
  Result<Vcpu> add_vcpu(std::uint32_t id) const;
  // Processor features for guests, as KVM offers them.
  const std::vector<kvm_cpuid_entry2>& cpuid() const { return cpuid_; }

  // Model-specific registers that are part of a processor's state.
  const std::vector<std::uint32_t>& msr_indices() const { return msr_indices_; }

  // A line of the IOAPIC; level 1 and 0 make an edge.
  void set_line(std::uint32_t line, bool level) const;
  // A message-signalled interrupt, as a device writes it to the bus.
  void signal_msi(std::uint64_t address, std::uint32_t data) const;
  // From now on a 16-bit write of `value` to the bus wakes `eventfd` and does not leave the kernel.
  Result<void> add_doorbell(std::uint64_t address, std::uint16_t value, const Fd& eventfd) const;
  Result<void> remove_doorbell(std::uint64_t address, std::uint16_t value, const Fd& eventfd) const;
  int fd() const { return fd_.get(); }

 private:
  Vm(Fd fd, std::size_t run_size, std::vector<kvm_cpuid_entry2> cpuid,
     std::vector<std::uint32_t> msr_indices)
      : fd_(std::move(fd)),
        run_size_(run_size),
        cpuid_(std::move(cpuid)),
        msr_indices_(std::move(msr_indices)) {}
  Result<void> doorbell(std::uint64_t address, std::uint16_t value, const Fd& eventfd,
                        std::uint32_t flags) const;
  Fd fd_;
  std::size_t run_size_;
  std::vector<kvm_cpuid_entry2> cpuid_;
  std::vector<std::uint32_t> msr_indices_;
};

template <typename T>
Result<T> Vcpu::get(unsigned long request, const char* what) const {
  T value{};
  TRY(call(request, &value, what));
  return value;
}

template <typename T>
Result<void> Vcpu::set(unsigned long request, const T& value, const char* what) const {
  T copy = value;
  return call(request, &copy, what);
}

}  // namespace vrun::vmm
