// Readers of the kernel's statistics texts. They never fail: a line that makes no sense is passed
// over, numbers too large for 64 bits are passed over, "max" is the largest number.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgroups/group.hpp"

namespace vrun::cgroups {

// "key value" lines: memory.stat, cpu.stat, memory.events.
std::map<std::string, std::uint64_t> parse_flat_keyed(std::string_view text);

// "name key=value key=value" lines: io.stat, rdma.current, io.max.
struct NestedLine {
  std::string name;
  std::map<std::string, std::uint64_t> values;
};
std::vector<NestedLine> parse_nested_keyed(std::string_view text);

// A single number; "max" and what is above 2^63 (how v1 says unlimited) stay as they are.
std::optional<std::uint64_t> parse_single(std::string_view text);

// cpu.pressure, memory.pressure, io.pressure. Nothing if no line is of that form.
std::optional<PressureStall> parse_pressure(std::string_view text);

// "8:16" as numbers.
std::optional<std::pair<std::uint64_t, std::uint64_t>> parse_device(std::string_view text);

// v1 blkio: "8:0 Read 4096" lines (Total lines are left out).
std::vector<BlkioEntry> parse_blkio(std::string_view text);

}  // namespace vrun::cgroups
