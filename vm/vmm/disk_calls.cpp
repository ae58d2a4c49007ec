#include "vm/vmm/disk_calls.hpp"

#include "base/json_table.hpp"

namespace vrun::vmm {
namespace {

struct SetDisk {
  std::string disk;
  DiskLimits limits;
};

}  // namespace

constexpr auto json_fields(const DiskLimits*) {
  using L = DiskLimits;
  return json::fields(json::field("readBytes", &L::read_bytes),
                      json::field("writeBytes", &L::write_bytes),
                      json::field("readOperations", &L::read_operations),
                      json::field("writeOperations", &L::write_operations));
}

namespace {

constexpr auto json_fields(const SetDisk*) {
  return json::fields(json::field("disk", &SetDisk::disk, {.required = true}),
                      json::field("limits", &SetDisk::limits, {.required = true}));
}

}  // namespace

void add_disk_call(std::map<std::string, Control::Call>& calls,
                   std::function<Result<void>(const std::string&, const DiskLimits&)> set) {
  calls["set-disk"] = [set = std::move(set)](std::string_view json) -> Result<std::string> {
    const SetDisk wish = TRY(json::read<SetDisk>(json, "kCall"));
    TRY(set(wish.disk, wish.limits));
    return std::string("{}");
  };
}

}  // namespace vrun::vmm
