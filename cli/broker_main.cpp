// vrun-broker: runs `vrun --tenant T ...` as root for the admins of tenant T.
//
// The caller is who the kernel says it is (SO_PEERCRED); the tenant is looked up in root's records;
// the call is checked by the table of broker_rules.hpp; vrun gets the caller's stdin, stdout and
// stderr and nothing else of it: a fixed environment, "/" as its directory, a session of its own.
// Each connection is served by a process of its own, so that a hostile one holds up nobody else.
//
//   vrun-broker                 the socket is descriptor 3 (systemd)
//   vrun-broker --socket PATH   by hand
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/host.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/broker_rules.hpp"
#include "cli/complain.hpp"
#include "tenants/admins.hpp"
#include "tenants/audit.hpp"
#include "tenants/broker_wire.hpp"
#include "tenants/caller_files.hpp"
#include "tenants/refusal_limit.hpp"
#include "tenants/store.hpp"

namespace vrun::cli {
namespace {

using tenants::BrokerAnswer;
using tenants::BrokerRequest;
using tenants::Peer;

constexpr const char* kProgram = "vrun-broker";
constexpr std::size_t kMostAtOnce = 256;
constexpr std::size_t kMostPerUser = 64;
// Of users who manage no tenant, all of them together: they cannot keep others out.
constexpr std::size_t kMostOfStrangers = 16;

struct Setting {
  std::string vrun;      // the program beside ours
  std::string data_dir;  // of root's own environment
  std::string run_dir;
  tenants::RefusalLimit* refusals = nullptr;  // the server's
};

// ---- one call ----

Error not_yours(const std::string& tenant) {
  // The same words whether there is such a tenant or not.
  return Error(Code::kDenied, "no tenant " + quote(tenant.substr(0, 80)) + " that you may manage")
      .hint("ask root: vrun tenant update NAME --admin user:YOU");
}

Result<void> check_right(const BrokerRequest& request, const Peer& peer, const Setting& setting) {
  if (request.tenant == tenants::kDefaultTenant) return not_yours(request.tenant);
  const auto tenant = tenants::Store(setting.data_dir).find(request.tenant);
  if (!tenant) return not_yours(request.tenant);
  const bool may =
      peer.uid == Uid(0) ||
      tenants::is_admin(tenant->admins, tenants::Accounts::of_host(), peer.uid, peer.groups);
  if (!may) return not_yours(request.tenant);
  return {};
}

void note_refusal(const BrokerRequest& request, const Peer& peer, const Setting& setting,
                  const Error& error) {
  constexpr std::uint32_t kUsual = 20;
  // What strangers ask for does not fill a tenant's log, nor the disk.
  const bool known = check_right(request, peer, setting).has_value();
  const auto number = known ? std::optional(1U) : setting.refusals->next(peer.uid, ::time(nullptr));
  if (!number) return;
  tenants::AuditEntry entry;
  entry.uid = peer.uid.value;
  entry.user = tenants::user_name(tenants::Accounts::of_host(), peer.uid);
  entry.by = "broker";
  entry.tenant = known ? request.tenant : "";
  entry.verb = request.words.empty() ? "" : request.words[0];
  entry.words = tenants::without_secrets(request.words);
  entry.code = 125;
  entry.refusal = error.text();
  if (*number > kUsual) entry.refusal += " (refusal " + std::to_string(*number) + " of this hour)";
  static_cast<void>(tenants::note(setting.data_dir + "/tenants", entry));
}

// Registry logins of the tenant are here, not root's.
Result<std::string> home_of(const Setting& setting, const std::string& tenant) {
  const std::string home = setting.data_dir + "/tenants/" + tenant + "/home";
  TRY(fs::make_dirs(At::cwd(), home, 0700));
  return home;
}

std::vector<std::string> environment(const BrokerRequest& request, const Peer& peer,
                                     const Setting& setting, const std::string& home) {
  std::string groups;
  for (const Gid group : peer.groups)
    groups += (groups.empty() ? "" : ",") + std::to_string(group.value);
  std::vector<std::string> env{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                               "HOME=" + home,
                               "VRUN_DATA_DIR=" + setting.data_dir,
                               "VRUN_FIXED_TENANT=" + request.tenant,
                               "VRUN_CALLER_UID=" + std::to_string(peer.uid.value),
                               "VRUN_CALLER_GID=" + std::to_string(peer.gid.value),
                               "VRUN_CALLER_GROUPS=" + groups};
  if (!setting.run_dir.empty()) env.push_back("VRUN_RUN_DIR=" + setting.run_dir);
  if (!request.term.empty()) env.push_back("TERM=" + request.term);
  return env;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> list;
  for (std::string& word : words)
    list.push_back(word.data());
  list.push_back(nullptr);
  return list;
}

// In the child. Nothing of the broker's is left: descriptors, signals, session.
[[noreturn]] void become_vrun(const std::vector<Fd>& given, std::vector<std::string> words,
                              std::vector<std::string> env, const std::string& program) {
  ::setsid();
  ::umask(022);
  std::array<int, 4> high{};
  for (std::size_t i = 0; i < given.size(); ++i)
    high[i] = ::fcntl(given[i].get(), F_DUPFD_CLOEXEC, 10);
  for (int i = 0; i < static_cast<int>(given.size()); ++i) {
    if (::dup2(high[static_cast<std::size_t>(i)], i) < 0) ::_exit(125);
  }
  ::syscall(SYS_close_range, given.size(), ~0U, 0);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int signal : {SIGPIPE, SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGQUIT})
    ::signal(signal, SIG_DFL);
  if (::chdir("/") != 0) ::_exit(125);
  const std::vector<char*> argv = pointers(words), envp = pointers(env);
  ::execve(program.c_str(), argv.data(), envp.data());
  ::_exit(125);
}

// What a person at a terminal could send to a command of their own.
bool may_send(int signal) {
  constexpr std::array<int, 7> kAllowed{SIGHUP,   SIGINT,  SIGQUIT, SIGTERM,
                                        SIGWINCH, SIGUSR1, SIGUSR2};
  return std::find(kAllowed.begin(), kAllowed.end(), signal) != kAllowed.end();
}

// Until vrun has ended. A caller who is gone takes it along: nobody would read its output.
Result<int> wait_for_vrun(const Fd& child, int socket) {
  bool listening = true;
  while (true) {
    std::array<pollfd, 2> watched{pollfd{child.get(), POLLIN, 0},
                                  pollfd{listening ? socket : -1, POLLIN, 0}};
    TRY(sys::poll(watched, -1));
    if ((watched[0].revents & POLLIN) != 0) return TRY(sys::wait(child.get())).code();
    if (watched[1].revents == 0) continue;
    const Result<tenants::Packet> packet = tenants::receive_packet(socket);
    if (!packet || packet->bytes.empty()) {
      listening = false;
      static_cast<void>(sys::pidfd_signal(child.get(), SIGHUP));
      static_cast<void>(sys::pidfd_signal(child.get(), SIGTERM));
      continue;
    }
    const auto signal = tenants::parse_signal_packet(packet->bytes);
    if (signal && may_send(signal->signal))
      static_cast<void>(sys::pidfd_signal(child.get(), signal->signal));
  }
}

Result<int> run_vrun(const BrokerRequest& request, const std::vector<Fd>& given, const Peer& peer,
                     const Setting& setting, int socket) {
  std::vector<std::string> words{"vrun", "--tenant", request.tenant};
  words.insert(words.end(), request.words.begin(), request.words.end());
  const std::string home = TRY(home_of(setting, request.tenant));
  std::vector<std::string> env = environment(request, peer, setting, home);
  if (given.size() > 3) env.emplace_back("VRUN_CALLER_FILES=3");
  const pid_t pid = ::fork();
  if (pid < 0) return Error::system(errno, "start vrun");
  if (pid == 0) become_vrun(given, std::move(words), std::move(env), setting.vrun);
  const Fd child = TRY(sys::pidfd_open(Pid(pid)));
  return wait_for_vrun(child, socket);
}

// Read here already, so that a wrong descriptor is refused before root's vrun starts.
Result<std::vector<std::string>> names_of_files(const std::vector<Fd>& fds) {
  std::vector<std::string> names;
  if (fds.size() <= 3) return names;
  for (const tenants::CallerFile& file : TRY(tenants::read_caller_files(fds[3].get())).files)
    names.push_back(file.asked);
  return names;
}

Result<void> check_call(const BrokerRequest& request, const std::vector<Fd>& fds, const Peer& peer,
                        const Setting& setting) {
  TRY(check_right(request, peer, setting));
  if (fds.size() != 3 && fds.size() != 4)
    return Error(Code::kInvalid, "request: without its three descriptors");
  const std::vector<std::string> sent = TRY(names_of_files(fds));
  TRY(check_brokered(request.tenant, request.words, sent));
  return {};
}

Result<int> serve(int socket, const Peer& peer, const Setting& setting) {
  // A caller who says nothing must not keep the process for ever.
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const tenants::Packet packet = TRY(tenants::receive_packet(socket));
  Result<BrokerRequest> parsed = tenants::parse_request(packet.bytes);
  const BrokerRequest request = parsed ? *std::move(parsed) : BrokerRequest();
  Result<void> good = parsed ? check_call(request, packet.fds, peer, setting)
                             : Result<void>(std::move(parsed).error());
  if (!good) {
    note_refusal(request, peer, setting, good.error());
    return std::move(good).error();
  }
  return run_vrun(request, packet.fds, peer, setting, socket);
}

[[noreturn]] void serve_and_exit(const Fd& socket, const Peer& peer, const Setting& setting) {
  const Result<int> code = serve(socket.get(), peer, setting);
  BrokerAnswer answer;
  answer.code = code ? *code : 125;
  if (!code) {
    answer.error = code.error().text();
    answer.hint = code.error().hint();
  }
  static_cast<void>(tenants::send_packet(socket.get(), tenants::to_json(answer)));
  ::_exit(0);
}

// ---- all calls ----

class Server {
 public:
  Server(Fd listener, Setting setting)
      : listener_(std::move(listener)), setting_(std::move(setting)) {}

  Result<void> run() {
    while (true) {
      Result<Fd> accepted = sys::accept(listener_.get());
      reap();
      if (!accepted) {
        // One caller that is gone already, or too many at this moment, are no end for all others.
        const int reason = accepted.error().sys_errno();
        if (reason != ECONNABORTED && reason != EMFILE && reason != ENFILE && reason != ENOMEM)
          return std::move(accepted).error();
        TRY(sys::poll({}, 10));
        continue;
      }
      const Fd connection = *std::move(accepted);
      const Result<Peer> peer = tenants::peer_of(connection.get());
      if (!peer) continue;
      if (is_full(*peer)) {
        BrokerAnswer busy{125, "too many calls at once", "try again in a moment"};
        static_cast<void>(tenants::send_packet(connection.get(), tenants::to_json(busy)));
        continue;
      }
      const pid_t pid = ::fork();
      if (pid == 0) {
        listener_.reset();
        serve_and_exit(connection, *peer, setting_);
      }
      if (pid > 0) children_[pid] = {peer->uid, !manages_something(*peer)};
    }
  }

 private:
  void reap() {
    for (pid_t pid = ::waitpid(-1, nullptr, WNOHANG); pid > 0;
         pid = ::waitpid(-1, nullptr, WNOHANG))
      children_.erase(pid);
  }
  std::size_t count(auto fits) const {
    return static_cast<std::size_t>(std::count_if(
        children_.begin(), children_.end(), [&](const auto& child) { return fits(child.second); }));
  }
  bool is_full(const Peer& peer) {
    if (!manages_something(peer)) {
      return count([](const Child& one) { return one.is_stranger; }) >= kMostOfStrangers;
    }
    return count([](const Child& one) { return !one.is_stranger; }) >= kMostAtOnce ||
           count([&](const Child& one) { return one.uid == peer.uid; }) >= kMostPerUser;
  }

  // Whoever did once is not looked up again: this bounds who waits, and allows nothing.
  bool manages_something(const Peer& peer) {
    if (peer.uid == Uid(0) || managers_.contains(peer.uid.value)) return true;
    const auto all = tenants::Store(setting_.data_dir).list();
    const bool does = all && std::any_of(all->begin(), all->end(), [&](const auto& tenant) {
                        return tenants::is_admin(tenant.admins, tenants::Accounts::of_host(),
                                                 peer.uid, peer.groups);
                      });
    if (does) managers_.insert(peer.uid.value);
    return does;
  }

  Fd listener_;
  Setting setting_;
  struct Child {
    Uid uid;
    bool is_stranger = false;
  };
  std::map<pid_t, Child> children_;
  std::set<std::uint32_t> managers_;
};

Result<Fd> listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!path.starts_with('/') || path.size() >= sizeof address.sun_path) {
    return Error(Code::kInvalid,
                 "--socket " + quote(path) + ": not an absolute path below 108 bytes");
  }
  std::copy(path.begin(), path.end(), address.sun_path);
  TRY(fs::make_dirs(At::cwd(), std::string(fs::dir_name(path)), 0755));
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return Error::system(errno, "make a socket");
  const auto* where = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(socket.get(), where, sizeof address) == 0) {
    return Error(Code::kExists, "a broker listens on " + quote(path) + " already");
  }
  if (errno == ECONNREFUSED) static_cast<void>(sys::unlink(At::cwd(), path));  // of one that died
  socket.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const mode_t before = ::umask(0111);  // anybody may ask
  const int bound = ::bind(socket.get(), where, sizeof address);
  const int bind_errno = errno;
  ::umask(before);
  if (bound != 0) return Error::system(bind_errno, "bind " + quote(path));
  if (::listen(socket.get(), 128) != 0) return Error::system(errno, "listen on " + quote(path));
  return socket;
}

// sd_listen_fds(3): one socket, and it is ours.
Result<Fd> inherited(const Host& host) {
  const auto pid = parse_i64(host.variable("LISTEN_PID"));
  if (!pid || *pid != ::getpid() || host.variable("LISTEN_FDS") != "1") {
    return Error(Code::kInvalid, "no socket")
        .hint("vrun-broker --socket PATH, or the systemd unit vrun-broker.socket");
  }
  TRY(sys::set_inheritable(3, false));
  return Fd(3);
}

Result<Fd> listener_of(const std::vector<std::string>& words, const Host& host) {
  if (words.empty()) return inherited(host);
  if (words.size() == 2 && words[0] == "--socket") return listen_at(words[1]);
  if (words.size() == 1 && words[0].starts_with("--socket=")) return listen_at(words[0].substr(9));
  return Error(Code::kInvalid, "unknown words").hint("usage: vrun-broker [--socket PATH]");
}

Result<Setting> find_setting(const Host& host) {
  if (host.rootless()) return Error(Code::kDenied, "needs root");
  Setting setting;
  const std::string own = TRY(sys::read_link(At::cwd(), host.proc + "/self/exe"));
  setting.vrun = std::string(fs::dir_name(own)) + "/vrun";
  TRY(sys::stat(At::cwd(), setting.vrun));
  setting.data_dir = host.variable("VRUN_DATA_DIR");
  if (setting.data_dir.empty()) setting.data_dir = "/var/lib/vrun";
  setting.run_dir = host.variable("VRUN_RUN_DIR");
  return setting;
}

Result<void> broker(const std::vector<std::string>& words) {
  const Host host = Host::current();
  Setting setting = TRY(find_setting(host));
  Fd listener = TRY(listener_of(words, host));
  tenants::RefusalLimit refusals = TRY(tenants::RefusalLimit::create());
  setting.refusals = &refusals;
  ::signal(SIGPIPE, SIG_IGN);
  return Server(std::move(listener), std::move(setting)).run();
}

}  // namespace
}  // namespace vrun::cli

int main(int argc, char** argv) {
  const auto done = vrun::cli::broker({argv + std::min(argc, 1), argv + argc});
  if (done) return 0;
  vrun::cli::complain("vrun-broker", done.error());
  return 1;
}
