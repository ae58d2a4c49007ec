#include "process/labels.hpp"

#include <gtest/gtest.h>

#include "tests/unit/process/fake_proc.hpp"

namespace vrun::process {
namespace {

oci::Process labelled(const std::string& apparmor, const std::string& selinux) {
  oci::Process process;
  process.apparmor_profile = apparmor;
  process.selinux_label = selinux;
  return process;
}

TEST(Labels, become_what_is_written_to_the_attribute) {
  Faults faults;
  const auto labels = check_labels(labelled("docker-default", "system_u:system_r:container_t:s0"),
                                   {.apparmor = true, .selinux = true}, "process", faults);
  EXPECT_TRUE(faults.empty());
  ASSERT_EQ(labels.size(), 2U);
  EXPECT_EQ(labels[0].kind, steps::LabelKind::kAppArmor);
  EXPECT_EQ(labels[0].text, "exec docker-default");
  EXPECT_EQ(labels[1].kind, steps::LabelKind::kSelinux);
  EXPECT_EQ(labels[1].text, "system_u:system_r:container_t:s0");
}

TEST(Labels, that_the_kernel_does_not_enforce_are_faults) {
  Faults faults;
  const auto labels = check_labels(labelled("docker-default", "x_t"), {}, "process", faults);
  EXPECT_TRUE(labels.empty());
  EXPECT_EQ(faults.result().error().text(),
            "process.apparmorProfile: this kernel does not enforce AppArmor, so 'docker-default' "
            "cannot be applied; drop the key, or boot with apparmor=1\n"
            "process.selinuxLabel: this kernel does not enforce SELinux, so 'x_t' cannot be "
            "applied; drop the key, or boot with selinux=1");
}

TEST(Labels, unconfined_needs_no_apparmor) {
  Faults faults;
  EXPECT_TRUE(check_labels(labelled("unconfined", ""), {}, "process", faults).empty());
  EXPECT_TRUE(faults.empty());
  EXPECT_EQ(check_labels(labelled("unconfined", ""), {.apparmor = true}, "process", faults).size(),
            1U);
}

TEST(Labels, modules_are_read_from_the_kernel) {
  const FakeProc proc;
  EXPECT_FALSE(read_security_modules(proc.host(), proc.root()).apparmor);
  EXPECT_FALSE(read_security_modules(proc.host(), proc.root()).selinux);
  for (const char* dir : {"/module", "/module/apparmor", "/module/apparmor/parameters"})
    ::mkdir((proc.root() + dir).c_str(), 0700);
  proc.write("/module/apparmor/parameters/enabled", "Y\n");
  proc.write("/filesystems", "nodev\tproc\nnodev\tselinuxfs\n");
  EXPECT_TRUE(read_security_modules(proc.host(), proc.root()).apparmor);
  EXPECT_TRUE(read_security_modules(proc.host(), proc.root()).selinux);
  proc.write("/module/apparmor/parameters/enabled", "N\n");
  EXPECT_FALSE(read_security_modules(proc.host(), proc.root()).apparmor);
}

}  // namespace
}  // namespace vrun::process
