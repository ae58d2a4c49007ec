#include "cli/oci_verbs.hpp"

#include <array>

#include "base/text.hpp"

namespace vrun::cli {
namespace {

std::string plural(std::size_t n) {
  return std::to_string(n) + (n == 1 ? " argument" : " arguments");
}

constexpr std::size_t kAny = static_cast<std::size_t>(-1);

constexpr std::array kGlobals{
    Flag{"debug", "", Kind::kSwitch, "", "write debug lines to the log"},
    Flag{"log", "", Kind::kText, "FILE", "append the log to FILE instead of writing it to stderr"},
    Flag{"log-format", "", Kind::kText, "FORMAT", "form of the log: text or json", "text"},
    Flag{"root", "", Kind::kText, "DIR",
         "where the state of the containers is kept (a tmpfs); default /run/vrun/oci"},
    Flag{"criu", "", Kind::kText, "PATH", "the criu program for checkpoint and restore", "criu"},
    Flag{"systemd-cgroup", "", Kind::kSwitch, "",
         "make cgroups by systemd; cgroupsPath is then slice:prefix:name"},
    Flag{"rootless", "", Kind::kText, "WHEN",
         "go on where cgroups may not be written: true, false or auto", "auto"},
    Flag{"version", "v", Kind::kSwitch, "",
         "print the version of the program and of the specification"},
};

// Flags that several verbs share.
constexpr Flag kBundle{"bundle", "b", Kind::kText, "DIR",
                       "the bundle: the folder of config.json; default: the current one"};
constexpr Flag kConsoleSocket{"console-socket", "", Kind::kText, "SOCKET",
                              "unix socket that receives the master end of the terminal"};
constexpr Flag kPidfdSocket{"pidfd-socket", "", Kind::kText, "SOCKET",
                            "unix socket that receives a pidfd of the process"};
constexpr Flag kPidFile{"pid-file", "", Kind::kText, "FILE",
                        "write the process id, as the host counts it, to FILE"};
constexpr Flag kNoPivot{
    "no-pivot", "", Kind::kSwitch, "",
    "enter the root by moving mounts instead of pivot_root (root on a ramdisk)"};
constexpr Flag kNoNewKeyring{"no-new-keyring", "", Kind::kSwitch, "",
                             "keep the caller's session keyring"};
constexpr Flag kPreserveFds{"preserve-fds",
                            "",
                            Kind::kNumber,
                            "N",
                            "pass N descriptors after stdio (and after $LISTEN_FDS)",
                            "0"};
constexpr Flag kDetach{"detach", "d", Kind::kSwitch, "", "return as soon as the process runs"};
constexpr Flag kNoSubreaper{"no-subreaper", "", Kind::kSwitch, "",
                            "accepted for runc's callers: vrun is never a subreaper"};
constexpr Flag kImagePath{"image-path", "", Kind::kText, "DIR", "folder of the checkpoint images"};
constexpr Flag kWorkPath{"work-path", "", Kind::kText, "DIR",
                         "folder of criu's work files and logs"};
constexpr Flag kTcpEstablished{"tcp-established", "", Kind::kSwitch, "",
                               "allow open TCP connections"};
constexpr Flag kExtUnixSk{"ext-unix-sk", "", Kind::kSwitch, "",
                          "allow connected unix sockets whose peer is outside"};
constexpr Flag kShellJob{"shell-job", "", Kind::kSwitch, "",
                         "allow a process that belongs to a terminal session outside"};
constexpr Flag kFileLocks{"file-locks", "", Kind::kSwitch, "", "keep file locks"};
constexpr Flag kManageCgroups{"manage-cgroups-mode",
                              "",
                              Kind::kText,
                              "MODE",
                              "what criu does to cgroups: soft, full, strict or ignore",
                              ""};
constexpr Flag kEmptyNs{"empty-ns", "", Kind::kList, "NAMESPACE",
                        "make this namespace, but restore nothing in it (network)"};
constexpr Flag kAutoDedup{"auto-dedup", "", Kind::kSwitch, "",
                          "punch holes into images that later ones supersede"};
constexpr Flag kLazyPages{"lazy-pages", "", Kind::kSwitch, "",
                          "move memory pages on demand by userfaultfd"};

constexpr std::array kCreate{kBundle,  kConsoleSocket, kPidfdSocket, kPidFile,
                             kNoPivot, kNoNewKeyring,  kPreserveFds};

constexpr std::array kRun{
    kBundle,
    kConsoleSocket,
    kPidfdSocket,
    kDetach,
    Flag{"keep", "", Kind::kSwitch, "", "keep the container when its process has ended"},
    kPidFile,
    kNoSubreaper,
    kNoPivot,
    kNoNewKeyring,
    kPreserveFds,
};

constexpr std::array kKill{
    Flag{"all", "a", Kind::kSwitch, "", "signal every process of the container"},
};

constexpr std::array kDelete{
    Flag{"force", "f", Kind::kSwitch, "",
         "kill the container first if it runs; no error if there is none"},
};

constexpr std::array kExec{
    kConsoleSocket,
    kPidfdSocket,
    Flag{"cwd", "", Kind::kText, "DIR", "working directory inside"},
    Flag{"env", "e", Kind::kList, "NAME=VALUE", "set an environment variable"},
    Flag{"tty", "t", Kind::kSwitch, "", "give the process a terminal"},
    Flag{"user", "u", Kind::kText, "UID[:GID]", "run as these ids"},
    Flag{"additional-gids", "g", Kind::kList, "GID", "supplementary group"},
    Flag{"process", "p", Kind::kText, "FILE",
         "take the whole process object from FILE (- is stdin)"},
    kDetach,
    kPidFile,
    Flag{"process-label", "", Kind::kText, "LABEL", "SELinux label of the process"},
    Flag{"apparmor", "", Kind::kText, "PROFILE", "AppArmor profile of the process"},
    Flag{"no-new-privs", "", Kind::kSwitch, "", "set no_new_privs"},
    Flag{"cap", "c", Kind::kList, "CAPABILITY", "add a capability"},
    kPreserveFds,
    Flag{"cgroup", "", Kind::kList, "[CTRL:]PATH",
         "run in this existing sub-group of the container's cgroup"},
    Flag{"ignore-paused", "", Kind::kSwitch, "",
         "allow it in a paused container: it waits for resume"},
    kNoSubreaper,
};

constexpr Flag kFormat{"format", "f", Kind::kText, "FORMAT", "table or json", "table"};
constexpr std::array kList{
    kFormat,
    Flag{"quiet", "q", Kind::kSwitch, "", "print only the ids"},
};
constexpr std::array kPs{kFormat};

constexpr std::array kUpdate{
    Flag{"resources", "r", Kind::kText, "FILE",
         "take linux.resources from FILE (- is stdin); the other flags are then ignored"},
    Flag{"blkio-weight", "", Kind::kNumber, "WEIGHT", "relative share of block I/O, 10 to 1000"},
    Flag{"cpu-period", "", Kind::kNumber, "USEC", "period of the cpu quota"},
    Flag{"cpu-quota", "", Kind::kNumber, "USEC", "cpu time in each period; -1 is no limit"},
    Flag{"cpu-burst", "", Kind::kNumber, "USEC", "unused quota that may be saved up"},
    Flag{"cpu-share", "", Kind::kNumber, "SHARES", "relative share of cpu time, 2 to 262144"},
    Flag{"cpu-rt-period", "", Kind::kNumber, "USEC", "period of the realtime quota"},
    Flag{"cpu-rt-runtime", "", Kind::kNumber, "USEC", "realtime in each period"},
    Flag{"cpuset-cpus", "", Kind::kText, "CPUS", "allowed cpus: 0-3,8"},
    Flag{"cpuset-mems", "", Kind::kText, "NODES", "allowed memory nodes: 0-1"},
    Flag{"cpu-idle", "", Kind::kNumber, "0|1", "run only when the cpus would idle"},
    Flag{"kernel-memory", "", Kind::kText, "BYTES", "obsolete: no kernel has this limit any more",
         "", Shown::kDeprecated},
    Flag{"kernel-memory-tcp", "", Kind::kText, "BYTES",
         "obsolete: no kernel has this limit any more", "", Shown::kDeprecated},
    Flag{"memory", "", Kind::kText, "BYTES", "memory limit (512m, 2g); -1 is none"},
    Flag{"memory-reservation", "", Kind::kText, "BYTES", "memory that is reclaimed last"},
    Flag{"memory-swap", "", Kind::kText, "BYTES", "limit of memory and swap together; -1 is none"},
    Flag{"pids-limit", "", Kind::kNumber, "COUNT", "most processes and threads; -1 is no limit"},
    Flag{"l3-cache-schema", "", Kind::kText, "SCHEMA", "Intel RDT: share of the L3 cache"},
    Flag{"mem-bw-schema", "", Kind::kText, "SCHEMA", "Intel RDT: share of the memory bandwidth"},
};

constexpr std::array kEvents{
    Flag{"interval", "", Kind::kDuration, "DURATION", "time between two statistics", "5s"},
    Flag{"stats", "", Kind::kSwitch, "", "print the statistics once and end"},
};

constexpr std::array kSpec{
    kBundle,
    Flag{"rootless", "", Kind::kSwitch, "", "for a user without privileges"},
};

constexpr std::array kCheckpoint{
    kImagePath,
    kWorkPath,
    Flag{"parent-path", "", Kind::kText, "DIR",
         "images of an earlier pre-dump, relative to --image-path"},
    Flag{"leave-running", "", Kind::kSwitch, "", "let the container run on"},
    kTcpEstablished,
    kExtUnixSk,
    kShellJob,
    kLazyPages,
    Flag{"status-fd", "", Kind::kNumber, "FD",
         "criu writes a NUL byte here when lazy pages are ready", "-1"},
    Flag{"page-server", "", Kind::kText, "HOST:PORT", "send the pages to this page server"},
    kFileLocks,
    Flag{"pre-dump", "", Kind::kSwitch, "", "save only memory, let the container run on"},
    kManageCgroups,
    kEmptyNs,
    kAutoDedup,
};

constexpr std::array kRestore{
    kConsoleSocket,
    kImagePath,
    kWorkPath,
    kTcpEstablished,
    kExtUnixSk,
    kShellJob,
    kFileLocks,
    kManageCgroups,
    kBundle,
    kDetach,
    kPidFile,
    kNoSubreaper,
    kNoPivot,
    kEmptyNs,
    kAutoDedup,
    kLazyPages,
    Flag{"lsm-profile", "", Kind::kText, "TYPE:NAME", "security profile of the restored processes"},
    Flag{"lsm-mount-context", "", Kind::kText, "CONTEXT",
         "security context of the restored mounts"},
};

constexpr std::array kVerbs{
    Verb{
        .name = "create",
        .arguments = "CONTAINER",
        .summary = "make a container from a bundle, up to the start of its process",
        .text =
            "Makes everything that config.json of the bundle asks for: namespaces, cgroup, mounts, "
            "limits and labels. The process waits at its last step before exec until `start`. "
            "Whatever fails is undone.",
        .flag_set = FlagSet::kCreate,
        .least = 1,
        .most = 1},
    Verb{.name = "start",
         .arguments = "CONTAINER",
         .summary = "start the process of a created container",
         .text = "Returns when the program runs. If it cannot be executed, says why: missing file, "
                 "missing interpreter, wrong architecture.",
         .least = 1,
         .most = 1},
    Verb{.name = "run",
         .arguments = "CONTAINER",
         .summary = "create and start a container, wait for it and delete it",
         .text = "Ends with the exit code of the process (128 + N when signal N killed it). With "
                 "--detach "
                 "it returns at once and the container stays until `delete`.",
         .flag_set = FlagSet::kRun,
         .least = 1,
         .most = 1},
    Verb{.name = "state",
         .arguments = "CONTAINER",
         .summary = "print the state of a container as JSON",
         .text = "The status is creating, created, running, paused or stopped.",
         .least = 1,
         .most = 1},
    Verb{.name = "kill",
         .arguments = "CONTAINER [SIGNAL]",
         .summary = "send a signal to the process of a container",
         .text = "SIGNAL is a name with or without SIG, or a number; SIGTERM if there is none.",
         .flag_set = FlagSet::kKill,
         .least = 1,
         .most = 2},
    Verb{.name = "delete",
         .arguments = "CONTAINER",
         .summary = "remove a stopped container and all that belongs to it",
         .text = "Also cleans up after a vrun-oci that was killed in the middle of its work, with "
                 "--force "
                 "even when the state file is damaged.",
         .flag_set = FlagSet::kDelete,
         .least = 1,
         .most = 1},
    Verb{
        .name = "exec",
        .arguments = "CONTAINER COMMAND [ARGUMENT...]",
        .summary = "run another process in a running container",
        .text =
            "Ends with the exit code of that process, or with 255 if it could not be started. "
            "User, capabilities, seccomp filter and no_new_privs are those that config.json had at "
            "create, unless flags or --process say otherwise. With --process no COMMAND is given.",
        .flag_set = FlagSet::kExec,
        .least = 1,
        .most = kAny,
        .flags_anywhere = false,
        .failure = 255},
    Verb{.name = "list",
         .arguments = "",
         .summary = "list the containers below --root",
         .text = "",
         .flag_set = FlagSet::kList},
    Verb{.name = "ps",
         .arguments = "CONTAINER [PS-OPTION...]",
         .summary = "list the processes of a container",
         .text = "The table is what ps(1) prints with the given options (-ef if there are none), "
                 "cut down "
                 "to the container's processes. The JSON form is the array of their ids.",
         .flag_set = FlagSet::kPs,
         .least = 1,
         .most = kAny,
         .flags_anywhere = false},
    Verb{.name = "pause",
         .arguments = "CONTAINER",
         .summary = "freeze all processes of a container",
         .text = "",
         .least = 1,
         .most = 1},
    Verb{.name = "resume",
         .arguments = "CONTAINER",
         .summary = "let a paused container go on",
         .text = "",
         .least = 1,
         .most = 1},
    Verb{
        .name = "update",
        .arguments = "CONTAINER",
        .summary = "change the limits of a container",
        .text =
            "Limits that are not named stay as they are. A limit that this host cannot enforce is "
            "an "
            "error, and then nothing is changed.\n\n"
            "--resources reads an object like linux.resources of config.json: "
            "{\"memory\": {\"limit\": 268435456}, \"cpu\": {\"quota\": 50000, \"period\": 100000}, "
            "\"pids\": {\"limit\": 64}}.",
        .flag_set = FlagSet::kUpdate,
        .least = 1,
        .most = 1},
    Verb{.name = "events",
         .arguments = "CONTAINER",
         .summary = "print statistics and out-of-memory events as JSON lines",
         .text = "One line each, until the container stops.",
         .flag_set = FlagSet::kEvents,
         .least = 1,
         .most = 1},
    Verb{.name = "features",
         .arguments = "",
         .summary = "print what this build on this kernel can do, as JSON",
         .text = "The document is the one that runtime-spec defines (features.md)."},
    Verb{.name = "spec",
         .arguments = "",
         .summary = "write a config.json to start from",
         .text = "An existing file is not overwritten.",
         .flag_set = FlagSet::kSpec},
    Verb{
        .name = "checkpoint",
        .arguments = "CONTAINER",
        .summary = "save a running container by CRIU",
        .text =
            "Needs the criu program. The container is stopped unless --leave-running or --pre-dump "
            "is given. A micro-VM is saved without CRIU and its flags: --image-path and "
            "--leave-running are left.",
        .flag_set = FlagSet::kCheckpoint,
        .least = 1,
        .most = 1},
    Verb{.name = "restore",
         .arguments = "CONTAINER",
         .summary = "bring a saved container back",
         .text =
             "Needs the bundle that the container was made from and, but for a micro-VM, the criu "
             "program.",
         .flag_set = FlagSet::kRestore,
         .least = 1,
         .most = 1},
};

}  // namespace

std::span<const Flag> flags_of(FlagSet set) {
  switch (set) {
    case FlagSet::kNone:
      return {};
    case FlagSet::kCreate:
      return kCreate;
    case FlagSet::kRun:
      return kRun;
    case FlagSet::kKill:
      return kKill;
    case FlagSet::kDelete:
      return kDelete;
    case FlagSet::kExec:
      return kExec;
    case FlagSet::kList:
      return kList;
    case FlagSet::kPs:
      return kPs;
    case FlagSet::kUpdate:
      return kUpdate;
    case FlagSet::kEvents:
      return kEvents;
    case FlagSet::kSpec:
      return kSpec;
    case FlagSet::kCheckpoint:
      return kCheckpoint;
    case FlagSet::kRestore:
      return kRestore;
  }
  return {};
}

std::span<const Flag> oci_globals() {
  return kGlobals;
}

std::span<const Verb> oci_verbs() {
  return kVerbs;
}

const Verb* find_verb(std::string_view name) {
  for (const Verb& verb : kVerbs) {
    if (verb.name.view() == name) return &verb;
  }
  return nullptr;
}

std::string usage(const Verb& verb) {
  std::string text = "vrun-oci [GLOBAL FLAGS] " + std::string(verb.name.view());
  if (!verb.flags().empty()) text += " [FLAGS]";
  if (!verb.arguments.view().empty()) text += " " + std::string(verb.arguments.view());
  return text;
}

Result<Arguments> parse(const Verb& verb, std::span<char* const> argv) {
  Arguments arguments = TRY(parse(verb.flags(), verb.flags_anywhere, argv));
  if (arguments.help()) return arguments;
  const std::size_t given = arguments.words().size();
  if (given >= verb.least && given <= verb.most) return arguments;
  const std::string_view bound =
      verb.least == verb.most ? "exactly " : (given < verb.least ? "at least " : "at most ");
  const std::size_t wanted = given < verb.least ? verb.least : verb.most;
  return Error(Code::kInvalid,
               "requires " + std::string(bound) + plural(wanted) + ", got " + std::to_string(given))
      .hint("usage: " + usage(verb));
}

}  // namespace vrun::cli
