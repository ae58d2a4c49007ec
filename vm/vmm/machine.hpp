// A virtual machine: memory, processors and the devices that every guest has.
//
// create() makes it, add devices, load() a kernel, run() until its end. The threads of its
// processors live inside run(). What is not said otherwise may only be called before run().
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/vmm/bus.hpp"
#include "vm/vmm/kernel.hpp"
#include "vm/vmm/kvm.hpp"
#include "vm/vmm/memory.hpp"
#include "vm/vmm/pci.hpp"
#include "vm/vmm/power.hpp"
#include "vm/vmm/rtc.hpp"
#include "vm/vmm/serial.hpp"
#include "vm/vmm/virtio_pci.hpp"

namespace vrun::vmm {

struct MachineShape {
  std::uint32_t processors = 1;
  std::uint64_t memory = 0;  // bytes
};

class Machine {
 public:
  // `memory`: a file of that size as the guest's; none: memory of its own. `console`: takes what
  // the serial port says.
  static Result<std::unique_ptr<Machine>> create(const Fd& kvm, const Fd& memory,
                                                 const MachineShape& shape,
                                                 std::function<void(std::string_view)> console);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  GuestMemory& memory() { return memory_; }
  Vm& vm() { return vm_; }
  // Puts a device on the PCI bus; the machine keeps it.
  Result<void> add(std::unique_ptr<VirtioDevice> device);
  Serial& serial() { return serial_; }
  Power& power() { return power_; }

  // Everything is ready for the kernel's first instruction.
  Result<void> load(const Fd& kernel, const std::string& kernel_name, const Fd* initrd,
                    const std::string& initrd_name, const std::string& command_line);

  // Starts the processors. `ended` (an eventfd) becomes readable when the guest ends.
  Result<void> start(const Fd& ended);
  // Ends the processors, whatever they do, and waits for their threads.
  void stop();
  // After the end.
  End end() const { return end_; }
  const std::string& fault() const { return fault_; }  // of kFault and kReset: what the guest did

 private:
  Machine(Vm vm, GuestMemory memory, const MachineShape& shape,
          std::function<void(std::string_view)> console);
  void run_processor(Vcpu& vcpu);
  // Whether the processor goes on.
  bool serve_exit(Vcpu& vcpu);
  void serve_port(struct kvm_run& run);
  void serve_mmio(struct kvm_run& run);
  void end_with(End end, std::string fault = {});

  Vm vm_;
  GuestMemory memory_;
  MachineShape shape_;
  Bus ports_, mmio_;
  Serial serial_;
  Rtc rtc_;
  Power power_;
  KeyboardReset keyboard_;
  PciBus pci_;
  std::vector<std::unique_ptr<VirtioPci>> devices_;
  std::vector<Vcpu> vcpus_;
  std::vector<std::thread> threads_;
  std::mutex lock_;
  std::atomic<bool> stopping_ = false;
  int ended_ = -1;
  std::atomic<End> end_ = End::kNone;
  std::string fault_;
};

}  // namespace vrun::vmm
