#include "engine/disk_agent.hpp"

#include <chrono>
#include <ctime>
#include <string>

#include <fcntl.h>

#include "base/helper.hpp"
#include "base/json_table.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/disk.hpp"
#include "engine/micro_vm_call.hpp"
#include "vm/agent/service.hpp"
#include "vm/disk_layout.hpp"

namespace vrun::engine {

struct Accounts {
  std::string passwd, group;
};
constexpr auto json_fields(const Accounts*) {
  return json::fields(json::field("passwd", &Accounts::passwd, {.required = true}),
                      json::field("group", &Accounts::group, {.required = true}));
}

namespace {

constexpr int kRetryMs = 200;
// How long systemd may take to start its first services, where a processor is emulated, too; and
// when it has run longer than that, and may boot anew.
constexpr std::time_t kToBoot = 180, kToReboot = 30;

// Only whether waiting makes sense hangs on it: the guest can write what it wants there.
bool was_put_in(const Guests& guests, const GuestRecord& record) {
  const auto disks = disks_of(record.request, guests.path_of(record));
  if (!disks || disks->empty()) return false;
  const Result<Fd> file = sys::open(At::cwd(), disks->front().file, O_RDONLY | O_NONBLOCK);
  return file && vm::volume_name(*file).value_or("") == vm::kServiceLabel;
}

bool may_still_boot(const Guests& guests, const GuestRecord& record, std::time_t waited) {
  const Result<Guest> guest = guests.find(record.name);
  const Result<struct stat> begun =
      sys::stat(At::cwd(), guests.monitor_dir(record) + "/vm.json", 0);
  if (!guest || !guest->runs() || !begun) return false;
  return waited < kToReboot || std::time(nullptr) - begun->st_mtime < kToBoot;
}

Error no_agent(const GuestRecord& record, std::string_view verb) {
  return Error(Code::kUnsupported,
               std::string(verb) + ": vrun's agent does not answer in the system on the disk of " +
                   quote(record.name) + ": it is not in it, or was not started")
      .hint("vrun image build-disk puts it in. By hand, in the guest (its console: vrun attach " +
            record.name + "): copy " + helper_path("vrun-guest").value_or("vrun-guest") + " to " +
            vm::kServiceProgram + "; for systemd, " + vm::kServiceProgram +
            " --unit >/etc/systemd/system/vrun-guest.service and systemctl enable --now "
            "vrun-guest; for busybox, the line " +
            std::string(trim(vm::kServiceLine)) + " in /etc/inittab");
}

}  // namespace

Result<void> find_agent(const Guests& guests, const GuestRecord& record, std::string_view verb) {
  if (!is_disk_guest(record.request)) return {};
  const std::time_t begun = std::time(nullptr);
  while (true) {
    if (agent_answers(guests, record)) return {};
    const std::time_t waited = std::time(nullptr) - begun;
    if (!was_put_in(guests, record) || !may_still_boot(guests, record, waited))
      return no_agent(record, verb);
    TRY(sys::poll({}, kRetryMs));
  }
}

Result<Account> account_in_system(const Guests& guests, const GuestRecord& record,
                                  std::string_view user) {
  const std::string answer = TRY(call_agent(guests, record, R"({"call":"accounts"})"));
  constexpr json::Limits kLimits{.bytes = 4 << 20};
  const Accounts accounts =
      TRY(json::read<Accounts>(answer, "the answer of the guest's agent", kLimits));
  return find_account(user, accounts.passwd, accounts.group);
}

}  // namespace vrun::engine
