// What guests need of a host: facts, found by looking and by trying, and what they mean.
//
// look_at_host() only does what leaves no trace: detached mounts, a group and a directory that are
// removed again. judge() is pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/host.hpp"
#include "engine/places.hpp"
#include "vm/engine_choice.hpp"

namespace vrun::engine {

// Beside the program or in libexec.
inline constexpr std::array<const char*, 7> kHelpers{
    "vrun-image", "vrun-net", "vrun-monitor", "vrun-init", "vrun-vmm", "vrun-guest", "vrun-kernel"};

struct HostFacts {
  unsigned kernel_major = 0, kernel_minor = 0;
  std::string kernel;     // "6.1.0-28-amd64"
  bool rootless = false;  // in a user namespace of the user's, if entry_failure is empty
  std::string entry_failure, entry_remedy;
  std::uint32_t own_ids = 0;  // in that namespace
  bool has_uplink = false;    // pasta or slirp4netns

  bool has_cgroup_tree = false, one_cgroup_tree = false;
  std::string cgroup_words;
  std::vector<std::string> controllers;
  std::string group_failure;  // why no group could be made; empty: it could

  std::uint64_t max_user_namespaces = 0;  // user.max_user_namespaces
  std::string user_namespace_failure;
  std::uint64_t free_id_ranges = 0;  // how many guests can have ids of their own

  std::string data;             // the data directory
  std::string data_filesystem;  // "ext4"; a number in hexadecimal where it has no name here
  std::uint64_t data_free = 0;  // bytes
  std::string id_map_failure;   // of a mount of it
  std::string overlay_failure;  // of layers in it

  bool has_nftables = false;
  bool has_seccomp = false;
  vm::EngineFacts micro_vms;
  std::string guest_kernel, guest_kernel_failure, guest_kernel_remedy;  // what micro-VMs boot
  bool has_criu = false;
  std::vector<std::string> missing_helpers;
};

HostFacts look_at_host(const Places& places, const Host& host);

enum class Grade : std::uint8_t {
  kGood,
  kNote,   // not every guest needs it
  kFault,  // guests cannot run
};
struct Finding {
  std::string subject;  // "user namespaces"
  Grade grade;
  std::string text;
  std::string remedy;  // a command or an exact change; empty when all is well
};
// One for each subject, always in the same order.
std::vector<Finding> judge(const HostFacts& facts);
const char* to_text(Grade grade);

}  // namespace vrun::engine
