#include "process/environment.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::process {
namespace {

using ::testing::ElementsAre;

Environment check(const oci::Process& process, Faults& faults) {
  return check_environment(process, "process", faults);
}

TEST(Environment, the_last_of_several_values_stays) {
  oci::Process process;
  process.env = {"A=1", "PATH=/bin", "A=2", "PATH=/usr/bin", "B=x=y"};
  Faults faults;
  const Environment environment = check(process, faults);
  EXPECT_TRUE(faults.empty());
  EXPECT_THAT(environment.entries, ElementsAre("A=2", "PATH=/usr/bin", "B=x=y"));
  EXPECT_EQ(environment.path, "/usr/bin");
}

TEST(Environment, home_is_needed_when_absent_or_empty) {
  Faults faults;
  oci::Process process;
  EXPECT_TRUE(check(process, faults).needs_home);
  process.env = {"HOME=/old", "HOME="};
  const Environment empty = check(process, faults);
  EXPECT_TRUE(empty.needs_home);
  EXPECT_TRUE(empty.entries.empty());
  process.env = {"HOME=/root"};
  const Environment given = check(process, faults);
  EXPECT_FALSE(given.needs_home);
  EXPECT_THAT(given.entries, ElementsAre("HOME=/root"));
}

TEST(Environment, no_path_is_told_from_an_empty_one) {
  Faults faults;
  oci::Process process;
  EXPECT_FALSE(check(process, faults).path);
  process.env = {"PATH="};
  EXPECT_EQ(check(process, faults).path, "");
}

TEST(Environment, entries_without_a_name_are_faults) {
  oci::Process process;
  process.env = {"A=1", "nothing", "=x"};
  Faults faults;
  (void)check(process, faults);
  EXPECT_EQ(faults.result().error().text(),
            "process.env[2]: '=x' is not NAME=value\n"
            "process.env[1]: 'nothing' is not NAME=value");
}

}  // namespace
}  // namespace vrun::process
