#include "vm/kernel_choice.hpp"

#include <gtest/gtest.h>

namespace vrun::vm {
namespace {

HostKernel kernel(const std::string& release, bool modules = true) {
  return {release, "/boot/vmlinuz-" + release, modules ? "/lib/modules/" + release : ""};
}

std::string chosen(std::vector<HostKernel> kernels) {
  sort_kernels(kernels);
  const HostKernel* found = default_kernel(kernels);
  return found == nullptr ? "none" : found->release;
}

TEST(KernelChoice, numbers_count_by_their_value) {
  EXPECT_TRUE(is_older("6.1.0-9", "6.1.0-28"));
  EXPECT_FALSE(is_older("6.12", "6.1.99"));
  EXPECT_TRUE(is_older("6.1", "6.1.1"));
  EXPECT_FALSE(is_older("6.1.0", "6.1.0"));
  EXPECT_TRUE(is_older("6.1.0-09", "6.1.0-10"));
}

TEST(KernelChoice, the_newest_is_the_default) {
  EXPECT_EQ(chosen({kernel("6.1.0-9-amd64"), kernel("6.12.5-amd64"), kernel("6.1.0-28-amd64")}),
            "6.12.5-amd64");
}

TEST(KernelChoice, of_the_same_version_the_one_for_clouds) {
  EXPECT_EQ(chosen({kernel("6.1.0-28-amd64"), kernel("6.1.0-28-cloud-amd64")}),
            "6.1.0-28-cloud-amd64");
  EXPECT_EQ(chosen({kernel("6.1.0-29-amd64"), kernel("6.1.0-28-cloud-amd64")}), "6.1.0-29-amd64");
}

TEST(KernelChoice, without_modules_or_for_real_time_is_no_default) {
  EXPECT_EQ(chosen({kernel("6.2.0-amd64", false), kernel("6.1.0-28-rt-amd64")}), "none");
  EXPECT_EQ(chosen({}), "none");
}

}  // namespace
}  // namespace vrun::vm
