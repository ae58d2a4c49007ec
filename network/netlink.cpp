#include "network/netlink.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>

#include "base/sys.hpp"
#include "base/undo.hpp"

namespace vrun::network {
namespace {

constexpr std::size_t kAnswerBytes = 32768;  // a page at least; dumps fill it (netlink(7))

std::size_t aligned(std::size_t bytes) {
  return (bytes + NLMSG_ALIGNTO - 1U) & ~std::size_t{NLMSG_ALIGNTO - 1U};
}

const nlmsghdr* header_at(std::span<const char> bytes) {
  if (bytes.size() < sizeof(nlmsghdr)) return nullptr;
  const auto* header = reinterpret_cast<const nlmsghdr*>(bytes.data());
  return header->nlmsg_len >= sizeof(nlmsghdr) && header->nlmsg_len <= bytes.size() ? header
                                                                                    : nullptr;
}

// 0 or the positive errno of an NLMSG_ERROR.
int error_of(const nlmsghdr& header) {
  nlmsgerr error{};
  if (header.nlmsg_len < NLMSG_HDRLEN + sizeof error) return EBADMSG;
  std::memcpy(&error, reinterpret_cast<const char*>(&header) + NLMSG_HDRLEN, sizeof error);
  return -error.error;
}

}  // namespace

void Request::append(const void* data, std::size_t bytes) {
  const std::size_t at = bytes_.size();
  bytes_.resize(at + aligned(bytes));
  std::memcpy(bytes_.data() + at, data, bytes);
}

void Request::add(std::uint16_t type, std::string_view bytes) {
  rtattr attribute{};
  attribute.rta_type = type;
  attribute.rta_len = static_cast<std::uint16_t>(sizeof attribute + bytes.size());
  append(&attribute, sizeof attribute);
  append(bytes.data(), bytes.size());
}

void Request::add_text(std::uint16_t type, const std::string& text) {
  add(type, std::string_view(text.c_str(), text.size() + 1));
}

void Request::add_u32(std::uint16_t type, std::uint32_t value) {
  add(type, std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
}

std::size_t Request::begin(std::uint16_t type) {
  const std::size_t at = bytes_.size();
  rtattr attribute{};
  attribute.rta_type = type;
  append(&attribute, sizeof attribute);
  return at;
}

void Request::end(std::size_t begun) {
  const auto length = static_cast<std::uint16_t>(bytes_.size() - begun);
  std::memcpy(bytes_.data() + begun + offsetof(rtattr, rta_len), &length, sizeof length);
}

std::span<char> Request::finish(std::uint32_t sequence) {
  nlmsghdr header{};
  std::memcpy(&header, bytes_.data(), sizeof header);
  header.nlmsg_len = static_cast<std::uint32_t>(bytes_.size());
  header.nlmsg_seq = sequence;
  std::memcpy(bytes_.data(), &header, sizeof header);
  return bytes_;
}

std::vector<Attribute> attributes_of(const nlmsghdr& message, std::size_t body_bytes) {
  std::vector<Attribute> found;
  const char* start = reinterpret_cast<const char*>(&message);
  std::size_t at = NLMSG_HDRLEN + aligned(body_bytes);
  while (at + sizeof(rtattr) <= message.nlmsg_len) {
    rtattr attribute{};
    std::memcpy(&attribute, start + at, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || at + attribute.rta_len > message.nlmsg_len) break;
    found.push_back(
        {static_cast<std::uint16_t>(attribute.rta_type & NLA_TYPE_MASK),
         std::string_view(start + at + sizeof attribute, attribute.rta_len - sizeof attribute)});
    at += aligned(attribute.rta_len);
  }
  return found;
}

Result<Netlink> Netlink::open(int family) {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family));
  if (!socket) return Error::system(errno, "open a netlink socket");
  return Netlink(std::move(socket));
}

Result<Netlink> Netlink::open_in(int netns_fd) {
  const Fd own = TRY(sys::open(At::cwd(), "/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  TRY(sys::set_namespace(netns_fd, CLONE_NEWNET));
  auto opened = open();
  // Coming back cannot fail for lack of rights, as we have just come from there.
  TRY(sys::set_namespace(own.get(), CLONE_NEWNET));
  return opened;
}

Result<void> Netlink::request(Request& request, std::string_view action) {
  return read_all(request, action, [](const nlmsghdr&) {});
}

Result<void> Netlink::read_all(Request& request, std::string_view action,
                               const std::function<void(const nlmsghdr&)>& each) {
  const std::uint32_t sequence = ++sequence_;
  const std::span<char> out = request.finish(sequence);
  if (::send(socket_.get(), out.data(), out.size(), 0) < 0) {
    return Error::system(errno, std::string(action));
  }
  alignas(nlmsghdr) std::array<char, kAnswerBytes> buffer;
  while (true) {
    const std::size_t got = TRY(sys::read(socket_.get(), buffer));
    std::span<const char> rest(buffer.data(), got);
    while (const nlmsghdr* header = header_at(rest)) {
      rest = rest.subspan(std::min(aligned(header->nlmsg_len), rest.size()));
      if (header->nlmsg_seq != sequence) continue;  // left over from a request that failed
      if (header->nlmsg_type == NLMSG_DONE) return {};
      if (header->nlmsg_type == NLMSG_ERROR) {
        const int error = error_of(*header);
        if (error == 0) return {};
        return Error::system(error, std::string(action));
      }
      each(*header);
    }
  }
}

}  // namespace vrun::network
