#include "vm/guest/session.hpp"

#include <csignal>

#include <unistd.h>

#include "base/sys.hpp"
#include "vm/agent/failure.hpp"
#include "vm/guest/calls.hpp"
#include "vm/guest/connection.hpp"
#include "vm/guest/interface.hpp"
#include "vm/guest/process.hpp"
#include "vm/guest/request.hpp"
#include "vm/guest/system_process.hpp"

namespace vrun::vm {
namespace {

using std::chrono::seconds;

constexpr seconds kForARequest{10}, kForTheLastWord{5};

class Session {
 public:
  Session(const Settings& settings, Fd socket)
      : settings_(settings), connection_(std::move(socket)) {}
  After serve();

 private:
  bool shake_hands();
  After run(const std::string& json);
  void exec(const std::string& json);
  After call(const std::string& json);
  Result<Relayed> run_process(const RunRequest& request);
  Result<Relayed> exec_process(const ExecRequest& request);
  Result<Relayed> relay(sys::Child child, Fd console, Pipes& pipes, bool stays = false);
  void freeze();
  // Whether the connection is another session's now.
  bool adopt(const std::string& json);
  Result<void> adopt_process(const AdoptRequest& request);
  void report(const Result<Relayed>& relayed);
  void refuse(const Error& error);

  const Settings& settings_;
  Connection connection_;
};

After Session::serve() {
  if (!shake_hands()) return After::kGoOn;
  const std::optional<Frame> request = connection_.wait_for_frame(kForARequest);
  if (!request) return After::kGoOn;
  After after = After::kGoOn;
  if (request->type == FrameType::kRun) {
    after = run(request->content);
  } else if (request->type == FrameType::kExec) {
    exec(request->content);
  } else if (request->type == FrameType::kCall) {
    after = call(request->content);
  } else if (request->type == FrameType::kAdopt) {
    if (adopt(request->content)) return after;
  } else {
    refuse(Error(Code::kInvalid, "a request is wanted: kRun, kExec or kCall"));
  }
  connection_.finish(kForTheLastWord);
  return after;
}

bool Session::shake_hands() {
  connection_.send_numbers(FrameType::kHello, {kAgentVersion});
  const std::optional<Frame> hello = connection_.wait_for_frame(kForARequest);
  if (!hello || hello->type != FrameType::kHello) return false;
  const auto version = number_of(*hello, 0, 1);
  if (version == kAgentVersion) return true;
  refuse(Error(Code::kUnsupported,
               "the host speaks version " + std::to_string(version.value_or(0)) +
                   " of the agent's protocol, the guest version " + std::to_string(kAgentVersion)));
  connection_.finish(kForTheLastWord);
  return false;
}

void Session::refuse(const Error& error) {
  connection_.send(FrameType::kError, to_json(failure_of(error, status_of(error))));
}

void Session::report(const Result<Relayed>& relayed) {
  if (!relayed) return refuse(relayed.error());
  const auto value = static_cast<std::uint32_t>(relayed->exit.value);
  if (relayed->exit.signaled)
    connection_.send_numbers(FrameType::kExit, {128 + value, value});
  else
    connection_.send_numbers(FrameType::kExit, {value, 0});
}

After Session::run(const std::string& json) {
  if (settings_.system) {
    refuse(Error(Code::kUnsupported, "kRun: this system has an init of its own"));
    return After::kGoOn;
  }
  Result<RunRequest> request = parse_run(json);
  if (!request) {
    refuse(request.error());
    return After::kGoOn;
  }
  const Result<Relayed> relayed = run_process(*request);
  // The host may take the word of the end for the end of the machine.
  if (settings_.booted) {
    ::sync();
    connection_.send_numbers(FrameType::kMemoryKills, {memory_kills()});
  }
  report(relayed);
  const bool is_there = !relayed && relayed.error().code() == Code::kExists;
  return is_there ? After::kGoOn : After::kEnd;
}

Result<Relayed> Session::run_process(const RunRequest& request) {
  oci::Spec spec = request.spec;
  if (settings_.booted) {
    for (const NetworkRequest& network : request.networks)
      TRY(configure(network));
    TRY(set_network_knobs(spec));
  }
  TRY(fit_to_guest(spec, settings_.root));
  if (!spec.process) return Error(Code::kInvalid, "config.json: process is missing");
  sys::Child child;
  Fd console;
  Pipes pipes;
  runtime::RunOptions options;
  options.create.id = kGuestName;
  options.create.bundle = "/";
  options.create.spec = &spec;
  if (!spec.process->terminal) {
    pipes = TRY(Pipes::create(spec.process->user));
    options.create.stdio = pipes.numbers();
  }
  options.detach = true;
  options.child = &child;
  options.console = &console;
  TRY(runtime::run(settings_.runtime, options));
  Result<Relayed> relayed = relay(std::move(child), std::move(console), pipes, settings_.booted);
  if (!relayed || relayed->host_gone)
    static_cast<void>(runtime::kill(settings_.runtime, kGuestName, SIGKILL, false));
  static_cast<void>(runtime::remove(settings_.runtime, kGuestName, true));
  return relayed;
}

void Session::exec(const std::string& json) {
  Result<ExecRequest> request = parse_exec(json);
  if (!request) return refuse(request.error());
  report(exec_process(*request));
}

Result<Relayed> Session::exec_process(const ExecRequest& request) {
  sys::Child child;
  Fd console;
  Pipes pipes;
  if (!request.terminal) pipes = TRY(Pipes::create(request.user.value_or(oci::User())));
  if (settings_.system) {
    child = TRY(start_in_system(request, pipes, console));
  } else {
    runtime::ExecOptions options = to_options(request);
    options.id = kGuestName;
    options.child = &child;
    options.console = &console;
    if (!request.terminal) options.stdio = pipes.numbers();
    TRY(runtime::exec(settings_.runtime, options));
  }
  const Pid pid = child.pid;
  Result<Relayed> relayed = relay(std::move(child), std::move(console), pipes);
  // Nobody reaps it before this session ends, so the number is still its own: with all that it
  // started, as far as they stayed in its process group.
  const bool abandoned = relayed && relayed->host_gone && request.ends_with_host;
  if (abandoned) {
    ::kill(-pid.value, SIGKILL);
    ::kill(pid.value, SIGKILL);
  }
  return relayed;
}

// `stays`: a process that outlives its host, and waits for the next one.
Result<Relayed> Session::relay(sys::Child child, Fd console, Pipes& pipes, bool stays) {
  for (Fd& end : pipes.theirs)
    end.reset();
  const auto pid = static_cast<std::uint32_t>(child.pid.value);
  Relay relay(connection_, std::move(child), std::move(console), std::move(pipes.ours));
  while (true) {
    connection_.send_numbers(FrameType::kStarted, {pid});
    connection_.send_numbers(FrameType::kInputTaken, {0});
    Result<Relayed> relayed = relay.run();
    const bool goes_on = stays && settings_.adoptions != nullptr && relayed && relayed->host_gone;
    if (!goes_on) return relayed;
    connection_ = TRY(settings_.adoptions->wait());
  }
}

After Session::call(const std::string& json) {
  Result<CallRequest> request = parse_call(json);
  if (!request) {
    refuse(request.error());
    return After::kGoOn;
  }
  if (request->call == "freeze") {
    freeze();
    return After::kGoOn;
  }
  const Result<std::string> text = answer(*request, settings_);
  if (!text) {
    refuse(text.error());
    return After::kGoOn;
  }
  connection_.send(FrameType::kAnswer, *text);
  return request->call == "power-off" ? After::kEnd : After::kGoOn;
}

// The guest stands still until the host closes the connection. In a machine that goes on from a
// snapshot that was made meanwhile the connection is lost as well; there the guest shall not go on
// before it knows that it is another one, so kAdopt gets its time.
void Session::freeze() {
  if (settings_.system)
    return refuse(Error(Code::kUnsupported, "freeze: this system has an init of its own"));
  constexpr seconds kForAnAdoption{5}, kForever{24 * 3600};
  if (const Result<void> frozen = runtime::pause(settings_.runtime, kGuestName); !frozen)
    return refuse(frozen.error());
  ::sync();
  connection_.send(FrameType::kAnswer, "{}");
  const std::optional<Frame> thaw = connection_.wait_for_frame(kForever);
  if (!thaw) ::sleep(static_cast<unsigned>(kForAnAdoption.count()));
  // It may go on already, by kAdopt.
  static_cast<void>(runtime::resume(settings_.runtime, kGuestName));
}

bool Session::adopt(const std::string& json) {
  const Result<AdoptRequest> request = parse_adopt(json);
  const Result<void> adopted =
      request ? adopt_process(*request) : Error(request.error().code(), request.error().text());
  if (!adopted) refuse(adopted.error());
  return adopted.has_value();
}

Result<void> Session::adopt_process(const AdoptRequest& request) {
  if (!settings_.booted || settings_.adoptions == nullptr)
    return Error(Code::kUnsupported, "kAdopt: this agent did not boot the machine");
  const std::vector<Pid> pids = TRY(runtime::processes(settings_.runtime, kGuestName));
  if (pids.empty()) return Error(Code::kState, "kAdopt: the guest has no process");
  TRY(become(request, pids.front()));
  TRY(settings_.adoptions->hand_on(connection_));
  // One that was not frozen when the snapshot was made runs.
  static_cast<void>(runtime::resume(settings_.runtime, kGuestName));
  return {};
}

}  // namespace

After serve(const Settings& settings, Fd socket) {
  return Session(settings, std::move(socket)).serve();
}

}  // namespace vrun::vm
