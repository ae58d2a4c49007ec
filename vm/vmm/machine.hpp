// A virtual machine: memory, processors and the devices that every guest has.
//
// create() makes it, add devices, load() a kernel, run() until its end. The threads of its
// processors live inside run(). What is not said otherwise may only be called before run().
#pragma once

#include <atomic>
#include <condition_variable>
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
#include "vm/vmm/slots.hpp"
#include "vm/vmm/state.hpp"
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
  // While it runs, by the thread that pauses it. plug(): the guest is told that there is a device
  // more. unplug(): the guest is told that it shall let go of the device, each time; true when it
  // has, and the device is no more. keep(): nothing more is asked of it, and a guest that has
  // let go finds the device again.
  Result<void> plug(std::unique_ptr<VirtioDevice> device);
  Result<bool> unplug(const VirtioDevice& device);
  void keep(const VirtioDevice& device);
  Serial& serial() { return serial_; }
  Power& power() { return power_; }

  // The same for a machine that goes on where save() was: `memory` is what write_memory() wrote
  // (memory_file.hpp), mapped privately, and never changes afterwards.
  static Result<std::unique_ptr<Machine>> create_from(
      const Fd& kvm, const Fd& memory, const MachineShape& shape,
      std::function<void(std::string_view)> console);

  // Everything is ready for the kernel's first instruction.
  Result<void> load(const Fd& kernel, const std::string& kernel_name, const Fd* initrd,
                    const std::string& initrd_name, const std::string& command_line);

  // Starts the processors. `ended` (an eventfd) becomes readable when the guest ends.
  Result<void> start(const Fd& ended);
  // The processors stand still, and the devices have done all that they were asked for; nothing
  // changes what they share with the host until resume(). By one thread at a time; kState before
  // start() and after the guest's end.
  Result<void> pause();
  void resume();
  // Instead of resume(): that was its end. Its processors never run again.
  void end_saved() { end_with(End::kSaved); }
  // While paused: all but the memory's content, and that into an empty file. kUnsupported names
  // what cannot be saved.
  Result<void> save(StateWriter& to, const Fd& memory);
  // Instead of load(), after the same devices were added in the same order. kInvalid for a state
  // that is none of such a machine.
  Result<void> load(StateReader& from);

  // Ends the processors, whatever they do, and waits for their threads.
  void stop();
  // After the end.
  End end() const { return end_; }
  const std::string& fault() const { return fault_; }  // of kFault and kReset: what the guest did

 private:
  Machine(Vm vm, GuestMemory memory, const MachineShape& shape,
          std::function<void(std::string_view)> console);
  static Result<std::unique_ptr<Machine>> assemble(Vm vm, GuestMemory memory,
                                                   const MachineShape& shape,
                                                   std::function<void(std::string_view)> console);
  void run_processor(Vcpu& vcpu);
  void kick_all();
  void stand_still();
  struct Placed {
    std::unique_ptr<VirtioPci> device;
    unsigned slot = 0;
  };
  std::vector<Placed>::iterator find(const VirtioDevice& device);
  // Calls `work` while every device's worker waits.
  void hold_devices(std::size_t next, const std::function<void()>& work);
  Result<void> save_all(StateWriter& to, const Fd& memory);
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
  Slots slots_;
  PciBus pci_;
  std::vector<Placed> devices_;
  bool changed_ = false;  // devices came or went while it ran
  std::vector<Vcpu> vcpus_;
  std::vector<std::thread> threads_;
  std::mutex lock_;
  std::atomic<bool> stopping_ = false, pausing_ = false;
  std::mutex pause_lock_;
  std::condition_variable pause_changed_;
  std::size_t standing_ = 0, running_ = 0;  // processors that stand still; threads
  int ended_ = -1;
  std::atomic<End> end_ = End::kNone;
  std::string fault_;
};

}  // namespace vrun::vmm
