#include "engine/guest_network.hpp"

#include <fcntl.h>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "network/networks.hpp"

namespace vrun::engine {
namespace {

using Kind = network::Mode::Kind;

Error of_flag(Error error, const std::string& flag, const std::string& value) {
  return std::move(error).during(flag + " " + quote(value));
}

// --ip, --ip6 and --network-alias are about the first network.
Result<void> place_in_first(const RunRequest& request, network::Join& first) {
  if (!request.ip.empty()) {
    first.ipv4 = network::parse_ipv4(request.ip);
    if (!first.ipv4)
      return Error(Code::kInvalid, "--ip " + quote(request.ip) + ": is not an IPv4 address");
  }
  if (!request.ip6.empty()) {
    first.ipv6 = network::parse_ipv6(request.ip6);
    if (!first.ipv6)
      return Error(Code::kInvalid, "--ip6 " + quote(request.ip6) + ": is not an IPv6 address");
  }
  for (const std::string& alias : request.network_aliases) {
    Result<void> checked = network::check_alias(alias);
    if (!checked) return of_flag(std::move(checked).error(), "--network-alias", alias);
    first.aliases.push_back(alias);
  }
  return {};
}

Result<network::Mode> mode_of(const RunRequest& request) {
  Result<network::Mode> mode = network::parse_mode({request.network});
  if (!mode) return of_flag(std::move(mode).error(), "--network", request.network);
  if (mode->kind == Kind::kContainer) {
    return Error(Code::kUnsupported,
                 "--network " + quote(request.network) + ": this version cannot share a network")
        .hint("put both guests on one network: they find each other by name");
  }
  if (mode->kind == Kind::kNetworks) {
    TRY(place_in_first(request, mode->joins.front()));
    return mode;
  }
  const char* flag = !request.publish.empty()           ? "--publish"
                     : !request.ip.empty()              ? "--ip"
                     : !request.ip6.empty()             ? "--ip6"
                     : !request.network_aliases.empty() ? "--network-alias"
                                                        : nullptr;
  if (flag == nullptr) return mode;
  return Error(Code::kInvalid,
               std::string(flag) + ": --network " + request.network + " has no place for it")
      .hint("leave --network out, or name a network (`vrun network ls`)");
}

Result<std::vector<network::Publish>> ports_of(const RunRequest& request) {
  std::vector<network::Publish> ports;
  for (const std::string& text : request.publish) {
    Result<network::Publish> port = network::parse_publish(text);
    if (!port) return of_flag(std::move(port).error(), "--publish", text);
    ports.push_back(*port);
  }
  return ports;
}

std::string file_of(const Guests& guests, const GuestRecord& record, const char* name) {
  return guests.places().guests(guests.tenant()) + "/" + record.name + "/files/" + name;
}

Result<network::AttachRequest> attach_request_of(const Guests& guests, const GuestRecord& record,
                                                 network::Mode mode) {
  const RunRequest& request = record.request;
  network::AttachRequest attach;
  attach.guest = record.name;
  attach.hostname = request.hostname;
  attach.joins = std::move(mode.joins);
  attach.ports = TRY(ports_of(request));
  for (const std::string& text : request.add_hosts)
    attach.extra_hosts.push_back(TRY(network::parse_extra_host(text)));
  attach.dns = request.dns;
  attach.dns_search = request.dns_search;
  attach.dns_options = request.dns_options;
  attach.hosts_file = file_of(guests, record, "hosts");
  attach.resolv_file = file_of(guests, record, "resolv.conf");
  return attach;
}

Result<network::Networks> networks_of(const Guests& guests) {
  return network::Networks::open({guests.places().data, guests.places().run}, guests.tenant(),
                                 guests.host());
}

bool joins_networks(const RunRequest& request) {
  const Result<network::Mode> mode = mode_of(request);
  return mode && mode->kind == Kind::kNetworks;
}

}  // namespace

Result<void> check_network(const RunRequest& request) {
  TRY(mode_of(request));
  TRY(ports_of(request));
  for (const std::string& text : request.add_hosts) {
    Result<network::ExtraHost> host = network::parse_extra_host(text);
    if (!host) return of_flag(std::move(host).error(), "--add-host", text);
  }
  return {};
}

Result<void> attach_network(const Guests& guests, const GuestRecord& record, Pid pid) {
  network::Mode mode = TRY(mode_of(record.request));
  if (mode.kind != Kind::kNetworks) return {};
  const network::AttachRequest request = TRY(attach_request_of(guests, record, std::move(mode)));
  const Fd netns =
      TRY(sys::open(At::cwd(), "/proc/" + std::to_string(pid.value) + "/ns/net", O_RDONLY));
  network::Networks networks = TRY(networks_of(guests));
  network::Attachment attachment = TRY(networks.attach(request, netns));
  for (const std::string& warning : attachment.warnings())
    log::warning(warning);
  attachment.commit();
  return {};
}

Result<void> detach_network(const Guests& guests, const GuestRecord& record) {
  if (!joins_networks(record.request)) return {};
  network::Networks networks = TRY(networks_of(guests));
  return networks.detach(record.name, network::Links::kLeave);
}

Result<void> rename_in_networks(const Guests& guests, const GuestRecord& record,
                                const std::string& old_name) {
  if (!joins_networks(record.request)) return {};
  network::Networks networks = TRY(networks_of(guests));
  return networks.rename(old_name, record.name, file_of(guests, record, "hosts"));
}

}  // namespace vrun::engine
