#include "process/capabilities.hpp"

#include <array>
#include <charconv>
#include <optional>
#include <vector>

#include <linux/capability.h>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/named_value.hpp"
#include "process/plan.hpp"

namespace vrun::process {
namespace {

// capabilities(7). Not from libcap at run time: its constructor probes the kernel at every start
// of the program (a dozen system calls); a unit test compares this table with libcap's.
constexpr std::array<NamedValue, CAP_LAST_CAP + 1> kNames{
    {{"CAP_CHOWN", CAP_CHOWN},
     {"CAP_DAC_OVERRIDE", CAP_DAC_OVERRIDE},
     {"CAP_DAC_READ_SEARCH", CAP_DAC_READ_SEARCH},
     {"CAP_FOWNER", CAP_FOWNER},
     {"CAP_FSETID", CAP_FSETID},
     {"CAP_KILL", CAP_KILL},
     {"CAP_SETGID", CAP_SETGID},
     {"CAP_SETUID", CAP_SETUID},
     {"CAP_SETPCAP", CAP_SETPCAP},
     {"CAP_LINUX_IMMUTABLE", CAP_LINUX_IMMUTABLE},
     {"CAP_NET_BIND_SERVICE", CAP_NET_BIND_SERVICE},
     {"CAP_NET_BROADCAST", CAP_NET_BROADCAST},
     {"CAP_NET_ADMIN", CAP_NET_ADMIN},
     {"CAP_NET_RAW", CAP_NET_RAW},
     {"CAP_IPC_LOCK", CAP_IPC_LOCK},
     {"CAP_IPC_OWNER", CAP_IPC_OWNER},
     {"CAP_SYS_MODULE", CAP_SYS_MODULE},
     {"CAP_SYS_RAWIO", CAP_SYS_RAWIO},
     {"CAP_SYS_CHROOT", CAP_SYS_CHROOT},
     {"CAP_SYS_PTRACE", CAP_SYS_PTRACE},
     {"CAP_SYS_PACCT", CAP_SYS_PACCT},
     {"CAP_SYS_ADMIN", CAP_SYS_ADMIN},
     {"CAP_SYS_BOOT", CAP_SYS_BOOT},
     {"CAP_SYS_NICE", CAP_SYS_NICE},
     {"CAP_SYS_RESOURCE", CAP_SYS_RESOURCE},
     {"CAP_SYS_TIME", CAP_SYS_TIME},
     {"CAP_SYS_TTY_CONFIG", CAP_SYS_TTY_CONFIG},
     {"CAP_MKNOD", CAP_MKNOD},
     {"CAP_LEASE", CAP_LEASE},
     {"CAP_AUDIT_WRITE", CAP_AUDIT_WRITE},
     {"CAP_AUDIT_CONTROL", CAP_AUDIT_CONTROL},
     {"CAP_SETFCAP", CAP_SETFCAP},
     {"CAP_MAC_OVERRIDE", CAP_MAC_OVERRIDE},
     {"CAP_MAC_ADMIN", CAP_MAC_ADMIN},
     {"CAP_SYSLOG", CAP_SYSLOG},
     {"CAP_WAKE_ALARM", CAP_WAKE_ALARM},
     {"CAP_BLOCK_SUSPEND", CAP_BLOCK_SUSPEND},
     {"CAP_AUDIT_READ", CAP_AUDIT_READ},
     {"CAP_PERFMON", CAP_PERFMON},
     {"CAP_BPF", CAP_BPF},
     {"CAP_CHECKPOINT_RESTORE", CAP_CHECKPOINT_RESTORE}}};

constexpr std::uint64_t bit(std::uint64_t number) {
  return std::uint64_t{1} << number;
}

// The hexadecimal value of a line "CapBnd:\t000001ffffffffff" of /proc/PID/status.
std::optional<std::uint64_t> status_mask(std::string_view status, std::string_view key) {
  for (const std::string_view line : split(status, '\n')) {
    if (!line.starts_with(key)) continue;
    const std::string_view digits = trim(line.substr(key.size()));
    std::uint64_t mask = 0;
    const char* end = digits.data() + digits.size();
    const auto parsed = std::from_chars(digits.data(), end, mask, 16);
    if (parsed.ec != std::errc() || parsed.ptr != end || digits.empty()) return std::nullopt;
    return mask;
  }
  return std::nullopt;
}

class SetReader {
 public:
  SetReader(const Grantable& grantable, std::string_view where, Faults& faults)
      : grantable_(grantable), where_(where), faults_(faults) {}

  std::uint64_t read(const std::vector<std::string>& names, std::string_view set) {
    std::uint64_t mask = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto number = find_value(kNames, names[i]);
      if (!number) {
        faults_.add(path(set, i), unknown_name(kNames, names[i], "a capability"));
        continue;
      }
      mask |= bit(*number);
    }
    missing_ |= mask & ~grantable_.caps;
    return mask & grantable_.caps;
  }

  // Every capability of `mask` must be in `wider`: capset(2) would refuse it.
  void require(std::uint64_t mask, std::string_view set, std::uint64_t wider,
               std::string_view wider_name) {
    for (std::uint32_t n = 0; n < kNames.size(); ++n) {
      if ((mask & ~wider & bit(n)) != 0)
        faults_.add(where_ + "." + std::string(set),
                    std::string(capability_name(n)) + " is not in " + std::string(wider_name));
    }
  }

  void say_of(log::Level level, std::uint64_t mask, std::string_view text) const {
    if (mask == 0 || !faults_.empty() || !log::enabled(level)) return;
    std::string names;
    for (std::uint32_t n = 0; n < kNames.size(); ++n) {
      if ((mask & bit(n)) == 0) continue;
      if (!names.empty()) names += ", ";
      names += capability_name(n);
    }
    log::write(level, where_ + ": " + std::string(text) + ": " + names);
  }
  std::uint64_t missing() const { return missing_; }

 private:
  std::string path(std::string_view set, std::size_t i) const {
    return where_ + "." + std::string(set) + "[" + std::to_string(i) + "]";
  }

  const Grantable& grantable_;
  std::string where_;
  Faults& faults_;
  std::uint64_t missing_ = 0;
};

}  // namespace

Result<Grantable> read_grantable(const Host& host, bool in_user_namespace) {
  const std::string last_path = host.proc + "/sys/kernel/cap_last_cap";
  const std::string text = TRY(fs::read_file(At::cwd(), last_path, 32));
  const auto last = parse_u64(trim(text));
  if (!last || *last > 63)
    return Error(Code::kInternal, "read " + last_path + ": " + quote(text) + " is not a number");
  Grantable grantable{(bit(*last) << 1U) - 1, static_cast<std::uint32_t>(*last)};
  if (in_user_namespace) return grantable;
  // limits both what may be in the sets (CapPrm) and what the bounding set can keep (CapBnd)
  const std::string status = TRY(fs::read_file(At::cwd(), host.proc + "/self/status", 65536));
  const auto permitted = status_mask(status, "CapPrm:");
  const auto bounding = status_mask(status, "CapBnd:");
  if (!permitted || !bounding)
    return Error(Code::kInternal, host.proc + "/self/status names no capability sets");
  grantable.caps &= *permitted & *bounding;
  return grantable;
}

steps::CapabilitiesArgs check_capabilities(const oci::Process& process, const Grantable& grantable,
                                           std::string_view where, Warnings warnings,
                                           Faults& faults) {
  steps::CapabilitiesArgs args{};
  args.last = grantable.last;
  if (!process.capabilities) return args;
  const oci::Capabilities& asked = *process.capabilities;
  SetReader reader(grantable, std::string(where) + ".capabilities", faults);
  args.bounding = reader.read(asked.bounding, "bounding");
  args.permitted = reader.read(asked.permitted, "permitted");
  args.effective = reader.read(asked.effective, "effective");
  args.inheritable = reader.read(asked.inheritable, "inheritable");
  args.ambient = reader.read(asked.ambient, "ambient");
  reader.require(args.effective, "effective", args.permitted, "permitted");
  reader.require(args.inheritable, "inheritable", args.bounding, "bounding");
  // The kernel keeps in ambient only what is in both; the defaults of older runc ask for more.
  const std::uint64_t possible = args.permitted & args.inheritable;
  if (warnings == Warnings::kSay) {
    reader.say_of(log::Level::kWarning, reader.missing(),
                  "left out, because this kernel or the caller does not have them");
    // For --debug only: a user of such an engine cannot change it.
    reader.say_of(log::Level::kDebug, args.ambient & ~possible,
                  "left out of ambient, because they are not both permitted and inheritable");
  }
  args.ambient &= possible;
  return args;
}

std::string_view capability_name(std::uint32_t number) {
  return number < kNames.size() ? kNames[number].name : std::string_view();
}

std::vector<std::string> capability_names() {
  return names_of(kNames);
}

}  // namespace vrun::process
