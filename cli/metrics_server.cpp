#include "cli/metrics_server.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostConnections = 32;
constexpr std::size_t kMostHead = 8192;
constexpr std::chrono::seconds kPatience{5};  // for the request, and again for the answer

Error not_local(const std::string& where) {
  return Error(Code::kInvalid, "--listen " + quote(where) + ": not an address of this host alone")
      .hint("unix:/PATH, 127.0.0.1:PORT or [::1]:PORT");
}

Result<Fd> bound(int family, const void* address, socklen_t size, const std::string& where) {
  Fd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return Error::system(errno, "make a socket");
  const int on = 1;
  if (family != AF_UNIX) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(socket.get(), static_cast<const sockaddr*>(address), size) != 0)
    return Error::system(errno, "listen on " + quote(where));
  if (::listen(socket.get(), 64) != 0) return Error::system(errno, "listen on " + quote(where));
  return socket;
}

// A socket that nobody listens on any more is a dead one's, and goes.
Result<Fd> listen_unix(const std::string& path, const std::string& where) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!path.starts_with('/') || path.size() >= sizeof address.sun_path) return not_local(where);
  std::copy(path.begin(), path.end(), address.sun_path);
  const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto* to = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(probe.get(), to, sizeof address) != 0 && errno == ECONNREFUSED)
    static_cast<void>(sys::unlink(At::cwd(), path));
  return bound(AF_UNIX, &address, sizeof address, where);
}

// sd_listen_fds(3): one socket, made by somebody who chose who may reach it.
Result<Fd> inherited(const Host& host) {
  const auto pid = parse_i64(host.variable("LISTEN_PID"));
  if (!pid || *pid != ::getpid() || host.variable("LISTEN_FDS") != "1") {
    return Error(Code::kInvalid, "--listen systemd: systemd gave no socket")
        .hint("the unit vrun-metrics.socket, or an address: unix:/PATH, 127.0.0.1:PORT");
  }
  constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
  TRY(sys::set_inheritable(kFirst, false));
  // The turn of one connection must not wait for the next.
  const int flags = ::fcntl(kFirst, F_GETFL);
  if (flags < 0 || ::fcntl(kFirst, F_SETFL, flags | O_NONBLOCK) != 0)
    return Error::system(errno, "prepare the socket of systemd");
  return Fd(kFirst);
}

// ---- HTTP ----

std::string answer(std::string_view status, std::string_view body, bool with_body = true) {
  std::string text = "HTTP/1.1 " + std::string(status) +
                     "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                     "Connection: close\r\nContent-Length: " +
                     std::to_string(body.size()) + "\r\n\r\n";
  if (with_body) text += body;
  return text;
}

struct Connection {
  Fd socket;
  Clock::time_point end;
  std::string head, reply;
  std::size_t sent = 0;
  bool answers = false;
};

// False: it is over.
bool take_bytes(Connection& one, const MakeText& make) {
  std::array<char, 2048> buffer{};
  const ssize_t n = ::recv(one.socket.get(), buffer.data(), buffer.size(), 0);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) return false;
  one.head.append(buffer.data(), static_cast<std::size_t>(n));
  const std::size_t end = one.head.find("\r\n\r\n");
  if (end == std::string::npos && one.head.size() <= kMostHead) return true;
  one.reply = end == std::string::npos || end > kMostHead
                  ? answer("431 Request Header Fields Too Large", "too long\n")
                  : http_answer(one.head.substr(0, end), make);
  one.answers = true;
  one.end = Clock::now() + kPatience;
  return true;
}

bool give_bytes(Connection& one) {
  const ssize_t n = ::send(one.socket.get(), one.reply.data() + one.sent,
                           one.reply.size() - one.sent, MSG_NOSIGNAL);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  one.sent += static_cast<std::size_t>(n);
  return one.sent < one.reply.size();
}

class Server {
 public:
  Server(const Fd& listener, const MakeText& make) : listener_(listener), make_(make) {}

  Result<void> run(const Fd& signals) {
    while (true) {
      std::vector<pollfd> watched{{signals.get(), POLLIN, 0},
                                  {is_full() ? -1 : listener_.get(), POLLIN, 0}};
      for (const Connection& one : all_)
        watched.push_back(
            {one.socket.get(), static_cast<short>(one.answers ? POLLOUT : POLLIN), 0});
      TRY(sys::poll(watched, all_.empty() ? -1 : 500));
      if (watched[0].revents != 0) return {};
      for (std::size_t i = 0; i < all_.size(); ++i)
        serve(all_[i], watched[i + 2].revents != 0);
      std::erase_if(all_, [](const Connection& one) { return !one.socket; });
      if (watched[1].revents != 0) accept();
    }
  }

 private:
  bool is_full() const { return all_.size() >= kMostConnections; }

  void serve(Connection& one, bool ready) {
    bool goes_on = Clock::now() < one.end;
    if (goes_on && ready) goes_on = one.answers ? give_bytes(one) : take_bytes(one, make_);
    if (!goes_on) one.socket.reset();
  }

  void accept() {
    Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) return;  // gone again, or too many files: the next turn
    Connection one;
    one.socket = std::move(socket);
    one.end = Clock::now() + kPatience;
    all_.push_back(std::move(one));
  }

  const Fd& listener_;
  const MakeText& make_;
  std::vector<Connection> all_;
};

Result<Fd> ending_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  const int fd = ::signalfd(-1, &set, SFD_CLOEXEC);
  if (fd < 0) return Error::system(errno, "watch signals");
  return Fd(fd);
}

}  // namespace

Result<Fd> listen_for_metrics(const std::string& where, const Host& here) {
  if (where == "systemd") return inherited(here);
  if (where.starts_with("unix:")) return listen_unix(where.substr(5), where);
  const std::size_t colon = where.rfind(':');
  if (colon == std::string::npos) return not_local(where);
  const std::string host = where.substr(0, colon);
  const auto port = parse_u64(where.substr(colon + 1));
  if (!port || *port > 65535) return not_local(where);
  if (host == "[::1]") {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_addr = in6addr_loopback;
    address.sin6_port = htons(static_cast<std::uint16_t>(*port));
    return bound(AF_INET6, &address, sizeof address, where);
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(*port));
  const std::string numbers = host == "localhost" ? "127.0.0.1" : host;
  if (::inet_pton(AF_INET, numbers.c_str(), &address.sin_addr) != 1) return not_local(where);
  if (ntohl(address.sin_addr.s_addr) >> 24U != IN_LOOPBACKNET) return not_local(where);
  return bound(AF_INET, &address, sizeof address, where);
}

std::string address_of(const Fd& listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    const auto& four = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &four.sin_addr, text.data(), text.size());
    return std::string(text.data()) + ":" + std::to_string(ntohs(four.sin_port));
  }
  if (address.ss_family == AF_INET6)
    return "[::1]:" +
           std::to_string(ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port));
  return std::string("unix:") + reinterpret_cast<const sockaddr_un&>(address).sun_path;
}

std::string http_answer(const std::string& head, const MakeText& make) {
  const std::vector<std::string_view> words =
      split(std::string_view(head).substr(0, head.find("\r\n")), ' ');
  const bool well_formed =
      words.size() == 3 && words[1].starts_with('/') && words[2].starts_with("HTTP/1.");
  if (!well_formed) return answer("400 Bad Request", "not a request of HTTP/1.1\n");
  if (words[0] != "GET" && words[0] != "HEAD")
    return answer("405 Method Not Allowed", "GET or HEAD\n");
  if (words[1].substr(0, words[1].find('?')) != "/metrics")
    return answer("404 Not Found", "there is /metrics\n");
  const Result<std::string> text = make();
  if (!text) return answer("500 Internal Server Error", printable(text.error().text()) + "\n");
  return answer("200 OK", *text, words[0] == "GET");
}

Result<void> serve_metrics(const Fd& listener, const MakeText& make) {
  const Fd signals = TRY(ending_signals());
  return Server(listener, make).run(signals);
}

}  // namespace vrun::cli
