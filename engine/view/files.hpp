// The files of a guest's view: what each says, made from facts and, for cpuinfo and diskstats, from
// what the host says of a processor or a device. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/view/facts.hpp"

namespace vrun::view {

enum class File : std::uint8_t {
  kMeminfo,
  kCpuinfo,
  kStat,
  kUptime,
  kLoadavg,
  kDiskstats,
  kSwaps,
  kOnline,  // the last three: the list of processors
  kPossible,
  kPresent,
};

struct FileRow {
  File file;
  const char* name;    // in the file system
  const char* target;  // in the guest
};
inline constexpr std::array<FileRow, 10> kFiles{{
    {File::kMeminfo, "meminfo", "/proc/meminfo"},
    {File::kCpuinfo, "cpuinfo", "/proc/cpuinfo"},
    {File::kStat, "stat", "/proc/stat"},
    {File::kUptime, "uptime", "/proc/uptime"},
    {File::kLoadavg, "loadavg", "/proc/loadavg"},
    {File::kDiskstats, "diskstats", "/proc/diskstats"},
    {File::kSwaps, "swaps", "/proc/swaps"},
    {File::kOnline, "online", "/sys/devices/system/cpu/online"},
    {File::kPossible, "possible", "/sys/devices/system/cpu/possible"},
    {File::kPresent, "present", "/sys/devices/system/cpu/present"},
}};

// `host`: the host's file of that name, for those that are made from it (cpuinfo, diskstats).
std::string render(File file, const Facts& facts, std::string_view host);

// "0-2,7".
std::string cpu_list(const std::vector<unsigned>& cpus);

}  // namespace vrun::view
