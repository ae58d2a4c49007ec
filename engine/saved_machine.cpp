#include "engine/saved_machine.hpp"

#include <array>
#include <chrono>
#include <string>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/micro_vm.hpp"
#include "engine/micro_vm_call.hpp"

namespace vrun::engine {

namespace {

using std::chrono::milliseconds;

constexpr std::array kFiles{"state", "memory"};
// Until its memory is in the file, and until it goes on.
constexpr milliseconds kToSave{600000}, kToGoOn{10000};

Result<Fd> new_file(const Fd& dir, const char* name) {
  return sys::open(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

Error cannot(const GuestRecord& record, const std::string& why) {
  return Error(Code::kUnsupported,
               "the machine of guest " + quote(record.name) + " cannot be saved: " + why);
}

Result<void> check(const Guests& guests, const GuestRecord& record) {
  if (!is_micro_vm(record.request))
    return cannot(record, "it is a container")
        .hint(
            "`vrun snapshot create` keeps its files; a machine has what runs with --isolation vm");
  if (!record.request.disks.empty())
    return cannot(record, "it is a system on disks, which would go on changing them");
  const MachineMemory machine = TRY(machine_memory(guests, record));
  if (machine.engine != vm::Engine::kKvm)
    return cannot(record, "its engine is qemu").hint("`vrun doctor` says what KVM lacks here");
  if (machine.boot_bytes != machine.bytes)
    return cannot(record, "its memory was changed while it ran")
        .hint("vrun update --memory gives it back; or restart it");
  return {};
}

// What the VMM says when all is in the files; its error comes over the other socket.
Result<void> wait_until_saved(const Fd& pair, const Fd& control) {
  std::array<pollfd, 1> ready{pollfd{pair.get(), POLLIN, 0}};
  const auto deadline = std::chrono::steady_clock::now() + kToSave;
  while (TRY(sys::poll(ready, 1000)) == 0) {
    if (std::chrono::steady_clock::now() > deadline)
      return Error(Code::kTimeout, "the machine's memory was not saved in time");
  }
  std::array<char, 4096> buffer;
  const sys::Received said = TRY(sys::receive(pair.get(), buffer));
  if (said.bytes > 0) return {};
  TRY(read_answer(control, kToGoOn));
  return Error(Code::kState, "the machine was let go on before it was copied");
}

}  // namespace

Result<std::optional<SavedMachine>> open_saved_machine(const Fd& dir, const char* name) {
  Result<Fd> machine = sys::open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!machine && machine.error().code() == Code::kNotFound) return std::optional<SavedMachine>();
  const Fd inside = TRY(std::move(machine));
  SavedMachine saved;
  saved.state = TRY(sys::open(inside, kFiles[0], O_RDONLY | O_NOFOLLOW));
  saved.memory = TRY(sys::open(inside, kFiles[1], O_RDONLY | O_NOFOLLOW));
  return std::optional(std::move(saved));
}

Result<void> link_saved_machine(const Fd& snapshot, const Fd& guest) {
  const Fd from = TRY(sys::open(snapshot, kCloned, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY(sys::make_dir(guest, kCloned, 0700));
  const Fd to = TRY(sys::open_dir(guest, kCloned));
  for (const char* const name : kFiles) {
    if (::linkat(from.get(), name, to.get(), name, 0) != 0)
      return Error::system(errno, "link the saved machine");
  }
  return {};
}

Result<void> drop_saved_machine(const Fd& guest) {
  return fs::remove_tree(guest, kCloned);
}

Result<void> wait_for_machine(const Guests& guests, const GuestRecord& record) {
  constexpr std::chrono::seconds kToComeUp{60}, kToBeTold{10};
  const auto begun = std::chrono::steady_clock::now();
  while (true) {
    if (call_agent(guests, record, R"({"call":"info"})")) return {};
    const Guest now = TRY(guests.find(record.id));
    const auto waited = std::chrono::steady_clock::now() - begun;
    // The monitor tells of an end a moment after it.
    if (!now.runs() && (!now.record.last.reason.empty() || waited > kToBeTold))
      return Error(Code::kState, now.record.last.reason.empty() ? "the machine ended at once"
                                                                : now.record.last.reason);
    if (waited > kToComeUp) return Error(Code::kTimeout, "the machine does not answer");
    TRY(sys::poll({}, 20));
  }
}

Result<MachineStandstill> MachineStandstill::begin(const Guests& guests, const GuestRecord& record,
                                                   const Fd& to) {
  TRY(check(guests, record));
  return begin_in(guests.monitor_dir(record), to);
}

Result<MachineStandstill> MachineStandstill::begin_in(const std::string& dir, const Fd& to) {
  const Fd state = TRY(new_file(to, kFiles[0])), memory = TRY(new_file(to, kFiles[1]));
  MachineStandstill still;
  // The processes first: what they do next they do as who they are then.
  still.programs_ = TRY(AgentFreeze::begin_in(dir));
  sys::SocketPair pair = TRY(sys::packet_pair());
  still.control_ = TRY(sys::connect_stream(dir + "/control"));
  TRY(sys::send(still.control_.get(), call_bytes(R"({"call":"snapshot"})"), pair.theirs.get()));
  pair.theirs.reset();
  still.pair_ = std::move(pair.mine);
  for (const Fd* const file : {&state, &memory})
    TRY(sys::send(still.pair_.get(), std::string_view("f"), file->get()));
  TRY(wait_until_saved(still.pair_, still.control_));
  return still;
}

MachineStandstill::~MachineStandstill() {
  pair_.reset();
  programs_.end();
}

Result<void> MachineStandstill::end() {
  pair_.reset();
  const Result<std::string> gone_on = read_answer(control_, kToGoOn);
  programs_.end();
  if (!gone_on) return Error(gone_on.error().code(), gone_on.error().text());
  return {};
}

Result<void> MachineStandstill::end_guest() {
  return sys::send(pair_.get(), std::string_view("e"));
}

}  // namespace vrun::engine
