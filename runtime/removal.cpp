#include "runtime/removal.hpp"

#include <array>

#include <signal.h>

#include "base/sys.hpp"
#include "cgroups/intel_rdt.hpp"
#include "runtime/creation.hpp"
#include "runtime/hooks.hpp"

namespace vrun::runtime {
namespace {

// The init itself, whether or not a cgroup holds it. Its pid namespace dies with it.
Result<void> kill_init(const Record& record) {
  const std::optional<Fd> pidfd = open_marked(record.process);
  if (!pidfd) return {};
  static_cast<void>(sys::pidfd_signal(pidfd->get(), SIGKILL));
  constexpr int kDeadlineMs = 10000;
  std::array<pollfd, 1> ended{pollfd{pidfd->get(), POLLIN, 0}};
  if (TRY(sys::poll(ended, kDeadlineMs)) > 0) return {};
  return Error(Code::kTimeout, "container init still running after SIGKILL");
}

Result<void> remove_group(const Folder::Loaded& loaded, const Host& host) {
  const Record& record = loaded.record;
  if (record.cgroup.driver.empty())
    return {};  // killed before the intent was written: there is none
  const std::unique_ptr<cgroups::Group> group = TRY(cgroups::open(record.cgroup, host));
  // Killed between the intent and the group: if there are processes, they are somebody else's.
  if (!loaded.group_made && !group->processes().value_or({}).empty()) return {};
  return group->destroy();
}

Result<void> remove_rdt(const Record& record, const Host& host) {
  if (record.closid.empty()) return {};
  if (record.own_closid) return cgroups::remove_intel_rdt(record.closid, host);
  return cgroups::remove_rdt_monitor(record.closid, TRY(ContainerId::parse(record.id)), host);
}

void run_poststop(const Folder& folder, const Folder::Loaded& loaded) {
  const Result<oci::Spec> spec = folder.load_config();
  if (!spec || spec->hooks.poststop.empty()) return;
  run_poststop_hooks(spec->hooks, state_of(loaded.record, Pid(0), to_text(Status::kStopped)));
}

}  // namespace

Result<void> remove_container(Folder& folder, const Folder::Loaded& loaded, const Host& host) {
  const Record& record = loaded.record;
  // A frozen process cannot die everywhere; destroy() thaws. The group goes first: it reaches all
  // processes.
  Result<void> killed = kill_init(record);
  TRY(remove_group(loaded, host));
  TRY(std::move(killed));
  TRY(remove_rdt(record, host));
  run_poststop(folder, loaded);
  return folder.remove();
}

}  // namespace vrun::runtime
