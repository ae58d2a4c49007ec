// What vrun-vmm is told on its command line.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/vmm/block.hpp"
#include "vm/vmm/net_cards.hpp"

namespace vrun::vmm {

// Files come as numbers of descriptors that were handed over, or as absolute paths.
struct DiskOption {
  Fd file;
  bool read_only = false;
  DiskLimits limits = {};
  std::string name = {};    // by which the engine knows it
  std::size_t number = 0;   // of its serial
  Block* device = nullptr;  // once it is made
};

struct ShareOption {
  std::string tag;
  Fd directory;
  bool read_only = false;
};

// What a whole machine keeps from boot to boot, in memory that its boots share.
struct Kept {
  static constexpr std::size_t kMostDisks = 16;
  std::uint64_t memory = 0;  // as it was set while the machine ran; 0: it was not
  DiskLimits disks[kMostDisks];
};

struct Options {
  Fd kvm, memory, kernel, initrd;
  Fd qemu;  // the folder of the QEMU that is to be the machine, instead of kvm, kernel and initrd
  std::string kernel_name, initrd_name, command_line;
  std::uint64_t memory_size = 0;
  std::uint32_t processors = 1;
  std::vector<DiskOption> disks;
  std::vector<ShareOption> shares;
  Fd agent;    // listening socket for those who speak to the guest's agent
  Fd control;  // listening socket for those who change the machine
  Fd report;   // what is to be known of the end (vm/agent/report.hpp)
  Fd console;  // what the serial port says, where the guest's process has stdout
  Fd words;    // more words for the kernel's command line: the guest is a whole machine
  Fd run;      // the request of the guest's own process (kRun of vm/agent/frames.hpp)
  Fd restore;  // the state of a machine that goes on (state.hpp), instead of a kernel; its memory
               // is `memory`, mapped privately
  Fd cards;    // socket that network cards come by (vm/agent/cards.hpp)
  Fd news;     // of a whole machine: each boot tells the next ones of disks that came and went
  Kept* kept = nullptr;                   // of a whole machine
  std::vector<TakenCard> taken_cards;     // those that have come
  std::uint32_t agent_wait_seconds = 60;  // for the agent's first word (main_process.hpp)
};

// All faults at once.
Result<Options> parse_options(std::span<const char* const> arguments);

}  // namespace vrun::vmm
