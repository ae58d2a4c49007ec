#include "engine/micro_vm_call.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>

#include <poll.h>

#include "base/json_table.hpp"
#include "base/json_writer.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "vm/agent/failure.hpp"
#include "vm/agent/frames.hpp"

namespace vrun::engine {

struct AgentMemory {
  std::uint64_t total = 0, available = 0;
};
struct AgentStats {
  AgentMemory memory;
  std::uint64_t processes = 0;
};
struct AgentProcesses {
  std::vector<MachineProcess> processes;
};
constexpr auto json_fields(const AgentMemory*) {
  return json::fields(json::field("total", &AgentMemory::total, {.required = true}),
                      json::field("available", &AgentMemory::available, {.required = true}));
}
constexpr auto json_fields(const AgentStats*) {
  return json::fields(json::field("memory", &AgentStats::memory, {.required = true}),
                      json::field("processes", &AgentStats::processes));
}
constexpr auto json_fields(const MachineProcess*) {
  return json::fields(json::field("status", &MachineProcess::status, {.required = true}),
                      json::field("stat", &MachineProcess::stat, {.required = true}),
                      json::field("commandLine", &MachineProcess::command_line));
}
constexpr auto json_fields(const AgentProcesses*) {
  return json::fields(json::field("processes", &AgentProcesses::processes, {.required = true}));
}
struct AgentProbe {
  std::string fault;
};
constexpr auto json_fields(const AgentProbe*) {
  return json::fields(json::field("fault", &AgentProbe::fault, {.required = true}));
}
constexpr auto json_fields(const MachineMemory*) {
  return json::fields(json::field("engine", &MachineMemory::engine),
                      json::field("bytes", &MachineMemory::bytes, {.required = true}),
                      json::field("bootBytes", &MachineMemory::boot_bytes, {.required = true}),
                      json::field("reportedBytes", &MachineMemory::reported_bytes),
                      json::field("processors", &MachineMemory::processors, {.required = true}));
}

namespace {

using Clock = std::chrono::steady_clock;
using vm::FrameType;

constexpr std::chrono::milliseconds kForAnAnswer{10000}, kForALook{1000};
// How long a guest may take to find pages that it can give up, without getting any further.
constexpr std::chrono::seconds kForProgress{10};
constexpr int kLookMs = 50;

Result<vm::Frame> next_frame(const Fd& socket, vm::FrameReader& reader,
                             Clock::time_point deadline) {
  while (true) {
    std::optional<vm::Frame> frame = TRY(reader.next());
    if (frame) return *std::move(frame);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    std::array<pollfd, 1> ready{pollfd{socket.get(), POLLIN, 0}};
    if (left.count() <= 0 || TRY(sys::poll(ready, static_cast<int>(left.count()))) == 0)
      return Error(Code::kTimeout, "no answer in time");
    std::array<char, 16384> buffer;
    const std::size_t got = TRY(sys::read(socket.get(), buffer));
    if (got == 0) return Error(Code::kState, "the connection was closed without an answer");
    reader.feed({buffer.data(), got});
  }
}

Result<std::string> call(const std::string& path, std::string_view json,
                         std::chrono::milliseconds patience) {
  const Fd socket = TRY(sys::connect_stream(path));
  TRY(sys::send(socket.get(), call_bytes(json)));
  return read_answer(socket, patience);
}

Result<std::string> call_in(const Guests& guests, const GuestRecord& record,
                            const std::string& socket, std::string_view json,
                            std::chrono::milliseconds patience = kForAnAnswer) {
  Result<std::string> answer = call(guests.monitor_dir(record) + "/" + socket, json, patience);
  if (answer) return answer;
  return std::move(std::move(answer).error().during(
      socket == "agent" ? "the guest's agent" : "the guest's virtual machine monitor"));
}

Result<MachineMemory> memory_call(const Guests& guests, const GuestRecord& record,
                                  std::string_view json) {
  const std::string answer = TRY(call_vmm(guests, record, json));
  return json::read<MachineMemory>(answer, "the answer of vrun-vmm");
}

std::string set_memory(std::uint64_t bytes) {
  return json::Writer()
      .begin_object()
      .member("call", std::string_view("set-memory"))
      .member("bytes", bytes)
      .end_object()
      .take();
}

std::string mib(std::uint64_t bytes) {
  return std::to_string(bytes >> 20U) + " MiB";
}

// Until the guest has `bytes`, or gets no nearer.
Result<bool> wait_for_memory(const Guests& guests, const GuestRecord& record, std::uint64_t bytes,
                             MachineMemory now) {
  Clock::time_point progress = Clock::now();
  while (now.bytes != bytes) {
    if (Clock::now() - progress > kForProgress) return false;
    TRY(sys::poll({}, kLookMs));
    const MachineMemory next = TRY(machine_memory(guests, record));
    if (next.bytes != now.bytes) progress = Clock::now();
    now = next;
  }
  return true;
}

}  // namespace

std::string call_bytes(std::string_view json) {
  return vm::encode_numbers(FrameType::kHello, {vm::kAgentVersion}) +
         vm::encode(FrameType::kCall, json);
}

Result<std::string> read_answer(const Fd& socket, std::chrono::milliseconds patience) {
  const Clock::time_point deadline = Clock::now() + patience;
  vm::FrameReader reader;
  while (true) {
    vm::Frame frame = TRY(next_frame(socket, reader, deadline));
    if (frame.type == FrameType::kAnswer) return std::move(frame.content);
    if (frame.type == FrameType::kError) return vm::error_of(TRY(vm::parse_failure(frame.content)));
    if (frame.type != FrameType::kHello)
      return Error(Code::kState, "the other side said something that makes no sense");
  }
}

Result<std::string> call_agent(const Guests& guests, const GuestRecord& record,
                               std::string_view json) {
  return call_in(guests, record, "agent", json);
}

bool agent_answers(const Guests& guests, const GuestRecord& record) {
  constexpr std::chrono::seconds kForAWord{3};
  return call_in(guests, record, "agent", R"({"call":"info"})", kForAWord).has_value();
}

Result<std::string> call_vmm(const Guests& guests, const GuestRecord& record,
                             std::string_view json) {
  return call_in(guests, record, "control", json);
}

Result<std::string> hand_vmm(const Guests& guests, const GuestRecord& record, std::string_view json,
                             const Fd& file) {
  const Fd socket = TRY(sys::connect_stream(guests.monitor_dir(record) + "/control"));
  TRY(sys::send(socket.get(), call_bytes(json), file.get()));
  Result<std::string> answer = read_answer(socket, kForAnAnswer);
  if (answer) return answer;
  return std::move(std::move(answer).error().during("the guest's virtual machine monitor"));
}

Result<MachineMemory> machine_memory(const Guests& guests, const GuestRecord& record) {
  return memory_call(guests, record, R"({"call":"memory"})");
}

Result<void> set_machine_memory(const Guests& guests, const GuestRecord& record,
                                std::uint64_t bytes) {
  const MachineMemory before = TRY(machine_memory(guests, record));
  if (bytes > before.boot_bytes) {
    return Error(Code::kUnsupported, "the machine was started with " + mib(before.boot_bytes) +
                                         " of memory, and has no room for more while it runs")
        .hint("vrun stop, vrun update, vrun start");
  }
  const MachineMemory now = TRY(memory_call(guests, record, set_memory(bytes)));
  if (TRY(wait_for_memory(guests, record, bytes, now))) return {};
  const MachineMemory reached = TRY(machine_memory(guests, record));
  TRY(memory_call(guests, record, set_memory(before.bytes)));
  return Error(Code::kState, "the guest uses too much memory to do with " + mib(bytes) +
                                 ": it came down to " + mib(reached.bytes))
      .hint("end something in it, or choose more");
}

Result<void> set_disk_limits(const Guests& guests, const GuestRecord& record,
                             std::span<const std::string> names,
                             std::span<const vm::DiskLimits> limits) {
  for (std::size_t i = 0; i < limits.size(); ++i) {
    json::Writer w;
    w.begin_object().member("call", std::string_view("set-disk")).member("disk", names[i]);
    w.key("limits").begin_object();
    w.member("readBytes", limits[i].read_bytes).member("writeBytes", limits[i].write_bytes);
    w.member("readOperations", limits[i].read_operations);
    w.member("writeOperations", limits[i].write_operations).end_object().end_object();
    const std::string call = w.take();
    TRY(call_vmm(guests, record, call));
  }
  return {};
}

Result<MachineUse> machine_use(const Guests& guests, const GuestRecord& record) {
  const std::string answer =
      TRY(call_in(guests, record, "agent", R"({"call":"stats"})", kForALook));
  const AgentStats stats = TRY(json::read<AgentStats>(answer, "the answer of the guest's agent"));
  const MachineMemory machine = TRY(machine_memory(guests, record));
  const std::uint64_t free = std::min(stats.memory.available, stats.memory.total);
  return MachineUse{.memory = std::min(stats.memory.total - free, machine.bytes),
                    .memory_limit = machine.bytes,
                    .processes = stats.processes};
}

Result<std::vector<MachineProcess>> machine_processes(const Guests& guests,
                                                      const GuestRecord& record) {
  const std::string answer = TRY(call_agent(guests, record, R"({"call":"processes"})"));
  constexpr json::Limits kLimits{.bytes = vm::kMostContent};
  AgentProcesses all =
      TRY(json::read<AgentProcesses>(answer, "the answer of the guest's agent", kLimits));
  return std::move(all.processes);
}

Result<std::string> probe_in_machine(const Guests& guests, const GuestRecord& record,
                                     const network::PortProbe& probe, std::int64_t timeout_ms) {
  const std::string json = json::Writer()
                               .begin_object()
                               .member("call", std::string_view("probe"))
                               .member("http", probe.http)
                               .member("port", std::uint64_t{probe.port})
                               .member("path", probe.path)
                               .member("milliseconds", timeout_ms)
                               .end_object()
                               .take();
  const std::string answer =
      TRY(call_in(guests, record, "agent", json, std::chrono::milliseconds(timeout_ms)));
  return TRY(json::read<AgentProbe>(answer, "the answer of the guest's agent")).fault;
}

void set_guest_clock(const Guests& guests, const GuestRecord& record) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::string json = json::Writer()
                               .begin_object()
                               .member("call", std::string_view("set-clock"))
                               .member("seconds", static_cast<std::int64_t>(now.tv_sec))
                               .member("nanoseconds", static_cast<std::int64_t>(now.tv_nsec))
                               .end_object()
                               .take();
  const Result<std::string> set = call_agent(guests, record, json);
  if (!set)
    log::warning("guest " + record.name +
                 ": its clock is late by the pause: " + set.error().text());
}

}  // namespace vrun::engine
