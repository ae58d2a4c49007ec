// A conversation with rtnetlink(7): requests with an acknowledgement, and dumps.
//
// The socket talks to the network namespace in which it was opened, wherever the process goes
// later. Written by hand because libnl-3 in a static program costs 470 KB, drags in the resolver
// and is needed for four messages (docs/decisions).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <linux/netlink.h>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::network {

// A request under construction: header, fixed part, attributes.
class Request {
 public:
  template <typename Body>
  Request(std::uint16_t type, std::uint16_t flags, const Body& body) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    append(&header, sizeof header);
    append(&body, sizeof body);
  }
  void add(std::uint16_t type, std::string_view bytes);
  void add_text(std::uint16_t type, const std::string& text);  // with its NUL
  void add_u32(std::uint16_t type, std::uint32_t value);
  // What is added between begin() and end() lies inside the attribute `type`.
  std::size_t begin(std::uint16_t type);
  void end(std::size_t begun);
  template <typename Body>
  void add_body(const Body& body) {  // a fixed part inside an attribute (VETH_INFO_PEER)
    append(&body, sizeof body);
  }

  std::span<char> finish(std::uint32_t sequence);

 private:
  void append(const void* data, std::size_t bytes);
  std::vector<char> bytes_;
};

// One attribute of an answer.
struct Attribute {
  std::uint16_t type;
  std::string_view bytes;
};
std::vector<Attribute> attributes_of(const nlmsghdr& message, std::size_t body_bytes);

class Netlink {
 public:
  // In the current network namespace; `family` as in netlink(7).
  static Result<Netlink> open(int family = NETLINK_ROUTE);
  static Result<Netlink> open_in(int netns_fd);

  // Waits for the acknowledgement; `action` is for the error: "rename 'eth0'".
  Result<void> request(Request& request, std::string_view action);
  // Calls `each` for every message of the answer.
  Result<void> read_all(Request& request, std::string_view action,
                        const std::function<void(const nlmsghdr&)>& each);

 private:
  explicit Netlink(Fd socket) : socket_(std::move(socket)) {}
  Fd socket_;
  std::uint32_t sequence_ = 0;
};

}  // namespace vrun::network
