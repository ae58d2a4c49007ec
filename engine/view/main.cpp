// vrun-view: what a guest sees of its limits in /proc, /sys, sysinfo(2) and sched_getaffinity(2).
//
//   vrun-view PID UID GID DIR     by vrun, when the guest is made and its program has not begun
//
// UID and GID: of the guest's root, outside. DIR: where the socket `view` is made, at which seccomp
// listeners are handed over. Answers by its exit when all is in place, 0 or 1 with words on stderr;
// the two processes that go on end with the guest.
#include <array>
#include <cerrno>
#include <cstdio>
#include <new>
#include <string>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/view/enter.hpp"
#include "engine/view/server.hpp"

namespace vrun::view {
namespace {

constexpr char kReady = 'k';

struct Call {
  Pid pid;
  Uid uid;
  Gid gid;
  std::string dir;
};

Result<Call> read_call(int argc, char** argv) {
  constexpr int kWords = 5;
  if (argc != kWords) return Error(Code::kInvalid, "usage: vrun-view PID UID GID DIR");
  const auto pid = parse_u64(argv[1]), uid = parse_u64(argv[2]), gid = parse_u64(argv[3]);
  if (!pid || !uid || !gid) return Error(Code::kInvalid, "usage: vrun-view PID UID GID DIR");
  return Call{Pid(static_cast<pid_t>(*pid)), Uid(static_cast<std::uint32_t>(*uid)),
              Gid(static_cast<std::uint32_t>(*gid)), argv[4]};
}

Result<Shared*> make_shared() {
  void* at =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return Error::system(errno, "map memory");
  auto* shared = new (at) Shared;
  shared->listeners.fill(-1);
  return shared;
}

Result<Fd> listen_at(const std::string& dir) {
  if (::chdir(dir.c_str()) != 0) return Error::system(errno, "open directory " + quote(dir));
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = "view"};  // a path has 108 bytes at most
  constexpr int kBacklog = 64;
  static_cast<void>(::unlink(address.sun_path));
  if (!socket || ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), kBacklog) != 0 || ::chdir("/") != 0)
    return Error::system(errno, "listen at " + quote(dir + "/view"));
  return socket;
}

// The files appear in the guest while we serve them.
Result<void> cover(Server& server, const Call& call, const Fd& mount) {
  const pid_t child = ::fork();
  if (child < 0) return Error::system(errno, "start a process");
  if (child == 0) {
    const Result<void> covered = cover_files(call.pid, mount);
    if (!covered) std::fprintf(stderr, "%s\n", covered.error().text().c_str());
    ::_exit(covered ? 0 : 1);
  }
  const Fd ended = TRY(sys::pidfd_open(Pid(child)));
  server.serve_until(ended.get());
  if (TRY(sys::wait(ended.get())).code() == 0) return {};
  return Error(Code::kSystem, "put the view over the guest's files");
}

// Signals without restart: they end a wait that could otherwise last.
void take_alarms() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

Result<void> let_go_of_caller() {
  const Fd null = TRY(sys::open(At::cwd(), "/dev/null", O_RDWR));
  for (int fd = 0; fd <= 2; ++fd)
    if (::dup2(null.get(), fd) < 0) return Error::system(errno, "close stdio");
  return {};
}

Result<void> serve(const Call& call, Fd ready) {
  ::setsid();
  take_alarms();
  Subject subject;
  subject.host = Host::current();
  subject.pid = call.pid;
  Fd guest = TRY(sys::pidfd_open(call.pid));
  subject.began = began_of(subject.host, call.pid);
  subject.location = TRY(cgroups::group_of(call.pid, subject.host))->location();
  Shared& shared = *TRY(make_shared());
  Fd listener = TRY(listen_at(call.dir));
  Result<Fd> fuse = sys::open(At::cwd(), "/dev/fuse", O_RDWR);
  if (!fuse) return std::move(fuse).error().hint("load the module fuse, or use --view host");
  Fd mount = TRY(make_file_system(*fuse));
  shared.fuse = fuse->release();
  shared.guest = guest.release();
  shared.listen = listener.release();
  Server server(shared, std::move(subject), call.uid, call.gid);
  TRY(cover(server, call, mount));
  mount.reset();  // the guest's namespace alone holds it now
  TRY(become_guest_root(call.pid));
  TRY(let_go_of_caller());
  TRY(sys::write_all(ready.get(), std::string_view(&kReady, 1)));
  ready.reset();
  server.live();
}

// The caller waits for this process, which waits for the word of the one that goes on.
int begin(const Call& call) {
  std::array<int, 2> ready{};
  if (::pipe2(ready.data(), O_CLOEXEC) != 0) return 1;
  const pid_t child = ::fork();
  if (child < 0) return 1;
  if (child == 0) {
    ::close(ready[0]);
    const Result<void> failed = serve(call, Fd(ready[1]));
    if (!failed) std::fprintf(stderr, "%s\n", failed.error().text().c_str());
    ::_exit(1);
  }
  ::close(ready[1]);
  char word = 0;
  while (::read(ready[0], &word, 1) < 0 && errno == EINTR) {
  }
  return word == kReady ? 0 : 1;
}

}  // namespace
}  // namespace vrun::view

int main(int argc, char** argv) {
  using namespace vrun;
  const Result<view::Call> call = view::read_call(argc, argv);
  if (call) return view::begin(*call);
  std::fprintf(stderr, "vrun-view: %s\n", call.error().text().c_str());
  return 2;
}
