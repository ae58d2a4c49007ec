#include "engine/guest_record.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/attach.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {
namespace {

using ::testing::HasSubstr;

GuestRecord sample() {
  GuestRecord record;
  record.id = make_guest_id();
  record.name = "web";
  record.tenant = "default";
  record.image = "base";
  record.manifest_digest = "sha256:1";
  record.created = "2026-01-31T10:20:30.000000000Z";
  record.first_id = 524288;
  record.desired = Desired::kRunning;
  record.restarts = 3;
  record.quick_ends = 2;
  record.request.image = "base";
  record.request.args = {"sh", "-c", "echo \"x\"\n"};
  record.request.entrypoint = "";
  record.request.tty = false;
  record.request.labels = {"a=b", "c"};
  record.request.health.cmd = "true";
  record.request.network = "host";
  record.last = {.started = "s",
                 .finished = "f",
                 .code = 137,
                 .signal = 9,
                 .oom = true,
                 .reason = "r",
                 .hint = "h"};
  return record;
}

TEST(GuestRecord, is_read_as_it_was_written) {
  const GuestRecord record = sample();
  const auto read = parse_guest_record(to_json(record), "guest.json");
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(read->id, record.id);
  EXPECT_EQ(read->request, record.request);
  EXPECT_EQ(read->last, record.last);
  EXPECT_EQ(read->desired, record.desired);
  EXPECT_EQ(read->first_id, record.first_id);
  EXPECT_EQ(read->restarts, record.restarts);
  EXPECT_EQ(read->quick_ends, record.quick_ends);
  EXPECT_EQ(read->checkpoint, record.checkpoint);
}

TEST(GuestRecord, has_a_checkpoint_with_its_network_and_one_without) {
  GuestRecord record = sample();
  EXPECT_EQ(to_json(record).find("checkpoint"), std::string::npos);
  record.checkpoint.created = "2026-01-02T03:04:05Z";
  EXPECT_EQ(parse_guest_record(to_json(record), "guest.json")->checkpoint, record.checkpoint);
  record.checkpoint.network.tenant = "acme";
  record.checkpoint.network.guest = "web";
  network::Endpoint endpoint;
  endpoint.network = "default";
  endpoint.bridge = "vrun0";
  endpoint.interface = "eth0";
  endpoint.host_side = "vr-1";
  endpoint.ipv4 = *network::parse_ipv4("10.1.2.3");
  endpoint.prefix4 = 24;
  record.checkpoint.network.endpoints = {endpoint};
  const auto read = parse_guest_record(to_json(record), "guest.json");
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(read->checkpoint, record.checkpoint);
}

TEST(GuestRecord, another_version_is_refused) {
  EXPECT_FALSE(
      parse_guest_record(R"({"version":2,"id":"x","name":"n","tenant":"t"})", "guest.json"));
  EXPECT_FALSE(parse_guest_record(R"({"version":1,"name":"n","tenant":"t"})", "guest.json"));
}

TEST(GuestRecord, labels_have_values) {
  EXPECT_EQ(sample().label("a"), "b");
  EXPECT_EQ(sample().label("c"), "");
  EXPECT_EQ(sample().label("d"), "");
}

TEST(GuestRecord, ids_are_64_digits_and_differ) {
  const std::string id = make_guest_id();
  EXPECT_EQ(id.size(), 64U);
  EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(id, make_guest_id());
}

TEST(DetachKeys, are_letters_with_ctrl_and_plain_ones) {
  EXPECT_EQ(*parse_detach_keys("ctrl-p,ctrl-q"), "\x10\x11");
  EXPECT_EQ(*parse_detach_keys("ctrl-],x"), "\x1dx");
  EXPECT_EQ(*parse_detach_keys(""), "");
  EXPECT_THAT(parse_detach_keys("ctrl-").error().text(), HasSubstr("is no key"));
  EXPECT_FALSE(parse_detach_keys("alt-x"));
}

}  // namespace
}  // namespace vrun::engine
