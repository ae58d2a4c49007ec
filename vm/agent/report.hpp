// What vrun-vmm leaves for the engine when its guest has ended: what an exit status cannot tell.
//
//   {"signal": 9, "memoryKills": 1, "lost": "the guest's kernel panicked: ..."}
//
// The writer may be in the hands of its guest: the reader takes it for words and numbers, and
// nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vrun::vm {

struct EndReport {
  std::uint32_t signal = 0;        // that ended the guest's own process; 0: none did
  std::uint64_t memory_kills = 0;  // processes that the guest's kernel killed for want of memory
  std::string lost;                // the machine ended before the process did: why, on one line
  bool checkpointed = false;  // it was saved, and stands still for good (vmm/snapshot_call.hpp)
};

inline constexpr std::size_t kMostReport = 4096;

std::string to_json(const EndReport& report);
// kInvalid for anything else.
Result<EndReport> parse_report(std::string_view json);

}  // namespace vrun::vm
