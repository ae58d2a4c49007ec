#include "vm/kvm_probe.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

namespace vrun::vm {
namespace {

TEST(KvmProbe, no_device) {
  const KvmFacts facts = probe_kvm("/nowhere/kvm");
  EXPECT_EQ(facts.kvm, Kvm::kAbsent);
  EXPECT_EQ(facts.reason, "no /nowhere/kvm");
}

TEST(KvmProbe, a_device_that_is_no_kvm) {
  const KvmFacts facts = probe_kvm("/dev/null");
  EXPECT_EQ(facts.kvm, Kvm::kRefused);
  EXPECT_NE(facts.reason.find("no KVM"), std::string::npos);
}

TEST(KvmProbe, this_host_gives_the_same_answer_twice) {
  if (::access("/dev/kvm", R_OK | W_OK) != 0) GTEST_SKIP() << "no /dev/kvm that opens";
  const KvmFacts facts = probe_kvm();
  // A KVM that opens and does what its interface says is one of the two.
  EXPECT_TRUE(facts.kvm == Kvm::kWorks || facts.kvm == Kvm::kEmulates) << facts.reason;
  EXPECT_EQ(facts.reason.empty(), facts.kvm == Kvm::kWorks);
  EXPECT_EQ(probe_kvm().kvm, facts.kvm);
}

}  // namespace
}  // namespace vrun::vm
