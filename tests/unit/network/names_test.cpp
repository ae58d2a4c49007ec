#include "network/names.hpp"

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/fs.hpp"
#include "base/sys.hpp"

namespace vrun::network {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(HostsText, holds_oneself_extras_and_others) {
  HostsFile file;
  file.hostname = "box";
  file.own = {{"web", "front", {"www"}, {"10.0.0.2", "fd00::2"}}};
  file.extra = {{"host", "host-gateway"}, {"db", "192.0.2.7"}};
  file.gateway = "10.0.0.1";
  file.others = {member_lines({"api", "front", {}, {"10.0.0.3"}})};
  EXPECT_EQ(hosts_text(file),
            "127.0.0.1\tlocalhost\n"
            "::1\tlocalhost ip6-localhost ip6-loopback\n"
            "ff02::1\tip6-allnodes\n"
            "ff02::2\tip6-allrouters\n"
            "10.0.0.1\thost\n"
            "192.0.2.7\tdb\n"
            "10.0.0.2\tbox web web.front www\n"
            "fd00::2\tbox web web.front www\n"
            "10.0.0.3\tapi api.front\n");
}

TEST(HostsText, loses_the_lines_of_whole_addresses_only) {
  const std::array<std::string, 2> gone{"10.0.0.3", "fd00::3"};
  EXPECT_EQ(without_addresses("10.0.0.3\ta\n10.0.0.30\tb\nfd00::3\ta\nfd00::33\tb\n10.0.0.3 own\nx",
                              gone),
            "10.0.0.30\tb\nfd00::33\tb\n10.0.0.3 own\nx");
  EXPECT_EQ(without_addresses("", gone), "");
}

std::string resolved(std::string_view host, std::string_view behind = "",
                     const ResolverWishes& wishes = {}) {
  return resolver_text(host, behind, wishes).text;
}

TEST(Resolver, is_the_host_s) {
  EXPECT_EQ(resolved("# c\nnameserver 192.0.2.53\nsearch a b\noptions ndots:2\nsortlist x\n"),
            "nameserver 192.0.2.53\nsearch a b\noptions ndots:2\n");
}

TEST(Resolver, on_the_host_s_loopback_is_left_out) {
  EXPECT_EQ(resolved("nameserver 127.0.0.1\nnameserver ::1\nnameserver 192.0.2.53\n"),
            "nameserver 192.0.2.53\n");
  EXPECT_EQ(resolved("nameserver fe80::1%eth0\nnameserver fd00::53\n"), "nameserver fd00::53\n");
}

TEST(Resolver, that_is_a_stub_gives_way_to_what_is_behind) {
  EXPECT_EQ(resolved("nameserver 127.0.0.53\noptions edns0\nsearch lan\n",
                     "nameserver 192.0.2.1\nnameserver 192.0.2.2\n"),
            "nameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch lan\noptions edns0\n");
}

TEST(Resolver, that_cannot_be_reached_is_a_warning) {
  const Resolver resolver = resolver_text("nameserver 127.0.0.1\n", "", {});
  EXPECT_THAT(resolver.warning, HasSubstr("loopback only"));
  EXPECT_THAT(resolver.warning, HasSubstr("--dns"));
  EXPECT_THAT(resolver.text, Not(HasSubstr("nameserver ")));
  EXPECT_THAT(resolver_text("", "", {}).warning, HasSubstr("no name server"));
}

TEST(Resolver, follows_the_flags) {
  EXPECT_EQ(
      resolved("nameserver 192.0.2.53\nsearch a\n", "", {{"9.9.9.9"}, {"x", "y"}, {"ndots:1"}}),
      "nameserver 9.9.9.9\nsearch x y\noptions ndots:1\n");
  EXPECT_EQ(resolved("nameserver 192.0.2.53\nsearch a\n", "", {{}, {"."}, {}}),
            "nameserver 192.0.2.53\n");
}

TEST(InPlace, the_inode_stays) {
  std::string dir = "/tmp/vrun-names.XXXXXX";
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  const std::string path = dir + "/hosts";
  ASSERT_TRUE(write_in_place(At::cwd(), path, "a long first text\n"));
  const auto before = sys::stat(At::cwd(), path);
  ASSERT_TRUE(write_in_place(At::cwd(), path, "short\n"));
  ASSERT_TRUE(append_in_place(At::cwd(), path, "more\n"));
  EXPECT_EQ(*fs::read_file(At::cwd(), path, 100), "short\nmore\n");
  EXPECT_EQ(sys::stat(At::cwd(), path)->st_ino, before->st_ino);
  EXPECT_FALSE(append_in_place(At::cwd(), dir + "/absent", "x"));
  ASSERT_TRUE(fs::remove_tree(At::cwd(), dir));
}

}  // namespace
}  // namespace vrun::network
