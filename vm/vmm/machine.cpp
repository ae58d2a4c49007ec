#include "vm/vmm/machine.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>

#include <pthread.h>
#include <unistd.h>

#include "base/text.hpp"
#include "vm/vmm/acpi.hpp"
#include "vm/vmm/cpu.hpp"
#include "vm/vmm/jail.hpp"
#include "vm/vmm/kvm_state.hpp"
#include "vm/vmm/layout.hpp"
#include "vm/vmm/memory_file.hpp"

namespace vrun::vmm {
namespace {

// Brings a processor's thread out of the guest; its handler does nothing.
// Nobody else sends it (signal(7)); SIGUSR1 and its like belong to the guest's process.
constexpr int kKick = SIGSTKFLT;

void install_kick() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ::sigaction(kKick, &action, nullptr);  // without SA_RESTART: KVM_RUN answers EINTR
}

}  // namespace

Result<std::unique_ptr<Machine>> Machine::create(const Fd& kvm, const Fd& memory,
                                                 const MachineShape& shape,
                                                 std::function<void(std::string_view)> console) {
  Vm vm = TRY(Vm::create(kvm));
  GuestMemory mapped =
      TRY(memory ? GuestMemory::map(memory, shape.memory) : GuestMemory::make(shape.memory));
  return assemble(std::move(vm), std::move(mapped), shape, std::move(console));
}

Result<std::unique_ptr<Machine>> Machine::create_from(
    const Fd& kvm, const Fd& memory, const MachineShape& shape,
    std::function<void(std::string_view)> console) {
  Vm vm = TRY(Vm::create(kvm));
  GuestMemory mapped = TRY(map_snapshot(memory, shape.memory));
  return assemble(std::move(vm), std::move(mapped), shape, std::move(console));
}

Result<std::unique_ptr<Machine>> Machine::assemble(Vm vm, GuestMemory memory,
                                                   const MachineShape& shape,
                                                   std::function<void(std::string_view)> console) {
  TRY(vm.add_memory(memory));
  std::unique_ptr<Machine> machine(
      new Machine(std::move(vm), std::move(memory), shape, std::move(console)));
  for (std::uint32_t id = 0; id < shape.processors; ++id) {
    Vcpu vcpu = TRY(machine->vm_.add_vcpu(id));
    TRY(prepare_processor(machine->vm_, vcpu, shape.processors));
    machine->vcpus_.push_back(std::move(vcpu));
  }
  return machine;
}

Machine::Machine(Vm vm, GuestMemory memory, const MachineShape& shape,
                 std::function<void(std::string_view)> console)
    : vm_(std::move(vm)),
      memory_(std::move(memory)),
      shape_(shape),
      serial_(std::move(console),
              [this] {
                vm_.set_line(layout::kSerialLine, true);
                vm_.set_line(layout::kSerialLine, false);
              }),
      rtc_([] { return static_cast<std::int64_t>(::time(nullptr)); }),
      power_([this](End end) { end_with(end); },
             [this] {
               vm_.set_line(layout::kEventLine, true);
               vm_.set_line(layout::kEventLine, false);
             }),
      keyboard_([this](End end) { end_with(end); }),
      slots_([this] { power_.tell(Power::kSlots); }) {
  ports_.add(layout::kSerialPort, 8, serial_);
  ports_.add(layout::kRtcPort, 2, rtc_);
  ports_.add(layout::kPowerPort, Power::kPorts, power_);
  ports_.add(Slots::kPort, Slots::kPorts, slots_);
  ports_.add(KeyboardReset::kPort, 1, keyboard_);
  pci_.connect(mmio_, ports_);
}

Machine::~Machine() {
  stop();
}

Result<void> Machine::add(std::unique_ptr<VirtioDevice> device) {
  // A driver that breaks the rules hurts its own guest only; it is told there.
  const auto complain = [this](const std::string& why) {
    serial_.say_from_host("vrun-vmm: " + why + "\r\n");
  };
  std::unique_ptr<VirtioPci> transport =
      TRY(VirtioPci::create(std::move(device), vm_, memory_, complain));
  const unsigned slot = TRY(pci_.add(*transport));
  devices_.push_back({std::move(transport), slot});
  return {};
}

Result<void> Machine::plug(std::unique_ptr<VirtioDevice> device) {
  TRY(add(std::move(device)));
  changed_ = true;
  slots_.insert(devices_.back().slot);
  return {};
}

std::vector<Machine::Placed>::iterator Machine::find(const VirtioDevice& device) {
  return std::find_if(devices_.begin(), devices_.end(),
                      [&](const Placed& one) { return &one.device->device() == &device; });
}

Result<bool> Machine::unplug(const VirtioDevice& device) {
  const auto found = find(device);
  if (found == devices_.end()) return Error(Code::kNotFound, "the machine has no such device");
  if (!slots_.let_go(found->slot)) {
    slots_.want(found->slot);
    return false;
  }
  slots_.settle(found->slot);
  pci_.remove(found->slot);
  devices_.erase(found);
  changed_ = true;
  return true;
}

void Machine::keep(const VirtioDevice& device) {
  const auto found = find(device);
  if (found != devices_.end() && slots_.settle(found->slot)) slots_.insert(found->slot);
}

Result<void> Machine::load(const Fd& kernel, const std::string& kernel_name, const Fd* initrd,
                           const std::string& initrd_name, const std::string& command_line) {
  const LoadedKernel loaded = TRY(load_kernel(memory_, kernel, kernel_name));
  TRY(write_boot_files(memory_, {.kernel = loaded,
                                 .initrd = initrd,
                                 .initrd_name = initrd_name,
                                 .command_line = command_line}));
  TRY(write_acpi_tables(memory_, shape_.processors));
  TRY(write_boot_tables(memory_));
  return enter_kernel(vcpus_.front(), loaded.entry);
}

Result<void> Machine::start(const Fd& ended) {
  install_kick();
  ended_ = ended.get();
  const std::lock_guard starting(pause_lock_);
  running_ = vcpus_.size();
  for (Vcpu& vcpu : vcpus_) {
    threads_.emplace_back([this, &vcpu] {
      run_processor(vcpu);
      const std::lock_guard guard(pause_lock_);
      --running_;  // of a guest that has ended: it stands still for good
      pause_changed_.notify_all();
    });
  }
  return {};
}

void Machine::stop() {
  stopping_ = true;
  {
    const std::lock_guard guard(pause_lock_);
    kick_all();
  }
  resume();
  for (std::thread& thread : threads_)
    thread.join();
  {
    const std::lock_guard guard(pause_lock_);
    threads_.clear();
  }
  serial_.flush();
}

// With pause_lock_: the threads of all processors are there, and may have ended but not been
// joined.
void Machine::kick_all() {
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    vcpus_[i].kick();  // closes the gap between the check and KVM_RUN
    ::pthread_kill(threads_[i].native_handle(), kKick);
  }
}

Result<void> Machine::pause() {
  {
    std::unique_lock waiting(pause_lock_);
    if (running_ == 0) return Error(Code::kState, "the machine does not run");
    pausing_ = true;
    kick_all();
    pause_changed_.wait(waiting, [this] { return standing_ == running_; });
  }
  for (const Placed& one : devices_)
    one.device->finish_requests();
  return {};
}

void Machine::resume() {
  {
    const std::lock_guard guard(pause_lock_);
    if (pausing_ && !stopping_) {
      for (const Vcpu& vcpu : vcpus_)
        note_standstill(vcpu);
    }
    pausing_ = false;
  }
  pause_changed_.notify_all();
}

// A processor comes here out of KVM_RUN with EINTR, which is after it has finished the access that
// it had last left the guest for.
void Machine::stand_still() {
  std::unique_lock waiting(pause_lock_);
  ++standing_;
  pause_changed_.notify_all();
  pause_changed_.wait(waiting, [this] { return !pausing_; });
  --standing_;
}

void Machine::hold_devices(std::size_t next, const std::function<void()>& work) {
  if (next == devices_.size()) return work();
  devices_[next].device->device().worker().run([&] { hold_devices(next + 1, work); });
}

Result<void> Machine::save(StateWriter& to, const Fd& memory) {
  Result<void> saved = Error(Code::kState, "the machine's end");
  const auto save = [&] { saved = save_all(to, memory); };
  // On the caller's own thread: no device's jail lets it ask KVM for processors, or write files.
  Worker* const caller = Worker::current();
  hold_devices(0, [&] { caller != nullptr ? caller->run(save) : save(); });
  return saved;
}

Result<void> Machine::save_all(StateWriter& to, const Fd& memory) {
  if (end_ != End::kNone) return Error(Code::kState, "the guest has ended");
  if (changed_) {
    return Error(Code::kUnsupported,
                 "network cards or disks came or went since the machine was started, and a saved "
                 "one has those of its start")
        .hint("vrun restart, then the snapshot");
  }
  to.section("MACH");
  to.put(shape_.processors);
  to.put(shape_.memory);
  save_features(vm_, to);
  for (const Vcpu& vcpu : vcpus_)
    TRY(save_processor(vm_, vcpu, to));
  TRY(save_controllers(vm_, to));
  serial_.save(to);
  rtc_.save(to);
  power_.save(to);
  pci_.save(to);
  to.put(static_cast<std::uint32_t>(devices_.size()));
  for (const Placed& one : devices_) {
    Result<void> saved;
    one.device->device().worker().run([&] { saved = one.device->save(to); });
    TRY(std::move(saved));
  }
  to.section("LAST");
  TRY(write_memory(memory_, memory));
  return {};
}

Result<void> Machine::load(StateReader& from) {
  TRY(from.section("MACH"));
  if (TRY(from.get<std::uint32_t>()) != shape_.processors ||
      TRY(from.get<std::uint64_t>()) != shape_.memory)
    return Error(Code::kInvalid, "the saved machine has other processors or another memory");
  TRY(check_features(vm_, from));
  for (const Vcpu& vcpu : vcpus_)
    TRY(load_processor(vm_, vcpu, from));
  TRY(load_controllers(vm_, from));
  TRY(serial_.load(from));
  TRY(rtc_.load(from));
  TRY(power_.load(from));
  TRY(pci_.load(from));
  if (TRY(from.get<std::uint32_t>()) != devices_.size())
    return Error(Code::kInvalid, "the saved machine has other devices");
  for (const Placed& one : devices_)
    TRY(one.device->load(from));
  TRY(from.section("LAST"));
  if (!from.at_end()) return Error(Code::kInvalid, "the machine's state goes on after its end");
  for (const Vcpu& vcpu : vcpus_)
    note_standstill(vcpu);
  return {};
}

void Machine::run_processor(Vcpu& vcpu) {
  ::pthread_setname_np(::pthread_self(), "processor");
  jail::enter("processor");
  while (!stopping_) {
    const int error = vcpu.enter();
    if (error == EINTR || error == EAGAIN) {
      vcpu.unkick();
      if (pausing_) stand_still();
      continue;
    }
    if (error != 0)
      return end_with(End::kFault, "KVM cannot run processor " + std::to_string(vcpu.id()) + ": " +
                                       errno_text(error));
    if (!serve_exit(vcpu)) return;
  }
}

bool Machine::serve_exit(Vcpu& vcpu) {
  struct kvm_run& run = vcpu.shared();
  switch (run.exit_reason) {
    case KVM_EXIT_IO:
      serve_port(run);
      return end_ == End::kNone;
    case KVM_EXIT_MMIO:
      serve_mmio(run);
      return true;
    case KVM_EXIT_INTR:
      return true;
    case KVM_EXIT_SHUTDOWN:  // how a PC is reset when all else fails
      end_with(End::kReset, "its processor met a fault while it served a fault (triple fault)");
      return false;
    case KVM_EXIT_SYSTEM_EVENT:
      end_with(run.system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN ? End::kPowerOff : End::kReset);
      return false;
    case KVM_EXIT_INTERNAL_ERROR:
      end_with(End::kFault, "KVM met an instruction that it cannot run (internal error " +
                                std::to_string(run.internal.suberror) + ")");
      return false;
    case KVM_EXIT_FAIL_ENTRY:
      end_with(End::kFault, "the processor refused to enter the guest (reason " +
                                std::to_string(run.fail_entry.hardware_entry_failure_reason) + ")");
      return false;
    default:
      end_with(End::kFault, "KVM stopped for reason " + std::to_string(run.exit_reason) +
                                ", which this machine has no answer to");
      return false;
  }
}

void Machine::serve_port(struct kvm_run& run) {
  auto* data = reinterpret_cast<std::uint8_t*>(&run) + run.io.data_offset;
  for (std::uint32_t i = 0; i < run.io.count; ++i, data += run.io.size) {
    if (run.io.direction == KVM_EXIT_IO_IN)
      ports_.read(run.io.port, {data, run.io.size});
    else
      ports_.write(run.io.port, {data, run.io.size});
  }
}

void Machine::serve_mmio(struct kvm_run& run) {
  if (run.mmio.is_write != 0)
    mmio_.write(run.mmio.phys_addr, {run.mmio.data, run.mmio.len});
  else
    mmio_.read(run.mmio.phys_addr, {run.mmio.data, run.mmio.len});
}

void Machine::end_with(End end, std::string fault) {
  const std::lock_guard guard(lock_);
  if (end_ != End::kNone) return;  // the first word counts
  fault_ = std::move(fault);
  end_ = end;
  const std::uint64_t one = 1;
  // Cannot fail: the counter of an eventfd that is written once is not full.
  [[maybe_unused]] const ssize_t written = ::write(ended_, &one, sizeof one);
}

}  // namespace vrun::vmm
