#include "vm/vmm/worker.hpp"

#include <gtest/gtest.h>

namespace vrun::vmm {
namespace {

std::unique_ptr<Worker> make() {
  return *Worker::create("entropy");
}

TEST(Worker, WorkIsDoneOnItsThread) {
  const auto worker = make();
  EXPECT_EQ(Worker::current(), nullptr);
  Worker* seen = nullptr;
  worker->run([&] { seen = Worker::current(); });
  EXPECT_EQ(seen, worker.get());
  worker->run([&] { worker->run([&] { seen = nullptr; }); });
  EXPECT_EQ(seen, nullptr);
}

// As a snapshot does: everybody stands still, and each is asked for its own part.
TEST(Worker, OneThatWaitsForAnotherDoesWhatItIsAsked) {
  const auto first = make(), second = make(), third = make();
  std::vector<Worker*> seen;
  const auto note = [&] { seen.push_back(Worker::current()); };
  first->run([&] {
    second->run([&] {
      third->run([&] {
        first->run([&] {
          second->run(note);
          first->run(note);
          third->run(note);
        });
      });
    });
  });
  EXPECT_EQ(seen, (std::vector<Worker*>{second.get(), first.get(), third.get()}));
}

TEST(Worker, ManyAskAtOnce) {
  const auto worker = make(), other = make();
  int count = 0;
  std::vector<std::thread> askers;
  for (int i = 0; i < 4; ++i) {
    askers.emplace_back([&] {
      for (int n = 0; n < 500; ++n)
        other->run([&] { worker->run([&] { ++count; }); });
    });
  }
  for (std::thread& asker : askers)
    asker.join();
  EXPECT_EQ(count, 2000);
}

}  // namespace
}  // namespace vrun::vmm
