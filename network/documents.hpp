// The JSON documents of networks and guests: tables of their fields, addresses as text. `inspect`
// prints the same documents.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/json_table.hpp"
#include "network/records.hpp"

namespace vrun::network {

void decode(const json::In& in, const json::Rule& rule, Ipv4& out);
void decode(const json::In& in, const json::Rule& rule, Ipv6& out);
void decode(const json::In& in, const json::Rule& rule, Mac& out);
void decode(const json::In& in, const json::Rule& rule, Subnet4& out);
void decode(const json::In& in, const json::Rule& rule, Subnet6& out);
void encode(json::Writer& w, const json::Rule& rule, const Ipv4& value);
void encode(json::Writer& w, const json::Rule& rule, const Ipv6& value);
void encode(json::Writer& w, const json::Rule& rule, const Mac& value);
void encode(json::Writer& w, const json::Rule& rule, const Subnet4& value);
void encode(json::Writer& w, const json::Rule& rule, const Subnet6& value);

inline constexpr std::array<std::string_view, 2> kProtocols{"tcp", "udp"};
constexpr auto json_names(const Protocol*) {
  return kProtocols;
}

constexpr auto json_fields(const Network*) {
  using json::field;
  return json::fields(field("version", &Network::version, {.min = 1, .max = 1, .required = true}),
                      field("tenant", &Network::tenant, {.required = true}),
                      field("name", &Network::name, {.required = true}),
                      field("created", &Network::created),
                      field("bridge", &Network::bridge, {.required = true}),
                      field("subnet", &Network::subnet4, {.required = true}),
                      field("gateway", &Network::gateway4, {.required = true}),
                      field("subnet6", &Network::subnet6), field("gateway6", &Network::gateway6),
                      field("internal", &Network::internal, {.always = true}),
                      field("mtu", &Network::mtu), field("labels", &Network::labels));
}

constexpr auto json_fields(const Publish*) {
  using json::field;
  return json::fields(field("hostAddress", &Publish::host4), field("hostAddress6", &Publish::host6),
                      field("hostPort", &Publish::host_port, {.required = true}),
                      field("guestPort", &Publish::guest_port, {.required = true}),
                      field("count", &Publish::count, {.min = 1, .always = true}),
                      field("protocol", &Publish::protocol, {.required = true}));
}

constexpr auto json_fields(const Bandwidth*) {
  return json::fields(json::field("in", &Bandwidth::in), json::field("out", &Bandwidth::out),
                      json::field("packets", &Bandwidth::packets));
}

constexpr auto json_fields(const Endpoint*) {
  using json::field;
  return json::fields(field("network", &Endpoint::network, {.required = true}),
                      field("bridge", &Endpoint::bridge, {.required = true}),
                      field("interface", &Endpoint::interface, {.required = true}),
                      field("hostInterface", &Endpoint::host_side, {.required = true}),
                      field("address", &Endpoint::ipv4, {.required = true}),
                      field("prefix", &Endpoint::prefix4, {.required = true}),
                      field("gateway", &Endpoint::gateway4), field("address6", &Endpoint::ipv6),
                      field("prefix6", &Endpoint::prefix6), field("gateway6", &Endpoint::gateway6),
                      field("mac", &Endpoint::mac), field("internal", &Endpoint::internal),
                      field("aliases", &Endpoint::aliases));
}

constexpr auto json_fields(const GuestNetwork*) {
  using json::field;
  return json::fields(field("tenant", &GuestNetwork::tenant, {.required = true}),
                      field("guest", &GuestNetwork::guest, {.required = true}),
                      field("networks", &GuestNetwork::endpoints, {.always = true}),
                      field("ports", &GuestNetwork::ports, {.always = true}),
                      field("bandwidth", &GuestNetwork::bandwidth));
}

constexpr auto json_fields(const Counters*) {
  using json::field;
  return json::fields(field("inBytes", &Counters::in_bytes, {.always = true}),
                      field("inPackets", &Counters::in_packets, {.always = true}),
                      field("inDropped", &Counters::in_dropped, {.always = true}),
                      field("outBytes", &Counters::out_bytes, {.always = true}),
                      field("outPackets", &Counters::out_packets, {.always = true}),
                      field("outDropped", &Counters::out_dropped, {.always = true}));
}

constexpr auto json_fields(const ExtraHost*) {
  return json::fields(json::field("name", &ExtraHost::name),
                      json::field("address", &ExtraHost::address));
}

constexpr auto json_fields(const GuestRecord*) {
  using json::field;
  return json::fields(
      field("version", &GuestRecord::version, {.min = 1, .max = 1, .required = true}),
      field("net", &GuestRecord::net, {.required = true}),
      field("hostname", &GuestRecord::hostname), field("hostsFile", &GuestRecord::hosts_file),
      field("extraHosts", &GuestRecord::extra_hosts), field("past", &GuestRecord::past));
}

}  // namespace vrun::network
