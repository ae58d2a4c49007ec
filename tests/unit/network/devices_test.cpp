#include "network/devices.hpp"

#include <array>
#include <cstdio>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "base/spawn.hpp"
#include "base/sys.hpp"
#include "sandbox.hpp"

namespace vrun::network {
namespace {

using testing::HasSubstr;

// iproute2 makes the interfaces and shows what became of them.
std::string ip(std::vector<std::string> words) {
  words.insert(words.begin(), "ip");
  auto done = run({.path = "ip",
                   .argv = words,
                   .env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
                   .input = {},
                   .timeout = std::chrono::seconds(10),
                   .keep = {},
                   .cwd = {}});
  if (!done) return done.error().text();
  return done->exit.code() == 0 ? done->output : "ip: " + done->output;
}

// The words after each of `keys` in ip's output: "mtu 1400 inet 10.0.0.1/24".
std::string facts(const std::string& text, const std::vector<std::string>& keys) {
  std::string out;
  for (const std::string& key : keys) {
    std::size_t at = 0;
    while ((at = text.find(key + " ", at)) != std::string::npos) {
      const std::size_t end = text.find_first_of(" \n", at + key.size() + 1);
      out += text.substr(at, end - at) + "; ";
      at = end;
    }
  }
  return out;
}

Fd own_network() {
  return *sys::open(At::cwd(), "/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

// A second network namespace; the process stays in its own.
struct Inside {
  Fd host = own_network();
  Fd fd;
  Inside() {
    (void)::unshare(CLONE_NEWNET);
    fd = own_network();
    (void)::setns(host.get(), CLONE_NEWNET);
  }
  std::string ip(const std::vector<std::string>& words) const {
    (void)::setns(fd.get(), CLONE_NEWNET);
    std::string seen = network::ip(words);
    (void)::setns(host.get(), CLONE_NEWNET);
    return seen;
  }
};

std::string moved(const std::vector<oci::NetDevice>& devices, int netns) {
  const auto done = move_devices(devices, netns);
  return done ? "moved" : done.error().text();
}

// One end of a veth pair, whose other end stays on the host (not every kernel has dummies).
void make_interface(const std::string& name) {
  ip({"link", "add", name, "type", "veth", "peer", "name", "peer-" + name});
  ip({"link", "set", name, "mtu", "1400", "address", "02:00:00:00:00:05"});
  ip({"addr", "add", "10.1.2.3/24", "brd", "10.1.2.255", "dev", name});
  ip({"addr", "add", "2001:db8::5/64", "nodad", "dev", name});
  ip({"addr", "add", "169.254.1.1/16", "scope", "link", "dev", name});
  ip({"link", "set", name, "up"});
}

TEST(NetDevices, move_with_address_mtu_and_up_state) {
  SKIP_UNLESS_ROOT();
  const std::string seen = in_new_network([] {
    make_interface("d0");
    const Inside inside;
    const std::string result = moved({{"d0", ""}}, inside.fd.get());
    const std::string there = inside.ip({"addr", "show", "dev", "d0"});
    return result + " | " + facts(there, {"mtu", "link/ether", "inet", "brd", "inet6"}) +
           (there.find(",UP") != std::string::npos ? "up" : "down") + " | " +
           (ip({"link", "show", "d0"}).find("does not exist") != std::string::npos ? "gone"
                                                                                   : "here");
  });
  EXPECT_THAT(seen,
              HasSubstr("moved | mtu 1400; link/ether 02:00:00:00:00:05; inet 10.1.2.3/24; "));
  EXPECT_THAT(seen, HasSubstr("brd 10.1.2.255"));
  EXPECT_THAT(seen, HasSubstr("inet6 2001:db8::5/64"));
  EXPECT_THAT(seen, testing::Not(HasSubstr("169.254")));  // not of global scope
  EXPECT_THAT(seen, HasSubstr("up | gone"));
}

TEST(NetDevices, get_their_new_name) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(in_new_network([] {
              make_interface("d0");
              const Inside inside;
              const std::string result = moved({{"d0", "eth0"}}, inside.fd.get());
              return result + " " + facts(inside.ip({"addr", "show", "dev", "eth0"}), {"inet"});
            }),
            "moved inet 10.1.2.3/24; ");
}

TEST(NetDevices, a_name_taken_on_the_host_inside_is_no_trouble) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(in_new_network([] {
              make_interface("d0");
              const Inside inside;
              inside.ip({"link", "add", "d0", "type", "bridge"});
              const std::string result = moved({{"d0", "eth0"}}, inside.fd.get());
              return result + " " + facts(inside.ip({"addr", "show", "dev", "eth0"}), {"inet"});
            }),
            "moved inet 10.1.2.3/24; ");
}

TEST(NetDevices, a_template_gets_the_next_free_number) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(in_new_network([] {
              make_interface("d0");
              const Inside inside;
              inside.ip({"link", "add", "eth0", "type", "bridge"});
              const std::string result = moved({{"d0", "eth%d"}}, inside.fd.get());
              return result + " " + facts(inside.ip({"addr", "show", "dev", "eth1"}), {"inet"});
            }),
            "moved inet 10.1.2.3/24; ");
}

TEST(NetDevices, a_missing_interface_is_named) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(in_new_network([] {
              const Inside inside;
              return moved({{"nope", ""}}, inside.fd.get());
            }),
            "find interface 'nope' (linux.netDevices.nope): no such device (ENODEV)");
}

TEST(NetDevices, a_failure_brings_all_back) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(in_new_network([] {
              make_interface("d0");
              ip({"link", "add", "d1", "type", "veth", "peer", "name", "peer-d1"});
              const Inside inside;
              inside.ip({"link", "add", "taken", "type", "bridge"});
              const std::string result = moved({{"d0", "eth0"}, {"d1", "taken"}}, inside.fd.get());
              const std::string back = ip({"addr", "show", "dev", "d0"});
              return result + " | " + facts(back, {"mtu", "inet"}) +
                     (back.find(",UP") != std::string::npos ? "up" : "down") + " | " +
                     (ip({"link", "show", "d1"}).starts_with("ip:") ? "d1 lost" : "d1 here") + " " +
                     (inside.ip({"link", "show", "eth0"}).starts_with("ip:") ? "none inside"
                                                                             : "left inside");
            }),
            "move interface to 'taken' (linux.netDevices.d1): file exists (EEXIST) | mtu 1400; "
            "inet 169.254.1.1/16; inet 10.1.2.3/24; up | d1 here none inside");
}

TEST(NetDevices, loopback_cannot_move) {
  SKIP_UNLESS_ROOT();
  EXPECT_THAT(in_new_network([] {
                const Inside inside;
                return moved({{"lo", "eth0"}}, inside.fd.get());
              }),
              HasSubstr("linux.netDevices.lo"));
}

TEST(NetDevices, none_is_nothing_to_do) {
  EXPECT_TRUE(move_devices({}, -1));
}

}  // namespace
}  // namespace vrun::network
