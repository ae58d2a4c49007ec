// The thread of a device: waits for descriptors and calls what belongs to them.
//
// Everything that a device does with its queues happens on its worker, so a device needs no locks
// for it; run() brings others' wishes there.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::vmm {

class Worker {
 public:
  // `name`: of the thread and of its kind (jail_table.hpp).
  static Result<std::unique_ptr<Worker>> create(const char* name);
  ~Worker();  // ends the thread; nothing is called any more
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Calls `work` on the thread and waits for its end. At once when called from there. A worker that
  // waits for another one does meanwhile what it is asked to do by run(), and nothing else.
  void run(const std::function<void()>& work);
  // Whose thread this is; none when it is no worker's.
  static Worker* current();

  // From here on only on the thread (inside run() or a call).
  // Calls `ready` with the events (EPOLLIN ...) of `fd` until forget(). The descriptor stays the
  // caller's.
  void watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> ready);
  void change(int fd, std::uint32_t events);
  void forget(int fd);
  // Calls `due` once after `ms`; a later call replaces it.
  void after(std::int64_t ms, std::function<void()> due);

 private:
  Worker(Fd epoll, Fd wake, Fd timer);
  void loop(const char* name);
  void serve(int fd, std::uint32_t events);
  void ask(std::function<void()> wish);
  void grant_wishes();
  void wait_for(const bool& done);

  Fd epoll_, wake_, timer_;
  std::map<int, std::shared_ptr<std::function<void(std::uint32_t)>>> watched_;
  std::function<void()> due_;
  std::mutex lock_;
  std::condition_variable changed_;  // a wish came, or one of ours is granted
  std::vector<std::function<void()>> wishes_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace vrun::vmm
