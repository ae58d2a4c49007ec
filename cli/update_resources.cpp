#include "cli/update_resources.hpp"

#include <limits>

#include "base/faults.hpp"
#include "base/text.hpp"

namespace vrun::cli {
namespace {

class Reader {
 public:
  explicit Reader(const Arguments& given) : given_(given) {}

  // A number between `least` and `most`, if the flag was given and is right.
  template <typename T>
  void number(const char* flag, std::int64_t least, std::int64_t most, std::optional<T>& into) {
    if (!given_.has(flag)) return;
    const std::int64_t value = given_.number(flag);
    if (value >= least && value <= most) {
      into = static_cast<T>(value);
      return;
    }
    faults_.add("flag --" + std::string(flag), std::to_string(value) + " is not between " +
                                                   std::to_string(least) + " and " +
                                                   std::to_string(most));
  }

  // Bytes with a unit, or -1 for no limit.
  void bytes(const char* flag, std::optional<std::int64_t>& into) {
    if (!given_.has(flag)) return;
    const std::string text = given_.text(flag);
    const auto value = parse_bytes(text);
    constexpr std::uint64_t kTop = std::numeric_limits<std::int64_t>::max();
    if (text == "-1") {
      into = -1;
    } else if (value && *value <= kTop) {
      into = static_cast<std::int64_t>(*value);
    } else {
      faults_.add("flag --" + std::string(flag),
                  quote(text) + " is not a size such as 512m or 2g, nor -1");
    }
  }

  Result<void> result() const { return faults_.result(); }

 private:
  const Arguments& given_;
  Faults faults_;
};

constexpr std::int64_t kTop = std::numeric_limits<std::int64_t>::max();

// The object stays absent unless one of its flags was given.
std::optional<oci::Cpu> read_cpu(const Arguments& given, Reader& reader) {
  oci::Cpu cpu;
  reader.number("cpu-share", 0, kTop, cpu.shares);
  reader.number("cpu-quota", -1, kTop, cpu.quota);
  reader.number("cpu-burst", 0, kTop, cpu.burst);
  reader.number("cpu-period", 0, kTop, cpu.period);
  reader.number("cpu-rt-runtime", -1, kTop, cpu.realtime_runtime);
  reader.number("cpu-rt-period", 0, kTop, cpu.realtime_period);
  reader.number("cpu-idle", 0, 1, cpu.idle);
  cpu.cpus = given.text("cpuset-cpus");
  cpu.mems = given.text("cpuset-mems");
  const bool any = cpu.shares || cpu.quota || cpu.burst || cpu.period || cpu.realtime_runtime ||
                   cpu.realtime_period || cpu.idle || !cpu.cpus.empty() || !cpu.mems.empty();
  return any ? std::optional(cpu) : std::nullopt;
}

std::optional<oci::Memory> read_memory(Reader& reader) {
  oci::Memory memory;
  reader.bytes("memory", memory.limit);
  reader.bytes("memory-reservation", memory.reservation);
  reader.bytes("memory-swap", memory.swap);
  const bool any = memory.limit || memory.reservation || memory.swap;
  return any ? std::optional(memory) : std::nullopt;
}

}  // namespace

Result<oci::Resources> resources_of(const Arguments& given) {
  Reader reader(given);
  oci::Resources resources;
  resources.cpu = read_cpu(given, reader);
  resources.memory = read_memory(reader);
  reader.number("pids-limit", -1, kTop, resources.pids_limit);
  oci::BlockIo block_io;
  reader.number("blkio-weight", 10, 1000, block_io.weight);
  if (block_io.weight) resources.block_io = block_io;
  TRY(reader.result());
  return resources;
}

}  // namespace vrun::cli
