#include "vm/lower.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/json_writer.hpp"
#include "oci/documents.hpp"

namespace vrun::vm {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
constexpr std::uint32_t kMostProcessors = 254;
// Workers of the devices, the console, the main thread.
constexpr std::int64_t kThreadsOfDevices = 64;

// What serving files for other users takes; decision 020.
constexpr std::array<std::string_view, 6> kCapabilities{
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD", "CAP_SETFCAP"};

// File systems that the guest's kernel makes by itself.
bool is_kernels_own(const oci::Mount& mount) {
  constexpr std::array<std::string_view, 7> kTypes{"proc",   "sysfs",  "devpts", "tmpfs",
                                                   "mqueue", "cgroup", "cgroup2"};
  return std::find(kTypes.begin(), kTypes.end(), mount.type) != kTypes.end();
}

std::string option(std::string_view name, std::uint64_t value) {
  return "--" + std::string(name) + "=" + std::to_string(value);
}
std::string file(std::string_view name, int fd) {
  return option(name, static_cast<std::uint64_t>(fd));
}

oci::Process vmm_process(const oci::Process& asked, const MachineSize& size, const Handed& handed) {
  oci::Process process;
  process.terminal = asked.terminal;
  process.console_size = asked.console_size;
  process.cwd = "/";
  process.args = {"/proc/self/fd/" + std::to_string(handed.program),
                  file("kvm", handed.kvm),
                  file("kernel", handed.kernel),
                  file("initrd", handed.initramfs),
                  option("memory", size.memory),
                  option("processors", size.processors),
                  "--share=root:/",
                  file("agent", handed.agent),
                  file("run", handed.run)};
  if (handed.cards >= 0) process.args.push_back(file("cards", handed.cards));
  oci::Capabilities sets;
  sets.bounding.assign(kCapabilities.begin(), kCapabilities.end());
  sets.effective = sets.permitted = sets.bounding;
  process.capabilities = std::move(sets);
  process.no_new_privileges = true;
  process.oom_score_adj = asked.oom_score_adj;
  return process;
}

std::string text_of(std::span<const GuestCard> cards) {
  json::Writer w;
  w.begin_array();
  for (const GuestCard& card : cards) {
    w.begin_object().member("name", card.name).member("mac", card.mac);
    w.member("addresses", std::span<const std::string>(card.addresses));
    w.member("gateways", std::span<const std::string>(card.gateways)).end_object();
  }
  return w.end_array().take();
}

oci::Resources jail_resources(oci::Resources resources, const MachineSize& size) {
  oci::Memory memory = resources.memory.value_or(oci::Memory{});
  const auto overhead = static_cast<std::int64_t>(overhead_of(size));
  const auto limit = static_cast<std::int64_t>(size.memory);
  if (memory.swap && *memory.swap > 0) {
    // With swap: memory and swap together.
    *memory.swap = std::max(*memory.swap, limit) + overhead;
  }
  memory.limit = limit + overhead;
  resources.memory = std::move(memory);
  // The guest's own limit is counted by its kernel; the VMM has a thread a processor and some more.
  resources.pids_limit = static_cast<std::int64_t>(size.processors) + kThreadsOfDevices;
  return resources;
}

}  // namespace

Result<MachineSize> size_of(const oci::Spec& spec) {
  MachineSize size{.memory = kDefaultMemory, .processors = 1};
  if (!spec.linux.resources) return size;
  const oci::Resources& resources = *spec.linux.resources;
  if (resources.memory && resources.memory->limit && *resources.memory->limit > 0)
    size.memory = static_cast<std::uint64_t>(*resources.memory->limit) / kMiB * kMiB;
  if (size.memory < kLeastMemory) {
    return Error(Code::kInvalid,
                 "a micro-VM has a kernel of its own, which needs more memory than " +
                     std::to_string(size.memory / kMiB) + " MiB")
        .hint("--memory " + std::to_string(kLeastMemory / kMiB) + "m or more");
  }
  if (!resources.cpu || !resources.cpu->quota || *resources.cpu->quota <= 0) return size;
  const auto quota = static_cast<std::uint64_t>(*resources.cpu->quota);
  const std::uint64_t period = std::max<std::uint64_t>(resources.cpu->period.value_or(100000), 1);
  const std::uint64_t whole = quota / period + (quota % period == 0 ? 0 : 1);
  if (whole > kMostProcessors) {
    return Error(Code::kInvalid, "a micro-VM has at most 254 processors")
        .hint("--cpus 254 or less");
  }
  size.processors = static_cast<std::uint32_t>(std::max<std::uint64_t>(whole, 1));
  return size;
}

std::uint64_t overhead_of(const MachineSize& size) {
  // KVM's own tables of the guest's memory: 8 bytes a page at worst twice (shadow paging), and the
  // VMM with its buffers, the pages of files in flight.
  return 32 * kMiB + size.memory / 128 / kMiB * kMiB + size.processors * kMiB;
}

oci::Spec jail_of(const oci::Spec& spec, const MachineSize& size, const Handed& handed) {
  oci::Spec jail = spec;
  jail.process = vmm_process(*spec.process, size, handed);
  // The VMM is executed by /proc/self/fd, and finds its files there.
  std::erase_if(jail.mounts, [](const oci::Mount& mount) {
    return is_kernels_own(mount) && mount.type != "proc";
  });
  jail.linux.sysctl.clear();
  jail.linux.resources = jail_resources(spec.linux.resources.value_or(oci::Resources{}), size);
  return jail;
}

std::string guest_document(const oci::Spec& spec, std::span<const GuestCard> cards) {
  oci::Spec guest;
  guest.oci_version = spec.oci_version;
  guest.hostname = spec.hostname;
  guest.domainname = spec.domainname;
  guest.root = spec.root;
  guest.process = spec.process;
  for (const oci::Mount& mount : spec.mounts) {
    if (is_kernels_own(mount)) guest.mounts.push_back(mount);
  }
  guest.linux.sysctl = spec.linux.sysctl;
  guest.linux.seccomp = spec.linux.seccomp;
  guest.linux.masked_paths = spec.linux.masked_paths;
  guest.linux.readonly_paths = spec.linux.readonly_paths;
  if (spec.linux.resources && spec.linux.resources->pids_limit) {
    guest.linux.resources.emplace();
    guest.linux.resources->pids_limit = spec.linux.resources->pids_limit;
  }
  return "{\"spec\":" + oci::to_json(guest, false) + ",\"networks\":" + text_of(cards) + "}";
}

}  // namespace vrun::vm
