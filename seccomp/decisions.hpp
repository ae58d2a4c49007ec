// What a seccomp program decides, for every architecture and every system call number.
//
// The program is run symbolically over whole ranges of the two numbers (all 2^32 values of each),
// so the answer is exact and not a sample. A range maps to a node: a return, or the code that looks
// at the arguments. Programs that do more than libseccomp's (arithmetic on the number, scratch
// memory) are not understood, and the answer is none.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "seccomp/library.hpp"
#include "seccomp/nodes.hpp"

namespace vrun::seccomp {

// Values from `first` up to the next range's first; the last goes to 2^32-1. Neighbours differ.
struct Range {
  std::uint32_t first;
  NodeId node;
  bool operator==(const Range&) const = default;
};
using Ranges = std::vector<Range>;

struct ArchRange {
  std::uint32_t first;  // of seccomp_data.arch
  Ranges calls;         // over seccomp_data.nr
  bool operator==(const ArchRange&) const = default;
};
using Decisions = std::vector<ArchRange>;

std::optional<Decisions> decide(const Program& program, Nodes& nodes);

}  // namespace vrun::seccomp
