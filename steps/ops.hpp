// The work of the container process as data.
//
// The parent (vrun) builds a Program in one shared memory block; the stage (vrun-stage, a
// freestanding program that the clone executes from a sealed memfd) maps the block at the same
// address and interprets it step by step. So everything here is plain data that both sides read:
// pointers point into the block, text is NUL-terminated, a null text means absent, descriptors are
// numbers that the parent made inheritable. Included by *_child.cpp: no library types.
#pragma once

#include <stdint.h>

namespace vrun::steps {

using Text = const char*;

template <typename T>
struct Span {
  const T* data;
  uint32_t count;
};

// What a step does. The argument struct of kFoo is FooArgs; ops marked "no args" have none.
enum class Op : uint16_t {
  kEnd,  // no args
  // talk to the parent
  kAsk,    // AskArgs: the parent does its part of this step, then answers
  kReady,  // no args: "everything before the gate is done", then waits for the go
  kGate,   // GateArgs: waits for `start` on the gate socket
  // namespaces
  kJoinNamespace,   // JoinNamespaceArgs
  kUnshare,         // UnshareArgs
  kRespawn,         // RespawnArgs: go on in a new process (a pid namespace inside a joined user ns)
  kBecomeRoot,      // no args: uid, gid and groups 0 of the new user namespace
  kHostname,        // TextArgs
  kDomainname,      // TextArgs
  kLoopbackUp,      // no args
  kNewSession,      // no args: setsid
  kSessionKeyring,  // TextArgs: name
  // rootfs
  kRoot,            // RootArgs: makes rootfs a mount and the directory that targets resolve under
  kMount,           // MountArgs
  kCopyUp,          // CopyUpArgs
  kMakeSymlink,     // SymlinkArgs
  kDevice,          // DeviceArgs
  kConsole,         // ConsoleArgs: a pty of the container's devpts, on stdio and at /dev/console
  kPivot,           // PivotArgs
  kRootAttributes,  // RootAttributesArgs: after pivot: readonly, propagation
  kMaskPath,        // PathArgs
  kReadonlyPath,    // PathArgs
  kSysctl,          // SysctlArgs
  // hooks that run inside
  kHook,  // HookArgs
  // process
  kStdio,             // StdioArgs
  kRlimits,           // RlimitsArgs
  kScheduler,         // SchedulerArgs
  kIoPriority,        // IoPriorityArgs
  kAffinity,          // AffinityArgs
  kMemoryPolicy,      // MemoryPolicyArgs
  kPersonality,       // PersonalityArgs
  kUmask,             // UmaskArgs
  kChdir,             // ChdirArgs
  kMakeCwd,           // ChdirArgs: makes what is missing of it, while the root can be written
  kHome,              // HomeArgs: HOME from the container's /etc/passwd
  kExecLabel,         // ExecLabelArgs
  kNoNewPrivs,        // no args
  kCapabilityBounds,  // CapabilitiesArgs: drops the bounding set (needs CAP_SETPCAP)
  kCredentials,       // CredentialsArgs: groups, gid, uid, keeping the permitted capabilities
  kCapabilities,      // CapabilitiesArgs: the final sets
  kSeccomp,           // SeccompArgs
  kFindProgram,       // ExecArgs: resolves argv[0] in PATH, fails like runc's LookPath
  kResetSignals,      // no args: default actions, empty mask
  kCloseDescriptors,  // CloseDescriptorsArgs
  kExec,              // ExecArgs
  kCount_,
};

struct AskArgs {
  uint32_t what;    // an enumerator of runtime's Ask; the stage does not look at it
  bool returns_fd;  // unused by the stage
};

struct GateArgs {
  int listener;  // a listening unix socket
};

struct JoinNamespaceArgs {
  int fd;         // nsfs descriptor or pidfd
  uint64_t type;  // CLONE_NEW* (several only with a pidfd)
};

struct UnshareArgs {
  uint64_t flags;
};

struct RespawnArgs {
  uint64_t flags;  // CLONE_NEW*; CLONE_PARENT is implied; the new pidfd goes to the parent
};

struct TextArgs {
  Text text;
};

struct RootArgs {
  Text path;      // the host's directory: where the root is attached ("/" if it has none)
  int source;     // O_PATH directory, or a detached mount that is to be used as it is
  bool detached;  // source is a detached mount (already cloned, id-mapped, private)
  uint64_t host_propagation;  // MS_SLAVE|MS_REC, ... for the mounts that came from the host
  bool no_pivot;
  bool keep_null;  // files will be masked: keep the host's /dev/null at hand
};

enum class MountKind : uint8_t {
  kFilesystem,  // fsopen(type): options by fsconfig
  kBind,        // a clone of a mount
  kRemount,     // changes the attributes of what is mounted at the target
};

enum MountFlags : uint32_t {
  kTargetIsFile = 1U << 0U,     // an absent target is made as a file, not as a directory
  kRecursive = 1U << 1U,        // rbind
  kAllowInProc = 1U << 2U,      // the planner allowed this target below /proc
  kNoFollowSource = 1U << 3U,   // src-nofollow
  kNoFollowTarget = 1U << 4U,   // dest-nofollow
  kCopySymlink = 1U << 5U,      // copy-symlink: the source is a link, make the same link
  kKeepMode = 1U << 6U,         // tmpfs without mode=: take the mode of the directory below it
  kTargetIsProc = 1U << 7U,     // this mount is the container's /proc itself
  kTargetNoLinks = 1U << 9U,    // a symbolic link anywhere in the target is an error
  kCgroupLegacyDir = 1U << 8U,  // part of a v1 cgroup tree; no special handling in the stage
};

struct FsOption {
  Text key;
  Text value;  // null: a flag
};

struct MountAttributes {  // as struct mount_attr (mount_setattr(2)) without userns_fd
  uint64_t set;
  uint64_t clear;
  uint64_t propagation;  // MS_PRIVATE ... 0: unchanged
  bool recursive;
};

struct MountArgs {
  MountKind kind;
  uint32_t flags;  // MountFlags
  Text type;       // filesystem type
  Text source;     // device name, or the path of a bind source opened by the stage
  int source_fd;   // bind: a detached mount (open_tree with clone) by the parent; else -1
  Text target;     // absolute inside the root
  Text link;       // kCopySymlink: where the link points
  Span<FsOption> options;
  MountAttributes attributes;            // non-recursive options first,
  MountAttributes recursive_attributes;  // then rro, rnosuid ... over the whole tree
  Text data;                             // the option text as the config had it, for messages
};

struct CopyUpArgs {  // tmpcopyup: copies the directory below `target` into the tmpfs to be mounted
                     // there
  MountArgs mount;
};

struct SymlinkArgs {
  Text target;
  Text path;     // absolute inside the root; an existing entry is kept
  bool replace;  // an existing entry that is no directory makes way
};

struct DeviceArgs {
  Text path;      // absolute inside the root
  uint32_t mode;  // S_IFCHR|0666 ...
  uint32_t major, minor;
  uint32_t uid, gid;
  int source_fd;   // >= 0: bind this checked host node (detached mount); -1: mknod
  Text host_path;  // not null: no mknod here; bind the host's node once it proved to be this device
};

struct ConsoleArgs {
  int socket;  // >= 0: send the master there (protocol of --console-socket), -1: over the wire
  uint16_t height, width;  // 0: leave
  bool mount_console;      // bind the pty at /dev/console
  uint32_t uid, gid;       // owner of the pty
};

struct PivotArgs {
  bool no_pivot;  // MS_MOVE + chroot
};

struct RootAttributesArgs {
  bool readonly;
  uint64_t propagation;  // 0: unchanged
};

struct PathArgs {
  Text path;
  int null_fd;  // kMaskPath: unused (-1): kRoot keeps the verified host /dev/null in the context
};

struct SysctlArgs {
  Text path;  // "net/ipv4/ip_forward": below /proc/sys of the stage's own procfs
  Text value;
};

struct HookArgs {
  Text path;
  const Text* argv;
  const Text* envp;
  int state_fd;        // memfd with the state document, rewound for each hook
  int32_t timeout_ms;  // < 0: none
};

struct StdioArgs {
  int in, out, err;  // -1: leave
};

struct RlimitEntry {
  int32_t resource;
  uint64_t soft, hard;
};

struct RlimitsArgs {
  Span<RlimitEntry> limits;
};

struct SchedulerArgs {
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

struct IoPriorityArgs {
  int32_t value;  // class << 13 | priority
};

struct AffinityArgs {
  Span<uint64_t> mask;  // CPU n is bit n % 64 of word n / 64
};

struct MemoryPolicyArgs {
  int32_t mode;  // with flags
  Span<uint64_t> nodes;
};

struct PersonalityArgs {
  uint64_t value;
};

struct UmaskArgs {
  uint32_t mask;
};

// The working directory may be open to root only, or to the container's user only (NFS): kFirst
// tries with the caller's rights and passes over EACCES, kLast then tries as the user.
enum class ChdirTurn : uint8_t { kOnly, kFirst, kLast };

struct ChdirArgs {
  Text path;
  ChdirTurn turn;
};

struct HomeArgs {
  char* value;  // "HOME=/" in the environment, with room for `bytes` in all
  uint32_t bytes;
  uint32_t uid;
};

enum class LabelKind : uint8_t { kAppArmor, kSelinux };

struct ExecLabelArgs {
  LabelKind kind;
  Text text;  // what is written
};

struct CapabilitiesArgs {  // bit n is capability n
  uint64_t bounding, effective, permitted, inheritable, ambient;
  uint32_t last;  // CAP_LAST_CAP of the running kernel
};

struct CredentialsArgs {
  uint32_t uid, gid;
  Span<uint32_t> groups;
  bool set_groups;  // false: setgroups is denied here (rootless single mapping)
};

struct SeccompArgs {
  const void* filter;  // struct sock_filter[count]
  uint32_t count;
  uint64_t flags;  // SECCOMP_FILTER_FLAG_*
};

struct CloseDescriptorsArgs {
  uint32_t keep_from;  // first descriptor after stdio and the preserved ones: closed on exec
  Span<int> handed;    // of those, the ones that the program gets all the same, by their numbers
};

struct ExecArgs {
  Text path;  // kExec: null means what kFindProgram found
  const Text* argv;
  const Text* envp;
  Text search_path;    // PATH of the container's environment; null: it has none
  uint64_t effective;  // kFindProgram: the capabilities that the program will be executed with
};

struct Step {
  Op op;
  uint16_t pad_;
  uint32_t index;
  const void* args;
};

inline constexpr uint32_t kProgramMagic = 0x6e757276;  // "vrun"
inline constexpr uint32_t kProgramVersion = 1;
inline constexpr uint32_t kMaxPath = 4096;

// At the start of the shared block. The last group is written by the stage while it runs.
struct Program {
  uint32_t magic, version;
  uint64_t block_address, block_bytes;
  const Step* steps;
  uint32_t step_count;
  int wire;      // the stage's end of the wire (SOCK_SEQPACKET)
  int block_fd;  // the memfd of this block, handed to `start` when a seccomp listener is to be
                 // fetched
  uint64_t clone_flags;

  volatile uint32_t current;       // index of the step in progress
  volatile int32_t notify_fd;      // seccomp listener in the stage's table; 0: none yet
  volatile uint32_t notify_taken;  // set by the parent once it holds the listener
  char found_program[kMaxPath];    // answer of kFindProgram
};

// ---- the wire: one datagram a message, from the stage to the parent unless said otherwise ----
enum class MessageKind : uint32_t {
  kAsk = 1,   // do your part of step `step`
  kReady,     // waits at kReady
  kFault,     // step `step` failed with `error`; `text` has what the kernel or the file said
  kPidfd,     // carries the pidfd of the process that goes on (kRespawn)
  kConsole,   // carries the pty master
  kListener,  // a seccomp listener will appear in Program::notify_fd; carries the block
  kExec,      // the next thing is execve; end of file after this means that it succeeded
  kAnswer,    // parent to stage: `error` 0 go on, else give up
};

inline constexpr uint32_t kMaxMessageText = 1024;

struct Message {
  MessageKind kind;
  uint32_t step;
  uint32_t op;    // steps::Op of that step: `start` has no list of steps to look it up in
  int32_t error;  // positive errno
  uint32_t text_bytes;
  char text[kMaxMessageText];
};

}  // namespace vrun::steps
