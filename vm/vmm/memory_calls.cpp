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

Result<std::string> look(const MachineMemory& memory) {
  return json::Writer()
      .begin_object()
      .member("engine", memory.engine)
      .member("bytes", TRY(memory.bytes()))
      .member("bootBytes", memory.boot_bytes)
      .member("reportedBytes", memory.reported())
      .member("processors", std::uint64_t{memory.processors})
      .end_object()
      .take();
}

}  // namespace

void add_memory_calls(std::map<std::string, Control::Call>& calls, MachineMemory memory) {
  calls["memory"] = [memory](std::string_view) { return look(memory); };
  calls["set-memory"] = [memory](std::string_view json) -> Result<std::string> {
    const SetMemory wish = TRY(json::read<SetMemory>(json, "kCall"));
    TRY(memory.resize(wish.bytes));
    return look(memory);
  };
}

}  // namespace vrun::vmm
