#include "manifest/wire.hpp"

#include "base/json_table.hpp"

namespace vrun::manifest {

constexpr auto json_fields(const WireFile*) {
  return json::fields(json::field("name", &WireFile::name), json::field("text", &WireFile::text));
}
constexpr auto json_fields(const WireRequest*) {
  return json::fields(json::field("files", &WireRequest::files),
                      json::field("settings", &WireRequest::settings),
                      json::field("known", &WireRequest::known));
}
constexpr auto json_fields(const WirePlace*) {
  return json::fields(json::field("path", &WirePlace::path),
                      json::field("place", &WirePlace::place));
}
constexpr auto json_fields(const WireObject*) {
  return json::fields(
      json::field("kind", &WireObject::kind), json::field("name", &WireObject::name),
      json::field("place", &WireObject::place), json::field("spec", &WireObject::spec),
      json::field("places", &WireObject::places));
}
constexpr auto json_fields(const WireAnswer*) {
  return json::fields(
      json::field("faults", &WireAnswer::faults), json::field("objects", &WireAnswer::objects),
      json::field("text", &WireAnswer::text), json::field("notes", &WireAnswer::notes));
}

namespace {

constexpr json::Limits kLimits{.bytes = 256U << 20U, .depth = 64};

}  // namespace

std::string to_json(const WireRequest& request) {
  return json::write(request);
}
std::string to_json(const WireAnswer& answer) {
  return json::write(answer);
}
Result<WireRequest> parse_wire_request(std::string_view text) {
  return json::read<WireRequest>(text, "request", kLimits);
}
Result<WireAnswer> parse_wire_answer(std::string_view text) {
  return json::read<WireAnswer>(text, "answer of vrun-manifest", kLimits);
}

}  // namespace vrun::manifest
