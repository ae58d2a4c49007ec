#include "engine/rights.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/limits.hpp"
#include "engine/users.hpp"
#include "engine/volumes.hpp"

namespace vrun::engine {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Rights, shares_are_private_or_host) {
  EXPECT_EQ(*parse_shares("--pid", ""), Shares::kOwn);
  EXPECT_EQ(*parse_shares("--pid", "private"), Shares::kOwn);
  EXPECT_EQ(*parse_shares("--pid", "host"), Shares::kHost);
  EXPECT_EQ(*parse_shares("--pid", "container:x"), Shares::kGuest);
  EXPECT_EQ(parse_shares("--pid", "container:").error().code(), Code::kInvalid);
  EXPECT_EQ(parse_shares("--uts", "container:x").error().code(), Code::kUnsupported);
  RunRequest joining;
  joining.ipc = "container:x";
  EXPECT_TRUE(check_rights(joining)) << "what a Group's guests do";
  joining.pid = "container:x";
  EXPECT_TRUE(check_rights(joining));
  EXPECT_EQ(parse_shares("--pid", "hsot").error().code(), Code::kInvalid);
}

TEST(Rights, what_gives_the_host_away_is_said) {
  RunRequest request;
  EXPECT_TRUE(warnings_of(request).empty());
  request.pid = "host";
  request.privileged = true;
  EXPECT_THAT(warnings_of(request), Contains(HasSubstr("--pid host")));
  EXPECT_THAT(warnings_of(request), Contains(HasSubstr("--privileged")));
}

TEST(Rights, ulimits) {
  RunRequest request;
  request.ulimits = {"nofile=1024:4096", "core=-1", "nofile=5"};
  const auto limits = parse_ulimits(request);
  ASSERT_TRUE(limits);
  ASSERT_EQ(limits->size(), 2U) << "the last one of a name wins";
  EXPECT_EQ((*limits)[0].type, "RLIMIT_CORE");
  EXPECT_EQ((*limits)[0].hard, ~0ULL);
  EXPECT_EQ((*limits)[1].soft, 5U);
  request.ulimits = {"nofile=9:3"};
  EXPECT_FALSE(parse_ulimits(request));
  request.ulimits = {"nofiles=9"};
  EXPECT_THAT(parse_ulimits(request).error().hint(), HasSubstr("nofile?"));
}

TEST(Rights, security_options) {
  RunRequest request;
  request.security_opts = {"no-new-privileges", "seccomp=unconfined", "apparmor:web"};
  const auto security = parse_security(request);
  ASSERT_TRUE(security);
  EXPECT_TRUE(security->no_new_privileges);
  EXPECT_TRUE(security->unconfined);
  EXPECT_EQ(security->apparmor, "web");
  request.security_opts = {"label=disable"};
  EXPECT_EQ(parse_security(request)->label, "");
  request.security_opts = {"label=type:container_t"};
  EXPECT_EQ(parse_security(request)->label, "type:container_t") << "refused where the host is seen";
  request.security_opts = {"label="};
  EXPECT_FALSE(parse_security(request)) << "never silently ignored";
}

TEST(Rights, mounts_in_words) {
  const auto bind = parse_mount("type=bind,src=/a//b,dst=/c,readonly,bind-propagation=rslave");
  ASSERT_TRUE(bind);
  EXPECT_EQ(bind->mount.source, "/a/b");
  EXPECT_EQ(bind->mount.destination, "/c");
  EXPECT_THAT(bind->mount.options, ElementsAre("rbind", "rslave", "nodev", "rro", "ridmap"));
  const auto tmpfs = parse_mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777");
  ASSERT_TRUE(tmpfs);
  EXPECT_THAT(tmpfs->mount.options, Contains("size=1m"));
  for (const char* text : {"type=bind,source=a,target=/c", "type=bind,target=/c",
                           "type=bind,source=/a", "type=bind,source=/a,target=/c,colour=red",
                           "type=bind,source=/a,target=/c,bind-propagation=x"})
    EXPECT_FALSE(parse_mount(text)) << text;
}

TEST(Rights, limits_become_the_specifications_words) {
  RunRequest request;
  request.memory = "64m";
  request.memory_swap = "-1";
  request.memory_reservation = "32m";
  request.cpu_weight = "100";
  request.cpuset_cpus = "0-3,8";
  request.blkio_weight = "500";
  const auto resources = to_resources(request);
  ASSERT_TRUE(resources) << resources.error().text();
  EXPECT_EQ(resources->memory->swap, -1);
  EXPECT_EQ(resources->memory->reservation, 32 << 20);
  EXPECT_EQ(1 + (*resources->cpu->shares - 2) * 9999 / 262142, 100U) << "v2's weight again";
  EXPECT_EQ(resources->cpu->cpus, "0-3,8");
  EXPECT_EQ(resources->block_io->weight, 500);
  request.cpu_shares = "1024";
  EXPECT_FALSE(to_resources(request)) << "two words for one thing";
  for (int weight = 1; weight <= 10000; ++weight) {
    RunRequest one;
    one.cpu_weight = std::to_string(weight);
    EXPECT_EQ(1 + (*to_resources(one)->cpu->shares - 2) * 9999 / 262142,
              static_cast<std::uint64_t>(weight));
  }
}

TEST(Rights, groups_are_added_once) {
  Account account;
  ASSERT_TRUE(add_groups({"7", "wheel", "7"}, "wheel:x:10:\n", account));
  EXPECT_THAT(account.user.additional_gids, ElementsAre(Gid(7), Gid(10)));
  EXPECT_FALSE(add_groups({"whel"}, "wheel:x:10:\n", account));
}

}  // namespace
}  // namespace vrun::engine
