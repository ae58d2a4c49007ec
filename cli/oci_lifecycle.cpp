// create, start, run, delete, kill, pause, resume, state: one call of runtime/ each.
#include <csignal>

#include <fcntl.h>
#include <unistd.h>

#include "base/signals.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/oci.hpp"
#include "cli/oci_json.hpp"

namespace vrun::cli {
namespace {

constexpr unsigned kFirstFd = 3;

// Socket activation (sd_listen_fds(3)): the descriptors are meant for us if LISTEN_PID is our pid.
unsigned listen_fds(const Host& host) {
  const auto pid = parse_u64(host.variable("LISTEN_PID"));
  const auto count = parse_u64(host.variable("LISTEN_FDS"));
  constexpr unsigned kMost = 1U << 20U;
  if (!pid || !count || *count > kMost) return 0;
  return *pid == static_cast<std::uint64_t>(::getpid()) ? static_cast<unsigned>(*count) : 0;
}

}  // namespace

Result<unsigned> preserved_fds(const Arguments& arguments, unsigned first) {
  const std::int64_t count = arguments.number("preserve-fds");
  constexpr std::int64_t kMost = 1 << 20;  // no process may have more (fs.nr_open)
  if (count < 0 || count > kMost) {
    return Error(Code::kInvalid, "flag --preserve-fds: " + std::to_string(count) +
                                     " is not between 0 and " + std::to_string(kMost));
  }
  for (unsigned i = 0; i < static_cast<unsigned>(count); ++i) {
    const int fd = static_cast<int>(first + i);
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    return Error::system(errno, "flag --preserve-fds " + std::to_string(count) + ": descriptor " +
                                    std::to_string(fd))
        .with_code(Code::kInvalid)
        .hint("the caller has to leave descriptors " + std::to_string(first) + " to " +
              std::to_string(first + static_cast<unsigned>(count) - 1) + " open");
  }
  return static_cast<unsigned>(count);
}

Result<runtime::CreateOptions> create_options(const OciCall& call) {
  const Arguments& given = call.arguments;
  runtime::CreateOptions options;
  options.id = given.word(0);
  if (given.has("bundle")) options.bundle = given.text("bundle");
  options.console_socket = given.text("console-socket");
  options.pidfd_socket = given.text("pidfd-socket");
  options.pid_file = given.text("pid-file");
  options.no_pivot = given.on("no-pivot");
  options.no_new_keyring = given.on("no-new-keyring");
  options.listen_fds = listen_fds(call.context.host);
  options.preserve_fds =
      options.listen_fds + TRY(preserved_fds(given, kFirstFd + options.listen_fds));
  return options;
}

Result<int> print(std::string_view text) {
  Result<void> written = sys::write_all(STDOUT_FILENO, text);
  if (!written) return std::move(written).error().during("write to stdout");
  return 0;
}

Result<int> oci_create(const OciCall& call) {
  const runtime::CreateOptions options = TRY(create_options(call));
  TRY(runtime::create(call.context, options));
  return 0;
}

Result<int> oci_run(const OciCall& call) {
  return runtime::run(call.context, {.create = TRY(create_options(call)),
                                     .detach = call.arguments.on("detach"),
                                     .keep = call.arguments.on("keep")});
}

Result<int> oci_start(const OciCall& call) {
  TRY(runtime::start(call.context, call.arguments.word(0)));
  return 0;
}

Result<int> oci_state(const OciCall& call) {
  return print(state_json(TRY(runtime::state(call.context, call.arguments.word(0)))));
}

Result<int> oci_kill(const OciCall& call) {
  const Arguments& given = call.arguments;
  const int signal = given.words().size() > 1 ? TRY(parse_signal(given.word(1))) : SIGTERM;
  TRY(runtime::kill(call.context, given.word(0), signal, given.on("all")));
  return 0;
}

Result<int> oci_delete(const OciCall& call) {
  TRY(runtime::remove(call.context, call.arguments.word(0), call.arguments.on("force")));
  return 0;
}

Result<int> oci_pause(const OciCall& call) {
  TRY(runtime::pause(call.context, call.arguments.word(0)));
  return 0;
}

Result<int> oci_resume(const OciCall& call) {
  TRY(runtime::resume(call.context, call.arguments.word(0)));
  return 0;
}

}  // namespace vrun::cli
