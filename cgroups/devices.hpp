// Which devices a container may use: the rules of the config, and the filter made from them.
//
// Meaning of the rules: each access (read, write, mknod) to a device is decided by the last rule
// that names the device and that access; what no rule names is denied. The specification's list,
// which starts with "deny all" and goes on with exceptions, means the same under runc; unlike the
// v1 controller, a later narrow denial of something that a wider rule allowed takes effect.
//
// The filter is a BPF program of a few instructions for each rule, made in one pass over sorted
// tables: no instruction is looked at twice by the kernel's verifier, so loading stays linear too.
// Rules that allow everything need no program at all.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <linux/bpf.h>

#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::cgroups {

// Bits of the kernel's access words (linux/bpf.h): what a rule says for each of the three.
inline constexpr unsigned kMayMknod = BPF_DEVCG_ACC_MKNOD;
inline constexpr unsigned kMayRead = BPF_DEVCG_ACC_READ;
inline constexpr unsigned kMayWrite = BPF_DEVCG_ACC_WRITE;
inline constexpr unsigned kMayAll = kMayMknod | kMayRead | kMayWrite;

// What the rules of one set of numbers say: for each access the place of the last rule (0: none).
struct DeviceVerdict {
  std::array<std::uint32_t, 3> order = {0, 0, 0};
  unsigned allowed = 0;
  void apply(unsigned access, bool allow, std::uint32_t place);
};

// The rules for one type of device, by how much of the number they name.
struct DeviceTable {
  DeviceVerdict any;
  std::map<std::uint32_t, DeviceVerdict> by_major;                             // MAJOR:*
  std::map<std::uint32_t, DeviceVerdict> by_minor;                             // *:MINOR
  std::map<std::pair<std::uint32_t, std::uint32_t>, DeviceVerdict> by_number;  // MAJOR:MINOR

  // The accesses that are allowed for a device.
  unsigned allowed(std::uint32_t major, std::uint32_t minor) const;
  bool allows_everything() const;
};

struct DeviceTables {
  DeviceTable character, block;
  bool allow_everything() const {
    return character.allows_everything() && block.allows_everything();
  }
};

Result<DeviceTables> normalise(const std::vector<oci::DeviceRule>& rules);

// The program; empty if everything is allowed.
std::vector<bpf_insn> compile(const DeviceTables& tables);

// Puts the filter of the rules on the group in place of the one that is there, atomically.
// Programs are shared by digest through <bpffs>/vrun where a BPF filesystem is mounted: a second
// container with the same rules loads nothing. At most kMaxPins are kept, the oldest go first;
// a pin that goes takes no filter away, the group holds its program itself.
// `rootless`: where the kernel refuses bpf(2) to this user the rules are passed over if
// check_skippable() agrees.
inline constexpr std::size_t kMaxPins = 64;
Result<void> filter_devices(int group, const std::vector<oci::DeviceRule>& rules, bool rootless,
                            const std::string& bpffs = "/sys/fs/bpf");

// Without privilege no device node can be made, and those of the host keep their permissions, so a
// list of things to allow needs no filter. A denial of one device is a promise, and an error.
Result<void> check_skippable(const std::vector<oci::DeviceRule>& rules);

// How the v1 devices controller is told: lines for devices.deny and devices.allow, in order.
struct DeviceLine {
  bool allow = false;
  std::string text;  // "c 1:3 rwm"
  bool operator==(const DeviceLine&) const = default;
};
Result<std::vector<DeviceLine>> device_lines(const DeviceTables& tables);

}  // namespace vrun::cgroups
