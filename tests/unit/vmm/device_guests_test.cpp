// Every device as a guest's driver meets it: tiny guests on the machine's own KVM find it on the
// bus, set it up, ring for it and wait for its answer and its interrupt.
#include <array>
#include <chrono>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <functional>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_vsock.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "tests/unit/vmm/script_guest.hpp"
#include "tests/unit/vmm/wire.hpp"
#include "vm/vmm/balloon.hpp"
#include "vm/vmm/block.hpp"
#include "vm/vmm/entropy.hpp"
#include "vm/vmm/fs.hpp"
#include "vm/vmm/net.hpp"
#include "vm/vmm/vsock.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint64_t kMemory = 32 << 20;
constexpr std::uint64_t kBuffers = 8 << 20;
constexpr std::uint16_t kNext = 1, kWrite = 2, kIndirect = 4;

struct Descriptor {
  std::uint64_t address;
  std::uint32_t length;
  std::uint16_t flags, next;
};

class DeviceGuest : public testing::Test {
 protected:
  void SetUp() override {
    Result<Fd> kvm = sys::open(At::cwd(), "/dev/kvm", O_RDWR);
    if (!kvm) GTEST_SKIP() << "needs /dev/kvm: " << kvm.error().text();
    Result<std::unique_ptr<Machine>> made =
        Machine::create(*kvm, Fd(), {.processors = 1, .memory = kMemory},
                        [this](std::string_view text) { said += text; });
    ASSERT_TRUE(made.has_value()) << made.error().text();
    machine = std::move(*made);
  }
  template <typename Device>
  Device& add(std::unique_ptr<Device> device) {
    Device& added = *device;
    EXPECT_TRUE(machine->add(std::move(device)).has_value());
    return added;
  }
  // The guest does its script, to the end.
  void run() {
    ASSERT_TRUE(machine->load(Script::kernel(), "script", nullptr, "", "").has_value());
    script.put_into(machine->memory());
    const Fd ended(::eventfd(0, EFD_CLOEXEC));
    ASSERT_TRUE(machine->start(ended).has_value());
    pollfd poll{ended.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&poll, 1, 20'000), 1) << "the guest still waits";
    machine->stop();
  }
  std::uint64_t result(std::size_t place) const { return Script::result(machine->memory(), place); }
  GuestMemory& memory() { return machine->memory(); }

  std::unique_ptr<Machine> machine;
  Script script;
  std::string said;
};

// The driver of the device in slot 1; its queues lie at 4 MiB and on.
class Driver {
 public:
  static constexpr std::uint64_t kConfig = layout::kEcam + (1 << 15);
  static constexpr std::uint64_t kBar = layout::kPciWindow + (16 << 20);
  static constexpr std::uint64_t kMsix = kConfig + 0x98;
  static constexpr std::uint8_t kVector = 0x41;

  Driver(Script& script, GuestMemory& memory) : script_(script), memory_(memory) {}

  static std::uint64_t rings(unsigned queue) { return (4 << 20) + (std::uint64_t{queue} << 16); }
  static std::uint64_t available(unsigned queue) { return rings(queue) + 0x4000; }
  static std::uint64_t used(unsigned queue) { return rings(queue) + 0x8000; }

  // From the bus to DRIVER_OK, with these features of the first 32.
  void begin(unsigned queues, std::uint32_t features = 0) {
    script_.write(kConfig + 0x10, kBar, 4);
    script_.write(kConfig + 0x04, 6, 2);  // memory, bus master
    script_.write(layout::kLocalApic + 0xf0, 0x1ff, 4);
    script_.write(kBar + 0x4000, layout::kLocalApic, 4);
    script_.write(kBar + 0x4008, kVector, 4);
    script_.write(kBar + 0x400c, 0, 4);
    script_.write(kMsix + 2, 0x8000, 2);
    set_up(queues, features);
  }
  void set_up(unsigned queues, std::uint32_t features = 0) {
    for (const unsigned status : {0U, 1U, 3U})
      script_.write(kBar + 20, status, 1);
    script_.write(kBar + 8, 0, 4);
    script_.write(kBar + 12, features, 4);
    script_.write(kBar + 8, 1, 4);
    script_.write(kBar + 12, 1, 4);  // VERSION_1
    script_.write(kBar + 20, 11, 1);
    for (unsigned queue = 0; queue < queues; ++queue) {
      script_.write(kBar + 22, queue, 2);
      script_.write(kBar + 24, 16, 2);
      script_.write(kBar + 26, 0, 2);
      script_.write(kBar + 32, rings(queue), 8);
      script_.write(kBar + 40, available(queue), 8);
      script_.write(kBar + 48, used(queue), 8);
      script_.write(kBar + 28, 1, 2);
    }
    script_.write(kBar + 20, 15, 1);
  }
  void describe(unsigned queue, std::uint16_t index, const Descriptor& descriptor) {
    ASSERT_TRUE(memory_.write(rings(queue) + 16ull * index, descriptor));
  }
  // The chain that begins with `head` is the next to offer.
  void offer(unsigned queue, std::uint16_t head) {
    memory_.write(available(queue) + 4 + 2ull * (offered_[queue]++ % 16), head);
  }
  // The guest shows all that was offered and rings.
  void ring(unsigned queue) { ring_for(queue, offered_[queue]); }
  void ring_for(unsigned queue, std::uint16_t index) {
    script_.write(available(queue) + 2, index, 2);
    script_.write(kBar + 0x3000 + 4 * queue, queue, 2);
  }
  void wait_used(unsigned queue, std::uint16_t index) { script_.wait(used(queue) + 2, index); }
  void wait_interrupt() {
    script_.wait_bits(layout::kLocalApic + 0x200 + 0x10 * (kVector / 32), 1U << (kVector % 32));
  }
  // What the device wrote for its answer number `index`.
  std::uint32_t answered(unsigned queue, std::uint16_t index) const {
    return *memory_.read<std::uint32_t>(used(queue) + 4 + 8ull * index + 4);
  }

 private:
  Script& script_;
  GuestMemory& memory_;
  std::array<std::uint16_t, 4> offered_{};
};

TEST_F(DeviceGuest, finds_the_device_and_its_interrupts_on_the_bus) {
  add(*Entropy::create());
  const std::size_t identity = script.read(Driver::kConfig, 4);
  const std::size_t nobody = script.read(layout::kEcam + (2 << 15), 4);
  const std::size_t capability = script.read(Driver::kMsix, 1);
  const std::size_t vectors = script.read(Driver::kMsix + 2, 2);
  script.out32(layout::kPciPort, 0x80000000 | 1 << 11);
  const std::size_t by_ports = script.in32(layout::kPciPort + 4);
  script.write(Driver::kConfig + 0x10, 0xffffffff, 4);
  const std::size_t size = script.read(Driver::kConfig + 0x10, 4);
  run();
  EXPECT_EQ(result(identity), 0x10441af4u);
  EXPECT_EQ(result(nobody), 0xffffffffu);
  EXPECT_EQ(result(capability), 0x11u);
  EXPECT_EQ(result(vectors), 1u) << "two vectors";
  EXPECT_EQ(result(by_ports), 0x10441af4u);
  EXPECT_EQ(result(size), 0xffff8000u);
  EXPECT_EQ(machine->end(), End::kPowerOff);
}

TEST_F(DeviceGuest, gets_random_bytes_and_an_interrupt) {
  add(*Entropy::create());
  Driver driver(script, memory());
  driver.describe(0, 0, {kBuffers, 64, kWrite, 0});
  driver.begin(1);
  driver.offer(0, 0);
  driver.ring(0);
  driver.wait_used(0, 1);
  driver.wait_interrupt();
  run();
  EXPECT_EQ(driver.answered(0, 0), 64u);
  std::array<std::uint64_t, 8> zeros{};
  EXPECT_NE(std::memcmp(memory().at(kBuffers, 64), zeros.data(), 64), 0);
  EXPECT_EQ(machine->end(), End::kPowerOff);
}

TEST_F(DeviceGuest, a_masked_interrupt_comes_when_it_is_unmasked) {
  add(*Entropy::create());
  Driver driver(script, memory());
  driver.describe(0, 0, {kBuffers, 64, kWrite, 0});
  driver.begin(1);
  script.write(Driver::kBar + 0x400c, 1, 4);
  driver.offer(0, 0);
  driver.ring(0);
  driver.wait_used(0, 1);
  script.wait_bits(Driver::kBar + 0x5000, 1);  // it is pending
  const std::size_t before = script.read(layout::kLocalApic + 0x220, 4);
  script.write(Driver::kBar + 0x400c, 0, 4);
  driver.wait_interrupt();
  const std::size_t pending = script.read(Driver::kBar + 0x5000, 4);
  run();
  EXPECT_EQ(result(before), 0u);
  EXPECT_EQ(result(pending), 0u);
}

TEST_F(DeviceGuest, reads_and_writes_a_disk) {
  const Fd file = *sys::memfd("test-disk");
  ASSERT_TRUE(sys::write_all(file.get(), std::string(4096, 'd')).has_value());
  add(*Block::create(*sys::duplicate(file.get()), false, "serial"));
  Driver driver(script, memory());
  const auto request = [&](std::uint16_t first, std::uint32_t type, std::uint64_t sector,
                           std::uint64_t data) {
    const std::uint64_t header = kBuffers + 0x100 * first;
    memory().write(header, virtio_blk_outhdr{type, 0, sector});
    memory().write(header + 32, std::uint8_t{0x77});
    const bool gives = type == VIRTIO_BLK_T_OUT;
    const auto flags = static_cast<std::uint16_t>(gives ? kNext : kNext | kWrite);
    const auto second = static_cast<std::uint16_t>(first + 1);
    const auto third = static_cast<std::uint16_t>(first + 2);
    driver.describe(0, first, {header, 16, kNext, second});
    driver.describe(0, second, {data, 512, flags, third});
    driver.describe(0, third, {header + 32, 1, kWrite, 0});
    driver.offer(0, first);
    return header + 32;
  };
  const std::size_t capacity = script.read(Driver::kBar + 0x2000, 4);
  driver.begin(1);
  const std::size_t sectors = script.read(Driver::kBar + 0x2000, 4);
  std::memset(memory().at(kBuffers + 0x20000, 512), 'g', 512);
  const std::uint64_t read_status = request(0, VIRTIO_BLK_T_IN, 1, kBuffers + 0x10000);
  const std::uint64_t write_status = request(3, VIRTIO_BLK_T_OUT, 2, kBuffers + 0x20000);
  const std::uint64_t beyond = request(6, VIRTIO_BLK_T_OUT, 8, kBuffers + 0x20000);
  driver.ring(0);
  driver.wait_used(0, 3);
  driver.wait_interrupt();
  run();
  EXPECT_EQ(result(capacity), 0xffffffffu) << "nothing is there before its place is known";
  EXPECT_EQ(result(sectors), 8u);
  EXPECT_EQ(*memory().read<std::uint8_t>(read_status), VIRTIO_BLK_S_OK);
  EXPECT_EQ(*memory().read<std::uint8_t>(write_status), VIRTIO_BLK_S_OK);
  EXPECT_EQ(*memory().read<std::uint8_t>(beyond), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(static_cast<char>(*memory().read<std::uint8_t>(kBuffers + 0x10000)), 'd');
  std::string content(4096, '\0');
  ASSERT_EQ(::pread(file.get(), content.data(), content.size(), 0), 4096);
  EXPECT_EQ(content, std::string(1024, 'd') + std::string(512, 'g') + std::string(2560, 'd'));
  EXPECT_EQ(sys::stat(file.get())->st_size, 4096);
}

// Its folder; the process's working directory and umask are as before afterwards.
class SharedFolder {
 public:
  SharedFolder() {
    char text[] = "/tmp/vrun-guest-XXXXXX";
    EXPECT_NE(::mkdtemp(text), nullptr);
    path = text;
    std::filesystem::create_directories(path + "/share");
    const Fd file = *sys::open(At::cwd(), path + "/share/file", O_WRONLY | O_CREAT, 0640);
    EXPECT_TRUE(sys::write_all(file.get(), "content").has_value());
  }
  ~SharedFolder() {
    std::filesystem::current_path(before_);
    ::umask(mask_);
    std::filesystem::remove_all(path);
  }
  std::string path;

 private:
  std::filesystem::path before_ = std::filesystem::current_path();
  mode_t mask_ = ::umask(022);
};

TEST_F(DeviceGuest, sees_the_files_of_its_folder_and_nothing_above) {
  const SharedFolder folder;
  add(*Fs::create("root", *sys::open(At::cwd(), folder.path + "/share", O_PATH | O_DIRECTORY),
                  *sys::open_dir(At::cwd(), "/proc/self/fd"), {}));
  Driver driver(script, memory());
  constexpr std::uint64_t kAnswer = 0x800;
  const auto request = [&](std::uint16_t first, std::uint32_t opcode, std::string body) {
    const std::uint64_t at = kBuffers + 0x1000 * first;
    fuse_in_header header{};
    header.len = static_cast<std::uint32_t>(sizeof header + body.size());
    header.opcode = opcode;
    header.unique = first;
    header.nodeid = FUSE_ROOT_ID;
    memory().write(at, header);
    std::memcpy(memory().at(at + sizeof header, body.size()), body.data(), body.size());
    const auto second = static_cast<std::uint16_t>(first + 1);
    driver.describe(1, first, {at, header.len, kNext, second});
    driver.describe(1, second, {at + kAnswer, 512, kWrite, 0});
    driver.offer(1, first);
    return at + kAnswer;
  };
  fuse_init_in hello{};
  hello.major = FUSE_KERNEL_VERSION;
  hello.minor = 31;
  const std::uint64_t ready =
      request(0, FUSE_INIT, {reinterpret_cast<const char*>(&hello), sizeof hello});
  const std::uint64_t found = request(2, FUSE_LOOKUP, {"file", 5});
  const std::uint64_t above = request(4, FUSE_LOOKUP, {"..", 3});
  const std::uint64_t deep = request(6, FUSE_LOOKUP, {"../share/file", 14});
  driver.begin(2);
  const std::size_t tag = script.read(Driver::kBar + 0x2000, 4);
  driver.ring(1);
  driver.wait_used(1, 4);
  driver.wait_interrupt();
  run();
  EXPECT_EQ(result(tag), 0x746f6f72u) << "root";
  EXPECT_EQ(memory().read<fuse_out_header>(ready)->error, 0);
  ASSERT_EQ(memory().read<fuse_out_header>(found)->error, 0);
  const auto entry = *memory().read<fuse_entry_out>(found + sizeof(fuse_out_header));
  EXPECT_EQ(entry.attr.size, 7u);
  EXPECT_EQ(entry.attr.mode, static_cast<std::uint32_t>(S_IFREG | 0640));
  EXPECT_EQ(memory().read<fuse_out_header>(above)->error, -EINVAL);
  EXPECT_EQ(memory().read<fuse_out_header>(deep)->error, -EINVAL);
}

TEST_F(DeviceGuest, talks_to_the_host_by_a_stream_that_the_host_began) {
  constexpr std::uint32_t kAgent = 1024, kHostPort = 1U << 30;
  Vsock& vsock = add(*Vsock::create(Fd(), kAgent));
  Driver driver(script, memory());
  Result<Fd> stream = vsock.connect();
  ASSERT_TRUE(stream.has_value());
  ASSERT_TRUE(sys::write_all(stream->get(), "from the host").has_value());
  const auto received = [](std::uint16_t index) { return kBuffers + 0x1000 * index; };
  for (std::uint16_t i = 0; i < 4; ++i) {
    driver.describe(0, i, {received(i), 0x1000, kWrite, 0});
    driver.offer(0, i);
  }
  const auto packet = [&](std::uint16_t index, std::uint32_t to, std::uint16_t op,
                          const std::string& content) {
    const std::uint64_t at = kBuffers + 0x100000 + 0x1000 * index;
    virtio_vsock_hdr header{};
    header.src_cid = 3;
    header.dst_cid = 2;
    header.src_port = kAgent;
    header.dst_port = to;
    header.type = VIRTIO_VSOCK_TYPE_STREAM;
    header.op = op;
    header.flags = op == VIRTIO_VSOCK_OP_SHUTDOWN ? 3 : 0;
    header.len = static_cast<std::uint32_t>(content.size());
    header.buf_alloc = 64 << 10;
    memory().write(at, header);
    if (!content.empty())
      std::memcpy(memory().at(at + sizeof header, content.size()), content.data(), content.size());
    const auto length = static_cast<std::uint32_t>(sizeof header + content.size());
    driver.describe(1, index, {at, length, 0, 0});
    driver.offer(1, index);
    driver.ring(1);
  };
  const auto heard = [&](std::uint16_t index) {
    return *memory().read<virtio_vsock_hdr>(received(index));
  };
  driver.begin(3);
  const std::size_t cid = script.read(Driver::kBar + 0x2000, 4);
  driver.ring(0);
  driver.wait_used(0, 1);
  packet(0, kHostPort, VIRTIO_VSOCK_OP_RESPONSE, "");
  driver.wait_used(0, 2);
  packet(1, kHostPort, VIRTIO_VSOCK_OP_RW, "from the guest");
  packet(2, 22, VIRTIO_VSOCK_OP_REQUEST, "");
  driver.wait_used(0, 3);
  packet(3, kHostPort, VIRTIO_VSOCK_OP_SHUTDOWN, "");
  driver.wait_used(0, 4);
  driver.wait_interrupt();
  run();
  EXPECT_EQ(result(cid), 3u);
  EXPECT_EQ(heard(0).op, VIRTIO_VSOCK_OP_REQUEST);
  EXPECT_EQ(heard(0).dst_port, kAgent);
  EXPECT_EQ(heard(1).op, VIRTIO_VSOCK_OP_RW);
  EXPECT_EQ(
      std::memcmp(memory().at(received(1) + sizeof(virtio_vsock_hdr), 13), "from the host", 13), 0);
  EXPECT_EQ(heard(2).op, VIRTIO_VSOCK_OP_RST) << "nothing on the host listens for the guest";
  EXPECT_EQ(heard(2).src_port, 22u);
  EXPECT_EQ(heard(3).op, VIRTIO_VSOCK_OP_RST);
  std::array<char, 32> text{};
  EXPECT_EQ(::read(stream->get(), text.data(), text.size()), 14);
  EXPECT_STREQ(text.data(), "from the guest");
  EXPECT_EQ(::read(stream->get(), text.data(), text.size()), 0) << "the end";
}

TEST_F(DeviceGuest, sends_a_frame) {
  Wire wire = make_wire();
  if (!wire.tap) GTEST_SKIP() << "needs root, network namespaces and /dev/net/tun";
  add(*Net::create(std::move(wire.tap), {.mac = {2, 0, 0, 0, 0, 7}, .mtu = 1500}));
  Driver driver(script, memory());
  std::string frame = "\xff\xff\xff\xff\xff\xff\2\1\1\1\1\1\x88\xb5";
  frame.resize(64, 'f');
  memory().write(kBuffers, std::array<std::uint8_t, 12>{});  // no checksum, no segments
  std::memcpy(memory().at(kBuffers + 12, frame.size()), frame.data(), frame.size());
  driver.describe(1, 0, {kBuffers, static_cast<std::uint32_t>(12 + frame.size()), 0, 0});
  driver.begin(2, 1U << 5);  // it has an address
  const std::size_t mac = script.read(Driver::kBar + 0x2002, 4);
  driver.offer(1, 0);
  driver.ring(1);
  driver.wait_used(1, 1);
  run();
  EXPECT_EQ(result(mac), 0x07000000u);
  EXPECT_EQ(hear(wire.far), frame);
}

TEST_F(DeviceGuest, gives_memory_back) {
  Balloon& balloon = add(*Balloon::create(memory()));
  Driver driver(script, memory());
  memory().write(kBuffers, std::array<std::uint32_t, 2>{7 << 8, (7 << 8) + 1});  // at 7 MiB
  memory().write(7 << 20, std::uint64_t{42});
  driver.describe(0, 0, {kBuffers, 8, 0, 0});
  driver.begin(2);
  driver.offer(0, 0);
  driver.ring(0);
  driver.wait_used(0, 1);
  driver.wait_interrupt();
  const std::size_t again = script.read(7 << 20, 4);
  run();
  EXPECT_EQ(balloon.size(), kMemory - 2 * layout::kPage);
  EXPECT_EQ(result(again), 0u) << "a new page of zeros";
}

// What no driver does: the device stops, says so, and is as new after a reset.
struct Fault {
  const char* name;
  Descriptor first;
  std::uint16_t index = 1;  // of the available ring
};
class FaultyDriver : public DeviceGuest, public testing::WithParamInterface<Fault> {};

TEST_P(FaultyDriver, has_to_reset_the_device_which_then_serves_it) {
  add(*Entropy::create());
  Driver driver(script, memory());
  driver.describe(0, 0, GetParam().first);
  driver.describe(0, 1, {kBuffers, 64, kWrite | kNext, 1});  // itself
  driver.describe(0, 2, {kBuffers + 0x1000, 64, kWrite, 0});
  memory().write(kBuffers + 0x2000, Descriptor{kBuffers, 16, kIndirect, 0});
  driver.begin(1, 1U << 28);  // indirect descriptors
  driver.offer(0, 0);
  driver.ring_for(0, GetParam().index);
  script.wait_bits(Driver::kBar + 20, 64);
  const std::size_t broken = script.read(Driver::kBar + 20, 1);
  script.write(Driver::rings(0), kBuffers + 0x1000, 8);
  script.write(Driver::rings(0) + 8, 64 | std::uint64_t{kWrite} << 32, 8);
  script.write(Driver::available(0) + 2, 0, 2);
  script.write(Driver::used(0) + 2, 0, 2);
  driver.set_up(1);
  const std::size_t whole = script.read(Driver::kBar + 20, 1);
  driver.ring_for(0, 1);
  driver.wait_used(0, 1);
  run();
  EXPECT_EQ(result(broken) & 64, 64u);
  EXPECT_EQ(result(whole), 15u);
  EXPECT_EQ(driver.answered(0, 0), 64u);
}

INSTANTIATE_TEST_SUITE_P(
    Faults, FaultyDriver,
    testing::Values(Fault{"outside_of_memory", {kMemory, 64, kWrite, 0}},
                    Fault{"across_the_end_of_memory", {kMemory - 32, 64, kWrite, 0}},
                    Fault{"address_that_wraps", {~std::uint64_t{0} - 16, 64, kWrite, 0}},
                    Fault{"loop", {kBuffers, 64, kWrite | kNext, 1}},
                    Fault{"next_that_is_not_there", {kBuffers, 64, kWrite | kNext, 900}},
                    Fault{"readable_after_writable", {kBuffers, 64, kWrite | kNext, 0}},
                    Fault{"index_far_ahead", {kBuffers, 64, kWrite, 0}, 900},
                    Fault{"table_of_no_whole_entries", {kBuffers + 0x2000, 17, kIndirect, 0}},
                    Fault{"table_outside_of_memory", {kMemory, 16, kIndirect, 0}},
                    Fault{"table_in_a_table", {kBuffers + 0x2000, 16, kIndirect, 0}}),
    [](const auto& fault) { return fault.param.name; });

TEST_F(DeviceGuest, reads_the_clock) {
  const auto before = std::time(nullptr);
  std::array<std::size_t, 4> fields{};
  constexpr std::array<std::uint8_t, 4> kIndices{9, 8, 7, 0x0b};  // year, month, day, format
  for (std::size_t i = 0; i < fields.size(); ++i) {
    script.out(layout::kRtcPort, kIndices[i]);
    fields[i] = script.in(layout::kRtcPort + 1);
  }
  run();
  const auto bcd = [&](std::size_t i) {
    const std::uint64_t value = result(fields[i]);
    return static_cast<int>((value >> 4) * 10 + (value & 15));
  };
  EXPECT_EQ(result(fields[3]) & 6, 2u) << "24 hours, decimal digits";
  std::tm then{};
  ::gmtime_r(&before, &then);
  std::tm now{};
  const auto after = std::time(nullptr);
  ::gmtime_r(&after, &now);
  EXPECT_TRUE(bcd(0) == then.tm_year % 100 || bcd(0) == now.tm_year % 100);
  EXPECT_TRUE(bcd(1) == then.tm_mon + 1 || bcd(1) == now.tm_mon + 1);
  EXPECT_TRUE(bcd(2) == then.tm_mday || bcd(2) == now.tm_mday);
}

TEST_F(DeviceGuest, speaks_on_the_serial_port) {
  for (const char letter : std::string_view("hello\n"))
    script.out(layout::kSerialPort, static_cast<std::uint8_t>(letter));
  const std::size_t status = script.in(layout::kSerialPort + 5);
  run();
  EXPECT_EQ(said, "hello\n");
  EXPECT_EQ(result(status) & 0x60, 0x60u) << "ready for more";
}

TEST_F(DeviceGuest, is_told_of_events_once) {
  machine->power().tell(Power::kButton);
  const std::size_t first = script.in(Power::kEventPort), second = script.in(Power::kEventPort);
  run();
  EXPECT_EQ(result(first), Power::kButton);
  EXPECT_EQ(result(second), 0u);
}

TEST_F(DeviceGuest, resets_by_the_keyboard_controller) {
  script.out(KeyboardReset::kPort, 0xfe);
  script.wait(kBuffers, 1);  // for ever
  run();
  EXPECT_EQ(machine->end(), End::kReset);
}

TEST_F(DeviceGuest, resets_by_the_register_of_its_tables) {
  script.out(Power::kResetPort, Power::kResetValue);
  script.wait(kBuffers, 1);
  run();
  EXPECT_EQ(machine->end(), End::kReset);
}

}  // namespace
}  // namespace vrun::vmm
