// Questions to a running micro-VM: to its agent, and to vrun-vmm itself.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"
#include "engine/request.hpp"
#include "network/port_probe.hpp"
#include "vm/engine_choice.hpp"
#include "vm/lower.hpp"

namespace vrun::engine {

// One call ({"call": ...}) to the agent in the guest, or to the VMM; its answer's JSON. kTimeout
// when there is none in time. The answer comes from where a tenant's program may rule: bounded,
// and to be parsed as such.
Result<std::string> call_agent(const Guests& guests, const GuestRecord& record,
                               std::string_view json);
Result<std::string> call_vmm(const Guests& guests, const GuestRecord& record,
                             std::string_view json);

// Whether the agent says anything, within three seconds.
bool agent_answers(const Guests& guests, const GuestRecord& record);

// The same to the VMM with a descriptor.
Result<std::string> hand_vmm(const Guests& guests, const GuestRecord& record, std::string_view json,
                             const Fd& file);

// The same in parts, for who keeps the connection: what is to be sent, and the answer to it.
std::string call_bytes(std::string_view json);
Result<std::string> read_answer(const Fd& socket, std::chrono::milliseconds patience);

// A running guest gets this memory: at most what it was started with, because the machine has no
// more (kUnsupported). It has it when this returns; kState when the guest uses too much to give
// that up, and everything is as before. Answers what the machine was started with.
struct MachineMemory {
  vm::Engine engine = vm::Engine::kKvm;
  std::uint64_t bytes = 0, boot_bytes = 0, reported_bytes = 0;
  std::uint32_t processors = 0;
};
Result<MachineMemory> machine_memory(const Guests& guests, const GuestRecord& record);
Result<void> set_machine_memory(const Guests& guests, const GuestRecord& record,
                                std::uint64_t bytes);

// What the disks of a running guest may do from now on.
Result<void> set_disk_limits(const Guests& guests, const GuestRecord& record,
                             std::span<const std::string> names,
                             std::span<const vm::DiskLimits> limits);

// What the guest uses, as its own kernel counts it; kTimeout within a second where it does not
// answer.
struct MachineUse {
  std::uint64_t memory = 0, memory_limit = 0, processes = 0;
};
Result<MachineUse> machine_use(const Guests& guests, const GuestRecord& record);

// The guest's processes: texts as in proc(5), written by the guest.
struct MachineProcess {
  std::string status, stat, command_line;
};
Result<std::vector<MachineProcess>> machine_processes(const Guests& guests,
                                                      const GuestRecord& record);

// What a port of the guest's loopback says, as network::probe_port().
Result<std::string> probe_in_machine(const Guests& guests, const GuestRecord& record,
                                     const network::PortProbe& probe, std::int64_t timeout_ms);

// After a pause: the guest's clock is that of the host again. Failures are of no consequence.
void set_guest_clock(const Guests& guests, const GuestRecord& record);

}  // namespace vrun::engine
