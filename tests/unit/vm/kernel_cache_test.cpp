#include "vm/kernel_cache.hpp"

#include <gtest/gtest.h>

#include "tests/unit/vm/temporary.hpp"

namespace vrun::vm {
namespace {

class KernelCache : public testing::Test {
 protected:
  KernelCache() {
    place_.write("boot/vmlinuz-1", "kernel");
    place_.write("modules/1/modules.dep", "");
    place_.write("agent", "agent");
  }
  CacheRequest request() const {
    return {place_.at("data"),
            {"1", place_.at("boot/vmlinuz-1"), place_.at("modules/1")},
            place_.at("agent")};
  }
  Maker maker() {
    return [this](const std::vector<std::string>& arguments) -> Result<void> {
      asked_.push_back(arguments[0]);
      if (fail_) return Error(Code::kInvalid, "no kernel");
      const std::string out = arguments.back();
      const Fd dir = TRY(sys::open_dir(At::cwd(), std::string(fs::dir_name(out))));
      return fs::replace_file(dir, std::string(fs::base_name(out)), "made " + arguments[0]);
    };
  }
  std::vector<std::string> in_cache() const {
    const Result<Fd> dir = sys::open_dir(At::cwd(), place_.at("data/vm/cache"));
    return *sys::list_dir(dir->get());
  }
  std::string content(const Fd& file) const {
    return *fs::read_file(At::cwd(), "/proc/self/fd/" + std::to_string(file.get()), 100);
  }

  Temporary place_;
  std::vector<std::string> asked_;
  bool fail_ = false;
};

TEST_F(KernelCache, each_is_made_once) {
  const auto first = boot_files(request(), maker());
  ASSERT_TRUE(first.has_value()) << first.error().text();
  EXPECT_EQ(content(first->vmlinux), "made vmlinux");
  EXPECT_EQ(content(first->initramfs), "made initramfs");
  ASSERT_TRUE(boot_files(request(), maker()).has_value());
  EXPECT_EQ(asked_, (std::vector<std::string>{"vmlinux", "initramfs"}));
}

TEST_F(KernelCache, a_changed_agent_makes_another_initramfs_alone) {
  ASSERT_TRUE(boot_files(request(), maker()).has_value());
  place_.write("agent", "another agent");
  asked_.clear();
  ASSERT_TRUE(boot_files(request(), maker()).has_value());
  EXPECT_EQ(asked_, std::vector<std::string>{"initramfs"});
}

TEST_F(KernelCache, a_failure_leaves_nothing_and_is_tried_again) {
  fail_ = true;
  EXPECT_FALSE(boot_files(request(), maker()).has_value());
  EXPECT_EQ(in_cache(), std::vector<std::string>{"lock"});
  fail_ = false;
  EXPECT_TRUE(boot_files(request(), maker()).has_value());
}

TEST_F(KernelCache, what_a_killed_maker_left_is_never_taken) {
  place_.write("data/vm/cache/half", "half a ker");
  const auto files = boot_files(request(), maker());
  ASSERT_TRUE(files.has_value());
  EXPECT_EQ(content(files->vmlinux), "made vmlinux");
  EXPECT_EQ(in_cache().size(), 3U);
}

TEST_F(KernelCache, the_helpers_words_are_the_error) {
  const Maker helper = kernel_helper("/bin/false");
  const auto files = boot_files(request(), helper);
  ASSERT_FALSE(files.has_value());
  EXPECT_NE(files.error().text().find("vrun-kernel ended with 1"), std::string::npos);
}

}  // namespace
}  // namespace vrun::vm
