#include "engine/rootless_network.hpp"

#include <array>
#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/spawn.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "network/names.hpp"
#include "network/rootless.hpp"
#include "runtime/process_mark.hpp"

namespace vrun::engine {
namespace {

using network::AttachRequest;
using network::RootlessTools;

constexpr int kReadyMs = 20000;
constexpr int kEndMs = 2000;
constexpr std::size_t kMostBytes = 1U << 20U;

std::string uplinks_dir(const Guests& guests) {
  return fs::join(guests.places().run, "uplinks");
}

std::string text_of_file(const std::string& path) {
  return fs::read_file(At::cwd(), path, kMostBytes).value_or("");
}

// A default route in the namespace that we are in, which is the host's.
bool has_way_out(const Host& host) {
  const std::string routes = text_of_file(host.proc + "/self/net/route");
  for (const std::string_view line : split(routes, '\n')) {
    const auto fields = split(line, '\t');
    if (fields.size() > 2 && fields[1] == "00000000" && fields[2] != "00000000") return true;
  }
  const std::string routes6 = text_of_file(host.proc + "/self/net/ipv6_route");
  constexpr std::string_view kDefault = "00000000000000000000000000000000 00 ";
  for (const std::string_view line : split(routes6, '\n')) {
    if (line.starts_with(kDefault) && !line.ends_with(" lo")) return true;
  }
  return false;
}

// ---- the process ----

Result<void> note_process(const Fd& dir, const std::string& id, Pid pid) {
  const auto start = runtime::start_time_of(pid);
  if (!start) return Error(Code::kState, "the guest's network ended at once");
  return fs::replace_file(dir, id, std::to_string(pid.value) + " " + std::to_string(*start) + "\n");
}

Result<std::optional<Fd>> open_noted(const Fd& dir, const std::string& id) {
  const std::string text = fs::read_file(dir, id, 64, fs::Kind::kRegularOnly).value_or("");
  const auto fields = split(trim(text), ' ');
  const auto pid = parse_u64(fields[0]);
  const auto start = fields.size() == 2 ? parse_u64(fields[1]) : std::nullopt;
  if (!pid || !start) return std::optional<Fd>();
  const Pid process(static_cast<pid_t>(*pid));
  Result<Fd> pidfd = sys::pidfd_open(process);
  // Looked at after it was opened: a number that was reused has another start time.
  if (!pidfd || runtime::start_time_of(process) != *start) return std::optional<Fd>();
  return std::optional<Fd>(*std::move(pidfd));
}

Result<void> end_process(const Fd& process) {
  for (const int signal : {SIGTERM, SIGKILL}) {
    if (!sys::pidfd_signal(process.get(), signal)) break;
    std::array<pollfd, 1> ended{pollfd{process.get(), POLLIN, 0}};
    if (TRY(sys::poll(ended, kEndMs)) > 0) break;
  }
  return {};
}

// What is to be done where the programs fail.
std::string network_hint() {
  const char* const missing = sys::stat(At::cwd(), "/dev/net/tun")
                                  ? ""
                                  : "/dev/net/tun is not there: root makes it by modprobe tun; ";
  return missing + std::string("--network none starts the guest without a network");
}

// ---- pasta ----

Error pasta_failed(const std::string& output) {
  std::vector<std::string> lines;
  for (const std::string_view line : split(trim(output), '\n')) {
    // Where no syslog listens each line comes with a complaint about that.
    if (!line.starts_with("Failed to send ")) lines.emplace_back(line);
  }
  Error error(Code::kSystem, "network without root: pasta: " + printable(join(lines, "; ")));
  return std::move(error).hint(
      "a port below 1024 needs root or sysctl net.ipv4.ip_unprivileged_port_start; " +
      network_hint());
}

// pasta goes to the background when the network is there.
Result<void> start_pasta(const Guests& guests, std::vector<std::string> words, const Fd& dir,
                         const std::string& id) {
  const std::string file = id + ".pid";
  const std::string path = fs::join(uplinks_dir(guests), file);
  words.insert(words.end() - 1, {"--quiet", "--pid", path});
  Command command;
  command.path = words[0];
  command.argv = words;
  command.env = guests.host().env;
  command.timeout = std::chrono::milliseconds(kReadyMs);
  const Finished finished = TRY(run(command));
  const auto pid = parse_u64(trim(fs::read_file(dir, file, 64).value_or("")));
  static_cast<void>(sys::unlink(dir, file));
  if (finished.exit.code() != 0 || !pid) return pasta_failed(finished.output);
  return note_process(dir, id, Pid(static_cast<pid_t>(*pid)));
}

// ---- slirp4netns ----

// In the child: `ready` and stdio are all that it inherits.
[[noreturn]] void exec_slirp(std::vector<std::string>& words, const Fd& dir, const Fd& ready,
                             const Fd& output) {
  std::vector<char*> argv;
  for (std::string& word : words)
    argv.push_back(word.data());
  argv.push_back(nullptr);
  ::setsid();  // signals of the caller's terminal are not for it
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  const bool good = ::dup2(null, 0) >= 0 && ::dup2(output.get(), 1) >= 0 &&
                    ::dup2(output.get(), 2) >= 0 && ::fchdir(dir.get()) == 0 &&
                    ::syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) == 0 &&
                    ::fcntl(ready.get(), F_SETFD, 0) == 0;
  if (good) ::execv(argv[0], argv.data());
  ::_exit(125);
}

std::string text_of(const Fd& output) {
  static_cast<void>(::lseek(output.get(), 0, SEEK_SET));
  std::string text(4096, '\0');
  text.resize(sys::read(output.get(), text).value_or(0));
  return text;
}

// One request, one answer: {"execute": ...} -> {"return": ...} or {"error": {"desc": ...}}.
Result<void> ask_slirp(const std::string& socket, const std::string& request) {
  const Fd connection = TRY(sys::connect_stream(socket));
  TRY(sys::write_all(connection.get(), request));
  if (::shutdown(connection.get(), SHUT_WR) != 0) return Error::system(errno, "ask slirp4netns");
  std::string answer;
  std::array<char, 1024> buffer{};
  std::array<pollfd, 1> readable{pollfd{connection.get(), POLLIN, 0}};
  while (TRY(sys::poll(readable, kReadyMs)) > 0) {
    const std::size_t n = TRY(sys::read(connection.get(), buffer));
    if (n == 0) break;
    answer.append(buffer.data(), n);
  }
  if (answer.find("\"return\"") != std::string::npos) return {};
  return Error(Code::kSystem, "slirp4netns: " + printable(trim(answer)));
}

Result<void> forward(const std::string& socket, const network::Publish& port) {
  for (std::uint16_t i = 0; i < port.count; ++i) {
    const std::string address = port.host4 ? network::to_text(*port.host4) : "0.0.0.0";
    const std::string request = "{\"execute\":\"add_hostfwd\",\"arguments\":{\"proto\":\"" +
                                std::string(network::to_text(port.protocol)) +
                                "\",\"host_addr\":\"" + address +
                                "\",\"host_port\":" + std::to_string(port.host_port + i) +
                                ",\"guest_port\":" + std::to_string(port.guest_port + i) + "}}";
    Result<void> added = ask_slirp(socket, request);
    if (added) continue;
    return std::move(added)
        .error()
        .during("publish " + network::to_text(port))
        .hint(
            "is the port free? one below 1024 needs root, or sysctl "
            "net.ipv4.ip_unprivileged_port_start");
  }
  return {};
}

struct Pipe {
  Fd read, write;
  static Result<Pipe> make() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Error::system(errno, "make a pipe");
    return Pipe{Fd(ends[0]), Fd(ends[1])};
  }
};

// Its parent ends at once: a monitor waits for all of its children at the guest's end, and this
// one does not end by itself.
Result<Pid> fork_slirp(std::vector<std::string>& words, const Fd& dir, const Fd& ready,
                       const Fd& output) {
  const Pipe number = TRY(Pipe::make());
  const pid_t between = ::fork();
  if (between < 0) return Error::system(errno, "start slirp4netns");
  if (between == 0) {
    const pid_t child = ::fork();
    if (child == 0) exec_slirp(words, dir, ready, output);
    const auto bytes = std::span(reinterpret_cast<const char*>(&child), sizeof child);
    const bool told = child > 0 && sys::write_all(number.write.get(),
                                                  std::string_view(bytes.data(), bytes.size()));
    ::_exit(told ? 0 : 125);
  }
  int status = 0;
  while (::waitpid(between, &status, 0) < 0 && errno == EINTR) {
  }
  pid_t child = 0;
  if (status != 0 || ::read(number.read.get(), &child, sizeof child) != sizeof child) {
    return Error(Code::kSystem, "start slirp4netns: no process");
  }
  return Pid(child);
}

Result<Fd> wait_until_ready(Pid child, const Fd& ready, const Fd& output) {
  // It may have failed already, and be gone.
  Result<Fd> opened = sys::pidfd_open(child);
  std::array<pollfd, 1> readable{pollfd{ready.get(), POLLIN, 0}};
  std::array<char, 1> byte{};
  const bool told = TRY(sys::poll(readable, kReadyMs)) > 0;
  if (opened && told && sys::read(ready.get(), byte).value_or(0) == 1) return opened;
  if (opened) TRY(end_process(*opened));
  return Error(Code::kSystem,
               "network without root: slirp4netns: " + printable(trim(text_of(output))))
      .hint(network_hint());
}

Result<void> start_slirp(std::vector<std::string> words, const AttachRequest& request,
                         const std::string& uplinks, const Fd& dir, const std::string& id) {
  Pipe ready = TRY(Pipe::make());
  const Fd output = TRY(sys::memfd("slirp4netns"));
  const std::string socket = id.substr(0, 12) + ".api";
  words.insert(words.end() - 2, {"--ready-fd", std::to_string(ready.write.get())});
  if (!request.ports.empty()) words.insert(words.end() - 2, {"--api-socket", socket});
  const Pid child = TRY(fork_slirp(words, dir, ready.write, output));
  ready.write.reset();
  const Fd process = TRY(wait_until_ready(child, ready.read, output));
  Result<void> done = note_process(dir, id, child);
  for (const network::Publish& port : request.ports) {
    if (done) done = forward(fs::join(uplinks, socket), port);
  }
  // Ports do not change while the guest runs: nobody speaks to it again.
  static_cast<void>(sys::unlink(dir, socket));
  if (done) return {};
  static_cast<void>(end_process(process));
  static_cast<void>(sys::unlink(dir, id));
  return done;
}

// ---- names ----

// slirp4netns answers at an address of its own; with pasta the guest asks the host's resolvers,
// and where those are on the host's loopback an address that pasta forwards.
Result<void> write_resolver(const AttachRequest& request, const std::string& own_server) {
  network::ResolverWishes wishes{request.dns, request.dns_search, request.dns_options};
  if (wishes.servers.empty() && !own_server.empty()) wishes.servers = {own_server};
  const network::Resolver resolver = network::resolver_text(
      text_of_file("/etc/resolv.conf"), text_of_file("/run/systemd/resolve/resolv.conf"), wishes);
  if (!resolver.warning.empty()) log::warning(resolver.warning);
  return network::write_in_place(At::cwd(), request.resolv_file, resolver.text);
}

// True: the guest starts without one.
Result<bool> goes_without(const AttachRequest& request, const RootlessTools& tools,
                          const Host& host) {
  const bool is_default =
      request.joins.size() == 1 && request.joins[0].network == network::kDefaultNetwork;
  if (!is_default || !request.ports.empty()) return false;
  if (tools.pasta.empty() && tools.slirp4netns.empty()) {
    log::warning(
        "neither pasta nor slirp4netns is installed: the guest has no network but loopback "
        "(apt install passt; --network none says that it is meant)");
    return true;
  }
  if (!tools.pasta.empty() && !has_way_out(host)) {
    log::warning("the host has no way out: the guest has no network but loopback");
    return true;
  }
  return false;
}

}  // namespace

Result<void> attach_uplink(const Guests& guests, const GuestRecord& record,
                           const AttachRequest& request, Pid pid) {
  const RootlessTools tools = RootlessTools::find(guests.host());
  if (TRY(goes_without(request, tools, guests.host()))) return {};
  const std::vector<std::string> words = TRY(network::rootless_command(request, pid, tools));
  const std::string path = uplinks_dir(guests);
  TRY(fs::make_dirs(At::cwd(), path, 0700));
  const Fd dir = TRY(sys::open_dir(At::cwd(), path));
  TRY(detach_uplink(guests, record.id));  // of a life that was killed
  const bool slirp = words[0] == tools.slirp4netns;
  TRY(write_resolver(request, slirp ? network::kSlirpResolver : ""));
  if (slirp) return start_slirp(words, request, path, dir, record.id);
  return start_pasta(guests, words, dir, record.id);
}

Result<void> detach_uplink(const Guests& guests, const std::string& id) {
  const Result<Fd> dir = sys::open_dir(At::cwd(), uplinks_dir(guests));
  if (!dir) return {};
  const std::optional<Fd> process = TRY(open_noted(*dir, id));
  if (process) TRY(end_process(*process));
  static_cast<void>(sys::unlink(*dir, id));
  return {};
}

Result<void> sweep_uplinks(const Guests& guests) {
  const Result<Fd> dir = sys::open_dir(At::cwd(), uplinks_dir(guests));
  if (!dir) return {};
  for (const std::string& id : TRY(sys::list_dir(dir->get()))) {
    if (id.find('.') != std::string::npos) continue;  // being made
    if (!runtime::state(guests.context(), id)) TRY(detach_uplink(guests, id));
  }
  return {};
}

}  // namespace vrun::engine
