// Everything that happens to a container after it was started, until it is gone.
#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <thread>

#include <signal.h>

#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/intel_rdt.hpp"
#include "runtime/container.hpp"
#include "runtime/hooks.hpp"
#include "runtime/record.hpp"
#include "runtime/removal.hpp"

namespace vrun::runtime {
namespace {

// An existing container, opened and looked at.
struct Opened {
  Folder folder;
  Folder::Loaded loaded;
  Info info;
};

Result<Opened> open(const Context& context, const std::string& id, Folder::Lock lock) {
  Folder folder = TRY(Folder::open(context.root, id, lock));
  Folder::Loaded loaded = TRY(folder.load());
  Info info = TRY(read_info(folder, loaded, context.host));
  return Opened{std::move(folder), std::move(loaded), std::move(info)};
}

Result<std::unique_ptr<cgroups::Group>> group_of(const Opened& container, const Context& context) {
  return cgroups::open(container.loaded.record.cgroup, context.host);
}

bool is_alive(Status status) {
  return status != Status::kStopped && status != Status::kCreating;
}

Error not_running(const std::string& id) {
  return Error(Code::kState, "container not running").at(id);
}

Result<Fd> open_process(const Record& record) {
  std::optional<Fd> pidfd = open_marked(record.process);
  if (!pidfd) return not_running(record.id);
  return *std::move(pidfd);
}

// What another command is busy with, perhaps for ever (a hook that hangs): it gives up when the
// container's process is killed.
void interrupt_others(const Context& context, const std::string& id) {
  const Result<Folder> folder = Folder::open(context.root, id, Folder::Lock::kNone);
  if (!folder) return;
  const Result<Folder::Loaded> loaded = folder->load();
  if (!loaded) return;
  const std::optional<Fd> process = open_marked(loaded->record.process);
  if (process) static_cast<void>(sys::pidfd_signal(process->get(), SIGKILL));
  // Still being created: whatever is in its group.
  if (loaded->complete || !loaded->group_made || loaded->record.cgroup.driver.empty()) return;
  const auto group = cgroups::open(loaded->record.cgroup, context.host);
  if (group) static_cast<void>((*group)->signal_all(SIGKILL));
}

Result<Folder> open_by_force(const Context& context, const std::string& id) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::seconds kPatience(15);
  const Clock::time_point deadline = Clock::now() + kPatience;
  while (true) {
    Result<Folder> folder = Folder::open(context.root, id, Folder::Lock::kTry);
    if (folder || folder.error().sys_errno() != EWOULDBLOCK) return folder;
    interrupt_others(context, id);
    if (Clock::now() >= deadline) {
      return Error(Code::kTimeout, "container " + quote(id) + ": another command still works on it")
          .hint("`fuser " + context.root + "/" + id + "` shows which; kill that one first");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

Result<void> set_frozen(const Context& context, const std::string& id, bool frozen) {
  const Opened container = TRY(open(context, id, Folder::Lock::kExclusive));
  if (frozen && container.info.status != Status::kRunning &&
      container.info.status != Status::kCreated) {
    return Error(Code::kState,
                 "container not running or created: " + std::string(to_text(container.info.status)))
        .at(id);
  }
  if (!frozen && container.info.status != Status::kPaused) {
    return Error(Code::kState,
                 "container not paused: " + std::string(to_text(container.info.status)))
        .at(id);
  }
  return TRY(group_of(container, context))->freeze(frozen);
}

}  // namespace

Result<std::vector<Pid>> processes(const Context& context, const std::string& id) {
  const Opened container = TRY(open(context, id, Folder::Lock::kNone));
  return TRY(group_of(container, context))->processes();
}

Result<void> kill(const Context& context, const std::string& id, int signal, bool all) {
  const Opened container = TRY(open(context, id, Folder::Lock::kNone));
  if (all) {
    // As runc: also when the init is gone, what it left behind is reached.
    return TRY(group_of(container, context))->signal_all(signal);
  }
  if (!is_alive(container.info.status)) return not_running(id);
  const Fd process = TRY(open_process(container.loaded.record));
  TRY(sys::pidfd_signal(process.get(), signal));
  // A frozen process takes SIGKILL only when it is thawed (cgroup v1; v2 does it by itself).
  if (signal == SIGKILL && container.info.status == Status::kPaused) {
    return TRY(group_of(container, context))->freeze(false);
  }
  return {};
}

Result<void> remove(const Context& context, const std::string& id, bool force) {
  Result<Folder> folder =
      force ? open_by_force(context, id) : Folder::open(context.root, id, Folder::Lock::kExclusive);
  if (!folder && force && folder.error().code() == Code::kNotFound) return {};
  if (!folder) return std::move(folder).error();
  const Folder::Loaded loaded = TRY(folder->load());
  const Info info = TRY(read_info(*folder, loaded, context.host));
  const bool stopped = info.status == Status::kStopped || info.status == Status::kCreated;
  if (!stopped && !force) {
    return Error(Code::kState, "cannot delete container " + quote(id) +
                                   " that is not stopped: " + to_text(info.status))
        .hint("stop it first (kill), or use delete --force");
  }
  return remove_container(*folder, loaded, context.host);
}

Result<void> pause(const Context& context, const std::string& id) {
  return set_frozen(context, id, true);
}

Result<void> resume(const Context& context, const std::string& id) {
  return set_frozen(context, id, false);
}

Result<void> update(const Context& context, const std::string& id,
                    const oci::Resources& resources) {
  const Opened container = TRY(open(context, id, Folder::Lock::kExclusive));
  if (!is_alive(container.info.status)) return not_running(id);
  const std::unique_ptr<cgroups::Group> group = TRY(group_of(container, context));
  TRY(group->set(resources));
  if (resources.devices.empty()) return {};
  return group->set_devices(resources.devices);
}

Result<void> update_intel_rdt(const Context& context, const std::string& id,
                              const oci::IntelRdt& rdt) {
  const Opened container = TRY(open(context, id, Folder::Lock::kExclusive));
  if (!is_alive(container.info.status)) return not_running(id);
  if (container.loaded.record.closid.empty()) {
    return Error(Code::kState, "container has no intelRdt group").at(id);
  }
  return cgroups::update_intel_rdt(container.loaded.record.closid, rdt, context.host);
}

Result<cgroups::Stats> stats(const Context& context, const std::string& id) {
  const Opened container = TRY(open(context, id, Folder::Lock::kNone));
  if (!is_alive(container.info.status)) {
    return Error(Code::kState, "container with id " + quote(id) + " is not running");
  }
  return TRY(group_of(container, context))->stats();
}

Result<cgroups::Stats> final_stats(const Context& context, const std::string& id) {
  const Opened container = TRY(open(context, id, Folder::Lock::kNone));
  return TRY(group_of(container, context))->stats();
}

Result<Pid> init_number(const Context& context, const std::string& id) {
  const Opened container = TRY(open(context, id, Folder::Lock::kNone));
  return container.loaded.record.process.pid;
}

Result<Fd> open_init(const Context& context, const std::string& id) {
  const Opened container = TRY(open(context, id, Folder::Lock::kNone));
  return open_process(container.loaded.record);
}

Result<void> watch(const Context& context, const std::string& id, const Watch& watch) {
  const Opened container = TRY(open(context, id, Folder::Lock::kNone));
  if (!is_alive(container.info.status)) {
    return Error(Code::kState, "container with id " + quote(id) + " is not running");
  }
  const std::unique_ptr<cgroups::Group> group = TRY(group_of(container, context));
  const Fd process = TRY(open_process(container.loaded.record));
  while (true) {
    const bool oom = TRY(group->wait_oom(watch.interval_ms));
    if (oom && watch.on_oom && !watch.on_oom()) return {};
    std::array<pollfd, 1> ended{pollfd{process.get(), POLLIN, 0}};
    if (TRY(sys::poll(ended, 0)) > 0) return {};
    if (oom || !watch.on_stats) continue;
    const Result<cgroups::Stats> now = group->stats();
    if (now && !watch.on_stats(*now)) return {};
  }
}

}  // namespace vrun::runtime
