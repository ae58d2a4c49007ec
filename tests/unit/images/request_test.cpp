#include "images/request.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "images/pull.hpp"

namespace vrun::images {
namespace {

TEST(TransferRequest, arrives_as_it_was_sent) {
  TransferRequest sent;
  sent.data_dir = "/var/lib/x \"y\"";
  sent.shipped_dir = "/usr/share/x";
  sent.images = {"alpine", "b"};
  sent.platform = "linux/arm64";
  sent.progress = ProgressStyle::kJson;
  sent.username = "ann";
  sent.password_stdin = true;
  sent.report_fd = 5;
  const auto got = parse_transfer_request(to_json(sent));
  ASSERT_TRUE(got) << got.error().text();
  EXPECT_EQ(*got, sent);
  EXPECT_FALSE(parse_transfer_request("{}"));
  EXPECT_FALSE(parse_transfer_request(R"({"dataDir":"x","progress":"loud"})"));
}

TEST(Report, keeps_code_text_and_hint) {
  const Error there = error_from_json(error_to_json(Error(Code::kDenied, "no\x1b[2J").hint("do")));
  EXPECT_EQ(there.code(), Code::kDenied);
  EXPECT_EQ(there.text(), "no\\x1b[2J");
  EXPECT_EQ(there.hint(), "do");
  EXPECT_EQ(error_from_json("rubbish").code(), Code::kInvalid);
}

TEST(PullPolicy, words) {
  EXPECT_EQ(*parse_pull_policy(""), PullPolicy::kMissing);
  EXPECT_EQ(*parse_pull_policy("always"), PullPolicy::kAlways);
  EXPECT_EQ(*parse_pull_policy("never"), PullPolicy::kNever);
  EXPECT_FALSE(parse_pull_policy("sometimes"));
}

TEST(PullPolicy, never_and_what_is_here_run_nothing) {
  TransferRequest request;
  request.images = {"x"};
  const Host host;
  EXPECT_TRUE(pull_by_policy(PullPolicy::kMissing, true, request, "/no/such/helper", host));
  EXPECT_TRUE(pull_by_policy(PullPolicy::kNever, true, request, "/no/such/helper", host));
  const auto never = pull_by_policy(PullPolicy::kNever, false, request, "/no/such/helper", host);
  ASSERT_FALSE(never);
  EXPECT_EQ(never.error().code(), Code::kNotFound);
  const auto missing =
      pull_by_policy(PullPolicy::kMissing, false, request, "/no/such/helper", host);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().sys_errno(), ENOENT);
}

}  // namespace
}  // namespace vrun::images
