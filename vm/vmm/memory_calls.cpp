#include "vm/vmm/memory_calls.hpp"

#include "base/json_table.hpp"
#include "base/json_writer.hpp"

namespace vrun::vmm {
namespace {

struct SetMemory {
  std::uint64_t bytes = 0;
};
constexpr auto json_fields(const SetMemory*) {
  return json::fields(json::field("bytes", &SetMemory::bytes, {.required = true}));
}

}  // namespace

void add_memory_calls(std::map<std::string, Control::Call>& calls, Balloon& balloon,
                      std::uint64_t boot_bytes, std::uint32_t processors) {
  const auto look = [&balloon, boot_bytes, processors]() -> std::string {
    return json::Writer()
        .begin_object()
        .member("bytes", balloon.size())
        .member("bootBytes", boot_bytes)
        .member("reportedBytes", balloon.reported())
        .member("processors", std::uint64_t{processors})
        .end_object()
        .take();
  };
  calls["memory"] = [look](std::string_view) -> Result<std::string> { return look(); };
  calls["set-memory"] = [&balloon, look](std::string_view json) -> Result<std::string> {
    const SetMemory wish = TRY(json::read<SetMemory>(json, "kCall"));
    TRY(balloon.resize(wish.bytes));
    return look();
  };
}

}  // namespace vrun::vmm
