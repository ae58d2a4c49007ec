#include "vm/guest/disk_boot.hpp"

#include <array>
#include <cerrno>
#include <vector>

#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "vm/guest/boot.hpp"
#include "vm/guest/interface.hpp"

namespace vrun::vm {
namespace {

constexpr const char* kRoot = "/root";
constexpr int kForTheDiskMs = 10000, kLookMs = 10;

// Drivers may still be at it.
Result<void> wait_for(const std::string& device) {
  for (int waited = 0; ::access(device.c_str(), F_OK) != 0; waited += kLookMs) {
    if (waited >= kForTheDiskMs)
      return Error(Code::kNotFound, "root=" + device + ": no such disk came up")
          .hint("the first --disk is /dev/vda, its first partition /dev/vda1");
    TRY(sys::poll({}, kLookMs));
  }
  return {};
}

Result<void> mount_root(const BootWords& words) {
  TRY(wait_for(words.root));
  TRY(load_file_system(words.type));
  TRY(fs::make_dirs(At::cwd(), kRoot, 0755));
  const unsigned long flags = words.read_only ? MS_RDONLY : 0;
  if (::mount(words.root.c_str(), kRoot, words.type.c_str(), flags,
              words.flags.empty() ? nullptr : words.flags.c_str()) == 0)
    return {};
  return Error::system(errno, "mount root=" + words.root + " (" + words.type + ")");
}

Result<void> write_run(const BootWords& words) {
  TRY(mount_at("tmpfs", "tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"));
  if (words.cards.empty()) return {};
  TRY(fs::make_dirs(At::cwd(), "/run/systemd/network", 0755));
  const Fd units = TRY(sys::open_dir(At::cwd(), "/run/systemd/network"));
  for (const NetworkRequest& card : words.cards)
    TRY(fs::replace_file(units, "10-vrun-" + card.name + ".network",
                         network_unit_of(card, words.name_servers), 0644));
  TRY(fs::make_dirs(At::cwd(), "/run/vrun", 0755));
  const Fd ours = TRY(sys::open_dir(At::cwd(), "/run/vrun"));
  std::string servers;
  for (const std::string& server : words.name_servers)
    servers += "nameserver " + server + "\n";
  return fs::replace_file(ours, "resolv.conf", servers, 0644);
}

// What the new root has no place for goes.
void move_mounts() {
  for (const char* name : {"dev", "proc", "sys", "run"}) {
    const std::string from = std::string("/") + name, to = std::string(kRoot) + from;
    if (::mount(from.c_str(), to.c_str(), nullptr, MS_MOVE, nullptr) != 0)
      ::umount2(from.c_str(), MNT_DETACH);
  }
}

// switch_root(8); what is left in the initramfs would only take memory.
Result<void> enter_root() {
  move_mounts();
  for (const char* name : {"modules", "filesystems", "init"})
    static_cast<void>(fs::remove_tree(At::cwd(), std::string("/") + name));
  if (::chdir(kRoot) != 0 || ::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 ||
      ::chroot(".") != 0 || ::chdir("/") != 0)
    return Error::system(errno, "enter the root file system");
  return {};
}

Error become_init(const std::string& asked, std::span<const char* const> arguments) {
  // As the kernel does (kernel-parameters.txt, init=).
  std::vector<std::string> programs{"/sbin/init", "/etc/init", "/bin/init", "/bin/sh"};
  if (!asked.empty()) programs = {asked};
  for (const std::string& program : programs) {
    std::vector<char*> words{const_cast<char*>(program.c_str())};
    for (const char* argument : arguments)
      words.push_back(const_cast<char*>(argument));
    words.push_back(nullptr);
    ::execv(program.c_str(), words.data());
  }
  return Error::system(errno, "start " + join(programs, ", "))
      .hint("the disk has no init: --kernel-parameter init=PROGRAM names another one");
}

Result<void> prepare(const BootWords& words) {
  TRY(begin_boot());
  TRY(mount_root(words));
  if (!words.hostname.empty() && ::sethostname(words.hostname.data(), words.hostname.size()) != 0)
    return Error::system(errno, "name the host");
  TRY(loopback_up());
  for (const NetworkRequest& card : words.cards)
    TRY(configure(card));
  TRY(write_run(words));
  return enter_root();
}

}  // namespace

Error boot_disk(const BootWords& words, std::span<const char* const> arguments) {
  Result<void> prepared = prepare(words);
  if (!prepared) return std::move(prepared).error();
  return become_init(words.init, arguments);
}

}  // namespace vrun::vm
