// A machine by QEMU, where KVM cannot run stock kernels: QEMU has the processors, the memory and
// the PCI bus, our own devices serve it by vhost-user.
//
// QEMU's process has no path but its own folder, which holds the program, its libraries, firmware,
// the kernel and the initramfs (vm/qemu_root.hpp): it changes its root to that, gives up all
// capabilities and keeps nothing open but its devices' sockets, taps, its console and its monitor.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/vmm/net.hpp"
#include "vm/vmm/qmp.hpp"
#include "vm/vmm/vhost_user.hpp"
#include "vm/vmm/worker.hpp"

namespace vrun::vmm {

struct QemuShape {
  Fd root;                   // the folder
  std::uint64_t memory = 0;  // bytes
  std::uint32_t processors = 1;
  std::string command_line;  // of the kernel
};

class Qemu {
 public:
  // `console`: takes what the serial port and QEMU itself say; called on a thread of its own.
  static Result<std::unique_ptr<Qemu>> create(QemuShape shape,
                                              std::function<void(std::string_view)> console);
  ~Qemu();  // nothing of it runs any more
  Qemu(const Qemu&) = delete;
  Qemu& operator=(const Qemu&) = delete;

  // Devices are added before start(). Answers the device, which is kept.
  Result<void> add_fs(std::unique_ptr<VirtioDevice> fs, const std::string& tag);
  Result<void> add_vsock(std::unique_ptr<VirtioDevice> vsock);

  Result<void> add_block(std::unique_ptr<VirtioDevice> block);

  // QEMU's own card: it has the tap.
  void add_net(Fd tap, const NetCard& card);

  // Needs CAP_SYS_CHROOT. From here on ended() tells of its end by being readable.
  Result<void> start();
  const Fd& ended() const { return process_; }
  // Of a QEMU that was started.
  Qmp& monitor() { return *monitor_; }
  // Types on the serial port; answers how much was taken.
  std::size_t type(std::string_view text);

 private:
  Qemu(QemuShape shape, std::unique_ptr<Worker> worker,
       std::function<void(std::string_view)> console);
  Result<int> add(std::unique_ptr<VirtioDevice> device, std::size_t queues);
  std::vector<std::string> arguments(const Fd& monitor) const;
  struct Handed {
    const Fd &in, &out, &monitor;
  };
  [[noreturn]] void become(char* const* words, const Handed& handed) const;
  void read_console();

  QemuShape shape_;
  std::unique_ptr<Worker> worker_;  // reads the console
  std::function<void(std::string_view)> console_;
  std::vector<std::unique_ptr<VhostUser>> devices_;
  std::vector<std::string> device_arguments_;
  std::vector<Fd> theirs_;  // QEMU's ends of the devices' sockets, and its taps
  std::unique_ptr<Qmp> monitor_;
  Fd keys_, screen_, process_;
};

}  // namespace vrun::vmm
