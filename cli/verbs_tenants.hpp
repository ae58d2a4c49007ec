// The rows of the verbs for tenants; everyday_verbs.cpp joins them to its own.
#pragma once

#include <array>
#include <cstddef>

#include "cli/everyday_verbs.hpp"

namespace vrun::cli {

inline constexpr std::array kTenantCreate{
    Flag{"cpus", "", Kind::kText, "NUMBER", "CPU time of all its guests together: 2, 0.5"},
    Flag{"cpu-weight", "", Kind::kText, "NUMBER",
         "share of what is free against other tenants, 1 to 10000; default 100"},
    Flag{"cpuset-cpus", "", Kind::kText, "LIST",
         "processors that its guests may run on: 0-3,8; default: all"},
    Flag{"memory", "", Kind::kText, "SIZE", "memory of all its guests: 512M, 2G"},
    Flag{"swap", "", Kind::kText, "SIZE", "swap beside the memory; 0: none"},
    Flag{"pids", "", Kind::kText, "NUMBER", "processes and threads"},
    Flag{"io-read", "", Kind::kText, "RATE",
         "bytes a second read from the disk of vrun's data: 50M"},
    Flag{"io-write", "", Kind::kText, "RATE", "bytes a second written to it"},
    Flag{"disk", "", Kind::kText, "SIZE", "disk of its guests, volumes and logs: 10G"},
    Flag{"disk-backend", "", Kind::kText, "KIND",
         "what holds --disk: project, btrfs, loop, or auto, which takes the best there is; stays",
         "auto"},
    Flag{"bandwidth", "", Kind::kText, "RATE", "network, bits a second each way: 100M"},
    Flag{"max-guests", "", Kind::kText, "NUMBER", "guests that exist, running or not"},
    Flag{"max-vcpus", "", Kind::kText, "NUMBER", "CPUs of all its micro-VMs"},
    Flag{"allow-cap", "", Kind::kList, "NAME",
         "its guests may have this capability; none: the usual"},
    Flag{"allow-mount", "", Kind::kList, "PATH", "they may mount what lies below this host path"},
    Flag{"allow-device", "", Kind::kList, "PATH", "they may use this device: /dev/fuse"},
    Flag{"allow-host", "", Kind::kList, "NAMESPACE",
         "they may share network, pid, ipc, uts, user or cgroup with the host"},
    Flag{"allow-sysctl", "", Kind::kList, "NAME", "they may set this kernel knob: net.core.*"},
    Flag{"allow-port", "", Kind::kList, "PORT",
         "they may publish this port of the host below 1024, or a range: 80-90"},
    Flag{"only-address", "", Kind::kList, "ADDRESS",
         "ports are published on these addresses of the host only; none: on all"},
    Flag{"allow-unsafe", "", Kind::kList, "WHAT", "privileged, seccomp or apparmor may be lifted"},
    Flag{"only-registry", "", Kind::kList, "HOST", "images come from these only; none: from all"},
    Flag{"only-network", "", Kind::kList, "NAME", "guests join these only; none: all its own"},
    Flag{"guest-memory", "", Kind::kText, "SIZE", "the most that one guest may ask for"},
    Flag{"guest-cpus", "", Kind::kText, "NUMBER", "the most that one guest may ask for"},
    Flag{"guest-pids", "", Kind::kText, "NUMBER", "the most that one guest may ask for"},
    Flag{"require-vm", "", Kind::kText, "BOOL", "true: guests have to be micro-VMs"},
    Flag{"forbid-system", "", Kind::kText, "BOOL", "true: no system guests (run --system)"},
    Flag{"admin", "", Kind::kList, "WHO", "user:NAME or group:NAME may manage it without root"},
    Flag{"best-effort", "", Kind::kSwitch, "",
         "go on without the limits that this host cannot enforce, and say so"},
};
inline constexpr std::array kTenantUpdate = [] {
  // All but the disk backend, which stays, and one more.
  std::array<Flag, kTenantCreate.size()> flags{};
  std::size_t next = 0;
  for (const Flag& flag : kTenantCreate) {
    if (flag.name.view() != "disk-backend") flags[next++] = flag;
  }
  flags.back() =
      Flag{"remove-admin", "", Kind::kList, "WHO", "user:NAME or group:NAME may not any more"};
  return flags;
}();
inline constexpr std::array kTenantShow{
    Flag{"format", "", Kind::kText, "FORM", "table, json or yaml", "table"},
};
inline constexpr std::array kTenantExport{
    Flag{"output", "o", Kind::kText, "FILE", "write to this file; default: stdout"},
};
inline constexpr std::array kTenantList{
    Flag{"quiet", "q", Kind::kSwitch, "", "print only the names"},
    Flag{"format", "", Kind::kText, "FORM", "table, json or yaml", "table"},
};
inline constexpr std::array kMetrics{
    Flag{"listen", "", Kind::kText, "ADDRESS",
         "serve them over HTTP: unix:/PATH, 127.0.0.1:PORT, [::1]:PORT; systemd: its socket"},
};
inline constexpr std::array kTenantUsage{
    Flag{"from", "", Kind::kText, "TIME", "since 2026-11-01, 2026-11-01T12:00:00Z, or 24h ago"},
    Flag{"to", "", Kind::kText, "TIME", "until then; default: now"},
    Flag{"format", "o", Kind::kText, "FORM", "table, json or csv", "table"},
};
inline constexpr std::array kTenantStop{
    Flag{"time", "t", Kind::kText, "SECONDS",
         "between the stop signal and SIGKILL; 0: kill all at once; default: each guest's own"},
};
inline constexpr std::array kTenantRemove{
    Flag{"force", "f", Kind::kSwitch, "", "with its guests, networks and images"},
};

inline constexpr std::size_t kManyTenants = static_cast<std::size_t>(-1);

inline constexpr std::array kTenantVerbs{
    EverydayVerb{
        .name = "tenant create",
        .arguments = "NAME",
        .summary = "make a tenant with a budget",
        .text = "Everything that runs for the tenant is paid from one budget, on real use: guests "
                "may ask for more together than there is. Limits that are not given are none. A "
                "limit that this host cannot enforce is refused with the reason.\n\n"
                "`vrun --tenant NAME VERB` (or VRUN_TENANT) works in a tenant; without it, in the "
                "tenant `default`, which has no limits and is root's own.",
        .flag_set = EverydayFlags::kTenantCreate,
        .least = 1,
        .most = 1},
    EverydayVerb{.name = "tenant show",
                 .arguments = "NAME...",
                 .summary = "show tenants: budget, admins, ids, what runs",
                 .text = "",
                 .flag_set = EverydayFlags::kTenantShow,
                 .least = 1,
                 .most = kManyTenants},
    EverydayVerb{
        .name = "tenant export",
        .arguments = "NAME",
        .summary = "write a manifest of a tenant and all that is in it",
        .text = "Budget, policy, admins, networks, volumes, secrets, configs, guests and "
                "CronJobs; `vrun apply` makes the same tenant of it on another host. What secrets "
                "and configs hold is not in it: it names the files that they are to be "
                "read from. `vrun guest export` carries what lies in a guest and its "
                "volumes.",
        .flag_set = EverydayFlags::kTenantExport,
        .least = 1,
        .most = 1},
    EverydayVerb{.name = "tenant ls",
                 .arguments = "",
                 .summary = "list tenants",
                 .text = "",
                 .flag_set = EverydayFlags::kTenantList},
    EverydayVerb{.name = "tenant update",
                 .arguments = "NAME",
                 .summary = "change a tenant's budget and admins, live",
                 .text =
                     "Flags that are not given leave things as they are; the value `none` lifts a "
                     "limit. Guests that run feel it at once; when one limit cannot be set, "
                     "nothing is changed.",
                 .flag_set = EverydayFlags::kTenantUpdate,
                 .least = 1,
                 .most = 1},
    EverydayVerb{.name = "tenant usage",
                 .arguments = "NAME",
                 .summary = "what a tenant's guests have used",
                 .text =
                     "From records that are only ever added to: of guests that were removed, too. "
                     "Memory is that of samples (each call of this verb takes one), or the peak "
                     "of a life that nobody looked at.",
                 .flag_set = EverydayFlags::kTenantUsage,
                 .least = 1,
                 .most = 1},
    EverydayVerb{.name = "tenant top",
                 .arguments = "[NAME...]",
                 .summary = "what tenants use now, against their budgets",
                 .text = "",
                 .most = kManyTenants},
    EverydayVerb{.name = "metrics",
                 .arguments = "",
                 .summary = "what tenants use now, as text for Prometheus",
                 .text = "For its textfile collector: vrun metrics >FILE.tmp && mv FILE.tmp FILE. "
                         "With --listen it answers GET /metrics until it is ended.",
                 .flag_set = EverydayFlags::kMetrics},
    EverydayVerb{.name = "tenant freeze",
                 .arguments = "NAME",
                 .summary = "halt all guests of a tenant, by one write",
                 .text = "No guest of it can be started until it is thawed.",
                 .least = 1,
                 .most = 1},
    EverydayVerb{.name = "tenant thaw",
                 .arguments = "NAME",
                 .summary = "let the guests of a frozen tenant go on",
                 .text = "",
                 .least = 1,
                 .most = 1},
    EverydayVerb{.name = "tenant stop",
                 .arguments = "NAME",
                 .summary = "stop all guests of a tenant at once",
                 .text = "Restart policies do not start them again.",
                 .flag_set = EverydayFlags::kTenantStop,
                 .least = 1,
                 .most = 1},
    EverydayVerb{.name = "tenant rm",
                 .arguments = "NAME",
                 .summary = "remove a tenant",
                 .text =
                     "Refused while it has guests, networks or images, unless --force is given. "
                     "Its user ids are not given to another tenant.",
                 .flag_set = EverydayFlags::kTenantRemove,
                 .least = 1,
                 .most = 1},
};

}  // namespace vrun::cli
