#include "vm/engine_choice.hpp"

#include <gtest/gtest.h>

namespace vrun::vm {
namespace {

EngineFacts facts(Kvm kvm, std::string vmm, std::string qemu) {
  return {.kvm = {kvm, kvm == Kvm::kWorks ? "" : "/dev/kvm: some reason"},
          .vmm = std::move(vmm),
          .qemu = std::move(qemu)};
}

TEST(EngineChoice, our_own_where_kvm_runs_stock_kernels) {
  const auto choice = choose_engine(facts(Kvm::kWorks, "/x/vrun-vmm", "/usr/bin/qemu"));
  ASSERT_TRUE(choice.has_value());
  EXPECT_EQ(choice->engine, Engine::kKvm);
}

TEST(EngineChoice, emulation_says_what_is_wrong_with_kvm) {
  for (const Kvm kvm : {Kvm::kAbsent, Kvm::kRefused, Kvm::kEmulates}) {
    const auto choice = choose_engine(facts(kvm, "/x/vrun-vmm", "/usr/bin/qemu"));
    ASSERT_TRUE(choice.has_value());
    EXPECT_EQ(choice->engine, Engine::kQemu);
    EXPECT_EQ(choice->reason, "/dev/kvm: some reason");
  }
}

TEST(EngineChoice, with_neither_both_remedies_are_named) {
  const auto choice = choose_engine(facts(Kvm::kEmulates, "/x/vrun-vmm", ""));
  ASSERT_FALSE(choice.has_value());
  EXPECT_EQ(choice.error().code(), Code::kUnsupported);
  EXPECT_NE(choice.error().hint().find("nested virtualization"), std::string::npos);
  EXPECT_NE(choice.error().hint().find("qemu-system-x86"), std::string::npos);
}

TEST(EngineChoice, neither_goes_without_our_program) {
  for (const Kvm kvm : {Kvm::kWorks, Kvm::kAbsent}) {
    const auto choice = choose_engine(facts(kvm, "", "/usr/bin/qemu"));
    ASSERT_FALSE(choice.has_value());
    EXPECT_NE(choice.error().text().find("vrun-vmm is missing"), std::string::npos);
  }
}

}  // namespace
}  // namespace vrun::vm
