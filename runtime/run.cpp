#include "base/log.hpp"
#include "runtime/container.hpp"
#include "runtime/creation.hpp"
#include "runtime/foreground.hpp"
#include "runtime/hooks.hpp"
#include "runtime/record.hpp"
#include "runtime/removal.hpp"

namespace vrun::runtime {
namespace {

Result<void> remove_after_run(const Context& context, const std::string& id) {
  Result<Folder> folder = Folder::open(context.root, id, Folder::Lock::kExclusive);
  // Somebody else deleted it while we waited: what we want.
  if (!folder && folder.error().code() == Code::kNotFound) return {};
  if (!folder) return std::move(folder).error();
  const Folder::Loaded loaded = TRY(folder->load());
  return remove_container(*folder, loaded, context.host);
}

Result<void> run_poststart(const Creation& creation, Pid pid) {
  const oci::Hooks& hooks = creation.spec().hooks;
  if (hooks.poststart.empty()) return {};
  const oci::State state = state_of(creation.record(), pid, to_text(Status::kRunning));
  return run_hooks(hooks.poststart, state, "poststart");
}

Result<void> execute(Creation& creation, const RunOptions& options) {
  TRY(creation.publish());
  if (options.before_start) TRY(options.before_start(creation.serving().child.pid));
  TRY(let_go(creation.serving()));
  return serve_until_exec(creation.serving());
}

}  // namespace

Result<int> run(const Context& context, const RunOptions& options) {
  Input input = TRY(read_input(options.create));
  input.gate = false;
  input.foreground = !options.detach || options.console != nullptr;
  std::optional<Foreground> foreground;
  if (!options.detach) {
    foreground.emplace(TRY(Foreground::create()));
    std::optional<oci::Process>& process = input.spec.process;
    if (process && process->terminal && !process->console_size)
      process->console_size = terminal_size();
  }

  std::unique_ptr<Creation> creation = TRY(Creation::begin(context, std::move(input)));
  TRY(execute(*creation, options));
  Fd console = std::move(creation->serving().console);
  const Pid pid = creation->serving().child.pid;
  sys::Child child = creation->commit();  // lets go of the state folder's lock
  Result<void> hooked = run_poststart(*creation, pid);
  creation.reset();
  if (!hooked) {
    static_cast<void>(remove_after_run(context, options.create.id));
    return std::move(hooked).error();
  }
  if (options.console != nullptr) *options.console = std::move(console);
  if (options.child != nullptr) *options.child = std::move(child);
  if (options.detach) return 0;

  Result<sys::Exit> exit = foreground->wait(
      child.pidfd.get(), std::move(console),
      options.ends_by_user ? Foreground::Ending::kByUser : Foreground::Ending::kByGuest);
  if (exit && options.at_end) options.at_end(*exit, pid);
  if (!options.keep) {
    Result<void> removed = remove_after_run(context, options.create.id);
    if (exit && !removed) return std::move(removed).error();
  }
  return TRY(std::move(exit)).code();
}

}  // namespace vrun::runtime
