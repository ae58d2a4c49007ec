#include "cli/broker_call.hpp"

#include <array>
#include <cerrno>

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "tenants/broker_wire.hpp"
#include "tenants/record.hpp"

namespace vrun::cli {
namespace {

Result<Fd> connect(const Host& host) {
  std::string path(host.variable("VRUN_BROKER"));
  if (path.empty()) path = tenants::kBrokerSocket;
  // sun_path has 108 bytes, of which the way to the directory takes some (unix(7)).
  constexpr std::size_t kMostName = 80;
  const std::string name(fs::base_name(path));
  if (name.size() > kMostName)
    return Error(Code::kInvalid, "VRUN_BROKER: the name of the socket " + quote(path) +
                                     " is longer than " + std::to_string(kMostName) + " bytes");
  Result<Fd> dir = sys::open_dir(At::cwd(), std::string(fs::dir_name(path)));
  Result<Fd> socket = dir ? sys::connect_packets(*dir, name) : std::move(dir);
  if (socket) return socket;
  return std::move(socket)
      .error()
      .during("tenants need root or vrun-broker")
      .hint(
          "root starts it: systemctl enable --now vrun-broker.socket, or vrun-broker --socket PATH "
          "(VRUN_BROKER names another path)");
}

// What the terminal or others send us is for the command; it decides whether it ends.
Result<Fd> watch_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH, SIGUSR1, SIGUSR2})
    ::sigaddset(&set, signal);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  const int fd = ::signalfd(-1, &set, SFD_CLOEXEC);
  if (fd < 0) return Error::system(errno, "watch signals");
  return Fd(fd);
}

Result<void> forward(const Fd& signals, const Fd& socket) {
  signalfd_siginfo info{};
  TRY(sys::read(signals.get(), {reinterpret_cast<char*>(&info), sizeof info}));
  const tenants::BrokerSignal packet{static_cast<std::int32_t>(info.ssi_signo)};
  // A broker that is gone shows at the socket.
  static_cast<void>(tenants::send_packet(socket.get(), tenants::to_json(packet)));
  return {};
}

Result<int> take_answer(const Fd& socket) {
  const tenants::Packet packet = TRY(tenants::receive_packet(socket.get()));
  if (packet.bytes.empty()) return Error(Code::kInternal, "vrun-broker ended without an answer");
  const tenants::BrokerAnswer answer = TRY(tenants::parse_answer(packet.bytes));
  if (answer.error.empty()) return answer.code;
  return Error(Code::kDenied, answer.error).hint(answer.hint);
}

}  // namespace

bool wants_broker(const std::string& tenant, const Host& host) {
  return host.rootless() && tenant != tenants::kDefaultTenant;
}

Result<int> call_broker(const std::string& tenant, const std::vector<std::string>& words,
                        const BrokerGifts& gifts, const Host& host) {
  const Fd socket = TRY(connect(host));
  const Fd signals = TRY(watch_signals());
  tenants::BrokerRequest request;
  request.tenant = tenant;
  request.words = words;
  request.term = host.variable("TERM");
  std::vector<int> fds{gifts.in, gifts.out, STDERR_FILENO};
  Fd files;
  if (!gifts.files.empty()) {
    files = TRY(tenants::to_memfd(gifts.files));
    fds.push_back(files.get());
  }
  TRY(tenants::send_packet(socket.get(), tenants::to_json(request), fds));
  while (true) {
    std::array<pollfd, 2> watched{pollfd{socket.get(), POLLIN, 0},
                                  pollfd{signals.get(), POLLIN, 0}};
    TRY(sys::poll(watched, -1));
    if (watched[1].revents != 0) TRY(forward(signals, socket));
    if (watched[0].revents != 0) return take_answer(socket);
  }
}

}  // namespace vrun::cli
