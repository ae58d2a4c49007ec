// System guests (`run --system`): a whole distribution with an init as process 1. What they have
// that other guests have not, as plain values; pure but for the host's devices.
//
// They are as unprivileged as the others: a user namespace of their own, whose root is nobody
// outside. What they have more of they have in there: the capabilities that the kernel asks for in
// the guest's own namespaces, the calls of a nested container runtime, and their cgroup to divide.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/host.hpp"
#include "base/result.hpp"
#include "engine/guest_spec.hpp"
#include "engine/request.hpp"
#include "engine/rights.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

inline bool is_system(const RunRequest& request) {
  return request.isolation == "system";
}

// Flags that a system guest cannot have, all of them read without the host.
Result<void> check_system(const RunRequest& request);
// kUnsupported where the host or its user cannot give a guest a cgroup of its own to divide.
Result<void> check_system_host(const RunRequest& request, const GuestFacts& facts,
                               const Host& host);

// A terminal always: it is /dev/console inside.
void settle_system(RunRequest& request, bool has_terminal);

// All that is asked of the guest's own user namespace. Left out are those that the kernel asks of
// the machine alone (modules, the clock, raw ports, the kernel log, audit, BPF): there they would
// only mislead the init about what it can do.
std::vector<std::string> system_capabilities();

// Beside the usual mounts: /run, /run/lock and /tmp in memory; a whole procfs and sysfs where only
// the guest's root comes, since the kernel lets a container mount these only where a complete one
// is to be seen (mount_namespaces(7)).
void add_system_mounts(const RunRequest& request, std::vector<oci::Mount>& mounts);
// Its words for the init: container, container_uuid (systemd's container interface).
std::vector<std::string> system_environment(const GuestFacts& facts);
// /dev/fuse and /dev/net/tun, as far as the host has them for everyone (as udev makes them) and
// nobody asked for them by --device.
std::vector<DeviceGrant> system_devices(const RunRequest& request);
// Is it one of those? For the policies of tenants.
bool is_system_device(const oci::Mount& mount);

// 32 hexadecimal digits that are a version 4 UUID: made of the guest's id, so it is as unique and
// lasts as long.
std::string machine_id_of(std::string_view guest_id);
// Writes it to /etc/machine-id below `root`, as `owner`, its root's id outside.
Result<void> write_machine_id(const Fd& root, const std::string& machine_id, std::uint32_t owner);

// What asks an init to power the machine down, by the path of its program.
int stop_signal_of_init(std::string_view program);
inline constexpr std::int64_t kSystemStopMs = 90'000;  // as long as systemd gives a service

// What reboot(2) inside does to the first process of a pid namespace (reboot(2)): SIGHUP for a
// restart, SIGINT for halt and power off. Absent: it ended in another way.
enum class PowerDown : std::uint8_t { kReboot, kOff };
std::optional<PowerDown> power_down_of(const RunRequest& request, std::optional<int> status);

}  // namespace vrun::engine
