#include "network/documents.hpp"

namespace vrun::network {
namespace {

template <typename T>
void decode_with(const json::In& in, std::optional<T> (*parse)(std::string_view),
                 std::string_view what, T& out) {
  if (!in.expect(json::Kind::kString)) return;
  if (const auto parsed = parse(in.value().as_text())) {
    out = *parsed;
  } else {
    in.fault("is not " + std::string(what));
  }
}

}  // namespace

void decode(const json::In& in, const json::Rule&, Ipv4& out) {
  decode_with(in, parse_ipv4, "an IPv4 address", out);
}
void decode(const json::In& in, const json::Rule&, Ipv6& out) {
  decode_with(in, parse_ipv6, "an IPv6 address", out);
}
void decode(const json::In& in, const json::Rule&, Mac& out) {
  decode_with(in, parse_mac, "a hardware address", out);
}
void decode(const json::In& in, const json::Rule&, Subnet4& out) {
  decode_with(in, parse_subnet4, "an IPv4 subnet", out);
}
void decode(const json::In& in, const json::Rule&, Subnet6& out) {
  decode_with(in, parse_subnet6, "an IPv6 subnet", out);
}
void encode(json::Writer& w, const json::Rule&, const Ipv4& value) {
  w.value(to_text(value));
}
void encode(json::Writer& w, const json::Rule&, const Ipv6& value) {
  w.value(to_text(value));
}
void encode(json::Writer& w, const json::Rule&, const Mac& value) {
  w.value(to_text(value));
}
void encode(json::Writer& w, const json::Rule&, const Subnet4& value) {
  w.value(to_text(value));
}
void encode(json::Writer& w, const json::Rule&, const Subnet6& value) {
  w.value(to_text(value));
}

}  // namespace vrun::network
