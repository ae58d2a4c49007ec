#include "images/changes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::images {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

oci::ImageConfig after(const std::vector<std::string>& lines) {
  oci::ImageConfig config;
  config.env = {"PATH=/bin", "OLD=1"};
  const Result<void> done = apply_changes(config, lines);
  EXPECT_TRUE(done) << done.error().text();
  return config;
}

std::string refused(const std::string& line) {
  oci::ImageConfig config;
  const Result<void> done = apply_change(config, line);
  return done ? "accepted" : done.error().text();
}

TEST(Changes, commands_are_lists_or_for_a_shell) {
  EXPECT_THAT(after({R"(CMD ["a", "b c"])"}).cmd, ElementsAre("a", "b c"));
  EXPECT_THAT(after({"cmd echo $HOME"}).cmd, ElementsAre("/bin/sh", "-c", "echo $HOME"));
  EXPECT_THAT(after({"ENTRYPOINT=[\"/init\"]"}).entrypoint, ElementsAre("/init"));
  EXPECT_THAT(after({"CMD [not json"}).cmd, ElementsAre("/bin/sh", "-c", "[not json"));
}

TEST(Changes, variables_replace_those_of_the_same_name) {
  EXPECT_THAT(after({"ENV OLD=2 NEW=\"a b\""}).env, ElementsAre("PATH=/bin", "OLD=2", "NEW=a b"));
  EXPECT_THAT(after({"ENV OLD two words"}).env, ElementsAre("PATH=/bin", "OLD=two words"));
  EXPECT_THAT(after({R"(ENV A='x "y"' B=c\ d)"}).env,
              ElementsAre("PATH=/bin", "OLD=1", R"(A=x "y")", "B=c d"));
}

TEST(Changes, the_other_instructions) {
  const oci::ImageConfig config =
      after({"EXPOSE 80 53/udp", "EXPOSE 80/tcp", "VOLUME [\"/data\"]", "VOLUME /a /b", "USER 5:6",
             "WORKDIR /srv", "WORKDIR sub", "STOPSIGNAL SIGINT", "LABEL a=b c=\"d e\""});
  EXPECT_THAT(config.exposed_ports, ElementsAre("80/tcp", "53/udp"));
  EXPECT_THAT(config.volumes, ElementsAre("/data", "/a", "/b"));
  EXPECT_EQ(config.user, "5:6");
  EXPECT_EQ(config.working_dir, "/srv/sub");
  EXPECT_EQ(config.stop_signal, "SIGINT");
  EXPECT_EQ(config.labels.at("c"), "d e");
}

TEST(Changes, what_cannot_be_done_is_refused) {
  EXPECT_THAT(refused("RUN x"), HasSubstr("'RUN' cannot be used here"));
  EXPECT_THAT(refused("CMD"), HasSubstr("has no value"));
  EXPECT_THAT(refused("ENV x"), HasSubstr("value is missing"));
  EXPECT_THAT(refused("ENV A=b c"), HasSubstr("'c' is not NAME=VALUE"));
  EXPECT_THAT(refused("EXPOSE x"), HasSubstr("no port"));
  EXPECT_THAT(refused("EXPOSE 70000"), HasSubstr("no port"));
  EXPECT_THAT(refused("LABEL \"a=b"), HasSubstr("quote is not closed"));
  oci::ImageConfig config;
  EXPECT_EQ(apply_change(config, "USERS x").error().hint(), "did you mean USER?");
}

}  // namespace
}  // namespace vrun::images
