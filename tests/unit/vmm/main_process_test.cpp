// How long the guest's agent is waited for; what it says is tested with whole guests.
#include "vm/vmm/main_process.hpp"

#include <chrono>
#include <ctime>
#include <memory>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <sys/eventfd.h>

namespace vrun::vmm {
namespace {

constexpr std::chrono::seconds kWait{1};

// Of a guest that never says a word.
std::string why_lost() {
  const std::unique_ptr<Vsock> vsock = *Vsock::create(Fd(), 1024);
  const Fd silent(::eventfd(0, EFD_CLOEXEC)), running(::eventfd(0, EFD_CLOEXEC));
  const ConsoleTail console;
  MainProcess wishes;
  wishes.wait = kWait;
  wishes.signals = &silent;
  wishes.machine_ended = &running;
  wishes.console = &console;
  const Result<Ended> ended = run_main_process(*vsock, wishes);
  if (!ended) return ended.error().text();
  return ended->lost ? ended->lost->why : "not lost";
}

void use_a_processor(std::chrono::milliseconds time) {
  timespec used{};
  do {
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  } while (std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec) < time);
}

TEST(MainProcess, a_guest_that_does_nothing_is_given_up_when_the_time_is_over) {
  EXPECT_TRUE(why_lost().starts_with("the guest did not come up in "));
}

TEST(MainProcess, one_that_gets_little_of_a_processor_is_waited_for_longer) {
  std::thread guest([] { use_a_processor(std::chrono::milliseconds(500)); });
  const std::string why = why_lost();
  guest.join();
  EXPECT_TRUE(why.starts_with("the guest did not come up in ")) << why;
  EXPECT_NE(why, "the guest did not come up in 1 s");
}

}  // namespace
}  // namespace vrun::vmm
