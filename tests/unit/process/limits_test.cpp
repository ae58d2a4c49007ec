#include "process/limits.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include "process/limits_child.hpp"
#include "process/plan.hpp"
#include "tests/unit/process/in_child.hpp"

namespace vrun::process {
namespace {

TEST(Limits, names_become_numbers) {
  oci::Process process;
  process.rlimits = {{"RLIMIT_NOFILE", 1024, 4096}, {"RLIMIT_CORE", 0, RLIM_INFINITY}};
  Faults faults;
  const auto limits = check_rlimits(process, "process", faults);
  EXPECT_TRUE(faults.empty());
  ASSERT_EQ(limits.size(), 2U);
  EXPECT_EQ(limits[0].resource, RLIMIT_NOFILE);
  EXPECT_EQ(limits[0].soft, 1024U);
  EXPECT_EQ(limits[0].hard, 4096U);
  EXPECT_EQ(limits[1].resource, RLIMIT_CORE);
  EXPECT_EQ(limits[1].hard, ~0ULL);
}

TEST(Limits, all_faults_come_at_once) {
  oci::Process process;
  process.rlimits = {{"RLIMIT_NOFILES", 1, 1}, {"RLIMIT_CPU", 2, 1}, {"RLIMIT_CPU", 1, 1}};
  Faults faults;
  (void)check_rlimits(process, "process", faults);
  EXPECT_EQ(faults.result().error().text(),
            "process.rlimits[0].type: 'RLIMIT_NOFILES' is not a resource limit, did you mean "
            "'RLIMIT_NOFILE'?\n"
            "process.rlimits[1].soft: 2 is above the hard limit 1\n"
            "process.rlimits[2].type: RLIMIT_CPU is given twice");
}

TEST(Limits, only_few_descriptors_wait_for_the_gate) {
  EXPECT_TRUE(is_late({RLIMIT_NOFILE, 3, 1024}));
  EXPECT_FALSE(is_late({RLIMIT_NOFILE, kFewDescriptors, 1024}));
  EXPECT_FALSE(is_late({RLIMIT_CORE, 0, 0}));
}

TEST(Limits, the_child_sets_them) {
  const int status = in_child([] {
    const steps::RlimitEntry entry{RLIMIT_CORE, 0, 0};
    steps::Context context{};
    if (rlimits(context, {{&entry, 1}}) != 0) return 1;
    rlimit now{};
    getrlimit(RLIMIT_CORE, &now);
    return now.rlim_cur == 0 && now.rlim_max == 0 ? 0 : 2;
  });
  EXPECT_EQ(status, 0);
}

TEST(Limits, a_hard_limit_that_cannot_be_raised_names_entry_and_hint) {
  const int status = in_child([] {
    const steps::RlimitEntry low{RLIMIT_MSGQUEUE, 10, 10};
    steps::Context context{};
    if (rlimits(context, {{&low, 1}}) != 0) return 1;
    // as a user without capabilities, whoever runs the test
    if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return 2;
    oci::Process process;
    process.rlimits = {{"RLIMIT_MSGQUEUE", 10, 10}, {"RLIMIT_MSGQUEUE", 20, 20}};
    const Result<void> result = raise_hard_limits(process, "process");
    if (result) return 3;
    const Error& error = result.error();
    if (error.where() != "process.rlimits[1]") return 4;
    if (error.hint().find("CAP_SYS_RESOURCE") == std::string::npos) return 5;
    return error.sys_errno() == EPERM ? 0 : 6;
  });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace vrun::process
