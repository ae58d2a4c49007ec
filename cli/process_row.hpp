// One process of a guest, from the texts of its /proc directory: pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vrun::cli {

struct ProcessRow {
  std::int64_t outside = 0, inside = 0;  // pids; equal where the guest has the host's pids
  std::int64_t uid = 0;                  // the guest's
  char state = '?';
  std::uint64_t threads = 0, memory = 0, cpu_ms = 0;  // memory: resident, bytes
  std::string command;                                // "[name]" where it has no command line
};

struct ProcessTexts {
  std::string_view status, stat, cmdline;
};
// `first_id`: what the guest's uid 0 is outside. Empty when the texts make no sense.
std::optional<ProcessRow> parse_process(const ProcessTexts& texts, std::uint32_t first_id,
                                        std::int64_t ticks_per_second);

// "0:07.41" (minutes, seconds), as top(1) has it.
std::string clock_text(std::uint64_t ms);

}  // namespace vrun::cli
