// vrun-vmm: one virtual machine.
//
//   vrun-vmm --kvm=FILE --kernel=FILE --memory=BYTES [--processors=N] [--initrd=FILE]
//            [--share=TAG:DIR]... [--read-only-share=TAG:DIR]...
//            [--command-line=TEXT] [--memory-file=FILE] [--disk=FILE]... [--read-only-disk=FILE]...
//            [--cards=FILE] [--agent=FILE] [--run=FILE [--console=FILE] [--agent-wait=SECONDS]]
//
// FILE is a descriptor's number or an absolute path; --agent: a listening socket for those who
// speak to the agent in the guest; --cards: a socket that network cards come by, each with its tap,
// until the other end closes (vm/agent/cards.hpp). Without --run the serial port is on stdin and
// stdout; exit status: 0 the guest went off, 3 it was reset, 1 it could not be run (said on
// stderr).
//
// --run: a file with the request of the guest's own process (kRun of vm/agent/frames.hpp). Then
// stdin, stdout, stderr, signals and exit status are that process's (128 + n: signal n); 125: it
// could not be run, 126: it could not be executed, 127: it was not found. The serial port goes to
// --console or nowhere.
#include <cstdio>
#include <memory>
#include <span>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "vm/agent/frames.hpp"
#include "vm/vmm/block.hpp"
#include "vm/vmm/entropy.hpp"
#include "vm/vmm/fs.hpp"
#include "vm/vmm/machine.hpp"
#include "vm/vmm/main_process.hpp"
#include "vm/vmm/net_cards.hpp"
#include "vm/vmm/options.hpp"
#include "vm/vmm/vsock.hpp"

namespace vrun::vmm {
namespace {

constexpr int kOff = 0, kFailed = 1, kReset = 3, kNotRun = 125;

int complain(const Error& error, int status = kFailed) {
  std::fprintf(stderr, "vrun-vmm: %s\n", error.text().c_str());
  if (!error.hint().empty()) std::fprintf(stderr, "  hint: %s\n", error.hint().c_str());
  return status;
}

void say(std::string_view text) {
  // Whoever does not read the console loses it; the guest goes on.
  [[maybe_unused]] const Result<void> said = sys::write_all(STDOUT_FILENO, text);
}

Result<void> add_devices(Machine& machine, Options& options) {
  for (DiskOption& disk : options.disks) {
    const std::string serial = "vrun-" + std::to_string(&disk - options.disks.data());
    std::unique_ptr<VirtioDevice> block =
        TRY(Block::create(std::move(disk.file), disk.read_only, serial));
    TRY(machine.add(std::move(block)));
  }
  for (ShareOption& share : options.shares) {
    Fd links = TRY(sys::open_dir(At::cwd(), "/proc/self/fd"));
    std::unique_ptr<VirtioDevice> fs =
        TRY(Fs::create(share.tag, std::move(share.directory), std::move(links),
                       {.read_only = share.read_only, .cache_seconds = 1}));
    TRY(machine.add(std::move(fs)));
  }
  if (options.cards) {
    for (TakenCard& taken : TRY(take_cards(options.cards))) {
      std::unique_ptr<VirtioDevice> net = TRY(Net::create(std::move(taken.tap), taken.card));
      TRY(machine.add(std::move(net)));
    }
  }
  std::unique_ptr<VirtioDevice> entropy = TRY(Entropy::create());
  return machine.add(std::move(entropy));
}

// With an agent to speak to; the machine keeps the device.
Result<Vsock*> add_vsock(Machine& machine, Options& options) {
  if (!options.agent && !options.run) return nullptr;
  std::unique_ptr<Vsock> vsock = TRY(Vsock::create(std::move(options.agent), vm::kAgentPort));
  Vsock* const kept = vsock.get();
  TRY(machine.add(std::move(vsock)));
  return kept;
}

Result<void> load(Machine& machine, const Options& options) {
  return machine.load(options.kernel, options.kernel_name,
                      options.initrd ? &options.initrd : nullptr, options.initrd_name,
                      options.command_line);
}

Result<Fd> make_event() {
  Fd event(::eventfd(0, EFD_CLOEXEC));
  if (!event) return Error::system(errno, "make an event");
  return event;
}

Result<std::unique_ptr<Machine>> make_machine(const Options& options,
                                              std::function<void(std::string_view)> console) {
  return Machine::create(options.kvm, options.memory,
                         {.processors = options.processors, .memory = options.memory_size},
                         std::move(console));
}

// The guest with its serial port as ours.
Result<End> run(Options& options) {
  std::unique_ptr<Machine> machine = TRY(make_machine(options, say));
  TRY(add_devices(*machine, options));
  TRY(add_vsock(*machine, options));
  TRY(load(*machine, options));
  const Fd ended = TRY(make_event());
  TRY(machine->start(ended));
  bool typing = true;
  while (true) {
    pollfd fds[] = {{.fd = ended.get(), .events = POLLIN, .revents = 0},
                    {.fd = typing ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0}};
    TRY(sys::poll(fds, -1));
    if (fds[0].revents != 0) break;
    if (fds[1].revents == 0) continue;
    char buffer[64];
    const std::size_t count = TRY(sys::read(STDIN_FILENO, buffer));
    typing = count > 0;
    machine->serial().type({buffer, count});
  }
  machine->stop();
  if (machine->end() == End::kFault) return Error(Code::kState, machine->fault());
  return machine->end();
}

// From the descriptor: where the VMM lives there need not be a /proc to open it again by.
Result<std::string> read_request(const Fd& file) {
  std::string text;
  char buffer[16 << 10];
  while (true) {
    const std::size_t got = TRY(sys::read(file.get(), buffer));
    if (got == 0) return text;
    text.append(buffer, got);
    if (text.size() > vm::kMostContent)
      return Error(Code::kInvalid, "--run: the request is too large");
  }
}

// The guest as one process.
Result<Ended> run_process(Options& options) {
  const Fd signals = TRY(take_signals());
  MainProcess wishes;
  wishes.request = TRY(read_request(options.run));
  ConsoleTail tail;
  std::unique_ptr<Machine> machine = TRY(make_machine(options, [&](std::string_view text) {
    tail.add(text);
    if (options.console) static_cast<void>(sys::write_all(options.console.get(), text));
  }));
  TRY(add_devices(*machine, options));
  Vsock* const vsock = TRY(add_vsock(*machine, options));
  TRY(load(*machine, options));
  const Fd ended = TRY(make_event());
  TRY(machine->start(ended));
  wishes.wait = std::chrono::seconds(options.agent_wait_seconds);
  wishes.signals = &signals;
  wishes.machine_ended = &ended;
  wishes.console = &tail;
  Result<Ended> end = run_main_process(*vsock, wishes);
  machine->stop();
  return end;
}

int main_process(Options& options) {
  const Result<Ended> ended = run_process(options);
  if (!ended) return complain(ended.error(), kNotRun);
  if (ended->failure) return complain(vm::error_of(*ended->failure), ended->status);
  return ended->status;
}

int main_with(std::span<const char* const> arguments) {
  Result<Options> options = parse_options(arguments);
  if (!options) return complain(options.error());
  if (options->run) return main_process(*options);
  const Result<End> end = run(*options);
  if (!end) return complain(end.error());
  return *end == End::kPowerOff ? kOff : kReset;
}

}  // namespace
}  // namespace vrun::vmm

int main(int argc, char** argv) {
  return vrun::vmm::main_with(
      std::span<const char* const>(argv + 1, static_cast<std::size_t>(argc - 1)));
}
