#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "network/loopback_child.hpp"
#include "sandbox.hpp"

namespace vrun::network {
namespace {

// Can a datagram be sent to 127.0.0.1? Without loopback the answer is ENETUNREACH.
std::string send_to_loopback() {
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto n = ::sendto(socket, "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
  const std::string seen = n == 1 ? "sent" : ::strerrorname_np(errno);
  ::close(socket);
  return seen;
}

TEST(Loopback, comes_up) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(in_new_network([] {
              steps::Context context{};
              const std::string before = send_to_loopback();
              const long result = loopback_up(context);
              const long again = loopback_up(context);
              return before + " " + std::to_string(result) + " " + std::to_string(again) + " " +
                     send_to_loopback();
            }),
            "ENETUNREACH 0 0 sent");
}

}  // namespace
}  // namespace vrun::network
