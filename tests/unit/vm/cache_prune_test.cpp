#include "vm/cache_prune.hpp"

#include <algorithm>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/unit/vm/temporary.hpp"

namespace vrun::vm {
namespace {

class PruneCache : public testing::Test {
 protected:
  PruneCache() {
    for (const char* kernel : {"boot/vmlinuz-1", "boot/vmlinuz-2"})
      place_.write(kernel, kernel);
    place_.write("agent", "agent");
    for (const char* number : {"1", "2"})
      EXPECT_TRUE(boot_files(request(number), make).has_value());
  }
  CacheRequest request(const std::string& number, bool disk = false) const {
    return {place_.at("data"),
            {number, place_.at("boot/vmlinuz-" + number), ""},
            place_.at("agent"),
            disk};
  }
  static Result<void> make(const std::vector<std::string>& arguments) {
    const std::string out = arguments.back();
    const Fd dir = TRY(sys::open_dir(At::cwd(), std::string(fs::dir_name(out))));
    return fs::replace_file(dir, std::string(fs::base_name(out)), "made");
  }
  CachePrune rule(std::vector<CacheRequest> needed) const {
    CachePrune rule;
    rule.data = place_.at("data");
    rule.proc = place_.at("proc");
    rule.needed = std::move(needed);
    return rule;
  }
  std::vector<std::string> in_cache() const {
    const Result<Fd> dir = sys::open_dir(At::cwd(), place_.at("data/vm/cache"));
    std::vector<std::string> names = *sys::list_dir(dir->get());
    std::sort(names.begin(), names.end());
    return names;
  }
  // As one that was last taken an hour ago.
  void make_folder(const std::string& name) {
    place_.write("data/vm/cache/" + name + "/qemu", "qemu");
    const timespec old[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, place_.at("data/vm/cache/" + name).c_str(), old, 0), 0);
  }

  Temporary place_;
};

TEST_F(PruneCache, what_a_kernel_needs_stays) {
  const std::vector<std::string> before = in_cache();
  ASSERT_EQ(before.size(), 4U) << "two kernels, one initramfs, the lock";
  const auto pruned = prune_cache(rule({request("1"), request("2")}));
  ASSERT_TRUE(pruned.has_value()) << pruned.error().text();
  EXPECT_EQ(pruned->entries, 0U);
  EXPECT_EQ(in_cache(), before);
}

TEST_F(PruneCache, what_nobody_needs_goes_and_is_made_again_when_it_is_wanted) {
  const auto open = boot_files(request("2"), make);
  ASSERT_EQ(prune_cache(rule({request("1")}))->entries, 1U);
  EXPECT_EQ(in_cache().size(), 3U);
  EXPECT_EQ(prune_cache(rule({}))->entries, 2U);
  EXPECT_EQ(in_cache(), std::vector<std::string>{"lock"});
  EXPECT_EQ(*fs::read_file(At::cwd(), "/proc/self/fd/" + std::to_string(open->vmlinux.get()), 9),
            "made")
      << "who has it open boots from it";
  EXPECT_TRUE(boot_files(request("2"), make).has_value());
}

TEST_F(PruneCache, a_kernel_that_has_gone_needs_nothing) {
  ASSERT_TRUE(fs::remove_tree(At::cwd(), place_.at("boot")).has_value());
  EXPECT_EQ(prune_cache(rule({request("1"), request("2", true)}))->entries, 3U);
  EXPECT_EQ(in_cache(), std::vector<std::string>{"lock"});
}

TEST_F(PruneCache, a_dry_run_counts_and_keeps) {
  const std::vector<std::string> before = in_cache();
  EXPECT_EQ(prune_cache(rule({}))->entries, 3U);
  CachePrune dry = rule({});
  dry.dry_run = true;
  EXPECT_TRUE(boot_files(request("1"), make).has_value());
  EXPECT_EQ(prune_cache(dry)->entries, 2U);
  EXPECT_EQ(in_cache().size(), 3U);
  EXPECT_LT(in_cache().size(), before.size());
}

TEST_F(PruneCache, a_folder_of_qemu_stays_while_it_is_a_process_s_root_or_was_just_taken) {
  make_folder("used.qemu");
  make_folder("idle.qemu");
  place_.write("data/vm/cache/fresh.qemu/qemu", "qemu");
  place_.write("proc/77/comm", "qemu");
  ASSERT_EQ(
      ::symlink(place_.at("data/vm/cache/used.qemu").c_str(), place_.at("proc/77/root").c_str()),
      0);
  EXPECT_EQ(prune_cache(rule({request("1"), request("2")}))->entries, 1U);
  const std::vector<std::string> left = in_cache();
  EXPECT_EQ(std::count(left.begin(), left.end(), "idle.qemu"), 0);
  EXPECT_EQ(std::count(left.begin(), left.end(), "used.qemu"), 1);
  EXPECT_EQ(std::count(left.begin(), left.end(), "fresh.qemu"), 1);
}

TEST_F(PruneCache, what_was_killed_in_the_middle_is_finished) {
  make_folder("half.qemu");
  place_.write("data/vm/cache/half", "half a kernel");
  ASSERT_TRUE(prune_cache(rule({request("1"), request("2")})).has_value());
  EXPECT_EQ(in_cache().size(), 4U);
}

TEST_F(PruneCache, without_a_cache_there_is_nothing_to_do) {
  CachePrune none = rule({});
  none.data = place_.at("elsewhere");
  EXPECT_EQ(prune_cache(none)->entries, 0U);
}

}  // namespace
}  // namespace vrun::vm
