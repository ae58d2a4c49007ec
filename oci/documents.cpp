#include "oci/documents.hpp"

#include "base/json_table.hpp"
#include "oci/table_linux.hpp"

namespace vrun::oci {

constexpr auto json_fields(const State*) {
  return json::fields(json::field("ociVersion", &State::oci_version, {.required = true}),
                      json::field("id", &State::id, {.required = true}),
                      json::field("pid", &State::pid, {.always = true}),
                      json::field("status", &State::status, {.required = true}),
                      json::field("bundle", &State::bundle, {.required = true}),
                      json::field("annotations", &State::annotations));
}

namespace {

template <typename T>
std::string write(const T& document, bool pretty) {
  return json::write(document, pretty ? json::Style::kTabs : json::Style::kCompact);
}

}  // namespace

std::string to_json(const State& state, bool pretty) {
  return write(state, pretty);
}

std::string to_json(const Spec& spec, bool pretty) {
  return write(spec, pretty);
}

std::string to_json(const Process& process, bool pretty) {
  return write(process, pretty);
}

std::string to_json(const Resources& resources, bool pretty) {
  return write(resources, pretty);
}

}  // namespace vrun::oci
