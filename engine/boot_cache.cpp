#include "engine/boot_cache.hpp"

#include "base/fs.hpp"
#include "base/helper.hpp"
#include "engine/disk.hpp"
#include "engine/guests.hpp"
#include "engine/micro_vm.hpp"
#include "engine/tenant_entry.hpp"
#include "vm/kernel_shelf.hpp"

namespace vrun::engine {
namespace {

// Those that guests name by a path, and initramfs of their own.
Result<void> add_guests(const Guests& guests, const vm::KernelPlaces& kernels,
                        const std::string& agent, std::vector<vm::CacheRequest>& needed) {
  for (const Guest& guest : TRY(guests.list())) {
    const RunRequest& request = guest.record.request;
    const bool is_path = request.kernel.find('/') != std::string::npos;
    if (!is_micro_vm(request) || (!is_path && request.initrd.empty())) continue;
    const Result<vm::HostKernel> kernel =
        is_path ? vm::kernel_at(kernels, request.kernel) : vm::find_kernel(kernels, request.kernel);
    if (!kernel) continue;
    needed.push_back(
        {guests.places().data, *kernel, agent, is_disk_guest(request), request.initrd});
  }
  return {};
}

}  // namespace

Result<vm::CachePruned> prune_boot_cache(const Places& places, const Host& host, bool dry_run) {
  vm::CachePrune rule;
  rule.data = places.data;
  rule.proc = host.proc;
  rule.dry_run = dry_run;
  rule.qemu = micro_vm_facts(host).qemu;
  const std::string agent = TRY(helper_path("vrun-guest"));
  const vm::KernelPlaces kernels = kernel_places(places);
  for (const vm::ShelfKernel& one : TRY(vm::list_kernels(kernels))) {
    for (const bool disk : {false, true})
      rule.needed.push_back({places.data, one.kernel, agent, disk});
  }
  for (const tenants::Tenant& tenant : TRY(tenant_store(places).list())) {
    const Guests guests = TRY(Guests::open(places, tenant.name, host));
    TRY(add_guests(guests, kernels, agent, rule.needed));
  }
  return vm::prune_cache(rule);
}

}  // namespace vrun::engine
