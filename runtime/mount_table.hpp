// /proc/PID/mountinfo as values (proc(5)).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vrun::runtime {

struct MountLine {
  std::uint64_t id = 0;
  std::string root;   // which part of its file system is mounted
  std::string point;  // where, seen by the process
  std::string type;
  bool operator==(const MountLine&) const = default;
};

// Lines that are no mounts are a fault: a mount that we overlooked would be lost in a checkpoint.
Result<std::vector<MountLine>> parse_mount_table(std::string_view text);
const MountLine* find_mount(const std::vector<MountLine>& table, std::uint64_t id);

// "mnt_id" of /proc/PID/fdinfo/FD.
Result<std::uint64_t> parse_mount_id(std::string_view fdinfo);

}  // namespace vrun::runtime
