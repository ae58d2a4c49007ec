#include "engine/field_words.hpp"

#include <algorithm>
#include <array>

namespace vrun::engine {
namespace {

constexpr std::array kFields{
    FieldOfFlag{"add-host", "addHosts"},
    FieldOfFlag{"annotation", "annotations"},
    FieldOfFlag{"bandwidth-in", "bandwidthIn"},
    FieldOfFlag{"bandwidth-out", "bandwidthOut"},
    FieldOfFlag{"blkio-weight", "limits.ioWeight"},
    FieldOfFlag{"cap-add", "security.capAdd"},
    FieldOfFlag{"cap-drop", "security.capDrop"},
    FieldOfFlag{"cgroupns", "security.cgroupns"},
    FieldOfFlag{"cpu-period", "limits.cpuPeriod"},
    FieldOfFlag{"cpu-quota", "limits.cpuQuota"},
    FieldOfFlag{"cpu-shares", "limits.cpuShares"},
    FieldOfFlag{"cpu-weight", "limits.cpuWeight"},
    FieldOfFlag{"cpus", "limits.cpus"},
    FieldOfFlag{"cpuset-cpus", "limits.cpusetCpus"},
    FieldOfFlag{"cpuset-mems", "limits.cpusetMems"},
    FieldOfFlag{"device", "devices"},
    FieldOfFlag{"device-read-bps", "limits.deviceReadBps"},
    FieldOfFlag{"device-read-iops", "limits.deviceReadIops"},
    FieldOfFlag{"device-write-bps", "limits.deviceWriteBps"},
    FieldOfFlag{"device-write-iops", "limits.deviceWriteIops"},
    FieldOfFlag{"disk", "disks"},
    FieldOfFlag{"dns", "dns"},
    FieldOfFlag{"dns-option", "dnsOptions"},
    FieldOfFlag{"dns-search", "dnsSearch"},
    FieldOfFlag{"domainname", "domainname"},
    FieldOfFlag{"entrypoint", "command"},
    FieldOfFlag{"env", "env"},
    FieldOfFlag{"env-file", "envFiles"},
    FieldOfFlag{"expose", "expose"},
    FieldOfFlag{"group-add", "groupAdd"},
    FieldOfFlag{"health-cmd", "probes.liveness"},
    FieldOfFlag{"hostname", "hostname"},
    FieldOfFlag{"init", "init"},
    FieldOfFlag{"initrd", "initrd"},
    FieldOfFlag{"interactive", "stdin"},
    FieldOfFlag{"ip", "ip"},
    FieldOfFlag{"ip6", "ip6"},
    FieldOfFlag{"ipc", "security.ipc"},
    FieldOfFlag{"isolation", "isolation:"},
    FieldOfFlag{"kernel", "kernel"},
    FieldOfFlag{"kernel-parameter", "kernelParameters"},
    FieldOfFlag{"label", "labels"},
    FieldOfFlag{"log-driver", "logDriver"},
    FieldOfFlag{"log-opt", "logOptions"},
    FieldOfFlag{"mac-address", "macAddress"},
    FieldOfFlag{"memory", "limits.memory"},
    FieldOfFlag{"memory-reservation", "limits.memoryReservation"},
    FieldOfFlag{"memory-swap", "limits.memorySwap"},
    FieldOfFlag{"mount", "mounts"},
    FieldOfFlag{"network", "network"},
    FieldOfFlag{"network-alias", "networkAliases"},
    FieldOfFlag{"network-pps", "networkPps"},
    FieldOfFlag{"oom-score-adj", "limits.oomScoreAdj"},
    FieldOfFlag{"pid", "security.pid"},
    FieldOfFlag{"pids-limit", "limits.pids"},
    FieldOfFlag{"platform", "platform"},
    FieldOfFlag{"post-start", "lifecycle.postStart"},
    FieldOfFlag{"pre-stop", "lifecycle.preStop"},
    FieldOfFlag{"privileged", "security.privileged"},
    FieldOfFlag{"publish", "ports"},
    FieldOfFlag{"publish-all", "publishAll"},
    FieldOfFlag{"pull", "pull"},
    FieldOfFlag{"read-only", "readOnly"},
    FieldOfFlag{"restart", "restart"},
    FieldOfFlag{"security-opt", "security.options"},
    FieldOfFlag{"shm-size", "limits.shmSize"},
    FieldOfFlag{"stop-signal", "stopSignal"},
    FieldOfFlag{"stop-timeout", "stopTimeout"},
    FieldOfFlag{"sysctl", "security.sysctls"},
    FieldOfFlag{"tmpfs", "tmpfs"},
    FieldOfFlag{"tty", "tty"},
    FieldOfFlag{"ulimit", "limits.ulimits"},
    FieldOfFlag{"user", "user"},
    FieldOfFlag{"userns", "security.userns"},
    FieldOfFlag{"uts", "security.uts"},
    FieldOfFlag{"view", "view"},
    FieldOfFlag{"volume", "volumes"},
    FieldOfFlag{"workdir", "workdir"},
};

bool is_of_flag(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

// How far a command line goes that begins here; 0: none does.
std::size_t command_at(std::string_view text, std::size_t at) {
  const bool begins = at == 0 || !is_of_flag(text[at - 1]);
  if (!begins || !text.substr(at).starts_with("vrun ")) return 0;
  return std::min(text.find_first_of(";`)\n", at), text.size()) - at;
}

std::size_t flag_at(std::string_view text, std::size_t at) {
  const bool begins = at == 0 || !is_of_flag(text[at - 1]);
  if (!begins || !text.substr(at).starts_with("--")) return 0;
  std::size_t end = at + 2;
  while (end < text.size() && is_of_flag(text[end]))
    ++end;
  return end - at;
}

}  // namespace

std::span<const FieldOfFlag> fields_of_flags() {
  return kFields;
}

std::string fields_for_flags(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t command = command_at(text, at);
    const std::size_t flag = flag_at(text, at);
    const std::size_t size = std::max<std::size_t>({command, flag, 1});
    const std::string_view piece = text.substr(at, size);
    const auto row = std::find_if(kFields.begin(), kFields.end(), [&](const FieldOfFlag& one) {
      return flag != 0 && one.flag == piece.substr(2);
    });
    out += row == kFields.end() ? piece : row->field;
    at += size;
  }
  return out;
}

Error as_fields(Error error) {
  Error said(error.code(), fields_for_flags(error.text()));
  if (!error.hint().empty()) said = std::move(said).hint(fields_for_flags(error.hint()));
  if (!error.step().empty()) said = std::move(said).step(error.step());
  return said;
}

}  // namespace vrun::engine
