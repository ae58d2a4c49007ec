// What cgroups/ reads from the kernel and from annotations: nothing may crash, and what is derived
// stays below its root.
#include "cgroups/gvariant.hpp"
#include "cgroups/layout.hpp"
#include "cgroups/stats_parse.hpp"
#include "cgroups/systemd_unit.hpp"
#include "cgroups/tree.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace vrun;
using namespace vrun::cgroups;

namespace {

void paths(std::string_view text) {
  const std::vector<Membership> own = parse_membership(text);
  for (const Membership& line : own)
    fuzz::require(line.path.starts_with('/'));
  const ContainerId id = *ContainerId::parse("web");
  const Result<std::string> v2 = v2_path(std::string(text.substr(0, text.find('\0'))), id, own);
  fuzz::require(!v2 || (v2->size() > 1 && v2->front() == '/'));
  fuzz::require(!v2 || ("/" + *v2 + "/").find("/../") == std::string::npos);
  const V1Hierarchy memory{{"memory"}, "/m", "/"};
  const Result<std::string> v1 =
      v1_dir(memory, std::string(text.substr(0, text.find('\0'))), id, own);
  fuzz::require(!v1 || v1->starts_with("/m/"));
}

void values(std::string_view text) {
  const Result<BusValue> value = parse_gvariant(text);
  if (!value) return;
  fuzz::require(complete_type(value->signature) == value->signature.size());
  const Result<BusValue> again = parse_gvariant(to_gvariant(*value));
  fuzz::require(again && *again == *value);
}

void units(std::string_view text) {
  const ContainerId id = *ContainerId::parse("web");
  const Result<UnitName> name = unit_name(std::string(text), id, false);
  if (!name) return;
  fuzz::require(name->unit.find('/') == std::string::npos);
  fuzz::require(expand_slice(name->slice).has_value());
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text = fuzz::text_of(data + 1, size - 1);
  switch (data[0] % 8) {
    case 0:
      parse_mountinfo(text, "/sys/fs/cgroup");
      break;
    case 1:
      paths(text);
      break;
    case 2:
      parse_pressure(text);
      break;
    case 3:
      parse_flat_keyed(text);
      break;
    case 4:
      parse_nested_keyed(text);
      break;
    case 5:
      parse_blkio(text);
      parse_pids(text);
      break;
    case 6:
      values(text);
      break;
    default:
      units(text);
      (void)cpu_mask(text, "");
      break;
  }
  return 0;
}
