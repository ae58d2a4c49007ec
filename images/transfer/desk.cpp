#include "images/transfer/desk.hpp"

#include <array>

#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/sys.hpp"

namespace vrun::images {

Result<Interrupts> Interrupts::create() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP})
    sigaddset(&set, number);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return Error::system(errno, "block signals");
  Fd fd(::signalfd(-1, &set, SFD_CLOEXEC));
  if (!fd) return Error::system(errno, "signalfd");
  return Interrupts(std::move(fd));
}

Error Interrupts::error() {
  signalfd_siginfo info{};
  const bool got = ::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info);
  signal_ = got ? static_cast<int>(info.ssi_signo) : SIGTERM;
  return Error(Code::kState, std::string("interrupted by SIG") + ::sigabbrev_np(signal_));
}

Result<CourierAnswer> Desk::ask(CourierTask task, const Fd& fd) {
  const std::uint64_t id = TRY(courier_.send(std::move(task), fd));
  while (true) {
    std::array<pollfd, 2> fds{pollfd{courier_.wire().get(), POLLIN, 0},
                              pollfd{interrupts_->fd().get(), POLLIN, 0}};
    TRY(sys::poll(fds, -1));
    if (fds[1].revents != 0) return interrupts_->error();
    if (fds[0].revents == 0) continue;
    CourierAnswer answer = TRY(courier_.receive());
    if (answer.id == id) return answer;
  }
}

Result<Desk::Fetched> Desk::fetch(CourierTask task, std::size_t limit) {
  const Fd memory = TRY(sys::memfd("fetched"));
  CourierAnswer answer = TRY(ask(std::move(task), memory));
  TRY(answer.result());
  const struct stat st = TRY(sys::stat(memory.get()));
  if (static_cast<std::uint64_t>(st.st_size) > limit) {
    return Error(Code::kInvalid, "larger than " + std::to_string(limit) + " bytes");
  }
  Fetched fetched;
  fetched.media_type = std::move(answer.media_type);
  fetched.bytes.resize(static_cast<std::size_t>(st.st_size));
  const ssize_t n = ::pread(memory.get(), fetched.bytes.data(), fetched.bytes.size(), 0);
  if (n != st.st_size) return Error::system(EIO, "read what was fetched");
  return fetched;
}

}  // namespace vrun::images
