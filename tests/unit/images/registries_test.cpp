#include "images/transfer/registries.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "images/transfer/endpoint.hpp"

namespace vrun::images {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Registries parsed(const std::string& text) {
  Result<Registries> read = Registries::parse(text, "r.yaml");
  EXPECT_TRUE(read) << read.error().text();
  return read ? *std::move(read) : Registries();
}

std::string refused(const std::string& text) {
  const Result<Registries> read = Registries::parse(text, "r.yaml");
  return read ? "" : read.error().text();
}

TEST(RegistriesFile, all_that_can_stand_there) {
  const Registries read = parsed(
      "timeouts: {connect: 1, stall: 2, overall: 3}\n"
      "registries:\n"
      "  docker.io:\n"
      "    mirrors: [mirror.example:5000/hub, other.example]\n"
      "  10.0.0.5:5000: {insecure: true}\n"
      "  r.example: {ca: /etc/ca.pem}\n");
  EXPECT_EQ(read.timeouts.stall, std::chrono::seconds(2));
  EXPECT_THAT(read.find("docker.io")->mirrors,
              ElementsAre("mirror.example:5000/hub", "other.example"));
  EXPECT_TRUE(read.find("10.0.0.5:5000")->insecure);
  EXPECT_EQ(read.find("r.example")->ca_file, "/etc/ca.pem");
  EXPECT_EQ(read.find("10.0.0.5"), nullptr);
  EXPECT_TRUE(parsed("").rules.empty());
}

TEST(RegistriesFile, faults_have_their_place) {
  EXPECT_EQ(refused("registries:\n  r.example:\n    insecur: true\n"),
            "r.yaml:3:5: unknown key 'insecur', did you mean 'insecure'?");
  EXPECT_THAT(refused("registries: {r.example: {insecure: maybe}}"),
              HasSubstr("r.yaml:1:36: insecure should be true or false"));
  EXPECT_THAT(refused("registries: {r.example: {}, r.example: {}}"),
              HasSubstr("stands there twice"));
  EXPECT_THAT(refused("registries: {'https://r.example': {}}"), HasSubstr("is not a host"));
  EXPECT_THAT(refused("registries: {r.example: {mirrors: ['http://m']}}"),
              HasSubstr("without a scheme"));
  EXPECT_THAT(refused("registries: {r.example: {ca: relative.pem}}"), HasSubstr("absolute path"));
  EXPECT_THAT(refused("registries: [r.example]"), HasSubstr("should be a map"));
  EXPECT_THAT(refused("timeouts: {stall: 0}"), HasSubstr("1 to 604800"));
  EXPECT_THAT(refused("a: [\n"), HasSubstr("r.yaml:2:"));
}

TEST(RegistriesFile, all_faults_at_once) {
  const std::string text =
      refused("timeouts: {stall: x}\nregistries: {r.example: {ca: x, insecure: y}}\n");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
}

TEST(Network, mirrors_come_first_with_their_own_rules) {
  const Registries registries = parsed(
      "registries:\n"
      "  docker.io: {mirrors: [m.example/hub]}\n"
      "  m.example: {insecure: true}\n");
  std::vector<std::string> asked;
  const auto network = plan_network(registries, *oci::Reference::parse("alpine"),
                                    [&](const oci::Reference& there) -> Result<Credentials> {
                                      asked.push_back(there.repository());
                                      return Credentials();
                                    });
  ASSERT_TRUE(network);
  ASSERT_EQ(network->endpoints.size(), 2U);
  EXPECT_EQ(network->endpoints[0].host, "m.example");
  EXPECT_EQ(network->endpoints[0].prefix, "hub/");
  EXPECT_TRUE(network->endpoints[0].insecure);
  EXPECT_EQ(network->origin().host, "registry-1.docker.io");
  EXPECT_FALSE(network->origin().may_be_plain());
  EXPECT_THAT(asked, ElementsAre("m.example/hub/library/alpine", "docker.io/library/alpine"));
  EXPECT_FALSE(network->trust_of("m.example").check_certificate);
  EXPECT_TRUE(network->trust_of("elsewhere.example").check_certificate);
}

TEST(Network, loopback_is_this_machine_only) {
  for (const char* host :
       {"localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000"})
    EXPECT_TRUE(is_loopback(host)) << host;
  for (const char* host : {"127.evil.example", "127.0.0.1.evil.example", "localhost.example",
                           "10.0.0.1", "[::2]", "127.1"})
    EXPECT_FALSE(is_loopback(host)) << host;
}

TEST(Network, credentials_need_tls_or_a_mark) {
  Endpoint endpoint;
  endpoint.host = "127.0.0.1:5000";
  EXPECT_TRUE(endpoint.may_be_plain());
  EXPECT_FALSE(endpoint.may_show_credentials("http"));
  EXPECT_TRUE(endpoint.may_show_credentials("https"));
  endpoint.insecure = true;
  EXPECT_TRUE(endpoint.may_show_credentials("http"));
}

TEST(Urls, origins) {
  const Url base = *parse_url("https://R.example/v2/x");
  EXPECT_TRUE(base.is_same_origin(*parse_url("/other?a=b", base.text)));
  EXPECT_TRUE(base.is_same_origin(*parse_url("https://r.example:443/")));
  EXPECT_FALSE(base.is_same_origin(*parse_url("https://r.example:444/")));
  EXPECT_FALSE(base.is_same_origin(*parse_url("http://r.example/")));
  EXPECT_FALSE(base.is_same_origin(*parse_url("//s.example/", base.text)));
  EXPECT_FALSE(parse_url("file:///etc/passwd"));
  EXPECT_FALSE(parse_url("https://user:pass@r.example/"));
  EXPECT_FALSE(parse_url("no url"));
}

TEST(Ranges, what_servers_answer) {
  EXPECT_EQ(parse_content_range("bytes 5-9/10"), (ContentRange{5, 9, 10}));
  EXPECT_EQ(parse_content_range("bytes 0-0/*"), (ContentRange{0, 0, std::nullopt}));
  for (const char* text : {"", "bytes", "bytes 5-/10", "bytes 9-5/10", "bytes */10", "bytes 5-9",
                           "lines 5-9/10", "bytes -5-9/10", "bytes 5/9-10"})
    EXPECT_FALSE(parse_content_range(text)) << text;
}

}  // namespace
}  // namespace vrun::images
