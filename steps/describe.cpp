#include <array>
#include <string>

#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/text.hpp"
#include "steps/builder.hpp"

namespace vrun::steps {
namespace {

std::string shown(Text text) {
  return text == nullptr ? "-" : printable(text);
}

template <typename Args>
const Args& args_of(const Step& step) {
  return *static_cast<const Args*>(step.args);
}

std::string octal(std::uint32_t value) {
  std::string digits;
  do {
    digits.insert(digits.begin(), static_cast<char>('0' + (value & 7U)));
    value >>= 3U;
  } while (value != 0);
  return "0" + digits;
}

std::string hex(std::uint64_t value) {
  std::string digits;
  do {
    digits.insert(digits.begin(), "0123456789abcdef"[value & 15U]);
    value >>= 4U;
  } while (value != 0);
  return "0x" + digits;
}

struct BitName {
  std::uint64_t bit;
  std::string_view name;
};

constexpr std::array<BitName, 9> kAttributeNames{{{MOUNT_ATTR_RDONLY, "ro"},
                                                  {MOUNT_ATTR_NOSUID, "nosuid"},
                                                  {MOUNT_ATTR_NODEV, "nodev"},
                                                  {MOUNT_ATTR_NOEXEC, "noexec"},
                                                  {MOUNT_ATTR_NOATIME, "noatime"},
                                                  {MOUNT_ATTR_STRICTATIME, "strictatime"},
                                                  {MOUNT_ATTR_NODIRATIME, "nodiratime"},
                                                  {MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"},
                                                  {MOUNT_ATTR_IDMAP, "idmap"}}};

constexpr std::array<BitName, 4> kPropagationNames{{{MS_PRIVATE, "private"},
                                                    {MS_SLAVE, "slave"},
                                                    {MS_SHARED, "shared"},
                                                    {MS_UNBINDABLE, "unbindable"}}};

constexpr std::array<BitName, 8> kNamespaceNames{{{0x00020000, "mount"},
                                                  {0x02000000, "cgroup"},
                                                  {0x04000000, "uts"},
                                                  {0x08000000, "ipc"},
                                                  {0x10000000, "user"},
                                                  {0x20000000, "pid"},
                                                  {0x40000000, "network"},
                                                  {0x00000080, "time"}}};

template <std::size_t N>
void append_bits(std::string& out, std::uint64_t value, const std::array<BitName, N>& names,
                 std::string_view prefix = "") {
  for (const BitName& name : names) {
    if ((value & name.bit) == 0) continue;
    if (!out.empty()) out += ',';
    out.append(prefix).append(name.name);
  }
}

std::string namespaces_of(std::uint64_t flags) {
  std::string out;
  append_bits(out, flags, kNamespaceNames);
  return out;
}

std::string propagation_of(std::uint64_t flags) {
  std::string out;
  append_bits(out, flags, kPropagationNames, (flags & MS_REC) != 0 ? "r" : "");
  return out;
}

std::string attributes_of(const MountAttributes& attributes) {
  std::string out;
  append_bits(out, attributes.set, kAttributeNames, attributes.recursive ? "r" : "");
  append_bits(out, attributes.clear & ~attributes.set, kAttributeNames,
              attributes.recursive ? "-r" : "-");
  append_bits(out, attributes.propagation, kPropagationNames,
              (attributes.propagation & MS_REC) != 0 ? "r" : "");
  return out;
}

std::string describe_mount(const MountArgs& mount) {
  std::string out;
  if (mount.kind == MountKind::kRemount) {
    out = "remount " + shown(mount.target);
  } else if (mount.kind == MountKind::kBind) {
    out = std::string((mount.flags & kRecursive) != 0 ? "rbind " : "bind ") + shown(mount.source) +
          " on " + shown(mount.target);
  } else {
    out = "mount " + shown(mount.type) + " on " + shown(mount.target);
  }
  std::string options = attributes_of(mount.attributes);
  const std::string recursive = attributes_of(mount.recursive_attributes);
  if (!recursive.empty()) options += (options.empty() ? "" : ",") + recursive;
  for (std::uint32_t i = 0; i < mount.options.count; ++i) {
    const FsOption& option = mount.options.data[i];
    if (!options.empty()) options += ',';
    options += shown(option.key);
    if (option.value != nullptr) options += "=" + shown(option.value);
  }
  return options.empty() ? out : out + " " + options;
}

std::string describe_device(const DeviceArgs& device) {
  const char* kind = S_ISBLK(device.mode) ? "block" : S_ISFIFO(device.mode) ? "fifo" : "char";
  return std::string(device.source_fd >= 0 || device.host_path != nullptr ? "bind device "
                                                                          : "make device ") +
         shown(device.path) + " " + kind + " " + std::to_string(device.major) + ":" +
         std::to_string(device.minor) + " mode " + octal(device.mode & 07777U) + " owner " +
         std::to_string(device.uid) + ":" + std::to_string(device.gid);
}

std::string describe_argv(const Text* argv) {
  std::string out;
  for (; argv != nullptr && *argv != nullptr; ++argv)
    out += " " + quote(*argv);
  return out;
}

std::string describe_capabilities(const CapabilitiesArgs& caps) {
  return "bounding " + hex(caps.bounding) + " effective " + hex(caps.effective) + " permitted " +
         hex(caps.permitted) + " inheritable " + hex(caps.inheritable) + " ambient " +
         hex(caps.ambient);
}

std::string describe_rlimits(const RlimitsArgs& args) {
  std::string out;
  for (std::uint32_t i = 0; i < args.limits.count; ++i) {
    const RlimitEntry& limit = args.limits.data[i];
    out += " " + std::to_string(limit.resource) + "=" + std::to_string(limit.soft) + ":" +
           std::to_string(limit.hard);
  }
  return out;
}

std::string describe_credentials(const CredentialsArgs& args) {
  std::string out =
      "uid " + std::to_string(args.uid) + " gid " + std::to_string(args.gid) + " groups";
  for (std::uint32_t i = 0; i < args.groups.count; ++i)
    out += " " + std::to_string(args.groups.data[i]);
  if (!args.set_groups) out += " unchanged";
  return out;
}

std::string words_array(const Span<std::uint64_t>& words) {
  std::string out;
  for (std::uint32_t i = 0; i < words.count; ++i)
    out += " " + hex(words.data[i]);
  return out;
}

// What follows the name of the op; empty for ops without arguments.
std::string details(const Step& step) {
  switch (step.op) {
    case Op::kJoinNamespace:
      return namespaces_of(args_of<JoinNamespaceArgs>(step).type);
    case Op::kUnshare:
      return namespaces_of(args_of<UnshareArgs>(step).flags);
    case Op::kRespawn:
      return namespaces_of(args_of<RespawnArgs>(step).flags);
    case Op::kHostname:
    case Op::kDomainname:
    case Op::kSessionKeyring:
      return quote(args_of<TextArgs>(step).text);
    case Op::kRoot:
      return propagation_of(args_of<RootArgs>(step).host_propagation);
    case Op::kPivot:
      return args_of<PivotArgs>(step).no_pivot ? "by move and chroot" : "";
    case Op::kMakeSymlink:
      return shown(args_of<SymlinkArgs>(step).path) + " -> " +
             shown(args_of<SymlinkArgs>(step).target);
    case Op::kRootAttributes: {
      const auto& args = args_of<RootAttributesArgs>(step);
      const std::string propagation = propagation_of(args.propagation);
      if (!args.readonly) return propagation;
      return propagation.empty() ? "ro" : "ro " + propagation;
    }
    case Op::kMaskPath:
    case Op::kReadonlyPath:
      return shown(args_of<PathArgs>(step).path);
    case Op::kSysctl:
      return shown(args_of<SysctlArgs>(step).path) + " = " + shown(args_of<SysctlArgs>(step).value);
    case Op::kHook:
      return shown(args_of<HookArgs>(step).path);
    case Op::kRlimits:
      return std::string(trim(describe_rlimits(args_of<RlimitsArgs>(step))));
    case Op::kScheduler:
      return "policy " + std::to_string(args_of<SchedulerArgs>(step).policy) + " nice " +
             std::to_string(args_of<SchedulerArgs>(step).nice) + " priority " +
             std::to_string(args_of<SchedulerArgs>(step).priority);
    case Op::kIoPriority:
      return hex(static_cast<std::uint32_t>(args_of<IoPriorityArgs>(step).value));
    case Op::kAffinity:
      return std::string(trim(words_array(args_of<AffinityArgs>(step).mask)));
    case Op::kMemoryPolicy:
      return hex(static_cast<std::uint32_t>(args_of<MemoryPolicyArgs>(step).mode)) +
             words_array(args_of<MemoryPolicyArgs>(step).nodes);
    case Op::kPersonality:
      return hex(args_of<PersonalityArgs>(step).value);
    case Op::kUmask:
      return octal(args_of<UmaskArgs>(step).mask);
    case Op::kChdir:
    case Op::kMakeCwd:
      return shown(args_of<ChdirArgs>(step).path);
    case Op::kHome:
      return "uid " + std::to_string(args_of<HomeArgs>(step).uid);
    case Op::kExecLabel:
      return quote(args_of<ExecLabelArgs>(step).text);
    case Op::kCapabilityBounds:
      return hex(args_of<CapabilitiesArgs>(step).bounding);
    case Op::kCapabilities:
      return describe_capabilities(args_of<CapabilitiesArgs>(step));
    case Op::kCredentials:
      return describe_credentials(args_of<CredentialsArgs>(step));
    case Op::kSeccomp:
      return std::to_string(args_of<SeccompArgs>(step).count) + " instructions, flags " +
             hex(args_of<SeccompArgs>(step).flags);
    case Op::kFindProgram:
    case Op::kExec:
      return std::string(trim(describe_argv(args_of<ExecArgs>(step).argv)));
    case Op::kCloseDescriptors:
      return "from " + std::to_string(args_of<CloseDescriptorsArgs>(step).keep_from);
    default:
      return "";
  }
}

}  // namespace

std::string_view name_of(Op op) {
  switch (op) {
    case Op::kEnd:
      return "end";
    case Op::kAsk:
      return "ask the parent";
    case Op::kReady:
      return "report ready";
    case Op::kGate:
      return "wait for start";
    case Op::kJoinNamespace:
      return "join namespace";
    case Op::kUnshare:
      return "make namespace";
    case Op::kRespawn:
      return "go on in a new process with namespace";
    case Op::kBecomeRoot:
      return "become root of the user namespace";
    case Op::kHostname:
      return "set hostname";
    case Op::kDomainname:
      return "set domainname";
    case Op::kLoopbackUp:
      return "bring up loopback";
    case Op::kNewSession:
      return "make a session";
    case Op::kSessionKeyring:
      return "join session keyring";
    case Op::kRoot:
      return "prepare the root";
    case Op::kMount:
      return "mount";
    case Op::kCopyUp:
      return "copy up";
    case Op::kMakeSymlink:
      return "make link";
    case Op::kDevice:
      return "make device";
    case Op::kConsole:
      return "open the console";
    case Op::kPivot:
      return "change the root";
    case Op::kRootAttributes:
      return "set root attributes";
    case Op::kMaskPath:
      return "mask path";
    case Op::kReadonlyPath:
      return "make read-only";
    case Op::kSysctl:
      return "set sysctl";
    case Op::kHook:
      return "run hook";
    case Op::kStdio:
      return "set stdio";
    case Op::kRlimits:
      return "set rlimits";
    case Op::kScheduler:
      return "set scheduler";
    case Op::kIoPriority:
      return "set io priority";
    case Op::kAffinity:
      return "set cpu affinity";
    case Op::kMemoryPolicy:
      return "set memory policy";
    case Op::kPersonality:
      return "set personality";
    case Op::kUmask:
      return "set umask";
    case Op::kChdir:
      return "change directory to";
    case Op::kMakeCwd:
      return "make the working directory";
    case Op::kHome:
      return "find HOME of";
    case Op::kExecLabel:
      return "set exec label";
    case Op::kNoNewPrivs:
      return "set no_new_privs";
    case Op::kCapabilityBounds:
      return "limit the capability bounding set to";
    case Op::kCredentials:
      return "set credentials";
    case Op::kCapabilities:
      return "set capabilities";
    case Op::kSeccomp:
      return "load seccomp filter";
    case Op::kFindProgram:
      return "find program";
    case Op::kResetSignals:
      return "reset signals";
    case Op::kCloseDescriptors:
      return "close descriptors";
    case Op::kExec:
      return "exec";
    case Op::kCount_:
      break;
  }
  return "unknown step";
}

std::string describe(const Step& step) {
  if (step.op == Op::kMount) return describe_mount(args_of<MountArgs>(step));
  if (step.op == Op::kCopyUp)
    return "copy up and " + describe_mount(args_of<CopyUpArgs>(step).mount);
  if (step.op == Op::kDevice) return describe_device(args_of<DeviceArgs>(step));
  const std::string more = step.args == nullptr ? "" : details(step);
  return more.empty() ? std::string(name_of(step.op)) : std::string(name_of(step.op)) + " " + more;
}

}  // namespace vrun::steps
