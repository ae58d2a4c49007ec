// What all guests of a tenant together may use: plain values, read from flags and written as
// limits of one cgroup. Nothing here touches the host.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "oci/spec.hpp"

namespace vrun::tenants {

// 0: no limit.
struct Budget {
  std::uint64_t cpu_milli = 0;        // thousandths of one CPU's time
  std::uint64_t cpu_weight = 0;       // 1 to 10000 against other tenants; 0: 100
  std::uint64_t memory = 0;           // bytes
  std::optional<std::uint64_t> swap;  // bytes beside the memory; absent: no limit
  std::uint64_t pids = 0;
  std::uint64_t io_read = 0, io_write = 0;  // bytes a second, of the disk with vrun's data
  std::uint64_t disk = 0;                   // bytes
  std::uint64_t bandwidth = 0;              // bits a second, each way
  std::uint64_t max_guests = 0;
  std::uint64_t max_vcpus = 0;
  std::string cpuset_cpus;  // processors of its own, "0-3,8"; empty: all that there are
  bool operator==(const Budget&) const = default;
};

// A flag as it was given: {"memory", "2G"}.
struct FlagText {
  std::string flag, text;
};

// The flags that make a budget, in the order of --help.
std::vector<std::string_view> budget_flags();
// Sets what the flags say ("none" lifts a limit); each wrong one is a fault with the flag as its
// path, and the others are still looked at.
void read_budget(std::span<const FlagText> given, Budget& budget, json::Faults& faults);

// For people: {"memory", "2.0GiB"}; a limit that is not set is "none".
struct BudgetLine {
  std::string name, value;
};
std::vector<BudgetLine> words_of(const Budget& budget);

// The disk that the limits of reading and writing are for.
struct Disk {
  std::int64_t major = 0, minor = 0;
};
// As the limits of the tenant's cgroup. What `before` limited and `budget` does not is lifted.
oci::Resources to_resources(const Budget& budget, const Budget& before, std::optional<Disk> disk);

}  // namespace vrun::tenants
