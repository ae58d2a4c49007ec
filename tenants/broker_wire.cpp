#include "tenants/broker_wire.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/socket.h>

#include "base/json_table.hpp"
#include "base/text.hpp"

namespace vrun::tenants {
namespace {

constexpr std::size_t kMostFds = 4;
constexpr std::size_t kMostWords = 1024;
constexpr std::size_t kLongestTerm = 64;

bool is_term(std::string_view text) {
  return text.size() <= kLongestTerm && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '+' || c == '.' || c == '_';
         });
}

}  // namespace

constexpr auto json_fields(const BrokerRequest*) {
  using json::field;
  using R = BrokerRequest;
  return json::fields(field("version", &R::version, {.min = 1, .max = 1, .required = true}),
                      field("tenant", &R::tenant, {.required = true, .non_empty = true}),
                      field("words", &R::words, {.required = true}), field("term", &R::term));
}
constexpr auto json_fields(const BrokerAnswer*) {
  using json::field;
  using A = BrokerAnswer;
  return json::fields(field("code", &A::code, {.min = 0, .max = 255, .required = true}),
                      field("error", &A::error), field("hint", &A::hint));
}
constexpr auto json_fields(const BrokerSignal*) {
  return json::fields(
      json::field("signal", &BrokerSignal::signal, {.min = 1, .max = 64, .required = true}));
}

std::string to_json(const BrokerRequest& request) {
  return json::write(request);
}
std::string to_json(const BrokerAnswer& answer) {
  return json::write(answer);
}
std::string to_json(const BrokerSignal& signal) {
  return json::write(signal);
}

Result<BrokerRequest> parse_request(std::string_view packet) {
  BrokerRequest request = TRY(json::read<BrokerRequest>(packet, "request"));
  if (request.words.size() > kMostWords) {
    return Error(Code::kInvalid, "request: more than " + std::to_string(kMostWords) + " words");
  }
  for (const std::string& word : request.words) {
    if (word.find('\0') != std::string::npos)
      return Error(Code::kInvalid, "request: a word with a zero byte");
  }
  if (!is_term(request.term)) request.term.clear();
  return request;
}

Result<BrokerAnswer> parse_answer(std::string_view packet) {
  return json::read<BrokerAnswer>(packet, "answer");
}

Result<BrokerSignal> parse_signal_packet(std::string_view packet) {
  return json::read<BrokerSignal>(packet, "signal");
}

Result<Packet> receive_packet(int socket) {
  Packet packet;
  packet.bytes.resize(kMostPacket);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostFds * sizeof(int))> control{};
  iovec part{packet.bytes.data(), packet.bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t n;
  do {
    n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return Error::system(errno, "receive a packet");
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::array<int, kMostFds> fds{};
    std::memcpy(fds.data(), CMSG_DATA(header), std::min(count, kMostFds) * sizeof(int));
    for (std::size_t i = 0; i < std::min(count, kMostFds); ++i)
      packet.fds.emplace_back(fds[i]);
  }
  packet.bytes.resize(static_cast<std::size_t>(n));
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0) return packet;
  return Error(Code::kInvalid, "a packet is too large");
}

Result<void> send_packet(int socket, std::string_view bytes, const std::vector<int>& fds) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostFds * sizeof(int))> control{};
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  ssize_t n;
  do {
    n = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n >= 0) return {};
  return Error::system(errno, "send a packet");
}

Result<Peer> peer_of(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return Error::system(errno, "ask who is at the other end");
  }
  Peer peer{Uid(credentials.uid), Gid(credentials.gid), {}, Pid(credentials.pid)};
  std::vector<gid_t> groups(65536);  // NGROUPS_MAX
  size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0) {
    return Error::system(errno, "ask which groups the other end is in");
  }
  groups.resize(size / sizeof(gid_t));
  peer.groups.push_back(peer.gid);
  for (const gid_t group : groups)
    peer.groups.emplace_back(group);
  return peer;
}

}  // namespace vrun::tenants
