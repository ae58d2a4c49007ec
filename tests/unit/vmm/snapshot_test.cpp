// Machines that go on from a file: tiny guests on the machine's own KVM.
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <mutex>
#include <random>
#include <string>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.hpp"
#include "base/fs.hpp"
#include "base/sys.hpp"
#include "tests/unit/vmm/tiny_kernel.hpp"
#include "vm/vmm/balloon.hpp"
#include "vm/vmm/entropy.hpp"
#include "vm/vmm/layout.hpp"
#include "vm/vmm/machine.hpp"
#include "vm/vmm/memory_file.hpp"
#include "vm/vmm/virtio_pci.hpp"
#include "vm/vmm/vsock.hpp"

namespace vrun::vmm {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMib = 1 << 20, kMemory = 32 * kMib;
constexpr std::uint64_t kCounter = 2 * kMib;

// Counts in a register and in memory, and says the lowest byte of each number on the serial port.
constexpr unsigned char kCounting[] = {
    0x48, 0x31, 0xc9,                                // xor rcx, rcx
    0x48, 0xff, 0xc1,                                // inc rcx
    0x48, 0x89, 0x0c, 0x25, 0x00, 0x00, 0x20, 0x00,  // mov [kCounter], rcx
    0x88, 0xc8,                                      // mov al, cl
    0x66, 0xba, 0xf8, 0x03,                          // mov dx, 0x3f8
    0xee,                                            // out dx, al
    0xeb, 0xec,                                      // jmp to inc
};

Fd kernel() {
  return tiny_kernel(kCounting);
}

// What a machine said.
class Console {
 public:
  std::function<void(std::string_view)> taker() {
    return [this](std::string_view text) {
      const std::lock_guard guard(lock_);
      said_ += text;
    };
  }
  std::string said() {
    const std::lock_guard guard(lock_);
    return said_;
  }
  bool wait_for(std::size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (said().size() < count && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(1ms);
    return said().size() >= count;
  }

 private:
  std::mutex lock_;
  std::string said_;
};

// Each byte is one more than that before it.
void expect_counting(const std::string& said, unsigned char first) {
  for (const char byte : said)
    ASSERT_EQ(static_cast<unsigned char>(byte), first++);
}

class Snapshot : public testing::Test {
 protected:
  void SetUp() override {
    Result<Fd> kvm = sys::open(At::cwd(), "/dev/kvm", O_RDWR);
    if (!kvm) GTEST_SKIP() << "needs /dev/kvm: " << kvm.error().text();
    kvm_ = std::move(*kvm);
    ended_ = Fd(::eventfd(0, EFD_CLOEXEC));
  }

  static void add_devices(Machine& machine) {
    ASSERT_TRUE(machine.add(*Entropy::create()).has_value());
    ASSERT_TRUE(machine.add(*Balloon::create(machine.memory())).has_value());
    ASSERT_TRUE(machine.add(*Vsock::create(Fd(), 1024)).has_value());
  }
  // Until it has counted for a while, paused then.
  std::unique_ptr<Machine> counting(Console& console, std::uint32_t processors = 1) {
    Result<std::unique_ptr<Machine>> made =
        Machine::create(kvm_, Fd(), {.processors = processors, .memory = kMemory}, console.taker());
    EXPECT_TRUE(made.has_value()) << made.error().text();
    std::unique_ptr<Machine> machine = std::move(*made);
    add_devices(*machine);
    const Result<void> loaded = machine->load(kernel(), "tiny", nullptr, "", "");
    EXPECT_TRUE(loaded.has_value()) << loaded.error().text();
    EXPECT_TRUE(machine->start(ended_).has_value());
    EXPECT_TRUE(console.wait_for(600));
    EXPECT_TRUE(machine->pause().has_value());
    return machine;
  }
  std::unique_ptr<Machine> restored(const Fd& memory, Console& console,
                                    std::uint32_t processors = 1) {
    Result<std::unique_ptr<Machine>> made = Machine::create_from(
        kvm_, memory, {.processors = processors, .memory = kMemory}, console.taker());
    EXPECT_TRUE(made.has_value()) << made.error().text();
    add_devices(**made);
    return std::move(*made);
  }

  Fd kvm_, ended_;
};

TEST_F(Snapshot, a_paused_guest_does_nothing_and_then_goes_on) {
  Console console;
  const std::unique_ptr<Machine> machine = counting(console);
  const auto before = machine->memory().read<std::uint64_t>(kCounter);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(machine->memory().read<std::uint64_t>(kCounter), before);
  const std::size_t said = console.said().size();
  machine->resume();
  EXPECT_TRUE(console.wait_for(said + 600));
  EXPECT_TRUE(machine->pause().has_value());
  machine->resume();
  machine->stop();
  EXPECT_EQ(machine->pause().error().code(), Code::kState);
  expect_counting(console.said(), 1);
}

TEST_F(Snapshot, a_machine_that_ended_saved_never_runs_again) {
  Console console;
  const std::unique_ptr<Machine> machine = counting(console, 2);
  const auto saved = machine->memory().read<std::uint64_t>(kCounter);
  machine->end_saved();
  std::array<pollfd, 1> ended{pollfd{ended_.get(), POLLIN, 0}};
  EXPECT_EQ(*sys::poll(ended, 1000), 1);
  machine->stop();
  EXPECT_EQ(machine->end(), End::kSaved);
  EXPECT_EQ(machine->memory().read<std::uint64_t>(kCounter), saved);
}

TEST_F(Snapshot, a_machine_that_has_not_begun_cannot_be_paused) {
  Console console;
  const std::unique_ptr<Machine> machine =
      *Machine::create(kvm_, Fd(), {.processors = 1, .memory = kMemory}, console.taker());
  EXPECT_EQ(machine->pause().error().code(), Code::kState);
  ASSERT_TRUE(machine->load(kernel(), "tiny", nullptr, "", "").has_value());
  ASSERT_TRUE(machine->start(ended_).has_value());
  EXPECT_TRUE(console.wait_for(256));
}

TEST_F(Snapshot, a_guest_goes_on_where_it_was_saved_as_often_as_one_likes) {
  Console console;
  std::unique_ptr<Machine> machine = counting(console, 2);
  StateWriter state;
  const Fd memory = *sys::memfd("test-memory");
  const Result<void> saved = machine->save(state, memory);
  ASSERT_TRUE(saved.has_value()) << saved.error().text();
  machine->stop();
  const std::string before = console.said();
  expect_counting(before, 1);
  machine.reset();
  const std::string digest = sha256_hex(
      *fs::read_file(At::cwd(), "/proc/self/fd/" + std::to_string(memory.get()), 2 * kMemory));
  for (int clone = 0; clone < 3; ++clone) {
    Console next;
    const std::unique_ptr<Machine> other = restored(memory, next, 2);
    StateReader reader(state.bytes());
    const auto begun = std::chrono::steady_clock::now();
    const Result<void> loaded = other->load(reader);
    // What it costs beyond making a machine, whose larger part is KVM's.
    RecordProperty("load_microseconds",
                   std::to_string((std::chrono::steady_clock::now() - begun) / 1us));
    ASSERT_TRUE(loaded.has_value()) << loaded.error().text();
    ASSERT_TRUE(other->start(ended_).has_value());
    EXPECT_TRUE(next.wait_for(600));
    other->stop();
    // Not one number is missing or said twice.
    expect_counting(next.said(), static_cast<unsigned char>(before.size() + 1));
  }
  EXPECT_EQ(sha256_hex(*fs::read_file(At::cwd(), "/proc/self/fd/" + std::to_string(memory.get()),
                                      2 * kMemory)),
            digest)
      << "what a clone writes is its own";
}

TEST_F(Snapshot, the_file_of_the_memory_has_holes_where_the_guest_has_nothing) {
  Console console;
  const std::unique_ptr<Machine> machine = counting(console);
  StateWriter state;
  const Fd memory = *sys::memfd("test-memory");
  ASSERT_TRUE(machine->save(state, memory).has_value());
  const struct stat facts = *sys::stat(memory.get());
  EXPECT_EQ(static_cast<std::uint64_t>(facts.st_size), kMemory);
  EXPECT_LT(facts.st_blocks * 512, 256 << 10);
}

TEST_F(Snapshot, a_machine_of_another_shape_is_refused) {
  Console console;
  const std::unique_ptr<Machine> machine = counting(console);
  StateWriter state;
  const Fd memory = *sys::memfd("test-memory");
  ASSERT_TRUE(machine->save(state, memory).has_value());
  Console next;
  StateReader for_two(state.bytes());
  EXPECT_EQ(restored(memory, next, 2)->load(for_two).error().code(), Code::kInvalid);
  Result<std::unique_ptr<Machine>> without =
      Machine::create_from(kvm_, memory, {.processors = 1, .memory = kMemory}, next.taker());
  ASSERT_TRUE(without.has_value());
  StateReader for_none(state.bytes());
  EXPECT_NE((*without)->load(for_none).error().text().find("other devices"), std::string::npos);
  EXPECT_EQ(map_snapshot(memory, kMemory / 2).error().code(), Code::kInvalid);
}

// A driver of the entropy device, as the guest's processor would be one; its queue at 1 MiB.
class Driver {
 public:
  static constexpr std::uint64_t kQueue = kMib, kUsed = kMib + 0x2000, kBuffer = 2 * kMib;
  Driver(VirtioPci& device, const GuestMemory& memory) : device_(device), memory_(memory) {}

  void begin() {
    for (const std::uint64_t status : {1, 3})
      put(20, status, 1);
    put(8, 1, 4);
    put(12, 1, 4);  // VERSION_1
    put(20, 11, 1);
    put(22, 0, 2);
    put(32, kQueue, 8);
    put(40, kQueue + 0x1000, 8);
    put(48, kUsed, 8);
    put(28, 1, 2);
    put(20, 15, 1);
  }
  // Asks for 16 bytes; the request is number `index`.
  void ask(std::uint16_t index) {
    struct {
      std::uint64_t address = kBuffer;
      std::uint32_t length = 16;
      std::uint16_t flags = 2, next = 0;
    } descriptor;
    memory_.write(kQueue, descriptor);
    memory_.write(kQueue + 0x1000 + 4 + 2ull * index, std::uint16_t{0});
    memory_.write(kQueue + 0x1000 + 2, static_cast<std::uint16_t>(index + 1));
  }
  void ring() { put(0x3000, 0, 2); }
  std::uint16_t used() const { return *memory_.read<std::uint16_t>(kUsed + 2); }
  bool wait_for(std::uint16_t used_index) const {
    for (int i = 0; i < 2000 && used() != used_index; ++i)
      std::this_thread::sleep_for(1ms);
    return used() == used_index;
  }

 private:
  void put(std::uint64_t offset, std::uint64_t value, std::size_t size) {
    std::array<std::uint8_t, 8> bytes{};
    put_number(std::span(bytes).first(size), value);
    device_.write_memory(offset, std::span<const std::uint8_t>(bytes).first(size));
  }
  VirtioPci& device_;
  const GuestMemory& memory_;
};

TEST_F(Snapshot, a_device_goes_on_with_its_queues) {
  const Vm vm = *Vm::create(kvm_);
  const GuestMemory memory = *GuestMemory::make(kMemory);
  const auto silent = [](const std::string& why) { ADD_FAILURE() << why; };
  const std::unique_ptr<VirtioPci> device =
      *VirtioPci::create(*Entropy::create(), vm, memory, silent);
  Driver driver(*device, memory);
  driver.begin();
  driver.ask(0);
  driver.ring();
  ASSERT_TRUE(driver.wait_for(1));
  driver.ask(1);  // not rung for: pausing finishes what is there
  device->finish_requests();
  EXPECT_EQ(driver.used(), 2);
  StateWriter state;
  const Result<void> saved = device->save(state);
  ASSERT_TRUE(saved.has_value()) << saved.error().text();

  // Its memory as a file would have it, with a request that came after the last ring.
  driver.ask(2);
  const Fd file = *sys::memfd("test-memory");
  ASSERT_TRUE(write_memory(memory, file).has_value());
  const GuestMemory copy = *map_snapshot(file, kMemory);
  const std::unique_ptr<VirtioPci> other = *VirtioPci::create(*Entropy::create(), vm, copy, silent);
  StateReader reader(state.bytes());
  const Result<void> loaded = other->load(reader);
  ASSERT_TRUE(loaded.has_value()) << loaded.error().text();
  Driver again(*other, copy);
  EXPECT_TRUE(again.wait_for(3));
  again.ask(3);
  again.ring();
  EXPECT_TRUE(again.wait_for(4));
  EXPECT_EQ(driver.used(), 2) << "the first machine does not see it";

  const std::unique_ptr<VirtioPci> balloon =
      *VirtioPci::create(*Balloon::create(memory), vm, memory, silent);
  StateReader wrong(state.bytes());
  EXPECT_EQ(balloon->load(wrong).error().code(), Code::kInvalid);
}

// A file that was damaged or made to hurt: an error or a machine that nobody starts, never a crash.
TEST_F(Snapshot, no_state_can_hurt) {
  Console console;
  const std::unique_ptr<Machine> machine = counting(console);
  StateWriter state;
  const Fd memory = *sys::memfd("test-memory");
  ASSERT_TRUE(machine->save(state, memory).has_value());
  const std::string& good = state.bytes();
  Console next;
  for (std::size_t cut = 0; cut < 40; ++cut) {
    StateReader reader(std::string_view(good).substr(0, good.size() * cut / 40));
    EXPECT_EQ(restored(memory, next)->load(reader).error().code(), Code::kInvalid) << cut;
  }
  std::mt19937 random(1);
  for (int round = 0; round < 80; ++round) {
    std::string bad = good;
    // Half of them in the devices' part, which comes last.
    const std::size_t from = round % 2 == 0 ? 0 : good.size() - 1200;
    for (int i = 0; i < 8; ++i)
      bad[from + random() % (good.size() - from)] = static_cast<char>(random());
    StateReader reader(bad);
    static_cast<void>(restored(memory, next)->load(reader));
  }
}

}  // namespace
}  // namespace vrun::vmm
