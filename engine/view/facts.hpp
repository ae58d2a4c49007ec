// What a guest may use and uses, gathered at one moment.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/host.hpp"
#include "cgroups/allowance.hpp"
#include "cgroups/group.hpp"

namespace vrun::view {

struct Facts {
  std::uint64_t memory_total = 0, memory_free = 0, swap_total = 0, swap_used = 0;  // bytes
  cgroups::MemoryParts memory;
  std::vector<unsigned> cpus;  // the processors it may use, by their real numbers
  std::uint64_t user_ns = 0, system_ns = 0;
  std::vector<cgroups::BlkioEntry> io_bytes, io_operations;
  double uptime = 0;         // seconds since its first process began
  std::uint64_t booted = 0;  // the time of day then
  double load[3] = {};
  std::uint64_t running = 0, processes = 0;
};

// The guest: its first process, and its group.
struct Subject {
  Host host;
  cgroups::Location location;
  Pid pid;
  double began = 0;  // of the first process, on CLOCK_BOOTTIME
};

Facts read_facts(const Subject& subject);

// The processors that are shown: of those allowed the first as many as the quota comes to, rounded
// up; at least one.
std::vector<unsigned> shown_cpus(const std::vector<unsigned>& allowed,
                                 std::optional<std::uint64_t> cpu_milli);

// Processes and threads of the group, up to a bound.
struct Tasks {
  std::uint64_t running = 0;  // or waiting for a disk: what a load average counts
  std::uint64_t threads = 0, processes = 0;
};
Tasks count_tasks(const Subject& subject);

// When a process began (proc(5), stat, field 22), in seconds of CLOCK_BOOTTIME; 0: not known.
double began_of(const Host& host, Pid pid);
double boot_clock();

}  // namespace vrun::view
