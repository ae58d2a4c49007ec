#include "vm/kernel_shelf.hpp"

#include <gtest/gtest.h>

#include "tests/unit/vm/temporary.hpp"

namespace vrun::vm {
namespace {

class KernelShelf : public testing::Test {
 protected:
  KernelPlaces places() const {
    return {place_.at("data"), place_.at("boot"), place_.at("modules")};
  }
  static std::string image() {
    std::string bytes(0x1000, '\0');
    return bytes.replace(0x202, 4, "HdrS");
  }
  void host_kernel(const std::string& release, bool modules = true) const {
    place_.write("boot/vmlinuz-" + release, image());
    if (modules) place_.write("modules/" + release + "/modules.dep", "");
  }

  Temporary place_;
};

TEST_F(KernelShelf, the_hosts_newest_is_the_default) {
  host_kernel("6.1.0-9-amd64");
  host_kernel("6.1.0-28-amd64");
  host_kernel("6.12.0-amd64", false);
  EXPECT_EQ(find_kernel(places(), "")->release, "6.1.0-28-amd64");
  EXPECT_EQ(list_kernels(places())->size(), 3U);
}

TEST_F(KernelShelf, a_kernel_may_lie_beside_its_modules) {
  place_.write("modules/7.2/vmlinuz", image());
  place_.write("modules/7.2/modules.dep", "");
  EXPECT_EQ(find_kernel(places(), "")->file, place_.at("modules/7.2/vmlinuz"));
}

TEST_F(KernelShelf, without_any_the_remedy_is_said) {
  const auto kernel = find_kernel(places(), "");
  ASSERT_FALSE(kernel.has_value());
  EXPECT_EQ(kernel.error().code(), Code::kNotFound);
  EXPECT_NE(kernel.error().hint().find("linux-image-cloud-amd64"), std::string::npos);
}

TEST_F(KernelShelf, an_added_one_comes_first_until_it_is_removed) {
  host_kernel("6.1.0-28-amd64");
  place_.write("own", image());
  ASSERT_TRUE(
      add_kernel(places(), {"mine", place_.at("own"), place_.at("modules/6.1.0-28-amd64")}));
  EXPECT_EQ(find_kernel(places(), "")->release, "mine");
  EXPECT_EQ(find_kernel(places(), "")->modules, place_.at("modules/6.1.0-28-amd64"));
  EXPECT_EQ(add_kernel(places(), {"mine", place_.at("own"), ""}).error().code(), Code::kExists);
  ASSERT_TRUE(remove_kernel(places(), "mine"));
  EXPECT_EQ(find_kernel(places(), "")->release, "6.1.0-28-amd64");
  EXPECT_EQ(remove_kernel(places(), "mine").error().code(), Code::kNotFound);
}

TEST_F(KernelShelf, what_is_no_kernel_is_refused_and_leaves_nothing) {
  place_.write("text", std::string(0x1000, 'x'));
  place_.write("short", "HdrS");
  for (const char* name : {"text", "short"}) {
    EXPECT_EQ(add_kernel(places(), {"bad", place_.at(name), ""}).error().code(), Code::kInvalid);
  }
  EXPECT_EQ(add_kernel(places(), {"../x", place_.at("text"), ""}).error().code(), Code::kInvalid);
  EXPECT_TRUE(list_kernels(places())->empty());
}

TEST_F(KernelShelf, the_hosts_own_cannot_be_removed) {
  host_kernel("6.1.0-28-amd64");
  EXPECT_EQ(remove_kernel(places(), "6.1.0-28-amd64").error().code(), Code::kInvalid);
}

}  // namespace
}  // namespace vrun::vm
