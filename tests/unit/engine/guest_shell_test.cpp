// The command line and the environment of a login.
#include "engine/guest_shell.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::engine {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

Account account(std::string_view user) {
  return *find_account(user,
                       "root:x:0:0::/root:/bin/bash\nann:x:1000:1000::/home/ann:\n"
                       "bob:x:1001:1001::/home/bob\n",
                       "");
}

TEST(GuestShell, is_the_users_own_and_a_login) {
  EXPECT_THAT(login_command(account("root"), {}), ElementsAre("/bin/bash", "-l"));
  EXPECT_THAT(login_command(account("ann"), {}), ElementsAre("/bin/sh", "-l"));
  EXPECT_THAT(login_command(account("bob"), {}), ElementsAre("/bin/sh", "-l"));
  EXPECT_THAT(login_command(account("77"), {}), ElementsAre("/bin/sh", "-l"));
}

TEST(GuestShell, words_reach_the_command_as_they_are) {
  EXPECT_THAT(login_command(account("root"), {"echo", "it's  $HOME"}),
              ElementsAre("/bin/bash", "-l", "-c", "'echo' 'it'\\''s  $HOME'"));
}

TEST(GuestShell, has_the_environment_of_a_login) {
  const std::vector<std::string> env = login_environment(account("ann"));
  for (const char* entry :
       {"HOME=/home/ann", "USER=ann", "LOGNAME=ann", "PATH=/usr/local/bin:/usr/bin:/bin"})
    EXPECT_THAT(env, Contains(entry));
  EXPECT_THAT(login_environment(account("root")), Contains("SHELL=/bin/bash"));
}

}  // namespace
}  // namespace vrun::engine
