#include "network/netlink.hpp"

#include <cstring>

#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

namespace vrun::network {
namespace {

TEST(NetlinkRequest, is_laid_out_as_the_kernel_reads_it) {
  ifinfomsg body{};
  body.ifi_index = 7;
  Request request(RTM_NEWLINK, NLM_F_ACK, body);
  request.add_text(IFLA_IFNAME, "eth0");
  request.add_u32(IFLA_MTU, 1400);
  const std::span<char> bytes = request.finish(42);
  nlmsghdr header{};
  std::memcpy(&header, bytes.data(), sizeof header);
  EXPECT_EQ(header.nlmsg_len, bytes.size());
  EXPECT_EQ(header.nlmsg_seq, 42U);
  EXPECT_EQ(header.nlmsg_type, RTM_NEWLINK);
  EXPECT_EQ(header.nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
  // 16 header, 16 body, 4 + 5 padded to 12, 4 + 4
  EXPECT_EQ(bytes.size(), 16U + 16U + 12U + 8U);

  alignas(nlmsghdr) char copy[128];
  std::memcpy(copy, bytes.data(), bytes.size());
  const auto attributes =
      attributes_of(*reinterpret_cast<const nlmsghdr*>(copy), sizeof(ifinfomsg));
  ASSERT_EQ(attributes.size(), 2U);
  EXPECT_EQ(attributes[0].type, IFLA_IFNAME);
  EXPECT_EQ(attributes[0].bytes, std::string_view("eth0", 5));
  EXPECT_EQ(attributes[1].type, IFLA_MTU);
}

TEST(NetlinkAttributes, a_length_beyond_the_message_ends_the_list) {
  alignas(nlmsghdr) char bytes[64] = {};
  nlmsghdr header{};
  header.nlmsg_len = 16 + 16 + 8;
  std::memcpy(bytes, &header, sizeof header);
  rtattr attribute{};
  attribute.rta_len = 60;
  std::memcpy(bytes + 32, &attribute, sizeof attribute);
  EXPECT_TRUE(attributes_of(*reinterpret_cast<const nlmsghdr*>(bytes), sizeof(ifinfomsg)).empty());
  attribute.rta_len = 0;  // would never advance
  std::memcpy(bytes + 32, &attribute, sizeof attribute);
  EXPECT_TRUE(attributes_of(*reinterpret_cast<const nlmsghdr*>(bytes), sizeof(ifinfomsg)).empty());
}

}  // namespace
}  // namespace vrun::network
