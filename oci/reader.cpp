#include "oci/reader.hpp"

#include "base/json_table.hpp"
#include "base/text.hpp"
#include "oci/table_linux.hpp"

namespace vrun::oci {
namespace {

constexpr json::Limits kLimits{.bytes = kMaxConfigBytes, .depth = 64};

template <typename T>
Result<T> parse(std::string_view text, std::string_view name) {
  const json::Document document = TRY(json::Document::parse(text, name, kLimits));
  json::Faults faults(name);
  faults.refuse_other_case();
  T out = json::decode_document<T>(document, faults);
  if (!faults.empty()) return faults.error();
  return out;
}

// "1.0.2-dev": three numbers, the first is 1, anything after the third from - or + on.
bool is_version_1(std::string_view version) {
  const std::string_view core = version.substr(0, version.find_first_of("-+"));
  const std::vector<std::string_view> numbers = split(core, '.');
  return numbers.size() == 3 && numbers[0] == "1" && parse_u64(numbers[1]) && parse_u64(numbers[2]);
}

}  // namespace

void json_check(const json::In& in, const IdMapping& mapping) {
  constexpr std::uint64_t kEnd = 0xFFFFFFFFU;
  const std::uint64_t size = mapping.size;
  if (mapping.container_id + size > kEnd) in.fault("the range of containerID and size is too long");
  if (mapping.host_id + size > kEnd) in.fault("the range of hostID and size is too long");
}

void json_check(const json::In& in, const Spec& spec) {
  if (spec.oci_version.empty() || is_version_1(spec.oci_version)) return;
  in.fault_below("ociVersion", quote(spec.oci_version) + " is not a version 1.x.y");
}

void read_capabilities(const json::In& in, Process& process) {
  if (in.value().kind() == json::Kind::kArray) {
    return in.fault("is a list, the form before version 1.0; it must be an object with the sets");
  }
  json::decode(in, json::Rule(), process.capabilities);
}

void write_capabilities(json::Writer& w, const Process& process) {
  if (!process.capabilities) return;
  w.key("capabilities");
  json::encode(w, json::Rule(), *process.capabilities);
}

void read_swappiness(const json::In& in, Memory& memory) {
  // -1 ("leave it") of older Docker clients arrives as an unsigned number.
  if (in.value().kind() == json::Kind::kUnsigned && in.value().as_unsigned() == UINT64_MAX) return;
  json::decode(in, json::Rule{.max = 100}, memory.swappiness);
}

void write_swappiness(json::Writer& w, const Memory& memory) {
  if (memory.swappiness) w.member("swappiness", *memory.swappiness);
}

void read_old_monitoring(const json::In& in, IntelRdt& rdt) {
  bool enable = false;
  json::decode(in, json::Rule(), enable);
  rdt.enable_monitoring = rdt.enable_monitoring || enable;
}

Result<Spec> parse_spec(std::string_view json, std::string_view name) {
  return parse<Spec>(json, name);
}

Result<Process> parse_process(std::string_view json, std::string_view name) {
  return parse<Process>(json, name);
}

Result<Resources> parse_resources(std::string_view json, std::string_view name) {
  return parse<Resources>(json, name);
}

}  // namespace vrun::oci
