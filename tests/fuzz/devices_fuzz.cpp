// The devices of micro-VMs: no ring, chain, length or address that a guest writes may crash the
// monitor or let a device touch what is not the guest's memory.
#include <array>
#include <map>
#include <thread>

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "tests/fuzz/hostile_guest.hpp"
#include "vm/vmm/balloon.hpp"
#include "vm/vmm/block.hpp"
#include "vm/vmm/entropy.hpp"
#include "vm/vmm/net.hpp"
#include "vm/vmm/vsock.hpp"

using namespace vrun;
using namespace vrun::fuzz;

namespace {

std::unique_ptr<vmm::VirtioDevice> make_block(bool read_only) {
  Fd file = *sys::memfd("fuzz-disk");
  require(::ftruncate(file.get(), 256 << 10) == 0);
  return *vmm::Block::create(std::move(file), read_only, "fuzz");
}

// On a wire that nobody else has; none without root.
std::unique_ptr<vmm::VirtioDevice> make_net() {
  Fd tap;
  std::thread([&tap] {
    if (::unshare(CLONE_NEWNET) != 0) return;
    tap = Fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    ifreq about{};
    about.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (tap && ::ioctl(tap.get(), TUNSETIFF, &about) != 0) tap.reset();
  }).join();
  if (!tap) return nullptr;
  return *vmm::Net::create(std::move(tap), {.mac = {2, 0, 0, 0, 0, 7}, .mtu = 1500});
}

struct Devices {
  HostileGuest guest;
  std::unique_ptr<vmm::VirtioDevice> block = make_block(false), read_only = make_block(true);
  std::unique_ptr<vmm::VirtioDevice> net = make_net();
  std::unique_ptr<vmm::VirtioDevice> entropy = *vmm::Entropy::create();
  std::unique_ptr<vmm::Balloon> balloon = *vmm::Balloon::create(guest.memory());
  std::unique_ptr<vmm::Vsock> vsock = *vmm::Vsock::create(Fd(), 1024);
};

// A stream to the agent is under way, with something to say.
void drive_vsock(Devices& devices, Bytes input) {
  const Result<Fd> stream = devices.vsock->connect();
  require(stream.has_value());
  require(::send(stream->get(), "hello", 5, MSG_NOSIGNAL) == 5);
  devices.guest.drive(*devices.vsock, input);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Devices devices;
  Bytes input(data, size);
  switch (input.take<std::uint8_t>() % 6) {
    case 0:
      devices.guest.drive(*devices.block, input);
      break;
    case 1:
      devices.guest.drive(*devices.read_only, input);
      break;
    case 2:
      if (devices.net) devices.guest.drive(*devices.net, input);
      break;
    case 3:
      devices.guest.drive(*devices.entropy, input);
      break;
    case 4:
      devices.guest.drive(*devices.balloon, input);
      break;
    default:
      drive_vsock(devices, input);
      break;
  }
  return 0;
}
