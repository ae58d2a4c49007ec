// The connection between `vrun` of a user without privileges and vrun-broker: packets on a unix
// socket (SOCK_SEQPACKET). In words, docs/protocol.md draws it:
//
//   client  {"version":1,"tenant":..,"words":[..],"term":..} + descriptors 0, 1, 2
//                                         and, if it sends files, those (caller_files.hpp)
//   client  {"signal":N}                                      any number of times
//   broker  {"code":N} or {"code":125,"error":..,"hint":..}   the last word
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/id.hpp"
#include "base/result.hpp"

namespace vrun::tenants {

inline constexpr const char* kBrokerSocket = "/run/vrun-broker/socket";
inline constexpr std::size_t kMostPacket = 128U << 10U;

struct BrokerRequest {
  std::uint32_t version = 1;
  std::string tenant;
  std::vector<std::string> words;  // as behind `vrun`, without --tenant
  std::string term;                // TERM
};
struct BrokerAnswer {
  std::int32_t code = 0;
  std::string error, hint;
};
struct BrokerSignal {
  std::int32_t signal = 0;
};

std::string to_json(const BrokerRequest& request);
std::string to_json(const BrokerAnswer& answer);
std::string to_json(const BrokerSignal& signal);
// From a caller that may be hostile: strict, bounded, no word with a zero byte.
Result<BrokerRequest> parse_request(std::string_view packet);
Result<BrokerAnswer> parse_answer(std::string_view packet);
Result<BrokerSignal> parse_signal_packet(std::string_view packet);

struct Packet {
  std::string bytes;  // empty: the other end is closed
  std::vector<Fd> fds;
};
// At most four descriptors; a packet that was cut is an error.
Result<Packet> receive_packet(int socket);
Result<void> send_packet(int socket, std::string_view bytes, const std::vector<int>& fds = {});

// Who is at the other end, as the kernel knows it (SO_PEERCRED, SO_PEERGROUPS): the user and groups
// that it had when it connected.
struct Peer {
  Uid uid;
  Gid gid;
  std::vector<Gid> groups;  // gid among them
  Pid pid;
};
Result<Peer> peer_of(int socket);

}  // namespace vrun::tenants
