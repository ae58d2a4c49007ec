// The rows of the verbs of guests; everyday_verbs.cpp joins them to the others.
#pragma once

#include <array>

#include "cli/everyday_verbs.hpp"

namespace vrun::cli {

// run, create and plan. The order is that of --help: what the guest is, how it lives, what it may
// use, what it sees, what it may do.
inline constexpr std::array kRun{
    Flag{"name", "", Kind::kText, "NAME", "name of the guest; default: made from the image's name"},
    Flag{"hostname", "h", Kind::kText, "NAME", "host name inside; default: the guest's name"},
    Flag{"detach", "d", Kind::kSwitch, "", "go on without us; print the guest's id"},
    Flag{"rm", "", Kind::kSwitch, "", "remove the guest when it ends"},
    Flag{"tty", "t", Kind::kSwitch, "",
         "give the guest a terminal; default: when stdin and stdout are terminals"},
    Flag{"interactive", "i", Kind::kSwitch, "",
         "keep stdin open to the guest; --interactive=false gives it none"},
    Flag{"detach-keys", "", Kind::kText, "KEYS", "what leaves a guest that goes on",
         "ctrl-p,ctrl-q"},
    Flag{"env", "e", Kind::kList, "NAME=VALUE",
         "set an environment variable; NAME alone takes the caller's value"},
    Flag{"env-file", "", Kind::kList, "FILE", "environment variables from the lines of FILE"},
    Flag{"workdir", "w", Kind::kText, "DIR", "working directory inside"},
    Flag{"user", "u", Kind::kText, "USER[:GROUP]", "user inside, by name or number"},
    Flag{"group-add", "", Kind::kList, "GROUP", "one more group for the user, by name or number"},
    Flag{"entrypoint", "", Kind::kText, "PROGRAM",
         "program to run instead of the image's; empty clears it"},
    Flag{"init", "", Kind::kSwitch, "",
         "a small init runs the program, hands it signals and reaps orphans"},
    Flag{"label", "l", Kind::kList, "NAME=VALUE", "a note on the guest, for people and --filter"},
    Flag{"restart", "", Kind::kText, "POLICY", "no, on-failure[:N], always, unless-stopped", "no"},
    Flag{"start-after", "", Kind::kList, "GUEST",
         "at a boot, started after this guest (restart policies only)"},
    Flag{"stop-signal", "", Kind::kText, "SIGNAL", "what `stop` sends; default: the image's, TERM"},
    Flag{"stop-timeout", "", Kind::kText, "SECONDS",
         "until `stop` kills; -1: never; default: 10, --system: 90"},
    Flag{"health-cmd", "", Kind::kText, "COMMAND",
         "shell line that succeeds while all is well, or tcp://:PORT, or http://:PORT/PATH"},
    Flag{"health-interval", "", Kind::kText, "TIME", "between two checks; default: 30s"},
    Flag{"health-timeout", "", Kind::kText, "TIME", "most time of one check; default: 30s"},
    Flag{"health-retries", "", Kind::kText, "COUNT", "failures in a row that count; default: 3"},
    Flag{"health-start-period", "", Kind::kText, "TIME", "failures before do not count"},
    Flag{"health-on-failure", "", Kind::kText, "ACTION", "none, kill, restart, stop", "none"},
    Flag{"no-healthcheck", "", Kind::kSwitch, "", "none, whatever the image says"},
    Flag{"post-start", "", Kind::kText, "COMMAND",
         "shell line inside after each start; a failure kills the guest"},
    Flag{"pre-stop", "", Kind::kText, "COMMAND",
         "shell line inside before `stop` sends its signal, within --stop-timeout"},
    Flag{"log-opt", "", Kind::kList, "NAME=VALUE", "max-size=10m, max-file=3"},
    Flag{"memory", "m", Kind::kText, "SIZE", "most memory and swap together: 512m, 2g"},
    Flag{"memory-reservation", "", Kind::kText, "SIZE", "memory it keeps when others want some"},
    Flag{"memory-swap", "", Kind::kText, "SIZE", "memory and swap together; -1: no limit"},
    Flag{"cpus", "", Kind::kText, "NUMBER", "most cpu time, in CPUs: 0.5, 2"},
    Flag{"cpu-weight", "", Kind::kText, "WEIGHT", "share of a busy cpu: 1 to 10000; default: 100"},
    Flag{"cpu-shares", "c", Kind::kText, "SHARES", "the same in Docker's scale: 2 to 262144"},
    Flag{"cpuset-cpus", "", Kind::kText, "LIST", "the CPUs it may use: 0-3,8"},
    Flag{"cpuset-mems", "", Kind::kText, "LIST", "the memory nodes it may use"},
    Flag{"pids-limit", "", Kind::kText, "COUNT", "most processes and threads"},
    Flag{"blkio-weight", "", Kind::kText, "WEIGHT", "share of a busy disk: 10 to 1000"},
    Flag{"device-read-bps", "", Kind::kList, "DEVICE:RATE",
         "most bytes a second: /dev/sda:1m; of a guest with --disk: FILE:1m"},
    Flag{"device-write-bps", "", Kind::kList, "DEVICE:RATE", "most bytes a second"},
    Flag{"device-read-iops", "", Kind::kList, "DEVICE:RATE", "most operations a second"},
    Flag{"device-write-iops", "", Kind::kList, "DEVICE:RATE", "most operations a second"},
    Flag{"ulimit", "", Kind::kList, "NAME=S[:HARD]", "a limit of each process: nofile=1024:4096"},
    Flag{"shm-size", "", Kind::kText, "SIZE", "of /dev/shm; default: 64m"},
    Flag{"volume", "v", Kind::kList, "SOURCE:TARGET",
         "a path of the host or a named volume inside, owners mapped; :ro read-only, :noidmap as "
         "it is"},
    Flag{"mount", "", Kind::kList, "OPTIONS",
         "the same in words: type=bind,source=/srv,target=/srv,readonly; type=volume; type=tmpfs"},
    Flag{"tmpfs", "", Kind::kList, "TARGET[:OPTS]",
         "an empty directory in memory: /cache:size=64m,mode=1777"},
    Flag{"device", "", Kind::kList, "PATH[:IN[:rwm]]", "a device of the host inside"},
    Flag{"read-only", "", Kind::kSwitch, "", "the guest cannot change its root directory"},
    Flag{"network", "", Kind::kList, "NETWORK",
         "networks (NAME[:ip=ADDRESS,alias=NAME]), none, host or container:GUEST", "default"},
    Flag{"bandwidth", "", Kind::kText, "RATE",
         "most bits a second in, and as many out: 100M, 1G; k, M and G are thousands"},
    Flag{"bandwidth-in", "", Kind::kText, "RATE", "most bits a second that the guest receives"},
    Flag{"bandwidth-out", "", Kind::kText, "RATE", "most bits a second that the guest sends"},
    Flag{"network-pps", "", Kind::kText, "N",
         "most packets a second in, and as many out; what is more is dropped"},
    Flag{"network-alias", "", Kind::kList, "NAME", "one more name on its network"},
    Flag{"publish", "p", Kind::kList, "PORT", "[[ADDRESS:]HOST:]INSIDE[/PROTOCOL]"},
    Flag{"ip", "", Kind::kText, "ADDRESS", "its IPv4 address on the network"},
    Flag{"ip6", "", Kind::kText, "ADDRESS", "its IPv6 address on the network"},
    Flag{"add-host", "", Kind::kList, "NAME:ADDRESS", "a line for /etc/hosts inside"},
    Flag{"dns", "", Kind::kList, "ADDRESS", "a name server instead of the host's"},
    Flag{"dns-search", "", Kind::kList, "DOMAIN", "where short names are looked up"},
    Flag{"dns-option", "", Kind::kList, "OPTION", "an option of resolv.conf"},
    Flag{"cap-add", "", Kind::kList, "CAPABILITY",
         "give the guest's root one more capability, or ALL"},
    Flag{"cap-drop", "", Kind::kList, "CAPABILITY", "take one away, or ALL"},
    Flag{"no-new-privs", "", Kind::kSwitch, "", "set-id programs inside give no rights"},
    Flag{"security-opt", "", Kind::kList, "OPTION",
         "no-new-privileges, seccomp=FILE, seccomp=unconfined, apparmor=PROFILE, label=disable"},
    Flag{"sysctl", "", Kind::kList, "NAME=VALUE", "a kernel knob of its own namespaces"},
    Flag{"privileged", "", Kind::kSwitch, "",
         "every capability, no filter, no masks, all devices; still its own user namespace"},
    Flag{"userns", "", Kind::kText, "host", "host: its root is the host's root"},
    Flag{"pid", "", Kind::kText, "host",
         "host: sees and signals the host's processes; container:GUEST: those of another guest"},
    Flag{"ipc", "", Kind::kText, "host",
         "host: shares the host's memory segments and queues; container:GUEST: another guest's"},
    Flag{"uts", "", Kind::kText, "host", "host: has the host's name"},
    Flag{"cgroupns", "", Kind::kText, "private|host", "host: sees the host's groups"},
    Flag{"isolation", "", Kind::kText, "KIND",
         "container; system: --system; vm: with a kernel of its own", "container"},
    Flag{"disk", "", Kind::kList, "FILE[:ro]",
         "with --isolation vm: boot the system on this disk image instead of an image; more of "
         "them are more disks"},
    Flag{"kernel", "", Kind::kText, "NAME|FILE",
         "with --isolation vm: a kernel of `vm kernel ls`, or by its path"},
    Flag{"initrd", "", Kind::kText, "FILE", "with --disk: an initramfs instead of vrun's own"},
    Flag{"kernel-parameter", "", Kind::kList, "WORD",
         "with --isolation vm: one more word of the kernel's command line"},
    Flag{"system", "", Kind::kSwitch, "",
         "a whole distribution: its init is process 1 and has a terminal and its own cgroup"},
    Flag{"view", "", Kind::kText, "limits|host",
         "what /proc, sysinfo(2) and the number of processors show: the guest's limits (system "
         "guests do) or the host's"},
    Flag{"pull", "", Kind::kText, "WHEN", "missing, always, never: when to fetch the image"},
    Flag{"platform", "", Kind::kText, "OS/ARCH", "which of an image's platforms"},
    Flag{"quiet", "q", Kind::kSwitch, "", "no progress while the image is fetched"},
    Flag{"cidfile", "", Kind::kText, "FILE", "write the guest's id into a new file"},
    Flag{"sig-proxy", "", Kind::kSwitch, "", "signals to us go to the guest", "true"},
    Flag{"publish-all", "P", Kind::kSwitch, "",
         "publish the image's ports and those of --expose on free ports of the host"},
    Flag{"expose", "", Kind::kList, "PORT[/PROTOCOL]", "a port for --publish-all"},
    Flag{"mac-address", "", Kind::kText, "MAC", "its hardware address on its first network"},
    Flag{"domainname", "", Kind::kText, "NAME", "NIS domain name inside"},
    Flag{"label-file", "", Kind::kList, "FILE", "labels from the lines of FILE"},
    Flag{"annotation", "", Kind::kList, "NAME=VALUE", "an annotation of the OCI specification"},
    Flag{"log-driver", "", Kind::kText, "DRIVER",
         "none: keep no log; json-file, local, k8s-file: vrun's own files"},
    Flag{"oom-score-adj", "", Kind::kText, "NUMBER", "who dies first when the host lacks memory"},
    Flag{"cpu-quota", "", Kind::kText, "MICROSECONDS", "most cpu time in each --cpu-period"},
    Flag{"cpu-period", "", Kind::kText, "MICROSECONDS", "1000 to 1000000; default: 100000"},
};

inline constexpr std::array kStart{
    Flag{"attach", "a", Kind::kSwitch, "", "stay with the guest: its output here, its exit code"},
    Flag{"interactive", "i", Kind::kSwitch, "", "with --attach: our stdin goes to the guest"},
    Flag{"detach-keys", "", Kind::kText, "KEYS", "what leaves a guest that goes on",
         "ctrl-p,ctrl-q"},
};
inline constexpr std::array kStop{
    Flag{"time", "t", Kind::kText, "SECONDS", "until it is killed; -1: never; default: its own"},
    Flag{"timeout", "", Kind::kText, "SECONDS", "the same"},
    Flag{"signal", "s", Kind::kText, "SIGNAL", "what asks it to end; default: its own stop signal"},
};
inline constexpr std::array kKill{
    Flag{"signal", "s", Kind::kText, "SIGNAL", "by name or number", "KILL"},
};
inline constexpr std::array kRm{
    Flag{"force", "f", Kind::kSwitch, "", "kill it first; a guest that is not there is no fault"},
    Flag{"volumes", "v", Kind::kSwitch, "", "also the volumes that are its own, without a name"},
};
inline constexpr std::array kGuestPrune{
    Flag{"force", "f", Kind::kSwitch, "", "do not ask"},
    Flag{"filter", "", Kind::kList, "NAME=VALUE", "only those with label=NAME[=VALUE]"},
};
inline constexpr std::array kPs{
    Flag{"all", "a", Kind::kSwitch, "", "also guests that do not run"},
    Flag{"quiet", "q", Kind::kSwitch, "", "print only ids"},
    Flag{"no-trunc", "", Kind::kSwitch, "", "whole ids and commands"},
    Flag{"last", "n", Kind::kText, "COUNT", "the newest ones, running or not"},
    Flag{"filter", "f", Kind::kList, "NAME=VALUE",
         "name, id, status, label, ancestor, exited, health, restart, network, publish, volume, "
         "since, before"},
    Flag{"format", "", Kind::kText, "FORM",
         "table, json, yaml, or a template: '{{.ID}} {{.Names}}', 'table {{.Names}}'", "table"},
    Flag{"latest", "l", Kind::kSwitch, "", "the newest one, running or not"},
    Flag{"size", "s", Kind::kSwitch, "", "how much each guest wrote on disk"},
};
inline constexpr std::array kInspect{
    Flag{"format", "f", Kind::kText, "FORM",
         "json, yaml, a member's path such as state.status, or a template: '{{.State.Status}}'"},
};
inline constexpr std::array kLogs{
    Flag{"follow", "f", Kind::kSwitch, "", "go on until the guest ends"},
    Flag{"since", "", Kind::kText, "TIME", "10m (ago), 2026-01-31T10:20:30Z, 2026-01-31"},
    Flag{"until", "", Kind::kText, "TIME", "nothing later than this"},
    Flag{"tail", "n", Kind::kText, "COUNT", "only so many lines from the end; all"},
    Flag{"timestamps", "t", Kind::kSwitch, "", "the time before each line"},
};
inline constexpr std::array kAttach{
    Flag{"no-stdin", "", Kind::kSwitch, "", "look only"},
    Flag{"detach-keys", "", Kind::kText, "KEYS", "what leaves a guest that goes on",
         "ctrl-p,ctrl-q"},
    Flag{"sig-proxy", "", Kind::kSwitch, "", "signals to us go to the guest", "true"},
};
inline constexpr std::array kExec{
    Flag{"detach", "d", Kind::kSwitch, "", "do not wait for it"},
    Flag{"interactive", "i", Kind::kSwitch, "", "our stdin goes to it"},
    Flag{"tty", "t", Kind::kSwitch, "", "give it a terminal"},
    Flag{"env", "e", Kind::kList, "NAME=VALUE", "set an environment variable"},
    Flag{"env-file", "", Kind::kList, "FILE", "environment variables from the lines of FILE"},
    Flag{"workdir", "w", Kind::kText, "DIR", "working directory inside"},
    Flag{"user", "u", Kind::kText, "USER[:GROUP]", "user inside; default: the guest's own"},
    Flag{"privileged", "", Kind::kSwitch, "", "every capability inside its user namespace"},
};
inline constexpr std::array kEvents{
    Flag{"since", "", Kind::kText, "TIME", "begin with the events from here on"},
    Flag{"until", "", Kind::kText, "TIME", "end here, or when all up to now were printed"},
    Flag{"filter", "f", Kind::kList, "NAME=VALUE", "guest=, event=, image="},
    Flag{"format", "", Kind::kText, "FORM", "text or json", "text"},
};

inline constexpr std::size_t kAny = static_cast<std::size_t>(-1);

inline constexpr std::array kWait{
    Flag{"condition", "", Kind::kText, "WHAT", "ended, healthy or ready", "ended"},
};

inline constexpr std::array kGuestVerbs{
    EverydayVerb{
        .name = "run",
        .arguments = "IMAGE [COMMAND [ARGUMENT...]]",
        .summary = "run a command in a new guest made from an image",
        .text = "Makes a guest with namespaces, ids, host name, process numbers and file tree "
                "of its own and runs COMMAND (or what the image says) in it. It is kept when that "
                "ends, until `rm`, unless --rm says otherwise. Flags for vrun stand before IMAGE; "
                "what follows it belongs to the guest.\n\n"
                "The exit code is the command's, or 128 + N when signal N killed it. 125: vrun "
                "itself failed, 126: the command cannot be executed, 127: it was not found.\n\n"
                "Whatever stdin is, the guest reads it; a shell loop that reads lines wants "
                "--interactive=false. On a terminal the guest gets a terminal. With -d it gets "
                "neither unless asked for.",
        .flag_set = EverydayFlags::kRun,
        .least = 1,
        .most = kAny,
        .flags_anywhere = false},
    EverydayVerb{.name = "create",
                 .arguments = "IMAGE [COMMAND [ARGUMENT...]]",
                 .summary = "make a guest without starting it; print its id",
                 .text = "`vrun start` starts it.",
                 .flag_set = EverydayFlags::kRun,
                 .least = 1,
                 .most = kAny,
                 .flags_anywhere = false},
    EverydayVerb{.name = "plan",
                 .arguments = "IMAGE [COMMAND [ARGUMENT...]]",
                 .summary = "show what `run` with the same flags would do; change nothing",
                 .text =
                     "Prints the guest's ids, its OCI specification and the steps of its start. An "
                     "image that is not here is fetched only when --pull says so.",
                 .flag_set = EverydayFlags::kRun,
                 .least = 1,
                 .most = kAny,
                 .flags_anywhere = false},
    EverydayVerb{.name = "start",
                 .arguments = "GUEST...",
                 .summary = "start guests that were created or have ended",
                 .text = "",
                 .flag_set = EverydayFlags::kStart,
                 .least = 1,
                 .most = kAny},
    EverydayVerb{.name = "stop",
                 .arguments = "GUEST...",
                 .summary = "ask guests to end; kill them when they do not",
                 .text = "Sends the stop signal and waits. A stopped guest is not started again "
                         "by its restart policy, also not after a boot (unless that is `always`).",
                 .flag_set = EverydayFlags::kStop,
                 .least = 1,
                 .most = kAny},
    EverydayVerb{.name = "restart",
                 .arguments = "GUEST...",
                 .summary = "stop guests and start them again",
                 .text = "",
                 .flag_set = EverydayFlags::kStop,
                 .least = 1,
                 .most = kAny},
    EverydayVerb{.name = "kill",
                 .arguments = "GUEST...",
                 .summary = "send a signal to the first process of guests",
                 .text =
                     "KILL and the guest's own stop signal are a wish that it ends: its restart "
                     "policy does not start it again then.",
                 .flag_set = EverydayFlags::kKill,
                 .least = 1,
                 .most = kAny},
    EverydayVerb{.name = "rm",
                 .arguments = "GUEST...",
                 .summary = "remove guests with all they wrote",
                 .text = "Volumes stay, but for those of its own of a guest with --rm.",
                 .flag_set = EverydayFlags::kRm,
                 .least = 1,
                 .most = kAny},
    EverydayVerb{.name = "container prune",
                 .arguments = "",
                 .summary = "remove all guests that do not run",
                 .text = "The other verbs of guests have this first word too: container ls, "
                         "container rm ...",
                 .flag_set = EverydayFlags::kGuestPrune},
    EverydayVerb{.name = "ps",
                 .arguments = "",
                 .summary = "list guests",
                 .text = "STATUS says why a guest ended: its exit code, the signal and who sent "
                         "it, lack of memory, or why it could not start.",
                 .flag_set = EverydayFlags::kPs},
    EverydayVerb{.name = "inspect",
                 .arguments = "GUEST|IMAGE...",
                 .summary = "all that is known of guests or images, as JSON",
                 .text = "Members have Docker's names where the same is meant, in small letters at "
                         "the start; --format finds them in any case.",
                 .flag_set = EverydayFlags::kInspect,
                 .least = 1,
                 .most = kAny},
    EverydayVerb{.name = "logs",
                 .arguments = "GUEST",
                 .summary = "print what a guest said, running or ended",
                 .text = "On a terminal, control characters of the guest are shown as \\xNN; only "
                         "colours pass.",
                 .flag_set = EverydayFlags::kLogs,
                 .least = 1,
                 .most = 1},
    EverydayVerb{.name = "attach",
                 .arguments = "GUEST",
                 .summary = "connect this terminal to a running guest",
                 .text = "Several may be attached at once. The detach keys leave the guest to "
                         "itself; its exit code becomes ours.",
                 .flag_set = EverydayFlags::kAttach,
                 .least = 1,
                 .most = 1},
    EverydayVerb{.name = "exec",
                 .arguments = "GUEST COMMAND [ARGUMENT...]",
                 .summary = "run a further command in a running guest",
                 .text = "With the rights, limits and namespaces of the guest. The exit code is "
                         "the command's; 126 and 127 as for `run`.",
                 .flag_set = EverydayFlags::kExec,
                 .least = 2,
                 .most = kAny,
                 .flags_anywhere = false},
    EverydayVerb{.name = "wait",
                 .arguments = "GUEST...",
                 .summary = "wait until guests have ended; print their exit codes",
                 .text = "With --condition healthy or ready until they are; a guest that ends "
                         "before is an error.",
                 .flag_set = EverydayFlags::kWait,
                 .least = 1,
                 .most = kAny},
    EverydayVerb{.name = "rename",
                 .arguments = "GUEST NEW-NAME",
                 .summary = "give a guest another name, also while it runs",
                 .text = "",
                 .least = 2,
                 .most = 2},
    EverydayVerb{.name = "events",
                 .arguments = "",
                 .summary = "print what happens to guests, images, networks, volumes",
                 .text = "As it happens. With --until nothing is waited for that lies in the past.",
                 .flag_set = EverydayFlags::kEvents},
    EverydayVerb{.name = "restore",
                 .arguments = "[GUEST...]",
                 .summary = "go on from checkpoints; without names: start guests after a boot",
                 .text = "With names: each goes on where `vrun checkpoint` ended it. A checkpoint "
                         "is used up by that; one that does not go on keeps it.\n\nWithout names: "
                         "starts the guests whose restart policy says so, but for checkpointed "
                         "ones. That is what vrun-restore.service runs after a boot.",
                 .most = kAny},
};

}  // namespace vrun::cli
