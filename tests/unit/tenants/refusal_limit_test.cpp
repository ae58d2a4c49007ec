#include "tenants/refusal_limit.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace vrun::tenants {
namespace {

std::size_t noted(RefusalLimit& limit, Uid uid, int refusals, std::int64_t now) {
  std::size_t count = 0;
  for (int i = 0; i < refusals; ++i)
    count += limit.next(uid, now) ? 1 : 0;
  return count;
}

TEST(RefusalLimit, of_one_user_the_first_are_noted_and_then_fewer_and_fewer) {
  RefusalLimit limit = *RefusalLimit::create();
  EXPECT_EQ(noted(limit, Uid(1000), 20, 0), 20U);
  EXPECT_EQ(noted(limit, Uid(1000), 980, 0), 5U);  // the 32nd, 64th, 128th, 256th, 512th
  EXPECT_EQ(noted(limit, Uid(1001), 1, 0), 0U) << "all together there were more than 500";
}

TEST(RefusalLimit, another_user_has_a_count_of_its_own) {
  RefusalLimit limit = *RefusalLimit::create();
  EXPECT_EQ(noted(limit, Uid(1000), 100, 0), 22U);
  EXPECT_EQ(noted(limit, Uid(1001), 20, 0), 20U);
}

TEST(RefusalLimit, an_hour_later_it_begins_anew) {
  RefusalLimit limit = *RefusalLimit::create();
  EXPECT_EQ(noted(limit, Uid(1000), 2000, 3599), 26U);
  EXPECT_EQ(noted(limit, Uid(1000), 20, 3600), 20U);
}

TEST(RefusalLimit, many_users_are_bounded_together) {
  RefusalLimit limit = *RefusalLimit::create();
  std::size_t count = 0;
  for (std::uint32_t uid = 100000; uid < 165536; ++uid)
    count += noted(limit, Uid(uid), 1, 0);
  EXPECT_LT(count, 520U);
}

TEST(RefusalLimit, processes_that_are_forked_later_count_together) {
  RefusalLimit limit = *RefusalLimit::create();
  for (int i = 0; i < 20; ++i) {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(limit.next(Uid(7), 0) ? 0 : 1);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  }
  EXPECT_FALSE(limit.next(Uid(7), 0));
}

}  // namespace
}  // namespace vrun::tenants
