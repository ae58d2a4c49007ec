// `vrun update`: flags into what is to change.
#include <algorithm>
#include <array>

#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_tools.hpp"
#include "cli/verbs_tools.hpp"
#include "engine/guest_network.hpp"
#include "engine/guest_update.hpp"
#include "engine/live_volumes.hpp"
#include "engine/machine_disks.hpp"
#include "engine/run.hpp"
#include "engine/volumes.hpp"

namespace vrun::cli {
namespace {

engine::RunRequest changes_of(const Arguments& arguments) {
  engine::RunRequest changes;
  changes.memory = arguments.text("memory");
  changes.memory_reservation = arguments.text("memory-reservation");
  changes.memory_swap = arguments.text("memory-swap");
  changes.cpus = arguments.text("cpus");
  changes.cpu_weight = arguments.text("cpu-weight");
  changes.cpu_shares = arguments.text("cpu-shares");
  changes.cpuset_cpus = arguments.text("cpuset-cpus");
  changes.cpuset_mems = arguments.text("cpuset-mems");
  changes.pids_limit = arguments.text("pids-limit");
  changes.blkio_weight = arguments.text("blkio-weight");
  changes.device_read_bps = arguments.list("device-read-bps");
  changes.device_write_bps = arguments.list("device-write-bps");
  changes.device_read_iops = arguments.list("device-read-iops");
  changes.device_write_iops = arguments.list("device-write-iops");
  changes.restart = arguments.text("restart");
  return changes;
}

// Absolute, as they are kept. `plain`: last names are names of what the guest has.
Result<std::vector<std::string>> files(const EverydayCall& call, std::string_view flag,
                                       bool plain) {
  std::vector<std::string> paths = call.arguments.list(flag);
  const std::string cwd = TRY(sys::read_link(At::cwd(), call.host.proc + "/self/cwd"));
  for (std::string& path : paths) {
    const std::size_t colon = std::min(path.find(':'), path.size());
    if (colon == 0 || (plain && path.find('/') == path.npos)) continue;
    const std::string file = path.substr(0, colon);
    path = fs::clean(file.front() == '/' ? file : fs::join(cwd, file)) + path.substr(colon);
  }
  return paths;
}

Result<std::vector<std::string>> volumes(const EverydayCall& call) {
  std::vector<std::string> texts = call.arguments.list("volume-add");
  const std::string cwd = TRY(sys::read_link(At::cwd(), call.host.proc + "/self/cwd"));
  for (std::string& text : texts)
    text = engine::absolute_volume(text, cwd);
  return texts;
}

}  // namespace

Result<int> everyday_update(const EverydayCall& call) {
  const bool any = std::any_of(kUpdate.begin(), kUpdate.end(),
                               [&](const Flag& flag) { return call.arguments.has(flag.name); });
  if (!any) return Error(Code::kInvalid, "nothing to change").hint("such as --memory 512m");
  TRY(engine::need_root(call.host));
  const engine::RunRequest changes = changes_of(call.arguments);
  const std::vector<std::string> disks_add = TRY(files(call, "disk-add", false));
  const std::vector<std::string> disks_rm = TRY(files(call, "disk-rm", true));
  const std::vector<std::string> volumes_add = TRY(volumes(call));
  std::vector<std::string> volumes_rm = call.arguments.list("volume-rm");
  for (std::string& target : volumes_rm)
    target = fs::clean(target);
  return for_each_guest(
      call, [&](const engine::Guests& guests, const engine::GuestRecord& record) -> Result<void> {
        const std::vector<std::string> add = call.arguments.list("publish-add");
        const std::vector<std::string> remove = call.arguments.list("publish-rm");
        if (!add.empty() || !remove.empty()) {
          TRY(engine::change_ports(guests, record, add, remove));
        }
        if (!disks_add.empty() || !disks_rm.empty())
          TRY(engine::change_disks(guests, record, disks_add, disks_rm));
        if (!volumes_add.empty() || !volumes_rm.empty())
          TRY(engine::change_volumes(guests, record, volumes_add, volumes_rm));
        const std::string both = call.arguments.text("bandwidth");
        const std::string in = call.arguments.text("bandwidth-in");
        const std::string out = call.arguments.text("bandwidth-out");
        const engine::BandwidthChange bandwidth{in.empty() ? both : in, out.empty() ? both : out,
                                                call.arguments.text("network-pps")};
        if (bandwidth.any()) TRY(engine::change_bandwidth(guests, record, bandwidth));
        if (changes != engine::RunRequest()) TRY(engine::update_guest(guests, record, changes));
        return sys::write_all(STDOUT_FILENO, record.name + "\n");
      });
}

}  // namespace vrun::cli
