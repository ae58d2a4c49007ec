// The rows of the verbs that look at guests and the host, change limits, and move files;
// everyday_verbs.cpp joins them to the others.
#pragma once

#include <array>

#include "cli/everyday_verbs.hpp"

namespace vrun::cli {

inline constexpr std::array kFormat{
    Flag{"format", "", Kind::kText, "FORM", "table, json or yaml", "table"},
};
inline constexpr std::array kStats{
    Flag{"all", "a", Kind::kSwitch, "", "also guests that do not run"},
    Flag{"no-stream", "", Kind::kSwitch, "", "print once and end"},
    Flag{"interval", "", Kind::kDuration, "TIME", "between two looks", "1s"},
    Flag{"format", "", Kind::kText, "FORM", "table, json or yaml", "table"},
};
inline constexpr std::array kTop{
    Flag{"no-stream", "", Kind::kSwitch, "", "print once and end, also on a terminal"},
    Flag{"interval", "", Kind::kDuration, "TIME", "between two looks", "2s"},
    Flag{"format", "", Kind::kText, "FORM", "table, json or yaml", "table"},
};
// Those of `run` that can change while a guest runs.
inline constexpr std::array kUpdate{
    Flag{"publish-add", "", Kind::kList, "PORT", "publish one more port, as run's --publish"},
    Flag{"publish-rm", "", Kind::kList, "PORT", "take a published port back"},
    Flag{"disk-add", "", Kind::kList, "FILE[:ro]",
         "one more disk of a guest with --disk, also while it runs"},
    Flag{"disk-rm", "", Kind::kList, "FILE", "take a disk away, when the guest has let go of it"},
    Flag{"volume-add", "", Kind::kList, "SRC:DST[:ro]",
         "one more volume or folder of the host, also while the guest runs"},
    Flag{"volume-rm", "", Kind::kList, "DST",
         "take a volume or folder away that the guest does not use"},
    Flag{"bandwidth", "", Kind::kText, "RATE", "most bits a second, in and out; -1: no limit"},
    Flag{"bandwidth-in", "", Kind::kText, "RATE", "most bits a second in; -1: no limit"},
    Flag{"bandwidth-out", "", Kind::kText, "RATE", "most bits a second out; -1: no limit"},
    Flag{"network-pps", "", Kind::kText, "N", "most packets a second in, and out; -1: no limit"},
    Flag{"memory", "m", Kind::kText, "SIZE", "most memory and swap together; -1: no limit"},
    Flag{"memory-reservation", "", Kind::kText, "SIZE", "memory it keeps when others want some"},
    Flag{"memory-swap", "", Kind::kText, "SIZE", "memory and swap together; -1: no limit"},
    Flag{"cpus", "", Kind::kText, "NUMBER", "most cpu time, in CPUs: 0.5, 2; -1: no limit"},
    Flag{"cpu-weight", "", Kind::kText, "WEIGHT", "share of a busy cpu: 1 to 10000"},
    Flag{"cpu-shares", "c", Kind::kText, "SHARES", "the same in Docker's scale: 2 to 262144"},
    Flag{"cpuset-cpus", "", Kind::kText, "LIST", "the CPUs it may use: 0-3,8"},
    Flag{"cpuset-mems", "", Kind::kText, "LIST", "the memory nodes it may use"},
    Flag{"pids-limit", "", Kind::kText, "COUNT", "most processes and threads; -1: no limit"},
    Flag{"blkio-weight", "", Kind::kText, "WEIGHT", "share of a busy disk: 10 to 1000"},
    Flag{"device-read-bps", "", Kind::kList, "DEVICE:RATE",
         "most bytes a second: /dev/sda:1m; of a guest with --disk: FILE:1m"},
    Flag{"device-write-bps", "", Kind::kList, "DEVICE:RATE", "most bytes a second"},
    Flag{"device-read-iops", "", Kind::kList, "DEVICE:RATE", "most operations a second"},
    Flag{"device-write-iops", "", Kind::kList, "DEVICE:RATE", "most operations a second"},
    Flag{"restart", "", Kind::kText, "POLICY", "no, on-failure[:N], always, unless-stopped"},
};
inline constexpr std::array kCp{
    Flag{"archive", "a", Kind::kSwitch, "", "with the owners of the source, by number"},
    Flag{"follow-link", "L", Kind::kSwitch, "", "when the source is a link, what it points to"},
    Flag{"quiet", "q", Kind::kSwitch, "", "no progress: there is none anyway"},
};
inline constexpr std::array kDiff{
    Flag{"format", "", Kind::kText, "FORM", "table or json", "table"},
    Flag{"file", "f", Kind::kList, "FILE", "what `vrun apply -f FILE` would do"},
    Flag{"set", "", Kind::kList, "PATH=VALUE", "with --file: change a field first"},
    Flag{"manifest", "", Kind::kText, "NAME", "with --file: what the whole is called"},
    Flag{"prune", "", Kind::kSwitch, "", "with --file: as apply --prune"},
};
inline constexpr std::array kExport{
    Flag{"output", "o", Kind::kText, "FILE", "write to FILE instead of stdout"},
    Flag{"manifest", "", Kind::kSwitch, "", "a manifest of the guests instead, or of all"},
};
inline constexpr std::array kCommit{
    Flag{"pause", "p", Kind::kSwitch, "", "stand still meanwhile; --pause=false goes on", "true"},
    Flag{"author", "a", Kind::kText, "NAME", "who made it, for the image's history"},
    Flag{"message", "m", Kind::kText, "TEXT", "why, for the image's history"},
    Flag{"change", "c", Kind::kList, "LINE", "a Dockerfile line applied to it: CMD [\"sh\"]"},
};
inline constexpr std::array kDebug{
    Flag{"image", "", Kind::kText, "IMAGE", "where the tools come from", "base"},
    Flag{"tty", "t", Kind::kSwitch, "", "give it a terminal; default: when we have one"},
};

inline constexpr std::size_t kMany = static_cast<std::size_t>(-1);

inline constexpr std::array kToolVerbs{
    EverydayVerb{.name = "stats",
                 .arguments = "[GUEST...]",
                 .summary = "show what guests use: cpu, memory, io, network, pressure",
                 .text = "On a terminal the view is renewed in place until Ctrl-C. CPU % is of one "
                         "CPU: two busy "
                         "CPUs are 200%. PRESSURE is how much of the last 10 seconds something in "
                         "the guest waited "
                         "for cpu, memory and io (PSI); a dash where the kernel does not say.\n\n"
                         "With --format json every look is one line, unless it is the only one.",
                 .flag_set = EverydayFlags::kStats,
                 .most = kMany},
    EverydayVerb{.name = "top",
                 .arguments = "GUEST [PS-OPTION...]",
                 .summary = "show the processes of a guest",
                 .text =
                     "PID is the number outside, INSIDE the one that the guest sees; UID is the "
                     "guest's own. On a terminal the view is renewed until Ctrl-C.\n\n"
                     "With options of ps(1), as aux or -eo pid,args, the host's ps prints them.",
                 .flag_set = EverydayFlags::kTop,
                 .least = 1,
                 .most = kMany},
    EverydayVerb{.name = "pause",
                 .arguments = "GUEST...",
                 .summary = "freeze all processes of guests",
                 .text = "",
                 .least = 1,
                 .most = kMany},
    EverydayVerb{.name = "unpause",
                 .arguments = "GUEST...",
                 .summary = "let paused guests go on",
                 .text = "",
                 .least = 1,
                 .most = kMany},
    EverydayVerb{
        .name = "update",
        .arguments = "GUEST...",
        .summary = "change the limits of guests, also while they run",
        .text = "What is not given stays as it is. The new limits are kept for later starts.",
        .flag_set = EverydayFlags::kUpdate,
        .least = 1,
        .most = kMany},
    EverydayVerb{.name = "port",
                 .arguments = "GUEST [PORT[/PROTOCOL]]",
                 .summary = "list the published ports of a guest",
                 .text = "",
                 .least = 1,
                 .most = 2},
    EverydayVerb{
        .name = "cp",
        .arguments = "GUEST:PATH|- PATH|GUEST:PATH|-",
        .summary = "copy files between a guest and the host",
        .text =
            "One of both is in a guest, which may run or not. A dash is a tar archive on stdin or "
            "stdout. A directory that exists as the destination gets the source below it; SRC/. is "
            "what is in SRC. Links in the guest are resolved inside the guest: none leads out.",
        .flag_set = EverydayFlags::kCp,
        .least = 2,
        .most = 2},
    EverydayVerb{
        .name = "diff",
        .arguments = "GUEST",
        .summary = "list what a guest changed in its files",
        .text =
            "A: added, C: changed, D: deleted.\n\nWith --file it is the plan of `vrun apply`: 0 "
            "when nothing would change, 1 when something would, 2 for faults.",
        .flag_set = EverydayFlags::kDiff,
        .least = 0,
        .most = 1},
    EverydayVerb{.name = "export",
                 .arguments = "GUEST...",
                 .summary = "write all files of a guest as a tar archive",
                 .text = "Volumes and what else is mounted in the guest are left out. With "
                         "--manifest: what guests and CronJobs are, for `vrun apply`.",
                 .flag_set = EverydayFlags::kExport,
                 .least = 0,
                 .most = static_cast<std::size_t>(-1)},
    EverydayVerb{.name = "commit",
                 .arguments = "GUEST [IMAGE]",
                 .summary = "make an image of a guest's files",
                 .text =
                     "The image's layers and one more with what the guest changed. A guest that "
                     "runs is paused meanwhile.",
                 .flag_set = EverydayFlags::kCommit,
                 .least = 1,
                 .most = 2},
    EverydayVerb{
        .name = "debug",
        .arguments = "GUEST [COMMAND [ARGUMENT...]]",
        .summary = "a shell with tools of its own inside a guest",
        .text = "Also for guests without a shell. It has the guest's processes, network, users and "
                "limits, and the files of --image; the guest's own files are below $GUEST_ROOT, "
                "which is "
                "/proc/1/root. Nothing of it stays when it ends.",
        .flag_set = EverydayFlags::kDebug,
        .least = 1,
        .most = kMany,
        .flags_anywhere = false},
    EverydayVerb{.name = "info",
                 .arguments = "",
                 .summary = "show what vrun knows of this host and its guests",
                 .text = "",
                 .flag_set = EverydayFlags::kFormat},
    EverydayVerb{.name = "version",
                 .arguments = "",
                 .summary = "print the version of vrun, its helpers and the kernel",
                 .text = "",
                 .flag_set = EverydayFlags::kFormat},
    EverydayVerb{.name = "completion",
                 .arguments = "bash|zsh|fish",
                 .summary = "print the completions of vrun for a shell",
                 .text = "source <(vrun completion bash)",
                 .least = 1,
                 .most = 1},
    EverydayVerb{
        .name = "doctor",
        .arguments = "",
        .summary = "check whether this host has all that guests need",
        .text =
            "Tries what can be tried without harm, and prints the remedy for each gap. The exit "
            "code is 1 when guests cannot run, 0 when at most something is missing that not "
            "every guest needs.",
        .flag_set = EverydayFlags::kFormat},
};

}  // namespace vrun::cli
