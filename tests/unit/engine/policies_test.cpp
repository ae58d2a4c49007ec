#include "engine/policies.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "engine/health_probe.hpp"

namespace vrun::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Policies, times_as_people_write_them) {
  EXPECT_EQ(parse_milliseconds("30", 1000), 30000);
  EXPECT_EQ(parse_milliseconds("1m30s", 1000), 90000);
  EXPECT_EQ(parse_milliseconds("1.5s", 1), 1500);
  EXPECT_EQ(parse_milliseconds("250ms", 1000), 250);
  EXPECT_EQ(parse_milliseconds("2h", 1), 7200000);
  for (const char* text : {"", "s", "1x", "-1s", "1s2", "1e400h", "nan"})
    EXPECT_FALSE(parse_milliseconds(text, 1000)) << text;
}

TEST(Policies, who_is_started_again) {
  EXPECT_FALSE(parse_restart("")->wants_restart(1, 0));
  EXPECT_FALSE(parse_restart("no")->wants_restart(1, 0));
  EXPECT_TRUE(parse_restart("always")->wants_restart(0, 1000));
  EXPECT_TRUE(parse_restart("unless-stopped")->wants_restart(0, 5));
  EXPECT_FALSE(parse_restart("on-failure")->wants_restart(0, 0));
  EXPECT_TRUE(parse_restart("on-failure")->wants_restart(1, 1000));
  EXPECT_TRUE(parse_restart("on-failure")->wants_restart(-1, 0)) << "an end nobody saw is none";
  EXPECT_TRUE(parse_restart("on-failure:2")->wants_restart(1, 1));
  EXPECT_FALSE(parse_restart("on-failure:2")->wants_restart(1, 2));
  EXPECT_THAT(parse_restart("alway").error().hint(), HasSubstr("unless-stopped"));
  EXPECT_FALSE(parse_restart("on-failure:x"));
}

TEST(Policies, the_delay_doubles_up_to_a_minute) {
  EXPECT_EQ(restart_delay_ms(0), 100);
  EXPECT_EQ(restart_delay_ms(1), 200);
  EXPECT_EQ(restart_delay_ms(4), 1600);
  EXPECT_EQ(restart_delay_ms(10), 60000);
  EXPECT_EQ(restart_delay_ms(4000000000U), 60000);
}

TEST(Policies, logs_are_bounded) {
  RunRequest request;
  EXPECT_EQ(log_limits(request)->bytes, 10U << 20U);
  EXPECT_EQ(log_limits(request)->files, 3U);
  request.log_opts = {"max-size=1m", "max-file=7"};
  EXPECT_EQ(log_limits(request)->bytes, 1U << 20U);
  EXPECT_EQ(log_limits(request)->files, 7U);
  for (const char* option : {"max-size=1", "max-size", "max-file=0", "mode=non-blocking"}) {
    request.log_opts = {option};
    EXPECT_FALSE(log_limits(request)) << option;
  }
}

TEST(Policies, health_is_the_images_unless_flags_say_more) {
  oci::ImageConfig image;
  RunRequest request;
  EXPECT_EQ(health_rules(request, image)->interval_ms, 0);
  image.health_check = oci::HealthCheck{.test = {"CMD", "/check", "-x"}, .interval = 5'000'000'000};
  EXPECT_EQ(health_rules(request, image)->interval_ms, 5000);
  EXPECT_EQ(health_rules(request, image)->timeout_ms, 30000);
  EXPECT_THAT(health_command(request, image), ElementsAre("/check", "-x"));
  image.health_check->test = {"CMD-SHELL", "curl x"};
  EXPECT_THAT(health_command(request, image), ElementsAre("/bin/sh", "-c", "curl x"));
  image.health_check->test = {"NONE"};
  EXPECT_THAT(health_command(request, image), IsEmpty());
  request.health.cmd = "mine";
  request.health.interval = "1s";
  request.health.timeout = "2s";
  request.health.start_period = "3s";
  request.health.retries = "4";
  request.health.on_failure = "restart";
  request.health.disabled = false;
  const auto rules = health_rules(request, image);
  ASSERT_TRUE(rules);
  EXPECT_EQ(rules->interval_ms, 1000);
  EXPECT_EQ(rules->timeout_ms, 2000);
  EXPECT_EQ(rules->start_period_ms, 3000);
  EXPECT_EQ(rules->retries, 4);
  EXPECT_EQ(rules->on_unhealthy, 2);
  EXPECT_THAT(health_command(request, image), ElementsAre("/bin/sh", "-c", "mine"));
  request.health.disabled = true;
  EXPECT_EQ(health_rules(request, image)->interval_ms, 0);
  request.health = {};
  request.health.cmd = "x";
  request.health.interval = "0s";
  EXPECT_FALSE(health_rules(request, image));
}

TEST(Policies, each_probe_has_its_own_rules_and_only_liveness_the_images) {
  oci::ImageConfig image;
  image.health_check = oci::HealthCheck{};
  image.health_check->test = {"CMD", "theirs"};
  RunRequest request;
  request.readiness.exec = {"ready", "-q"};
  request.readiness.successes = "2";
  request.readiness.initial_delay = "0s";
  request.post_start = {"hook"};
  const auto rules = probe_rules(request, image);
  ASSERT_TRUE(rules);
  const auto of = [&](Probe probe) { return (*rules)[static_cast<std::size_t>(probe)]; };
  EXPECT_EQ(of(Probe::kStartup).interval_ms, 0);
  EXPECT_EQ(of(Probe::kReadiness).successes, 2);
  EXPECT_EQ(of(Probe::kReadiness).initial_delay_ms, 0);
  EXPECT_EQ(of(Probe::kLiveness).initial_delay_ms, -1);
  EXPECT_EQ(of(Probe::kPostStart).retries, 1);
  EXPECT_EQ(of(Probe::kPostStart).on_unhealthy, 1);
  EXPECT_THAT(health_command(request, image, Probe::kReadiness), ElementsAre("ready", "-q"));
  EXPECT_THAT(health_command(request, image, Probe::kPostStart), ElementsAre("hook"));
  EXPECT_THAT(health_command(request, image), ElementsAre("theirs"));
  EXPECT_THAT(health_command(request, image, Probe::kStartup), IsEmpty());
  request.readiness.successes = "0";
  EXPECT_FALSE(probe_rules(request, image));
}

TEST(Policies, probes_are_told_from_shell_lines) {
  EXPECT_FALSE(*parse_health_probe("curl http://x"));
  EXPECT_FALSE(*parse_health_probe(""));
  const auto tcp = parse_health_probe("tcp://:5432");
  ASSERT_TRUE(tcp && *tcp);
  EXPECT_FALSE((*tcp)->http);
  EXPECT_EQ((*tcp)->port, 5432);
  const auto http = parse_health_probe("http://localhost:8080/ready?x=1");
  ASSERT_TRUE(http && *http);
  EXPECT_EQ((*http)->port, 8080);
  EXPECT_EQ((*http)->path, "/ready?x=1");
  EXPECT_EQ((*parse_health_probe("http:///x"))->port, 80);
  for (const char* wrong : {"tcp://db:1", "tcp://", "tcp://:0", "tcp://:65536", "tcp://:1/x",
                            "http://:80/a b", "http://:x/"})
    EXPECT_FALSE(parse_health_probe(wrong)) << wrong;
}

TEST(Policies, how_a_guest_is_stopped) {
  oci::ImageConfig image;
  RunRequest request;
  EXPECT_EQ(stop_rules(request, image)->signal, SIGTERM);
  EXPECT_EQ(stop_rules(request, image)->timeout_ms, 10000);
  image.stop_signal = "SIGQUIT";
  image.stop_timeout = 3;
  EXPECT_EQ(stop_rules(request, image)->signal, SIGQUIT);
  EXPECT_EQ(stop_rules(request, image)->timeout_ms, 3000);
  request.stop_signal = "USR1";
  request.stop_timeout = "-1";
  EXPECT_EQ(stop_rules(request, image)->signal, SIGUSR1);
  EXPECT_LT(stop_rules(request, image)->timeout_ms, 0);
  request.stop_timeout = "soon";
  EXPECT_FALSE(stop_rules(request, image));
}

TEST(Policies, rm_and_restart_exclude_each_other) {
  RunRequest request;
  request.remove = true;
  EXPECT_TRUE(check_policies(request));
  request.restart = "always";
  EXPECT_FALSE(check_policies(request));
}

}  // namespace
}  // namespace vrun::engine
