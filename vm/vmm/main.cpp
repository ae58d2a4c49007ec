// vrun-vmm: one virtual machine.
//
//   vrun-vmm --kvm=FILE --kernel=FILE --memory=BYTES [--processors=N] [--initrd=FILE]
//            [--share=TAG:DIR]... [--read-only-share=TAG:DIR]...
//            [--command-line=TEXT] [--memory-file=FILE] [--disk=FILE]... [--read-only-disk=FILE]...
//
// FILE is a descriptor's number or an absolute path. The serial port is on stdin and stdout. Exit
// status: 0 the guest went off, 3 it was reset, 1 it could not be run (said on stderr).
#include <cstdio>
#include <memory>
#include <span>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "vm/vmm/block.hpp"
#include "vm/vmm/entropy.hpp"
#include "vm/vmm/fs.hpp"
#include "vm/vmm/machine.hpp"
#include "vm/vmm/options.hpp"

namespace vrun::vmm {
namespace {

constexpr int kOff = 0, kFailed = 1, kReset = 3;

int complain(const Error& error) {
  std::fprintf(stderr, "vrun-vmm: %s\n", error.text().c_str());
  if (!error.hint().empty()) std::fprintf(stderr, "  hint: %s\n", error.hint().c_str());
  return kFailed;
}

void say(std::string_view text) {
  // Whoever does not read the console loses it; the guest goes on.
  [[maybe_unused]] const Result<void> said = sys::write_all(STDOUT_FILENO, text);
}

Result<End> run(Options& options) {
  std::unique_ptr<Machine> machine =
      TRY(Machine::create(options.kvm, options.memory,
                          {.processors = options.processors, .memory = options.memory_size}, say));
  for (DiskOption& disk : options.disks) {
    const std::string serial = "vrun-" + std::to_string(&disk - options.disks.data());
    std::unique_ptr<VirtioDevice> block =
        TRY(Block::create(std::move(disk.file), disk.read_only, serial));
    TRY(machine->add(std::move(block)));
  }
  for (ShareOption& share : options.shares) {
    Fd links = TRY(sys::open_dir(At::cwd(), "/proc/self/fd"));
    std::unique_ptr<VirtioDevice> fs =
        TRY(Fs::create(share.tag, std::move(share.directory), std::move(links),
                       {.read_only = share.read_only, .cache_seconds = 1}));
    TRY(machine->add(std::move(fs)));
  }
  std::unique_ptr<VirtioDevice> entropy = TRY(Entropy::create());
  TRY(machine->add(std::move(entropy)));
  TRY(machine->load(options.kernel, options.kernel_name, options.initrd ? &options.initrd : nullptr,
                    options.initrd_name, options.command_line));
  const Fd ended(::eventfd(0, EFD_CLOEXEC));
  if (!ended) return Error::system(errno, "make an event");
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

int main_with(std::span<const char* const> arguments) {
  Result<Options> options = parse_options(arguments);
  if (!options) return complain(options.error());
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
