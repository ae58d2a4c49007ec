// The networks of one tenant, and the guests' places in them.
//
// How an engine uses it:
//
//   Networks networks = TRY(Networks::open({data, run}, tenant, host));
//   runtime::create(...)                     the guest waits at its start gate
//   Fd netns = open("/proc/PID/ns/net")
//   Attachment attached = TRY(networks.attach(request, netns));   interfaces, leases, ports, names
//   runtime::start(...)
//   attached.commit();                       else everything is undone on drop
//   ...
//   networks.detach(guest, Links::kLeave);   after the guest's end
//
// A guest's hosts and resolv.conf are bind-mounted before they have their contents: the engine
// makes both files (owned by the guest's root) and names them in the request; they are written in
// place by attach(), and hosts again whenever somebody joins or leaves the guest's networks.
//
// State: networks are files in DATA/networks/TENANT (they survive a boot), leases, ports and what
// each guest has are files in RUN/net. One lock (flock of RUN/net) orders all commands of all
// tenants, because addresses and ports are the host's. Whatever a killed command left is taken back
// by repair(), which attach() calls by itself when an address, name or port that it wants is taken.
//
// Everything happens in the caller's network namespace, which plays the host. nft rules live in
// `table inet vrun` alone; a guest without published ports needs no run of nft, as the rules of its
// bridge cover it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/host.hpp"
#include "base/result.hpp"
#include "network/address.hpp"
#include "network/counters.hpp"
#include "network/wishes.hpp"

namespace vrun::network {

inline constexpr const char* kDefaultNetwork = "default";

struct Network {
  std::uint32_t version = 1;
  std::string tenant, name, created;
  std::string bridge;  // the interface on the host
  Subnet4 subnet4;
  Ipv4 gateway4;
  std::optional<Subnet6> subnet6;
  Ipv6 gateway6;
  bool internal = false;  // no way out, no published ports
  std::uint32_t mtu = 0;  // 0: the uplink's
  std::map<std::string, std::string> labels;
};

// What `network create` may say.
struct NewNetwork {
  std::string name;
  std::optional<Subnet4> subnet4;  // else the next free one of the pool
  std::optional<Ipv4> gateway4;    // else the subnet's first
  std::optional<Subnet6> subnet6;
  std::optional<Ipv6> gateway6;
  bool ipv6 = true;
  bool internal = false;
  std::uint32_t mtu = 0;
  std::map<std::string, std::string> labels;
};

// Bits per second; 0: no limit. `in` is what the guest receives. Each of its interfaces has it for
// itself. Both directions wait in queues of the host, which no capability inside reaches: `in` at
// the host's end of the pair, `out` in an interface (ifb) through which all passes that arrives
// there.
//
// The budget for all guests of a tenant (limit_all) holds at the bridges: what passes between them
// and the rest goes through two such interfaces of the tenant's. What guests of one network send
// each other stays below the bridge and is not in it.
//
// `packets` are those of a second, for each direction by itself; what is more is dropped where the
// interface meets its bridge. One that the host's kernel has not cut up yet (segmentation offload)
// counts as one.
struct Bandwidth {
  std::uint64_t in = 0, out = 0, packets = 0;
  bool operator==(const Bandwidth&) const = default;
};

struct AttachRequest {
  std::string guest;
  std::string hostname;  // empty: the guest's name
  std::vector<Join> joins;
  std::vector<Publish> ports;
  Bandwidth bandwidth;
  std::vector<ExtraHost> extra_hosts;
  std::vector<std::string> dns, dns_search, dns_options;  // else the host's
  std::string hosts_file, resolv_file;                    // paths on the host; empty: not wanted
};

// One interface of a guest.
struct Endpoint {
  std::string network, bridge;
  std::string interface;  // inside: eth0 ...
  std::string host_side;  // on the host
  Ipv4 ipv4, gateway4;
  std::optional<Ipv6> ipv6, gateway6;
  unsigned prefix4 = 0, prefix6 = 0;
  Mac mac;
  bool internal = false;
  std::vector<std::string> aliases;
  bool operator==(const Endpoint&) const = default;
};

// What a guest has: for `inspect`, `ps` and `port`.
struct GuestNetwork {
  std::string tenant, guest;
  std::vector<Endpoint> endpoints;
  std::vector<Publish> ports;  // with the host ports that were taken
  Bandwidth bandwidth;
  bool operator==(const GuestNetwork&) const = default;
};

// Whether detach() removes a guest's interfaces itself, which takes the kernel some 20 ms, or
// leaves that to the end of the guest's network namespace. An address whose interface is still
// there is not given to anybody else.
enum class Links { kRemove, kLeave };

class Networks;
struct Session;

// A guest's attachment in the making; undone on drop unless commit() was called.
class [[nodiscard]] Attachment {
 public:
  Attachment(Attachment&& other) noexcept;
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;
  Attachment& operator=(Attachment&&) = delete;
  ~Attachment();

  const GuestNetwork& guest() const { return guest_; }
  // What the user should know: a resolver that the guest cannot reach, a forwarding switch that
  // could not be set.
  const std::vector<std::string>& warnings() const { return warnings_; }
  void commit() { networks_ = nullptr; }

 private:
  friend class Networks;
  Attachment(Networks* networks, GuestNetwork guest, std::vector<std::string> warnings)
      : networks_(networks), guest_(std::move(guest)), warnings_(std::move(warnings)) {}
  Networks* networks_;  // must outlive the attachment
  GuestNetwork guest_;
  std::vector<std::string> warnings_;
};

struct NetworkPlaces {
  std::string data, run;  // /var/lib/vrun, /run/vrun
};

class Networks {
 public:
  static Result<Networks> open(const NetworkPlaces& places, const std::string& tenant,
                               const Host& host);

  // ---- networks ----
  Result<Network> create(const NewNetwork& wanted);
  Result<std::vector<Network>> list() const;  // by name
  // An unknown name suggests the nearest. "default" (or "bridge") is made when it is not there.
  Result<Network> find(const std::string& name);
  Result<std::vector<GuestNetwork>> members(const std::string& name) const;
  Result<void> remove(const std::string& name);  // refused while guests are on it
  // Takes the place of its labels; nobody on it notices.
  Result<void> relabel(const std::string& name, std::map<std::string, std::string> labels);
  Result<std::vector<std::string>> prune();  // all without guests; answers the names

  // ---- guests ----
  Result<Attachment> attach(const AttachRequest& request, const Fd& netns);
  // A guest that has nothing is success, so that it may be called again after a crash.
  Result<void> detach(const std::string& guest, Links links);
  Result<Endpoint> connect(const std::string& guest, const Join& join, const Fd& netns);
  Result<void> disconnect(const std::string& guest, const std::string& network, const Fd& netns);
  // Answers the ports as they are now open (host ports chosen).
  Result<std::vector<Publish>> publish(const std::string& guest, const std::vector<Publish>& ports);
  Result<void> unpublish(const std::string& guest, const std::vector<Publish>& ports);
  Result<void> limit(const std::string& guest, const Bandwidth& bandwidth);
  // What all guests of the tenant together may send to and receive from beyond their networks, in
  // bits per second each; 0: no limit. Live, and kept for bridges that are made later.
  Result<void> limit_all(std::uint64_t bits);
  // Can this kernel do that?
  Result<void> try_limit_all();
  // The others find it by its new name. `hosts_file`: where its file is now; empty: as it was. A
  // guest that has nothing is success.
  Result<void> rename(const std::string& guest, const std::string& name,
                      const std::string& hosts_file);
  // Of this attachment, with what went over networks that the guest has left since. All zero for a
  // guest that has nothing.
  Result<Counters> counters(const std::string& guest) const;
  Result<std::optional<GuestNetwork>> guest(const std::string& name) const;  // empty: has nothing
  Result<std::vector<GuestNetwork>> guests() const;                          // of this tenant

  // Takes back what belongs to guests whose interfaces are gone or never came to be, of all
  // tenants, and makes the rules anew when they are not as they should be.
  Result<void> repair();

 private:
  friend class Attachment;
  Networks(NetworkPlaces places, std::string tenant, Host host)
      : places_(std::move(places)), tenant_(std::move(tenant)), host_(std::move(host)) {}
  Result<Session> begin() const;  // takes the lock
  NetworkPlaces places_;
  std::string tenant_;
  Host host_;
};

}  // namespace vrun::network
