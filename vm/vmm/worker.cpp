#include "vm/vmm/worker.hpp"

#include <array>
#include <cerrno>
#include <utility>

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vm/vmm/jail.hpp"

namespace vrun::vmm {
namespace {

thread_local Worker* own_worker = nullptr;

void drain(int fd) {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = ::read(fd, &count, sizeof count);
}

}  // namespace

Result<std::unique_ptr<Worker>> Worker::create(const char* name) {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return Error::system(errno, "make an event loop");
  Fd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return Error::system(errno, "make an event");
  Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer) return Error::system(errno, "make a timer");
  for (const Fd* fd : {&wake, &timer}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd->get();
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd->get(), &event) != 0)
      return Error::system(errno, "watch an event");
  }
  std::unique_ptr<Worker> worker(new Worker(std::move(epoll), std::move(wake), std::move(timer)));
  worker->thread_ = std::thread([raw = worker.get(), name] { raw->loop(name); });
  return worker;
}

Worker::Worker(Fd epoll, Fd wake, Fd timer)
    : epoll_(std::move(epoll)), wake_(std::move(wake)), timer_(std::move(timer)) {}

Worker::~Worker() {
  run([this] { ends_ = true; });
  thread_.join();
}

Worker* Worker::current() {
  return own_worker;
}

void Worker::run(const std::function<void()>& work) {
  if (own_worker == this) return work();
  bool done = false;
  if (own_worker != nullptr) {
    ask([&, asking = own_worker] {
      work();
      const std::lock_guard guard(asking->lock_);
      done = true;
      asking->changed_.notify_all();
    });
    return own_worker->wait_for(done);
  }
  std::mutex done_lock;
  std::condition_variable done_signal;
  ask([&] {
    work();
    const std::lock_guard guard(done_lock);
    done = true;
    done_signal.notify_one();
  });
  std::unique_lock waiting(done_lock);
  done_signal.wait(waiting, [&] { return done; });
}

void Worker::ask(std::function<void()> wish) {
  {
    const std::lock_guard guard(lock_);
    wishes_.push_back(std::move(wish));
    changed_.notify_all();
  }
  ::eventfd_write(wake_.get(), 1);
}

void Worker::grant_wishes() {
  std::vector<std::function<void()>> wishes;
  {
    const std::lock_guard guard(lock_);
    wishes.swap(wishes_);
  }
  for (const std::function<void()>& wish : wishes)
    wish();
}

void Worker::wait_for(const bool& done) {
  while (true) {
    {
      std::unique_lock waiting(lock_);
      changed_.wait(waiting, [&] { return done || !wishes_.empty(); });
      if (done) return;  // what was asked meanwhile has woken the loop, too
    }
    grant_wishes();
  }
}

void Worker::watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> ready) {
  watched_[fd] = std::make_shared<std::function<void(std::uint32_t)>>(std::move(ready));
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0 && errno == EEXIST)
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Worker::change(int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Worker::forget(int fd) {
  if (watched_.erase(fd) > 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void Worker::after(std::int64_t ms, std::function<void()> due) {
  due_ = std::move(due);
  itimerspec when{};
  // A time of zero would stop the timer.
  when.it_value.tv_sec = ms / 1000;
  when.it_value.tv_nsec = ms % 1000 * 1000000 + 1;
  ::timerfd_settime(timer_.get(), 0, &when, nullptr);
}

void Worker::serve(int fd, std::uint32_t events) {
  if (fd == wake_.get()) {
    drain(fd);
    grant_wishes();
  } else if (fd == timer_.get()) {
    drain(fd);
    if (const std::function<void()> due = std::exchange(due_, nullptr)) due();
  } else if (const auto found = watched_.find(fd); found != watched_.end()) {
    const auto ready = found->second;  // lives on if it forgets itself
    (*ready)(events);
  }
}

void Worker::loop(const char* name) {
  own_worker = this;
  ::pthread_setname_np(::pthread_self(), name);
  jail::enter(name);
  std::array<epoll_event, 16> events{};
  while (!ends_) {
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count && !ends_; ++i)
      serve(events[static_cast<std::size_t>(i)].data.fd,
            events[static_cast<std::size_t>(i)].events);
  }
}

}  // namespace vrun::vmm
