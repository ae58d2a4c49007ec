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

struct Memory {
  std::uint64_t bytes, boot_bytes, reported_bytes;
};

std::string told(const Memory& memory, std::uint32_t processors) {
  return json::Writer()
      .begin_object()
      .member("bytes", memory.bytes)
      .member("bootBytes", memory.boot_bytes)
      .member("reportedBytes", memory.reported_bytes)
      .member("processors", std::uint64_t{processors})
      .end_object()
      .take();
}

}  // namespace

void add_memory_calls(std::map<std::string, Control::Call>& calls, Balloon& balloon,
                      std::uint64_t boot_bytes, std::uint32_t processors) {
  const auto look = [&balloon, boot_bytes, processors] {
    return told({balloon.size(), boot_bytes, balloon.reported()}, processors);
  };
  calls["memory"] = [look](std::string_view) -> Result<std::string> { return look(); };
  calls["set-memory"] = [&balloon, look](std::string_view json) -> Result<std::string> {
    const SetMemory wish = TRY(json::read<SetMemory>(json, "kCall"));
    TRY(balloon.resize(wish.bytes));
    return look();
  };
}

void add_fixed_memory_calls(std::map<std::string, Control::Call>& calls, std::uint64_t boot_bytes,
                            std::uint32_t processors) {
  calls["memory"] = [=](std::string_view) -> Result<std::string> {
    return told({boot_bytes, boot_bytes, 0}, processors);
  };
  calls["set-memory"] = [](std::string_view) -> Result<std::string> {
    return Error(Code::kUnsupported,
                 "the memory of a micro-VM by QEMU cannot be changed while it runs");
  };
}

}  // namespace vrun::vmm
