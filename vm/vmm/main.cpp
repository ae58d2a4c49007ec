// vrun-vmm: one virtual machine.
//
//   vrun-vmm --kvm=FILE --kernel=FILE --memory=BYTES [--processors=N] [--initrd=FILE]
//            [--share=TAG:DIR]... [--read-only-share=TAG:DIR]...
//            [--command-line=TEXT] [--memory-file=FILE] [--disk=FILE]... [--read-only-disk=FILE]...
//            [--agent=FILE] [--control=FILE] [--cards=FILE]
//            [--run=FILE [--console=FILE] [--report=FILE] [--agent-wait=SECONDS]]
//
//   vrun-vmm --kvm=FILE --restore=FILE --memory-file=FILE --memory=BYTES ...
//
//   vrun-vmm --qemu=DIR --run=FILE --memory=BYTES [--processors=N] [--share=...] [--agent=FILE] ...
//
// FILE is a descriptor's number or an absolute path; --agent: a listening socket for those who
// speak to the agent in the guest; --control: one for those who change the machine (control.hpp);
// --cards: a socket that network cards come by, each with its tap, until the other end closes
// (vm/agent/cards.hpp). Without --run the serial port is on stdin and stdout; exit status: 0 the
// guest went off, 3 it was reset, 1 it could not be run (said on stderr).
//
// --run: a file with the request of the guest's own process (kRun of vm/agent/frames.hpp). Then
// stdin, stdout, stderr, signals and exit status are that process's (128 + n: signal n); 125: it
// could not be run or the machine was lost, 126: it could not be executed, 127: it was not found.
// --report gets what that cannot tell (vm/agent/report.hpp). The serial port goes to --console or
// nowhere.
//
// --restore: the machine goes on where the call `snapshot` of --control left it
// (snapshot_call.hpp), with the same processors, memory and devices. --run then says who the
// guest is now (`guest` of kAdopt): its own process runs already.
// --boot-words: a file with more words for the kernel's command line. The guest is a whole machine
// (main_machine.hpp): exit status 0 when it went off, 125 when it was lost.
//
// --qemu: QEMU is the machine, and this process its devices (qemu.hpp).
#include <algorithm>
#include <cstdio>
#include <memory>
#include <new>
#include <span>

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "vm/agent/frames.hpp"
#include "vm/agent/report.hpp"
#include "vm/vmm/adoption.hpp"
#include "vm/vmm/balloon.hpp"
#include "vm/vmm/block.hpp"
#include "vm/vmm/control.hpp"
#include "vm/vmm/disk_calls.hpp"
#include "vm/vmm/disk_news.hpp"
#include "vm/vmm/entropy.hpp"
#include "vm/vmm/fs.hpp"
#include "vm/vmm/jail.hpp"
#include "vm/vmm/machine.hpp"
#include "vm/vmm/main_machine.hpp"
#include "vm/vmm/main_process.hpp"
#include "vm/vmm/memory_calls.hpp"
#include "vm/vmm/net_cards.hpp"
#include "vm/vmm/options.hpp"
#include "vm/vmm/plug_calls.hpp"
#include "vm/vmm/qemu.hpp"
#include "vm/vmm/snapshot_call.hpp"
#include "vm/vmm/vsock.hpp"

namespace vrun::vmm {
namespace {

constexpr int kOff = 0, kFailed = 1, kReset = 3, kNotRun = 125;

int complain(const Error& error, int status = kFailed) {
  std::fprintf(stderr, "vrun-vmm: %s\n", error.text().c_str());
  if (!error.hint().empty()) std::fprintf(stderr, "  hint: %s\n", error.hint().c_str());
  return status;
}

std::string told(const Lost& lost) {
  if (lost.console.empty()) return lost.why;
  return lost.why + "; its console's last words:\n" + lost.console;
}

void say(std::string_view text) {
  // Whoever does not read the console loses it; the guest goes on.
  [[maybe_unused]] const Result<void> said = sys::write_all(STDOUT_FILENO, text);
}

Result<std::unique_ptr<VirtioDevice>> make_share(ShareOption& share) {
  Fd links = TRY(sys::open_dir(At::cwd(), "/proc/self/fd"));
  std::unique_ptr<VirtioDevice> fs =
      TRY(Fs::create(share.tag, std::move(share.directory), std::move(links),
                     {.read_only = share.read_only, .cache_seconds = 1}));
  return fs;
}

Result<std::unique_ptr<VirtioDevice>> make_disk(Options& options, DiskOption& disk) {
  const auto number = static_cast<std::size_t>(&disk - options.disks.data());
  disk.number = number;
  const std::string serial = "vrun-" + std::to_string(number);
  std::unique_ptr<Block> block = TRY(Block::create(std::move(disk.file), disk.read_only, serial));
  disk.device = block.get();
  block->limit(options.kept != nullptr ? options.kept->disks[number] : disk.limits);
  return std::unique_ptr<VirtioDevice>(std::move(block));
}

Result<void> await_cards(Options& options) {
  if (!options.cards) return {};
  options.taken_cards = TRY(take_cards(options.cards));
  options.cards.reset();
  return {};
}

Result<void> add_devices(Qemu& qemu, Options& options) {
  for (DiskOption& disk : options.disks) {
    std::unique_ptr<VirtioDevice> block = TRY(make_disk(options, disk));
    TRY(qemu.add_block(std::move(block)));
  }
  for (ShareOption& share : options.shares) {
    std::unique_ptr<VirtioDevice> fs = TRY(make_share(share));
    TRY(qemu.add_fs(std::move(fs), share.tag));
  }
  TRY(await_cards(options));
  for (TakenCard& taken : options.taken_cards)
    qemu.add_net(std::move(taken.tap), taken.card);
  return {};
}

Result<void> add_devices(Machine& machine, Options& options, Plugs& plugs) {
  for (DiskOption& disk : options.disks) {
    std::unique_ptr<VirtioDevice> block = TRY(make_disk(options, disk));
    TRY(machine.add(std::move(block)));
    plugs.know_disk(disk.name, *disk.device);
  }
  for (ShareOption& share : options.shares) {
    std::unique_ptr<VirtioDevice> fs = TRY(make_share(share));
    TRY(machine.add(std::move(fs)));
  }
  TRY(await_cards(options));
  for (TakenCard& taken : options.taken_cards) {
    std::unique_ptr<VirtioDevice> net = TRY(Net::create(std::move(taken.tap), taken.card));
    plugs.know_card(taken.card, *net);
    TRY(machine.add(std::move(net)));
  }
  std::unique_ptr<VirtioDevice> entropy = TRY(Entropy::create());
  return machine.add(std::move(entropy));
}

// The machine keeps the device.
Result<Balloon*> add_balloon(Machine& machine) {
  std::unique_ptr<Balloon> balloon = TRY(Balloon::create(machine.memory()));
  Balloon* const kept = balloon.get();
  TRY(machine.add(std::move(balloon)));
  return kept;
}

MachineShape shape_of(const Options& options) {
  return {.processors = options.processors, .memory = options.memory_size};
}

// A later boot has it as well.
Result<void> keep_memory(Options& options, std::uint64_t bytes, Result<void> set) {
  if (set && options.kept != nullptr) options.kept->memory = bytes;
  return set;
}

void add_disk_calls(Options& options, std::map<std::string, Control::Call>& calls) {
  if (options.disks.empty()) return;
  const auto set = [&options](const std::string& name, const DiskLimits& limits) -> Result<void> {
    for (std::size_t i = 0; i < options.disks.size(); ++i) {
      if (options.disks[i].name != name) continue;
      options.disks[i].device->limit(limits);
      if (options.kept != nullptr) options.kept->disks[i] = limits;
      return {};
    }
    return Error(Code::kInvalid, "there is no disk " + name);
  };
  add_disk_call(calls, set);
}

// Numbers of serials are as after the next start, as far as none is taken twice.
std::size_t next_number(const std::vector<DiskOption>& disks) {
  std::size_t number = disks.size();
  const auto is_taken = [&](const DiskOption& disk) { return disk.number == number; };
  while (std::any_of(disks.begin(), disks.end(), is_taken))
    ++number;
  return number;
}

// Disks that come and go are those of the later boots as well.
Plugs::Tell tell_of_disks(Options& options) {
  return {
      .comes = [&](const std::string& name, bool read_only, const Fd& file) -> Result<std::string> {
        if (options.kept == nullptr)
          return Error(Code::kUnsupported, "the guest is no system on a disk");
        if (options.disks.size() >= Kept::kMostDisks)
          return Error(Code::kState, "a guest has at most 16 disks");
        TRY(tell_disk_came(options.news, name, read_only, file));
        options.kept->disks[options.disks.size()] = {};
        DiskOption disk;
        disk.read_only = read_only;
        disk.name = name;
        disk.number = next_number(options.disks);
        options.disks.push_back(std::move(disk));
        return "vrun-" + std::to_string(options.disks.back().number);
      },
      .has_come = [&](const std::string&, Block& block) { options.disks.back().device = &block; },
      .has_gone =
          [&](const std::string& name) {
            forget_disk(name, options.disks, options.kept);
            // A boot that is told nothing has the disk again.
            static_cast<void>(tell_disk_went(options.news, name));
          }};
}

// None without --control.
Result<std::unique_ptr<Control>> take_calls(Options& options, Machine& machine, Balloon& balloon,
                                            Plugs& plugs) {
  if (!options.control) return std::unique_ptr<Control>();
  std::map<std::string, Control::Call> calls;
  add_memory_calls(
      calls,
      {.engine = "kvm",
       .boot_bytes = options.memory_size,
       .processors = options.processors,
       .bytes = [&balloon]() -> Result<std::uint64_t> { return balloon.size(); },
       .reported = [&balloon] { return balloon.reported(); },
       .resize = [&](std::uint64_t b) { return keep_memory(options, b, balloon.resize(b)); }});
  add_disk_calls(options, calls);
  std::map<std::string, Control::FileCall> file_calls = snapshot_calls(machine, shape_of(options));
  plugs.tell_of_disks(tell_of_disks(options));
  plugs.add_calls(calls, file_calls);
  return Control::create(std::move(options.control), std::move(calls), std::move(file_calls));
}

// The same, where QEMU has the balloon. What its guest reported it does not tell.
Result<std::unique_ptr<Control>> take_calls(Options& options, Qmp& monitor) {
  if (!options.control) return std::unique_ptr<Control>();
  std::map<std::string, Control::Call> calls;
  add_memory_calls(
      calls,
      {.engine = "qemu",
       .boot_bytes = options.memory_size,
       .processors = options.processors,
       .bytes = [&monitor] { return monitor.memory(); },
       .reported = [] { return std::uint64_t{0}; },
       .resize = [&](std::uint64_t b) { return keep_memory(options, b, monitor.set_memory(b)); }});
  add_disk_calls(options, calls);
  return Control::create(std::move(options.control), std::move(calls));
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
  if (options.restore) {
    const std::string state = TRY(read_state(options.restore));
    StateReader reader(state);
    return machine.load(reader);
  }
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
  return (options.restore ? Machine::create_from : Machine::create)(
      options.kvm, options.memory, shape_of(options), std::move(console));
}

// The guest with its serial port as ours.
Result<End> run(Options& options) {
  std::unique_ptr<Machine> machine = TRY(make_machine(options, say));
  const std::unique_ptr<Plugs> plugs = TRY(Plugs::create(*machine));
  TRY(add_devices(*machine, options, *plugs));
  TRY(add_vsock(*machine, options));
  Balloon* const balloon = TRY(add_balloon(*machine));
  const std::unique_ptr<Control> control = TRY(take_calls(options, *machine, *balloon, *plugs));
  TRY(load(*machine, options));
  const Fd ended = TRY(make_event());
  TRY(machine->start(ended));
  jail::enter("main");
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

std::string words_of(const Machine& machine) {
  switch (machine.end()) {
    case End::kFault:
      return machine.fault();
    case End::kReset:
      return machine.fault().empty() ? "the guest was reset before its process had ended"
                                     : "the guest was reset: " + machine.fault();
    default:
      return "the guest went off before its process had ended";
  }
}

// The guest as one process.
Result<Ended> run_by_kvm(Options& options, MainProcess& wishes,
                         std::function<void(std::string_view)> console) {
  std::unique_ptr<Machine> machine = TRY(make_machine(options, std::move(console)));
  const std::unique_ptr<Plugs> plugs = TRY(Plugs::create(*machine));
  TRY(add_devices(*machine, options, *plugs));
  Vsock* const vsock = TRY(add_vsock(*machine, options));
  Balloon* const balloon = TRY(add_balloon(*machine));
  const std::unique_ptr<Control> control = TRY(take_calls(options, *machine, *balloon, *plugs));
  TRY(load(*machine, options));
  const Fd ended = TRY(make_event());
  TRY(machine->start(ended));
  jail::enter("main");
  wishes.machine_ended = &ended;
  wishes.how_ended = [&machine] { return words_of(*machine); };
  wishes.was_saved = [&machine] { return machine->end() == End::kSaved; };
  Result<Ended> end = run_main_process(*vsock, wishes);
  machine->stop();
  return end;
}

Result<Ended> run_by_qemu(Options& options, MainProcess& wishes,
                          std::function<void(std::string_view)> console) {
  std::unique_ptr<Qemu> qemu = TRY(
      Qemu::create({.root = std::move(options.qemu),
                    .memory = options.memory_size,
                    .processors = options.processors,
                    .command_line = options.command_line.empty() ? "console=ttyS0 quiet panic=-1"
                                                                 : options.command_line},
                   std::move(console)));
  TRY(add_devices(*qemu, options));
  std::unique_ptr<Vsock> vsock = TRY(Vsock::create(std::move(options.agent), vm::kAgentPort));
  Vsock& kept = *vsock;
  TRY(qemu->add_vsock(std::move(vsock)));
  TRY(qemu->start());
  const std::unique_ptr<Control> control = TRY(take_calls(options, qemu->monitor()));
  jail::enter("main");
  wishes.machine_ended = &qemu->ended();
  wishes.how_ended = [] { return "QEMU ended before the guest's process had"; };
  return run_main_process(kept, wishes);
}

// A panic resets the machine, too, and our initramfs goes off when it can do no more.
Result<End> end_of(End end, const ConsoleTail& tail) {
  const std::string panic = tail.panic();
  if (end == End::kReset && !panic.empty())
    return Error(Code::kState, "the guest's kernel panicked: " + panic);
  const std::string failure = tail.boot_failure();
  if (end == End::kPowerOff && !failure.empty())
    return Error(Code::kState, "the system on the disk was not started: " + failure);
  return end;
}

Result<End> boot_by_kvm(Options& options, const Fd& signals, ConsoleTail& tail) {
  const auto console = [&](std::string_view text) {
    tail.add(text);
    say(text);
  };
  std::unique_ptr<Machine> machine = TRY(make_machine(options, console));
  const std::unique_ptr<Plugs> plugs = TRY(Plugs::create(*machine));
  TRY(add_devices(*machine, options, *plugs));
  TRY(add_vsock(*machine, options));
  Balloon* const balloon = TRY(add_balloon(*machine));
  const std::unique_ptr<Control> control = TRY(take_calls(options, *machine, *balloon, *plugs));
  TRY(load(*machine, options));
  if (options.kept->memory != 0) TRY(balloon->resize(options.kept->memory));
  const Fd ended = TRY(make_event()), held = TRY(make_event());
  machine->serial().tell_held([&held] { ::eventfd_write(held.get(), 1); });
  TRY(machine->start(ended));
  jail::enter("main");
  Result<void> stayed =
      stay_with({.type = [&](std::string_view keys) { return machine->serial().type(keys); },
                 .flush = [&] { machine->serial().flush(); },
                 .held = &held,
                 .press_button = [&]() -> Result<void> {
                   machine->power().tell(Power::kButton);
                   return {};
                 },
                 .say = say,
                 .ended = &ended},
                signals);
  machine->stop();
  if (!stayed) return std::move(stayed).error();
  if (machine->end() == End::kFault) return Error(Code::kState, machine->fault());
  return machine->end();
}

Result<End> boot_by_qemu(Options& options, const Fd& signals, ConsoleTail& tail) {
  std::unique_ptr<Qemu> qemu = TRY(Qemu::create({.root = std::move(options.qemu),
                                                 .memory = options.memory_size,
                                                 .processors = options.processors,
                                                 .command_line = options.command_line},
                                                [&](std::string_view text) {
                                                  tail.add(text);
                                                  say(text);
                                                }));
  TRY(add_devices(*qemu, options));
  std::unique_ptr<Vsock> vsock = TRY(Vsock::create(std::move(options.agent), vm::kAgentPort));
  TRY(qemu->add_vsock(std::move(vsock)));
  TRY(qemu->start());
  TRY(qemu->monitor().greet());
  if (options.kept->memory != 0) TRY(qemu->monitor().set_memory(options.kept->memory));
  const std::unique_ptr<Control> control = TRY(take_calls(options, qemu->monitor()));
  jail::enter("main");
  TRY(stay_with({.type = [&](std::string_view keys) { return qemu->type(keys); },
                 .flush = [] {},
                 .press_button = [&] { return qemu->monitor().press_button(); },
                 .say = say,
                 .ended = &qemu->ended()},
                signals));
  return qemu->monitor().ended_by_reset() ? End::kReset : End::kPowerOff;
}

void report_loss(const Fd& file, const Error& error);

// In a process of its own.
int boot_once(Options& options, const Fd& signals) {
  ConsoleTail tail;
  Result<End> end =
      options.qemu ? boot_by_qemu(options, signals, tail) : boot_by_kvm(options, signals, tail);
  if (end) end = end_of(*end, tail);
  if (!end) {
    report_loss(options.report, end.error());
    return complain(end.error(), kNotRun);
  }
  return *end == End::kReset ? kResetStatus : kOff;
}

Result<Kept*> keep(const Options& options) {
  void* const shared =
      ::mmap(nullptr, sizeof(Kept), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return Error::system(errno, "share memory with the machine");
  Kept* const kept = new (shared) Kept();
  for (std::size_t i = 0; i < options.disks.size(); ++i)
    kept->disks[i] = options.disks[i].limits;
  return kept;
}

Result<int> run_machine(Options& options) {
  const Fd signals = TRY(take_signals());
  options.command_line += " " + TRY(read_request(options.words));
  TRY(await_cards(options));
  options.kept = TRY(keep(options));
  sys::SocketPair pair = TRY(sys::packet_pair());
  options.news = std::move(pair.theirs);
  const auto take_news = [&] { static_cast<void>(take_disk_news(pair.mine, options.disks)); };
  return run_boots(signals, pair.mine, take_news, [&] { return boot_once(options, signals); });
}

int whole_machine(Options& options) {
  const Result<int> status = run_machine(options);
  if (status) return *status;
  report_loss(options.report, status.error());
  return complain(status.error(), kNotRun);
}

Result<Ended> run_process(Options& options) {
  const Fd signals = TRY(take_signals());
  ConsoleTail tail;
  MainProcess wishes;
  wishes.request = TRY(read_request(options.run));
  if (options.restore) wishes.adoption = [&wishes] { return adoption_of(wishes.request); };
  wishes.wait = std::chrono::seconds(options.agent_wait_seconds);
  wishes.signals = &signals;
  wishes.console = &tail;
  const auto console = [&](std::string_view text) {
    tail.add(text);
    if (options.console) static_cast<void>(sys::write_all(options.console.get(), text));
  };
  return options.qemu ? run_by_qemu(options, wishes, console)
                      : run_by_kvm(options, wishes, console);
}

void report_loss(const Fd& file, const Error& error) {
  if (!file) return;
  vm::EndReport report;
  report.lost = error.text();
  report.lost.resize(std::min(report.lost.size(), vm::kMostReport / 8));
  // Without it the exit status is all that is known.
  static_cast<void>(sys::write_all(file.get(), vm::to_json(report)));
}

void report(const Fd& file, const Result<Ended>& ended) {
  if (!file) return;
  vm::EndReport report;
  if (!ended) report.lost = ended.error().text();
  if (ended) report.signal = ended->signal;
  if (ended) report.memory_kills = ended->memory_kills;
  if (ended && ended->lost) report.lost = ended->lost->why;
  report.checkpointed = ended && ended->saved;
  report.lost.resize(std::min(report.lost.size(), vm::kMostReport / 8));
  // Without it the exit status is all that is known.
  static_cast<void>(sys::write_all(file.get(), vm::to_json(report)));
}

int main_process(Options& options) {
  const Result<Ended> ended = run_process(options);
  report(options.report, ended);
  if (!ended) return complain(ended.error(), kNotRun);
  if (ended->failure) return complain(vm::error_of(*ended->failure), ended->status);
  if (ended->lost) return complain(Error(Code::kState, told(*ended->lost)), ended->status);
  return ended->status;
}

// As many files as the one who started us lets us have: each that the guest has open is one.
void may_open_many() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

int main_with(std::span<const char* const> arguments) {
  may_open_many();
  Result<Options> options = parse_options(arguments);
  if (!options) return complain(options.error());
  ::pthread_setname_np(::pthread_self(), "vrun-vmm");  // not the number of the file that it was
  jail::begin({.engine = options->qemu ? jail::Engine::kQemu : jail::Engine::kKvm,
               .report = options->report ? options->report.get() : -1});
  if (options->words) return whole_machine(*options);
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
