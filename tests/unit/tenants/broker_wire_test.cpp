#include "tenants/broker_wire.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace vrun::tenants {
namespace {

TEST(BrokerWireTest, a_request_is_the_same_after_the_way) {
  BrokerRequest request;
  request.tenant = "acme";
  request.words = {"run", "-e", "A=\"b\"\n", ""};
  request.term = "xterm-256color";
  const Result<BrokerRequest> back = parse_request(to_json(request));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->words, request.words);
  EXPECT_EQ(back->term, request.term);
}

TEST(BrokerWireTest, hostile_packets_are_refused) {
  for (const char* packet :
       {"", "{", "[]", "{}", "{\"version\":2,\"tenant\":\"a\",\"words\":[]}",
        "{\"version\":1,\"tenant\":\"\",\"words\":[]}", "{\"version\":1,\"tenant\":\"a\"}",
        "{\"version\":1,\"tenant\":\"a\",\"words\":\"ps\"}",
        "{\"version\":1,\"tenant\":\"a\",\"words\":[1]}",
        "{\"version\":1,\"tenant\":\"a\",\"words\":[\"a\\u0000b\"]}",
        "{\"version\":1,\"tenant\":\"a\",\"tenant\":\"b\",\"words\":[]}"})
    EXPECT_FALSE(parse_request(packet)) << packet;
  BrokerRequest many;
  many.tenant = "a";
  many.words.assign(1025, "x");
  EXPECT_FALSE(parse_request(to_json(many)));
  EXPECT_FALSE(parse_signal_packet("{\"signal\":0}"));
  EXPECT_FALSE(parse_signal_packet("{\"signal\":65}"));
}

TEST(BrokerWireTest, a_terminal_that_is_no_name_is_dropped) {
  BrokerRequest request;
  request.tenant = "a";
  for (const char* term : {"x y", "../x", "a=b", "\x1b[2J"}) {
    request.term = term;
    EXPECT_EQ(parse_request(to_json(request))->term, "") << term;
  }
}

TEST(BrokerWireTest, descriptors_come_with_the_packet_and_the_peer_is_known) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  const Fd mine(ends[0]), theirs(ends[1]);
  ASSERT_TRUE(send_packet(mine.get(), "hello", {0, 1, 2}));
  const Result<Packet> packet = receive_packet(theirs.get());
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->bytes, "hello");
  EXPECT_EQ(packet->fds.size(), 3U);
  EXPECT_EQ(peer_of(theirs.get())->uid.value, ::getuid());
  EXPECT_EQ(peer_of(theirs.get())->gid.value, ::getgid());
}

TEST(BrokerWireTest, a_packet_that_is_too_large_is_an_error) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  const Fd mine(ends[0]), theirs(ends[1]);
  ASSERT_TRUE(send_packet(mine.get(), std::string(kMostPacket + 1, 'x')));
  EXPECT_FALSE(receive_packet(theirs.get()));
}

}  // namespace
}  // namespace vrun::tenants
