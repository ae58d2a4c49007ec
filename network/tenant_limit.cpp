#include <array>
#include <cstdio>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "network/session.hpp"

namespace vrun::network {
namespace {

constexpr std::uint64_t kBitsPerByte = 8;

struct Shapers {
  std::string in, out;  // what guests receive and send
};

// Interfaces have at most 15 letters, tenants 32: 40 bits of FNV-1a.
Shapers shapers_of(const std::string& tenant) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const char c : tenant)
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  std::array<char, 16> name{};
  std::snprintf(name.data(), name.size(), "vt%010llx",
                static_cast<unsigned long long>(hash >> 24U));
  return {std::string(name.data()) + "i", std::string(name.data()) + "o"};
}

Result<Link> make_shaper(Session& session, const std::string& name, std::uint64_t bits) {
  Link shaper = TRY(session.links.make_shaper(name));
  TRY(session.links.limit_sending(shaper.index, bits / kBitsPerByte));
  return shaper;
}

struct Pair {
  Link in, out;
};
Result<Pair> make_shapers(Session& session, std::uint64_t bits) {
  const Shapers names = shapers_of(session.tenant);
  Pair pair;
  pair.in = TRY(make_shaper(session, names.in, bits));
  pair.out = TRY(make_shaper(session, names.out, bits));
  return pair;
}

// The host receives by the bridge what guests send.
Result<void> lead(Session& session, const Link& bridge, const Pair& pair) {
  return session.links.lead_both(bridge.index, pair.out.index, pair.in.index);
}

Result<void> set_all(Session& session, std::uint64_t bits) {
  std::optional<Pair> pair;
  for (const Network& network : TRY(session.records.networks(session.tenant))) {
    const std::optional<Link> bridge = TRY(session.links.find(network.bridge));
    if (!bridge) continue;
    if (bits == 0) {
      TRY(session.links.lead_both(bridge->index, 0, 0));
      continue;
    }
    if (!pair) pair = TRY(make_shapers(session, bits));
    TRY(lead(session, *bridge, *pair));
  }
  // Last: what is still led to an interface that has gone is lost.
  if (!pair) return remove_tenant_shapers(session);
  return {};
}

// br_netfilter tracks a guest's packet below the bridge; led away above it, it loses that
// (act_mirred, nf_reset_ct) and no rule knows it as an answer any more.
Result<void> check_bridge_filter(const Host& host) {
  for (const char* name : {"bridge-nf-call-iptables", "bridge-nf-call-ip6tables"}) {
    const std::string path = host.proc + "/sys/net/bridge/" + name;
    const Result<std::string> text = fs::read_file(At::cwd(), path, 16);
    if (!text || trim(*text) == "0") continue;
    return Error(Code::kUnsupported,
                 std::string("br_netfilter filters below bridges (net.bridge.") + name + "=1)")
        .hint(std::string("sysctl net.bridge.") + name + "=0");
  }
  return {};
}

}  // namespace

Result<void> limit_bridge(Session& session, const Link& bridge) {
  const std::uint64_t bits = TRY(session.records.bandwidth(session.tenant));
  if (bits == 0) return {};
  TRY(check_bridge_filter(session.host));
  return lead(session, bridge, TRY(make_shapers(session, bits)));
}

Result<void> remove_tenant_shapers(Session& session) {
  const Shapers names = shapers_of(session.tenant);
  TRY(session.links.remove(names.in));
  return session.links.remove(names.out);
}

Result<void> Networks::limit_all(std::uint64_t bits) {
  Session session = TRY(begin());
  const std::uint64_t before = TRY(session.records.bandwidth(tenant_));
  if (bits == 0 && before == 0) return {};
  // First the record: a bridge that is made after a kill here has the limit, and a second call
  // brings the others.
  TRY(session.records.save_bandwidth(tenant_, bits));
  Result<void> set = set_all(session, bits);
  if (set) return set;
  static_cast<void>(session.records.save_bandwidth(tenant_, before));
  static_cast<void>(set_all(session, before));
  return set;
}

Result<void> Networks::try_limit_all() {
  TRY(check_bridge_filter(host_));
  Session session = TRY(begin());
  const std::string name = "vtry" + std::to_string(sys::self().value);
  const Link shaper = TRY(session.links.make_shaper(name));
  Result<void> limited = session.links.limit_sending(shaper.index, 1'000'000);
  if (limited) limited = session.links.lead_both(shaper.index, shaper.index, shaper.index);
  static_cast<void>(session.links.lead_both(shaper.index, 0, 0));
  TRY(session.links.remove(name));
  return limited;
}

}  // namespace vrun::network
