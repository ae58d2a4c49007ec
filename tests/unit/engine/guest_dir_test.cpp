#include "engine/guest_dir.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/images/folder.hpp"

namespace vrun::engine {
namespace {

using images::test::TemporaryFolder;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

GuestRecord named(const std::string& name) {
  GuestRecord record;
  record.name = name;
  record.tenant = "default";
  record.image = "base";
  return record;
}

bool is_empty(const std::string& dir) {
  return std::filesystem::is_empty(dir);
}

TEST(GuestDir, has_what_a_guest_needs_and_goes_on_drop) {
  TemporaryFolder folder;
  {
    const auto guest = GuestDir::create(folder.path(), named("web"));
    ASSERT_TRUE(guest) << guest.error().text();
    EXPECT_TRUE(folder.has("web/upper"));
    EXPECT_TRUE(folder.has("web/work"));
    EXPECT_THAT(folder.read("web/guest.json"), HasSubstr("\"image\": \"base\""));
    struct stat st {};
    ASSERT_EQ(::stat((folder / "web/upper").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777U, 0755U) << "everyone inside may enter /";
    ASSERT_EQ(::stat((folder / "web").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777U, 0700U) << "nobody outside may";
  }
  EXPECT_TRUE(is_empty(folder.path()));
}

TEST(GuestDir, a_name_is_used_once) {
  TemporaryFolder folder;
  const auto first = GuestDir::create(folder.path(), named("web"));
  const auto second = GuestDir::create(folder.path(), named("web"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kExists);
  EXPECT_EQ(second.error().text(), "guest 'web' already exists");
  EXPECT_TRUE(folder.has("web/upper")) << "the first one's directory stays";
}

TEST(GuestDir, names) {
  for (const char* good : {"a", "web-1", "A.b_c+d", "0"})
    EXPECT_TRUE(check_guest_name(good)) << good;
  for (const std::string& bad :
       {std::string(), std::string(".."), std::string(".x"), std::string("-x"), std::string("a/b"),
        std::string("a b"), std::string(65, 'a'), std::string("a\n")}) {
    EXPECT_FALSE(check_guest_name(bad)) << bad;
  }
  EXPECT_THAT(make_guest_name("base"), MatchesRegex("base-[0-9a-f]{6}"));
  EXPECT_THAT(make_guest_name("library/my.app"), MatchesRegex("my-[0-9a-f]{6}"));
  EXPECT_THAT(make_guest_name("..."), MatchesRegex("guest-[0-9a-f]{6}"));
  EXPECT_NE(make_guest_name("base"), make_guest_name("base"));
}

TEST(GuestDir, sweep_leaves_the_living_and_removes_the_dead) {
  TemporaryFolder folder;
  const auto living = GuestDir::create(folder.path(), named("living"));
  ASSERT_TRUE(living);
  const pid_t child = ::fork();
  if (child == 0) {
    auto dead = GuestDir::create(folder.path(), named("dead"));
    auto running = GuestDir::create(folder.path(), named("running"));
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  folder.write(".removing-old-123456/upper/f", "half removed");
  std::vector<std::string> ended;
  const auto swept = sweep_guests(folder.path(), [&](const std::string& name) -> Result<bool> {
    ended.push_back(name);
    return name != "running";
  });
  ASSERT_TRUE(swept) << swept.error().text();
  EXPECT_THAT(ended, ::testing::UnorderedElementsAre("dead", "running"));
  EXPECT_TRUE(folder.has("living"));
  EXPECT_TRUE(folder.has("running"));
  EXPECT_FALSE(folder.has("dead"));
  EXPECT_FALSE(folder.has(".removing-old-123456"));
}

TEST(GuestDir, sweep_of_a_place_that_is_not_there_is_fine) {
  EXPECT_TRUE(
      sweep_guests("/nonexistent/vrun", [](const std::string&) -> Result<bool> { return true; }));
}

TEST(GuestDir, files_say_the_host_name) {
  TemporaryFolder folder;
  const auto guest = GuestDir::create(folder.path(), named("web"));
  ASSERT_TRUE(guest);
  ASSERT_TRUE(write_guest_files(guest->dir(), {.hostname = "inner",
                                               .root_uid = ::getuid(),
                                               .root_gid = ::getgid(),
                                               .host_network = false,
                                               .add_hosts = {},
                                               .dns = {},
                                               .dns_search = {},
                                               .dns_options = {}}));
  EXPECT_EQ(folder.read("web/files/hostname"), "inner\n");
  EXPECT_THAT(folder.read("web/files/hosts"), HasSubstr("127.0.1.1\tinner\n"));
  EXPECT_TRUE(folder.has("web/files/resolv.conf"));
}

}  // namespace
}  // namespace vrun::engine
