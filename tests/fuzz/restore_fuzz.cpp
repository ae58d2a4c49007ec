// Machines that go on from a file which is damaged or made to hurt: the state of a device or of the
// shared files is refused with a reason, or is one that can be saved and loaded again.
//
// An input is what to load and patches (a place, a length, bytes) of a good state of that.
#include <memory>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "tests/fuzz/hostile_guest.hpp"
#include "vm/vmm/balloon.hpp"
#include "vm/vmm/block.hpp"
#include "vm/vmm/entropy.hpp"
#include "vm/vmm/share.hpp"
#include "vm/vmm/state.hpp"
#include "vm/vmm/virtio_pci.hpp"
#include "vm/vmm/vsock.hpp"

using namespace vrun;
using namespace vrun::fuzz;

namespace {

constexpr std::uint64_t kDisk = 64 << 10;

// An empty patch cuts the state off.
std::string patched(std::string state, Bytes& input) {
  while (!input.rest().empty()) {
    const std::size_t at = input.take<std::uint16_t>() % (state.size() + 1);
    const std::string_view bytes = input.take_most(input.take<std::uint8_t>());
    if (bytes.empty())
      state.resize(at);
    else
      state.replace(at, bytes.size(), bytes);
  }
  return state;
}

void load_file(Bytes& input) {
  const Fd good = *sys::memfd("fuzz-state"), bad = *sys::memfd("fuzz-state");
  require(vmm::write_state(good, "the state of a machine").has_value());
  std::string bytes(static_cast<std::size_t>(::lseek(good.get(), 0, SEEK_END)), '\0');
  require(::pread(good.get(), bytes.data(), bytes.size(), 0) >= 0);
  require(sys::write_all(bad.get(), patched(bytes, input)).has_value());
  require(::lseek(bad.get(), 0, SEEK_SET) == 0);
  const Result<std::string> read = vmm::read_state(bad);
  require(!read || *read == "the state of a machine");
}

// ---- shared files ----

class Tree {
 public:
  Tree() {
    require(::mkdir(path_.c_str(), 0755) == 0);
    const Fd top = *sys::open_dir(At::cwd(), path_);
    require(fs::replace_file(top, "secret", "secret", 0600).has_value());
    require(sys::make_dir(At::cwd(), path_ + "/share", 0755).has_value());
    require(sys::make_dir(At::cwd(), path_ + "/share/dir", 0755).has_value());
    const Fd share = *sys::open_dir(At::cwd(), path_ + "/share");
    require(fs::replace_file(share, "file", "content", 0644).has_value());
    require(::symlink("../secret", (path_ + "/share/link").c_str()) == 0);
    require(::stat((path_ + "/secret").c_str(), &secret_) == 0);
  }
  ~Tree() { static_cast<void>(fs::remove_tree(At::cwd(), path_)); }
  vmm::Share share() const {
    return {*sys::open(At::cwd(), path_ + "/share", O_PATH | O_DIRECTORY),
            *sys::open_dir(At::cwd(), "/proc/self/fd")};
  }
  bool is_secret(int fd) const {
    struct stat facts {};
    return fd >= 0 && ::fstat(fd, &facts) == 0 && facts.st_ino == secret_.st_ino &&
           facts.st_dev == secret_.st_dev;
  }

 private:
  std::string path_ = "/dev/shm/vrun-fuzz-restore-" + std::to_string(::getpid());
  struct stat secret_ {};
};

std::string saved(const vmm::Share& share) {
  vmm::StateWriter to;
  require(share.save(to).has_value());
  return to.bytes();
}

std::string good_share(const Tree& tree) {
  vmm::Share share = tree.share();
  const vmm::NodeId dir = share.look_up(vmm::kRootNode, "dir").node;
  const vmm::NodeId file = share.look_up(vmm::kRootNode, "file").node;
  share.look_up(vmm::kRootNode, "link");
  share.keep(Fd(share.open_node(file, O_RDWR)));
  share.keep_directory(Fd(share.open_node(dir, O_RDONLY | O_DIRECTORY)));
  return saved(share);
}

void load_share(Bytes& input) {
  static const Tree tree;
  static const std::string good = good_share(tree);
  const bool read_only = (input.take<std::uint8_t>() & 1) != 0;
  const std::string state = patched(good, input);
  vmm::Share share = tree.share();
  vmm::StateReader from(state);
  if (!share.load(from, read_only)) return;
  for (vmm::HandleId id = 0; id < 8; ++id)
    require(!tree.is_secret(share.handle(id)) && !tree.is_secret(share.node(id)));
  // New numbers are nobody's, and the root stays the root.
  const vmm::Share::Found found = share.look_up(vmm::kRootNode, "dir");
  require(found.error != 0 || found.node > vmm::kRootNode);
  const std::string again = saved(share);
  vmm::StateReader second(again);
  vmm::Share other = tree.share();
  require(other.load(second, false).has_value());
}

// ---- devices ----

std::unique_ptr<vmm::VirtioDevice> make_device(unsigned kind, const vmm::GuestMemory& memory) {
  if (kind == 0) return *vmm::Entropy::create();
  if (kind == 1) return *vmm::Balloon::create(memory);
  if (kind == 2) return *vmm::Vsock::create(Fd(), 1024);
  Fd file = *sys::memfd("fuzz-disk");
  require(::ftruncate(file.get(), kDisk) == 0);
  return *vmm::Block::create(std::move(file), false, "fuzz");
}

std::unique_ptr<vmm::VirtioPci> make_pci(unsigned kind, const vmm::Vm& vm,
                                         const vmm::GuestMemory& memory) {
  return *vmm::VirtioPci::create(make_device(kind, memory), vm, memory, [](const std::string&) {});
}

std::string good_device(unsigned kind, const vmm::Vm& vm, const vmm::GuestMemory& memory) {
  vmm::StateWriter to;
  require(make_pci(kind, vm, memory)->save(to).has_value());
  return to.bytes();
}

void load_device(unsigned kind, const vmm::Vm& vm, Bytes& input) {
  static const HostileGuest guest;
  const std::string state = patched(good_device(kind, vm, guest.memory()), input);
  const std::unique_ptr<vmm::VirtioPci> device = make_pci(kind, vm, guest.memory());
  vmm::StateReader from(state);
  if (!device->load(from)) return;
  device->finish_requests();
  vmm::StateWriter to;
  device->device().worker().run([&] { static_cast<void>(device->save(to)); });
}

// None where there is no KVM; then devices are not tried.
const vmm::Vm* virtual_machine() {
  static const Result<Fd> kvm = sys::open(At::cwd(), "/dev/kvm", O_RDWR);
  if (!kvm) return nullptr;
  static const Result<vmm::Vm> vm = vmm::Vm::create(*kvm);
  return vm ? &*vm : nullptr;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes input(data, size);
  const unsigned kind = input.take<std::uint8_t>() % 6;
  if (kind == 4) {
    load_file(input);
  } else if (kind == 5) {
    load_share(input);
  } else if (const vmm::Vm* const vm = virtual_machine()) {
    load_device(kind, *vm, input);
  }
  return 0;
}
