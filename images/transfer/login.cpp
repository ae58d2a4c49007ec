#include "images/transfer/login.hpp"

#include <array>

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"
#include "oci/image.hpp"

namespace vrun::images {
namespace {

constexpr std::size_t kMostSecret = 64U << 10U;  // tokens are long

// A line or everything, without the line end.
Result<std::string> read_text(int fd, bool one_line, Interrupts& interrupts) {
  std::string text;
  std::array<char, 1> byte{};
  while (text.size() < kMostSecret) {
    std::array<pollfd, 2> fds{pollfd{fd, POLLIN, 0}, pollfd{interrupts.fd().get(), POLLIN, 0}};
    TRY(sys::poll(fds, -1));
    if (fds[1].revents != 0) return interrupts.error();
    const std::size_t n = TRY(sys::read(fd, byte));
    if (n == 0 || (one_line && byte[0] == '\n')) break;
    text += byte[0];
  }
  while (text.ends_with('\n') || text.ends_with('\r'))
    text.pop_back();
  return text;
}

Result<std::string> ask(const Fd& terminal, const std::string& question, Interrupts& interrupts) {
  TRY(sys::write_all(terminal.get(), question));
  return read_text(terminal.get(), true, interrupts);
}

Result<std::string> ask_hidden(const Fd& terminal, const std::string& question,
                               Interrupts& interrupts) {
  termios before{};
  if (::tcgetattr(terminal.get(), &before) != 0) return Error::system(errno, "read terminal mode");
  termios hidden = before;
  hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  if (::tcsetattr(terminal.get(), TCSAFLUSH, &hidden) != 0) {
    return Error::system(errno, "set terminal mode");
  }
  const Undo restore([&] { ::tcsetattr(terminal.get(), TCSAFLUSH, &before); });
  Result<std::string> answer = ask(terminal, question, interrupts);
  static_cast<void>(sys::write_all(terminal.get(), "\n"));
  return answer;
}

Result<Fd> open_terminal(const std::string& missing) {
  if (::isatty(STDIN_FILENO) == 1) return sys::open(At::cwd(), "/dev/tty", O_RDWR | O_NOCTTY);
  return Error(Code::kInvalid, "no " + missing + ", and no terminal to ask for it")
      .hint("use --username NAME --password-stdin");
}

}  // namespace

Result<std::string> registry_host(const std::string& word) {
  std::string host = word.empty() ? "docker.io" : word;
  if (const std::size_t scheme = host.find("://"); scheme != std::string::npos) {
    host.erase(0, scheme + 3);
  }
  host = host.substr(0, host.find('/'));
  if (host == "index.docker.io" || host == "registry-1.docker.io") host = "docker.io";
  const Result<oci::Reference> name = oci::Reference::parse(host + "/x/y");
  if (name && name->domain == host) return host;
  return Error(Code::kInvalid, quote(word) + " is not a registry")
      .hint("write its host, as it stands in image names: registry.example.org:5000");
}

Result<Credentials> ask_credentials(const TransferRequest& request, const std::string& host,
                                    Interrupts& interrupts) {
  Credentials out;
  out.user = request.username;
  if (request.password_stdin) {
    if (out.user.empty()) {
      return Error(Code::kInvalid, "a password from stdin needs --username");
    }
    out.password = TRY(read_text(STDIN_FILENO, false, interrupts));
  } else {
    const Fd terminal = TRY(open_terminal(out.user.empty() ? "user name" : "password"));
    if (out.user.empty()) out.user = TRY(ask(terminal, "User name for " + host + ": ", interrupts));
    out.password = TRY(ask_hidden(terminal, "Password: ", interrupts));
  }
  if (out.user.empty() || out.password.empty()) {
    return Error(Code::kInvalid,
                 out.user.empty() ? "the user name is empty" : "the password is empty");
  }
  if (out.user.find(':') != std::string::npos) {
    return Error(Code::kInvalid, "a user name cannot have a colon");  // RFC 7617, section 2
  }
  return out;
}

}  // namespace vrun::images
