#include "network/rootless.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.hpp"

namespace vrun::network {
namespace {

using testing::HasSubstr;

AttachRequest plain(const std::vector<std::string>& ports = {}) {
  AttachRequest request;
  request.guest = "g";
  request.joins.emplace_back();
  for (const std::string& port : ports)
    request.ports.push_back(*parse_publish(port));
  return request;
}

std::string command(const AttachRequest& request, const RootlessTools& tools) {
  const auto words = rootless_command(request, Pid(7), tools);
  return words ? join(*words, " ") : words.error().text() + " | " + words.error().hint();
}

TEST(Rootless, prefers_pasta_and_opens_just_the_ports) {
  const RootlessTools both{"/usr/bin/pasta", "/usr/bin/slirp4netns"};
  EXPECT_EQ(command(plain(), both),
            "/usr/bin/pasta --config-net --no-map-gw -T none -U none -t none -u none 7");
  EXPECT_EQ(command(plain({"8080:80", "127.0.0.1:9000-9001:90-91", "53:53/udp"}), both),
            "/usr/bin/pasta --config-net --no-map-gw -T none -U none -t 8080:80 -t "
            "127.0.0.1/9000-9001:90-91 -u 53:53 7");
}

TEST(Rootless, takes_slirp4netns_where_pasta_is_not_installed) {
  const RootlessTools slirp{"", "/usr/bin/slirp4netns"};
  EXPECT_EQ(command(plain(), slirp),
            "/usr/bin/slirp4netns --configure --mtu=65520 --disable-host-loopback --enable-ipv6 7 "
            "tap0");
  EXPECT_THAT(command(plain({"8080:80"}), slirp), HasSubstr("slirp4netns --configure"));
  EXPECT_THAT(command(plain({"[::1]:8080:80"}), slirp),
              HasSubstr("needs pasta, which is not installed"));
}

TEST(Rootless, without_either_says_what_to_install) {
  EXPECT_EQ(command(plain(), {}),
            "network without root: neither pasta nor slirp4netns is installed | apt install passt "
            "(or slirp4netns), or use --network none or host");
}

TEST(Rootless, refuses_what_only_root_can) {
  const RootlessTools pasta{"/usr/bin/pasta", ""};
  AttachRequest request = plain();
  request.joins[0].network = "web";
  EXPECT_THAT(command(request, pasta), HasSubstr("networks by name: needs root"));
  request = plain();
  request.joins[0].ipv4 = parse_ipv4("10.0.0.2");
  EXPECT_THAT(command(request, pasta), HasSubstr("a fixed address: needs root"));
  request = plain();
  request.bandwidth.in = 1;
  EXPECT_THAT(command(request, pasta), HasSubstr("a limit of bandwidth: needs root"));
  EXPECT_THAT(command(plain({"80"}), pasta), HasSubstr("must be named"));
}

}  // namespace
}  // namespace vrun::network
