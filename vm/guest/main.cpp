// vrun-guest: the first process and the agent of a micro-VM.
//
//   vrun-guest                                       as PID 1 of an initramfs; with root= on the
//                                                    command line it only brings that system up
//   vrun-guest --system                              as a service of a system with an init of its
//   own vrun-guest --unit                                prints the unit of systemd that starts
//   that vrun-guest --no-boot --listen-unix=PATH --root=DIR --state=DIR
//                                                    the agent alone, in the machine as it is
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <sys/mount.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/spawn.hpp"
#include "vm/agent/service.hpp"
#include "vm/guest/boot.hpp"
#include "vm/guest/disk_boot.hpp"
#include "vm/guest/server.hpp"

namespace vrun::vm {
namespace {

struct Flags {
  bool boot = true, system = false, unit = false;
  std::string unix_path, root = kGuestRoot, state = "/run/vrun";
};

Result<Flags> parse(std::span<const char* const> arguments) {
  Flags flags;
  for (const std::string_view text : arguments) {
    const std::size_t sign = text.find('=');
    const std::string_view name = text.substr(0, sign);
    const std::string value(sign == text.npos ? std::string_view() : text.substr(sign + 1));
    if (text == "--no-boot")
      flags.boot = false;
    else if (text == "--system" || text == "--unit")
      (text == "--unit" ? flags.unit : flags.system) = true;
    else if (name == "--listen-unix" && !value.empty())
      flags.unix_path = value;
    else if (name == "--root" && value.starts_with('/'))
      flags.root = value;
    else if (name == "--state" && value.starts_with('/'))
      flags.state = value;
    else
      return Error(Code::kInvalid, "vrun-guest: no such option: " + std::string(text));
  }
  return flags;
}

// As the kernel's first process: nothing, or why the system of the disk has not taken our place.
Result<void> boot_from_disk(std::span<const char* const> arguments) {
  TRY(mount_at("proc", "proc", "/proc", 0));
  const std::string line = TRY(fs::read_file(At::cwd(), "/proc/cmdline", 64 << 10));
  ::umount("/proc");
  const std::optional<BootWords> words = TRY(parse_boot_words(line));
  if (!words) return {};
  return boot_disk(*words, arguments);
}

// Beside an init and its devices: nothing is mounted, configured or reaped that is not ours. What
// there is of the kernel's is loaded as udev would (it does not, where there is none).
Result<void> find_host() {
  if (::access("/dev/vsock", F_OK) == 0 && has_transport()) return {};
  Command load;
  load.path = "/sbin/modprobe";
  load.argv = {"modprobe", "-q", "vmw_vsock_virtio_transport"};
  static_cast<void>(vrun::run(load));
  if (has_transport()) return {};
  return Error(Code::kUnsupported, "this machine has no virtio socket: there is no host to serve");
}

Result<void> run(const Flags& flags) {
  if (flags.unit) {
    std::fputs(std::string(kServiceUnit).c_str(), stdout);
    return {};
  }
  const bool boots = flags.boot && !flags.system;
  if (boots) TRY(boot());
  if (flags.system) TRY(find_host());
  Settings settings;
  settings.booted = boots;
  settings.system = flags.system;
  settings.root = flags.root;
  settings.runtime.host = Host::current();
  settings.runtime.root = flags.state;
  const Fd listener = TRY(flags.unix_path.empty() ? listen_to_host() : listen_at(flags.unix_path));
  return serve_all(settings, listener);
}

int main_with(std::span<const char* const> arguments) {
  // Without options it has a machine to itself; the kernel hands words that it does not know on to
  // its first process, and these are no options of ours.
  const bool is_init = ::getpid() == 1 && (arguments.empty() || arguments[0][0] != '-');
  Result<Flags> flags = is_init ? Flags() : parse(arguments);
  Result<void> ended;
  if (is_init) ended = boot_from_disk(arguments);
  if (ended) ended = flags ? run(*flags) : std::move(flags).error();
  if (!ended) {
    // On the console of a machine the host keeps these lines for its user.
    std::fprintf(stderr, "vrun-guest: %s\n", ended.error().text().c_str());
    if (!ended.error().hint().empty())
      std::fprintf(stderr, "  hint: %s\n", ended.error().hint().c_str());
  }
  if (is_init) power_off();
  // Not worth a failed unit: the disk is in a machine of somebody else.
  if (!ended && flags && flags->system && ended.error().code() == Code::kUnsupported) return 0;
  return ended ? 0 : 1;
}

}  // namespace
}  // namespace vrun::vm

int main(int argc, char** argv) {
  return vrun::vm::main_with(
      std::span<const char* const>(argv + 1, static_cast<std::size_t>(argc - 1)));
}
