// What networks keep on disk, and where: JSON documents of networks and guests, and plain
// directories whose entries are leases.
//
//   DATA/networks/TENANT/NAME.json     a network
//   DATA/networks/TENANT/bandwidth    what all its guests may have, bits per second
//   DATA/networks/ula                  this host's IPv6 prefix
//   RUN/net/guests/TENANT/GUEST.json   what a guest has
//   RUN/net/leases/BRIDGE/ADDRESS      an address in use; the file names "TENANT/GUEST"
//   RUN/net/leases/BRIDGE/.last        the number given last
//   RUN/net/ports/PROTOCOL-PORT-ADDRESS   a published port; the file names "TENANT/GUEST"
//   RUN/net/names/BRIDGE               the hosts lines of all members
//   RUN/net/members/BRIDGE/GUEST       a link to the member's hosts file
//
// All functions but the reading ones expect the caller to hold the lock (Records::lock()).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "network/networks.hpp"

namespace vrun::network {

struct GuestRecord {
  std::uint32_t version = 1;
  GuestNetwork net;
  std::string hostname, hosts_file;
  std::vector<ExtraHost> extra_hosts;
  Counters past;  // of interfaces that are gone
};

class Records {
 public:
  explicit Records(const NetworkPlaces& places);

  // Held until the descriptor is closed. Makes the directories.
  Result<Fd> lock() const;

  // ---- networks ----
  Result<void> save(const Network& network) const;
  Result<std::optional<Network>> network(const std::string& tenant, const std::string& name) const;
  Result<std::vector<Network>> networks(const std::string& tenant) const;  // by name
  Result<std::vector<Network>> all_networks() const;
  Result<void> remove(const Network& network) const;
  // The host's ULA prefix; made at the first call.
  Result<Ipv6> ula() const;

  // Of all guests of a tenant, bits per second; 0: no limit.
  Result<std::uint64_t> bandwidth(const std::string& tenant) const;
  Result<void> save_bandwidth(const std::string& tenant, std::uint64_t bits) const;

  // ---- guests ----
  Result<void> save(const GuestRecord& record) const;
  Result<std::optional<GuestRecord>> guest(const std::string& tenant,
                                           const std::string& name) const;
  Result<std::vector<GuestRecord>> guests(const std::string& tenant) const;
  Result<std::vector<GuestRecord>> all_guests() const;
  Result<void> remove_guest(const std::string& tenant, const std::string& name) const;

  // ---- leases ----
  Result<std::set<std::string>> leases(const std::string& bridge) const;
  // Code::kExists with the owner when it is taken.
  Result<void> lease(const std::string& bridge, const std::string& address,
                     const std::string& owner) const;
  Result<void> release(const std::string& bridge, const std::string& address) const;
  // Of a lease that is there.
  Result<void> set_owner(const std::string& bridge, const std::string& address,
                         const std::string& owner) const;
  Result<std::string> owner(const std::string& bridge, const std::string& address) const;
  std::uint32_t last_number(const std::string& bridge) const;
  Result<void> set_last_number(const std::string& bridge, std::uint32_t number) const;

  // ---- ports ----
  struct PortLease {
    Protocol protocol;
    std::uint16_t port;
    std::string address;  // "*" for all
    std::string owner;
  };
  Result<std::vector<PortLease>> port_leases() const;  // without owners
  Result<std::string> port_owner(const PortLease& lease) const;
  Result<void> lease_port(const PortLease& lease) const;
  Result<void> release_port(const PortLease& lease) const;
  Result<void> set_port_owner(const PortLease& lease) const;

  // ---- names ----
  std::string names(const std::string& bridge) const;
  Result<void> add_names(const std::string& bridge, const std::string& lines) const;
  Result<void> set_names(const std::string& bridge, const std::string& text) const;
  Result<void> add_member(const std::string& bridge, const std::string& guest,
                          const std::string& hosts_file) const;
  Result<void> remove_member(const std::string& bridge, const std::string& guest) const;
  // The directory of links to the members' hosts files.
  std::string members_dir(const std::string& bridge) const;
  // Files that a killed command had begun to write. With the lock held nobody is writing one.
  Result<void> remove_drafts() const;
  // Everything of a bridge that is not a network's file.
  Result<void> forget_bridge(const std::string& bridge) const;

 private:
  std::string data_, run_;
};

}  // namespace vrun::network
