#include "cli/verb_micro_vms.hpp"

#include <unistd.h>

#include "base/fs.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_images.hpp"
#include "engine/boot_cache.hpp"
#include "engine/clone.hpp"
#include "engine/guest_start.hpp"
#include "engine/micro_vm.hpp"
#include "engine/run.hpp"
#include "engine/saved_machine.hpp"
#include "engine/snapshots.hpp"
#include "vm/kernel_shelf.hpp"

namespace vrun::cli {
namespace {

Result<int> list(const EverydayCall& call) {
  const Form form = TRY(form_of(call.arguments));
  const vm::KernelPlaces places = engine::kernel_places(call.places);
  const Result<vm::HostKernel> chosen = vm::find_kernel(places, "");
  std::vector<std::vector<std::string>> cells{{"KERNEL", "DEFAULT", "FILE", "MODULES"}};
  json::Writer w(json::Style::kSpaces);
  w.begin_array();
  for (const vm::ShelfKernel& one : TRY(vm::list_kernels(places))) {
    const vm::HostKernel& kernel = one.kernel;
    const bool first = chosen && *chosen == kernel;
    cells.push_back({kernel.release, first ? "*" : "", kernel.file,
                     kernel.modules.empty() ? "none" : kernel.modules});
    w.begin_object().member("name", kernel.release).member("default", first);
    w.member("added", one.added).member("file", kernel.file);
    w.member("modules", kernel.modules).end_object();
  }
  w.end_array();
  if (form == Form::kTable) return print_out(table(cells));
  return print_out(TRY(document(form, w.take())));
}

std::string name_of(const std::string& file) {
  constexpr std::string_view kPrefix = "vmlinuz-";
  const std::string name(fs::base_name(file));
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

Result<int> add(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  vm::NewKernel kernel;
  kernel.file = call.arguments.word(0);
  kernel.name = call.arguments.text("name");
  if (kernel.name.empty()) kernel.name = name_of(kernel.file);
  kernel.modules = call.arguments.text("modules");
  if (!kernel.modules.empty() && !kernel.modules.starts_with('/')) {
    return Error(Code::kInvalid, "--modules: not an absolute path")
        .hint("it is kept and used later, from anywhere");
  }
  const std::string name = kernel.name;
  TRY(vm::add_kernel(engine::kernel_places(call.places), kernel));
  TRY(sys::write_all(STDOUT_FILENO, name + "\n"));
  return 0;
}

Result<int> remove(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  for (std::size_t i = 0; i < call.arguments.words().size(); ++i) {
    const std::string name = call.arguments.word(i);
    TRY(vm::remove_kernel(engine::kernel_places(call.places), name));
    TRY(sys::write_all(STDOUT_FILENO, name + "\n"));
  }
  TRY(engine::prune_boot_cache(call.places, call.host, false));
  return 0;
}

Result<int> take_snapshot(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  const engine::GuestAt at = engine::parse_guest_at(call.arguments.word(0));
  engine::SnapshotWish wish;
  wish.name = call.arguments.words().size() > 1 ? call.arguments.word(1) : at.snapshot;
  wish.comment = call.arguments.text("comment");
  wish.volumes = call.arguments.on("volumes");
  wish.machine = true;
  const engine::Guests guests = TRY(guests_of(call));
  const engine::Guest guest = TRY(guests.find(at.guest));
  const engine::Snapshot made = TRY(engine::create_snapshot(guests, guest.record, wish));
  TRY(sys::write_all(STDOUT_FILENO, made.name + "\n"));
  return 0;
}

// One that does not come to run is not there.
Result<std::string> start_clone(const engine::Guests& guests, const engine::Guest& from,
                                const std::string& snapshot, const engine::CloneWish& wish) {
  const engine::GuestRecord made = TRY(engine::clone_guest(guests, from.record, snapshot, wish));
  Result<engine::LaunchedGuest> launched = engine::launch_guest(guests, made, {});
  Result<void> up =
      launched ? engine::wait_for_machine(guests, made) : Result<void>(std::move(launched).error());
  if (up) return made.name;
  engine::remove_failed_clone(guests, made, wish.volumes);
  return std::move(up).error().during("start clone " + made.name);
}

Result<int> clone(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  const engine::GuestAt at = engine::parse_guest_at(call.arguments.word(0));
  engine::CloneWish wish;
  wish.machine = true;
  wish.labels = call.arguments.list("label");
  wish.volumes = TRY(engine::parse_clone_volumes(call.arguments.text("volumes")));
  if (wish.volumes == engine::CloneVolumes::kEmpty)
    return Error(Code::kInvalid, "--volumes empty: what runs knows the files in them")
        .hint("copy or share");
  const engine::Guests guests = TRY(guests_of(call));
  const engine::Guest guest = TRY(guests.find(at.guest));
  std::vector<std::string> names;
  for (std::size_t i = 1; i < call.arguments.words().size(); ++i)
    names.push_back(call.arguments.word(i));
  if (names.empty()) names.emplace_back();
  for (const std::string& name : names) {
    wish.name = name;
    const std::string made = TRY(start_clone(guests, guest, at.snapshot, wish));
    TRY(sys::write_all(STDOUT_FILENO, made + "\n"));
  }
  return 0;
}

}  // namespace

bool is_micro_vm_verb(std::string_view verb) {
  return verb.starts_with("vm ");
}

Result<int> everyday_micro_vm(std::string_view verb, const EverydayCall& call) {
  if (verb == "vm snapshot") return take_snapshot(call);
  if (verb == "vm clone") return clone(call);
  if (verb == "vm kernel ls") return list(call);
  if (verb == "vm kernel add") return add(call);
  return remove(call);
}

}  // namespace vrun::cli
