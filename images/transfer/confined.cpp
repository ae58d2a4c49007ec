#include "images/transfer/confined.hpp"

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "images/transfer/sandbox.hpp"

namespace vrun::images {
namespace {

// What the confined child says to its parent: one write to a pipe.
struct Verdict {
  bool failed = false;
  Code code = Code::kInternal;
  Extracted counts;
  std::array<char, 1536> text{};
  std::array<char, 512> hint{};
};

template <std::size_t N>
void put(std::array<char, N>& to, const std::string& from) {
  std::memcpy(to.data(), from.data(), std::min(from.size(), N - 1));
}

Verdict to_verdict(Result<Extracted> result) {
  Verdict verdict;
  verdict.failed = !result;
  if (result) {
    verdict.counts = *result;
    return verdict;
  }
  verdict.code = result.error().code();
  put(verdict.text, result.error().text());
  put(verdict.hint, result.error().hint());
  return verdict;
}

Result<Extracted> to_result(const Verdict& verdict) {
  if (!verdict.failed) return verdict.counts;
  Error error(verdict.code, verdict.text.data());
  if (verdict.hint[0] != '\0') return std::move(error).hint(verdict.hint.data());
  return error;
}

}  // namespace

Result<Confined> Confined::start(std::span<const int> keep, bool privileged, std::string what,
                                 const std::function<Result<Extracted>()>& work) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Error::system(errno, "pipe");
  Fd mine(ends[0]);
  Fd theirs(ends[1]);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return Error::system(errno, "fork");
  if (child > 0) return Confined(child, std::move(mine), std::move(what));
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != parent) ::_exit(1);  // died before PDEATHSIG was set
  std::vector<int> kept(keep.begin(), keep.end());
  kept.push_back(theirs.get());
  Result<void> confined = enter_sandbox(kept, privileged);
  const Verdict verdict =
      confined ? to_verdict(work())
               : to_verdict(std::move(confined).error().during("confine the unpacker"));
  const bool sent = ::write(theirs.get(), &verdict, sizeof verdict) == sizeof verdict;
  ::_exit(sent ? 0 : 1);
}

Confined::Confined(Confined&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      verdict_(std::move(other.verdict_)),
      what_(std::move(other.what_)) {}

Confined::~Confined() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<Extracted> Confined::finish() {
  Verdict verdict;
  ssize_t n = 0;
  do {  // below PIPE_BUF: whole or not at all
    n = ::read(verdict_.get(), &verdict, sizeof verdict);
  } while (n < 0 && errno == EINTR);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (n == static_cast<ssize_t>(sizeof verdict)) return to_result(verdict);
  const std::string end = WIFSIGNALED(status)
                              ? "was killed by signal " + std::to_string(WTERMSIG(status))
                              : "ended with status " + std::to_string(WEXITSTATUS(status));
  return Error(Code::kInternal, what_ + ": the unpacker " + end);
}

}  // namespace vrun::images
