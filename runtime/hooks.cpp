#include "runtime/hooks.hpp"

#include "base/log.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"
#include "oci/documents.hpp"

namespace vrun::runtime {
namespace {

Result<void> run_hook(const oci::Hook& hook, const std::string& state, int guest) {
  Command command;
  command.path = hook.path;
  command.argv = hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args;
  command.env = hook.env;
  command.input = state;
  command.ends_with = guest;
  if (hook.timeout) command.timeout = std::chrono::seconds(*hook.timeout);
  const Finished finished = TRY(run(command));
  if (!finished.exit.signaled && finished.exit.value == 0) return {};
  const std::string how = finished.exit.signaled ? "killed by signal " : "exit status ";
  const std::string_view words = trim(finished.output);
  return Error(Code::kSystem,
               "run hook " + quote(hook.path) + ": " + how + std::to_string(finished.exit.value) +
                   (words.empty() ? "" : ", stdout and stderr: " + printable(words)));
}

}  // namespace

Result<void> run_hooks(const std::vector<oci::Hook>& hooks, const oci::State& state,
                       const char* kind, int guest) {
  if (hooks.empty()) return {};
  const std::string document = oci::to_json(state, false);
  for (std::size_t i = 0; i < hooks.size(); ++i) {
    Result<void> done = run_hook(hooks[i], document, guest);
    if (!done)
      return std::move(done).error().at("hooks." + std::string(kind) + "[" + std::to_string(i) +
                                        "]");
  }
  return {};
}

void run_poststop_hooks(const oci::Hooks& hooks, const oci::State& state) {
  for (const oci::Hook& hook : hooks.poststop) {
    const Result<void> done = run_hooks({hook}, state, "poststop");
    if (!done) log::warning(done.error().text());
  }
}

}  // namespace vrun::runtime
