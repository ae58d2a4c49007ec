#include "images/request.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "images/pull.hpp"
#include "tests/unit/images/folder.hpp"

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

// The real helper, and a port that nobody listens on.
TEST(PullImages, the_helpers_error_comes_back_whole) {
  const test::TemporaryFolder folder;
  folder.write("registries.yaml", "");
  Host host;
  host.env = {"VRUN_REGISTRIES=" + (folder / "registries.yaml"), "HOME=" + (folder / "home")};
  TransferRequest request;
  request.data_dir = folder / "data";
  request.images = {"127.0.0.1:1/x:v1"};
  request.progress = ProgressStyle::kQuiet;
  const auto failed = pull_images(request, VRUN_IMAGE_PROGRAM, host);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), Code::kSystem);
  EXPECT_THAT(failed.error().text(), ::testing::StartsWith("pull: '127.0.0.1:1/x:v1': registry "));
  EXPECT_THAT(failed.error().hint(), ::testing::HasSubstr("check the name, the network"));
}

// A shipped image is here for its own platform only.
TEST(Obtain, asks_the_network_only_for_what_is_missing) {
  const test::TemporaryFolder folder;
  const Catalog catalog(VRUN_SHIPPED_IMAGES, folder / "data", "default");
  TransferRequest request;
  request.data_dir = folder / "data";
  request.images = {"base"};
  const Host host;
  const auto here = obtain(catalog, PullPolicy::kMissing, request, "/no/such/helper", host);
  ASSERT_TRUE(here) << here.error().text();
  EXPECT_EQ(here->name, "base");
  const auto always = obtain(catalog, PullPolicy::kAlways, request, "/no/such/helper", host);
  ASSERT_TRUE(always) << "no registry has what came with vrun";
  request.platform = "linux/s390x";
  const auto other = obtain(catalog, PullPolicy::kMissing, request, "/no/such/helper", host);
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().text(), ::testing::HasSubstr("came with vrun, for linux/"));
  request.platform.clear();
  request.images = {"nothere"};
  const auto fetched = obtain(catalog, PullPolicy::kAlways, request, "/no/such/helper", host);
  ASSERT_FALSE(fetched);
  EXPECT_THAT(fetched.error().text(), ::testing::HasSubstr("/no/such/helper"));
  request.platform.clear();
  request.images = {"basse"};
  const auto never = obtain(catalog, PullPolicy::kNever, request, "/no/such/helper", host);
  ASSERT_FALSE(never);
  EXPECT_THAT(never.error().hint(), ::testing::HasSubstr("did you mean 'base'?"));
}

}  // namespace
}  // namespace vrun::images
