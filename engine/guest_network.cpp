#include "engine/guest_network.hpp"

#include "base/text.hpp"

namespace vrun::engine {
namespace {

Error needs_network(const std::string& flag) {
  return Error(Code::kUnsupported, flag + ": needs a network, and this build makes none")
      .hint("there are: --network none (loopback only, the default) and --network host");
}

}  // namespace

Result<void> check_network(const RunRequest& request) {
  if (request.network != "none" && request.network != "host") {
    return needs_network("--network " + quote(request.network));
  }
  if (!request.publish.empty()) return needs_network("--publish " + request.publish[0]);
  if (!request.ip.empty()) return needs_network("--ip " + quote(request.ip));
  if (!request.ip6.empty()) return needs_network("--ip6 " + quote(request.ip6));
  if (!request.network_aliases.empty()) return needs_network("--network-alias");
  return {};
}

Result<void> attach_network(const Guests&, const GuestRecord& record, Pid) {
  return check_network(record.request);
}

Result<void> detach_network(const Guests&, const GuestRecord&) {
  return {};  // none and host leave nothing behind
}

}  // namespace vrun::engine
