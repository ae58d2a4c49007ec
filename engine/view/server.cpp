#include "engine/view/server.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <vector>

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"

namespace vrun::view {
namespace {

constexpr double kCountEvery = 5;      // seconds, as the kernel does
constexpr double kCountFor = 15 * 60;  // after the last one who asked: an idle guest costs nothing
constexpr std::size_t kHostFile = 1U << 20U;

bool has_ended(int pidfd, int timeout_ms = 0) {
  pollfd ended{pidfd, POLLIN, 0};
  return ::poll(&ended, 1, timeout_ms) > 0;
}

// The host's file that a file of the view is made from; null: none.
const char* source_of(File file) {
  if (file == File::kCpuinfo) return "/cpuinfo";
  if (file == File::kDiskstats) return "/diskstats";
  return nullptr;
}

}  // namespace

Server::Server(Shared& shared, Subject subject, Uid uid, Gid gid)
    : shared_(shared),
      subject_(std::move(subject)),
      files_(shared_, uid, gid, [this](File file) { return text_of(file); }),
      notices_(shared_, subject_.host, [this] { return look(); }) {}

// The load averages of loadavg in proc(5), over the guest's threads; from the first question on.
int Server::count_when_asked() {
  const double now = boot_clock();
  const bool wanted = shared_.asked > 0 && now - shared_.asked < kCountFor;
  if (!wanted) {
    shared_.counted = 0;
    return -1;
  }
  if (shared_.counted > 0 && now - shared_.counted < kCountEvery)
    return static_cast<int>((kCountEvery - (now - shared_.counted)) * 1000) + 1;
  const Tasks tasks = count_tasks(subject_);
  shared_.running = tasks.running;
  shared_.threads = tasks.threads;
  constexpr std::array<double, 3> kOver{60, 300, 900};
  for (std::size_t i = 0; i < kOver.size(); ++i) {
    const bool first = shared_.counted == 0;
    const double keeps = first ? 0 : std::exp(-(now - shared_.counted) / kOver[i]);
    shared_.load[i] = shared_.load[i] * keeps + static_cast<double>(tasks.running) * (1 - keeps);
  }
  shared_.counted = now;
  return static_cast<int>(kCountEvery * 1000);
}

Facts Server::look() {
  shared_.asked = boot_clock();
  count_when_asked();
  Facts facts = read_facts(subject_);
  std::copy(std::begin(shared_.load), std::end(shared_.load), std::begin(facts.load));
  facts.running = shared_.running;
  facts.processes = shared_.threads;
  return facts;
}

std::string Server::text_of(File file) {
  std::string host;
  if (const char* source = source_of(file)) {
    Result<std::string> text = fs::read_file(At::cwd(), subject_.host.proc + source, kHostFile);
    if (text) host = *std::move(text);
  }
  const bool needs_load = file == File::kLoadavg || file == File::kStat;
  return render(file, needs_load ? look() : read_facts(subject_), host);
}

void Server::serve_until(int pidfd) {
  while (true) {
    std::array<pollfd, 2> fds{pollfd{shared_.fuse, POLLIN, 0}, pollfd{pidfd, POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return;
    if (fds[0].revents != 0 && !files_.serve()) return;
    if (fds[1].revents != 0) return;
  }
}

void Server::finish_predecessors_work() {
  constexpr unsigned kMostTries = 3;
  if (++shared_.tries > kMostTries) {
    files_.refuse();
    notices_.refuse();
  }
  files_.finish();
  notices_.finish();
  shared_.tries = 0;
}

void Server::serve(int peer) {
  finish_predecessors_work();
  bool files_live = true;
  while (true) {
    std::vector<pollfd> fds{{shared_.guest, POLLIN, 0},
                            {peer, POLLIN, 0},
                            {files_live ? shared_.fuse : -1, POLLIN, 0},
                            {shared_.listen, POLLIN, 0}};
    for (const int listener : shared_.listeners)
      if (listener >= 0) fds.push_back({listener, POLLIN, 0});
    int timeout = count_when_asked();
    if (peer < 0) timeout = 1000;
    const int ready = ::poll(fds.data(), fds.size(), timeout);
    if (ready < 0) continue;  // EINTR
    if (fds[0].revents != 0) ::_exit(0);
    if (fds[1].revents != 0 || (peer < 0 && ready == 0)) return;
    if (fds[2].revents != 0) files_live = files_.serve();
    if (fds[3].revents != 0) notices_.accept();
    for (std::size_t i = 4; i < fds.size(); ++i) {
      const bool over = (fds[i].revents & POLLIN) == 0 && fds[i].revents != 0;
      if (fds[i].revents == 0 || (!over && notices_.serve(fds[i].fd))) continue;
      std::replace(shared_.listeners.begin(), shared_.listeners.end(), fds[i].fd, -1);
      ::close(fds[i].fd);
    }
  }
}

void Server::wait_for(int peer) const {
  std::array<pollfd, 2> fds{pollfd{shared_.guest, POLLIN, 0}, pollfd{peer, POLLIN, 0}};
  while (::poll(fds.data(), fds.size(), -1) < 0 && errno == EINTR) {
  }
  if (has_ended(shared_.guest)) ::_exit(0);
}

// What a killed process had open. Only one of the two lives now.
void Server::close_strangers() const {
  std::vector<int> known{shared_.fuse, shared_.listen, shared_.guest};
  for (const int listener : shared_.listeners)
    if (listener >= 0) known.push_back(listener);
  std::sort(known.begin(), known.end());
  unsigned from = STDERR_FILENO + 1;
  for (const int fd : known) {
    const auto number = static_cast<unsigned>(fd);
    if (number > from) ::syscall(SYS_close_range, from, number - 1, 0);
    from = std::max(from, number + 1);
  }
  ::syscall(SYS_close_range, from, ~0U, 0);
}

void Server::live() {
  ::signal(SIGCHLD, SIG_IGN);  // the other one's end is seen by its pidfd
  while (!has_ended(shared_.guest)) {
    close_strangers();
    const Result<Fd> ours = sys::pidfd_open(sys::self());
    const long other =
        ::syscall(SYS_clone, CLONE_FILES | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    if (other == 0) {
      serve(ours ? ours->get() : -1);
      continue;
    }
    if (other < 0) {  // no room for one more process: alone, for a while
      serve(-1);
      continue;
    }
    const Result<Fd> theirs = sys::pidfd_open(Pid(static_cast<pid_t>(other)));
    if (theirs) wait_for(theirs->get());
  }
  ::_exit(0);
}

}  // namespace vrun::view
