#include "cli/verb_micro_vms.hpp"

#include <unistd.h>

#include "base/fs.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "cli/verb_images.hpp"
#include "engine/micro_vm.hpp"
#include "engine/run.hpp"
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
  return 0;
}

}  // namespace

bool is_micro_vm_verb(std::string_view verb) {
  return verb.starts_with("vm ");
}

Result<int> everyday_micro_vm(std::string_view verb, const EverydayCall& call) {
  if (verb == "vm kernel ls") return list(call);
  if (verb == "vm kernel add") return add(call);
  return remove(call);
}

}  // namespace vrun::cli
