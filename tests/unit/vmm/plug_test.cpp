// Devices that come and go: the slots' registers, and a tiny guest that lets go of what it is asked
// for.
#include <array>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "tests/unit/vmm/tiny_kernel.hpp"
#include "vm/vmm/entropy.hpp"
#include "vm/vmm/layout.hpp"
#include "vm/vmm/machine.hpp"
#include "vm/vmm/plug_calls.hpp"
#include "vm/vmm/slots.hpp"

namespace vrun::vmm {
namespace {

using namespace std::chrono_literals;

struct Registers {
  int told = 0;
  Slots slots{[this] { ++told; }};
  std::uint32_t read(std::uint64_t offset) {
    std::array<std::uint8_t, 4> bytes{};
    slots.read(offset, bytes);
    return static_cast<std::uint32_t>(number_of(bytes));
  }
  void eject(std::uint32_t bits) {
    std::array<std::uint8_t, 4> bytes{};
    put_number(bytes, bits);
    slots.write(8, bytes);
  }
};

TEST(Slots, say_what_came_once) {
  Registers guest;
  guest.slots.insert(3);
  guest.slots.insert(31);
  EXPECT_EQ(guest.told, 2);
  EXPECT_EQ(guest.read(0), 1U << 3 | 1U << 31);
  EXPECT_EQ(guest.read(0), 0U);
}

TEST(Slots, believe_only_ejects_that_were_wanted) {
  Registers guest;
  guest.eject(~0U);
  EXPECT_FALSE(guest.slots.let_go(1));
  guest.slots.want(2);
  EXPECT_EQ(guest.read(4), 1U << 2);
  EXPECT_FALSE(guest.slots.let_go(2));
  guest.eject(~0U);
  EXPECT_TRUE(guest.slots.let_go(2));
  EXPECT_FALSE(guest.slots.let_go(1));
  EXPECT_TRUE(guest.slots.settle(2));
  guest.eject(~0U);  // too late: nothing is wanted any more
  EXPECT_FALSE(guest.slots.settle(2));
}

TEST(Slots, forget_what_is_wanted_no_more) {
  Registers guest;
  guest.slots.want(5);
  EXPECT_FALSE(guest.slots.settle(5));
  EXPECT_EQ(guest.read(4), 0U);
}

constexpr std::uint64_t kMemory = 32 << 20;

// Ejects whatever it is asked for.
constexpr unsigned char kObedient[] = {
    0x66, 0xba, 0x08, 0x06,  // mov dx, 0x608
    0xed,                    // in eax, dx
    0x85, 0xc0,              // test eax, eax
    0x74, 0xf7,              // jz to the beginning
    0x66, 0xba, 0x0c, 0x06,  // mov dx, 0x60c
    0xef,                    // out dx, eax
    0xeb, 0xf0,              // jmp to the beginning
};
constexpr unsigned char kDeaf[] = {0xf3, 0x90, 0xeb, 0xfc};  // pause, for ever

class Plugging : public ::testing::Test {
 protected:
  void SetUp() override {
    kvm_ = Fd(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!kvm_) GTEST_SKIP() << "needs /dev/kvm";
  }
  void TearDown() override {
    if (machine_) machine_->stop();
  }
  void start(std::span<const unsigned char> code) {
    Result<std::unique_ptr<Machine>> made =
        Machine::create(kvm_, Fd(), {.processors = 1, .memory = kMemory}, [](std::string_view) {});
    ASSERT_TRUE(made.has_value()) << made.error().text();
    machine_ = *std::move(made);
    const Fd file = tiny_kernel(code);
    Result<void> loaded = machine_->load(file, "test", nullptr, "", "");
    ASSERT_TRUE(loaded.has_value()) << loaded.error().text();
    ended_ = Fd(::eventfd(0, EFD_CLOEXEC));
    ASSERT_TRUE(machine_->start(ended_).has_value());
    plugs_ = *Plugs::create(*machine_);
    plugs_->add_calls(calls_, file_calls_);
  }
  Result<std::string> plug_disk(const std::string& name) {
    Fd file = *sys::memfd("disk");
    EXPECT_EQ(::ftruncate(file.get(), 1 << 20), 0);
    return file_calls_["plug-disk"](R"({"call":"plug-disk","disk":")" + name + "\"}",
                                    std::move(file));
  }
  std::string call(const std::string& name, const std::string& disk) {
    const Result<std::string> said =
        calls_[name](R"({"call":")" + name + R"(","disk":")" + disk + "\"}");
    return said ? *said : said.error().text();
  }
  bool goes(const std::string& disk) {
    for (int look = 0; look < 500; ++look) {
      if (call("unplug-disk", disk) == R"({"gone":true})") return true;
      std::this_thread::sleep_for(5ms);
    }
    return false;
  }

  Fd kvm_, ended_;
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Plugs> plugs_;
  std::map<std::string, Control::Call> calls_;
  std::map<std::string, Control::FileCall> file_calls_;
};

TEST_F(Plugging, a_disk_comes_and_goes_more_often_than_there_are_slots) {
  start(kObedient);
  for (int round = 0; round < 70; ++round) {
    const Result<std::string> plugged = plug_disk("a");
    ASSERT_TRUE(plugged.has_value()) << round << ": " << plugged.error().text();
    ASSERT_TRUE(goes("a")) << round;
  }
}

TEST_F(Plugging, names_are_taken_once_and_slots_are_limited) {
  start(kObedient);
  for (int i = 0; i < 31; ++i)
    ASSERT_TRUE(plug_disk(std::to_string(i)).has_value()) << i;
  EXPECT_EQ(plug_disk("7").error().code(), Code::kExists);
  EXPECT_EQ(plug_disk("more").error().code(), Code::kInvalid);
  EXPECT_TRUE(goes("7"));
  EXPECT_TRUE(plug_disk("more").has_value());
  EXPECT_EQ(call("unplug-disk", "unknown"), R"({"gone":true})");
}

TEST_F(Plugging, a_guest_that_does_not_let_go_keeps_its_disk) {
  start(kDeaf);
  ASSERT_TRUE(plug_disk("a").has_value());
  EXPECT_EQ(call("unplug-disk", "a"), R"({"gone":false})");
  EXPECT_EQ(call("keep-disk", "a"), "{}");
  EXPECT_EQ(plug_disk("a").error().code(), Code::kExists);
}

TEST_F(Plugging, what_is_no_disk_and_no_tap_is_refused) {
  start(kDeaf);
  Fd odd = *sys::memfd("disk");
  EXPECT_EQ(::ftruncate(odd.get(), 100), 0);
  EXPECT_FALSE(file_calls_["plug-disk"](R"({"disk":"a"})", std::move(odd)).has_value());
  Fd no_tap = *sys::memfd("tap");
  EXPECT_FALSE(file_calls_["plug-card"](R"({"mac":1,"mtu":1500})", std::move(no_tap)).has_value());
  EXPECT_EQ(call("unplug-disk", "a"), R"({"gone":true})");
}

TEST_F(Plugging, a_changed_machine_is_not_saved) {
  start(kObedient);
  ASSERT_TRUE(plug_disk("a").has_value());
  ASSERT_TRUE(machine_->pause().has_value());
  StateWriter state;
  const Fd memory = *sys::memfd("memory");
  EXPECT_EQ(machine_->save(state, memory).error().code(), Code::kUnsupported);
  machine_->resume();
}

}  // namespace
}  // namespace vrun::vmm
