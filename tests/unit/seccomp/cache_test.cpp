#include "seccomp/cache.hpp"

#include <fstream>
#include <iterator>
#include <set>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "tests/unit/seccomp/temp_host.hpp"

namespace vrun::seccomp {
namespace {

Filter sample() {
  return {std::string("\6\0\0\0\0\0\xff\x7f", 8), 2, true};
}

std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void spill(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST(SeccompCache, gives_back_what_was_kept) {
  const TempHost temp;
  EXPECT_FALSE(load_cached(temp.host(), "k"));
  store_cached(temp.host(), "k", sample());
  const auto got = load_cached(temp.host(), "k");
  ASSERT_TRUE(got);
  EXPECT_EQ(got->program, sample().program);
  EXPECT_EQ(got->flags, 2U);
  EXPECT_TRUE(got->notifies);
  struct stat status {};
  ::stat(temp.folder().c_str(), &status);
  EXPECT_EQ(status.st_mode & 07777U, 0700U);
}

TEST(SeccompCache, any_changed_byte_and_any_cut_makes_it_absent) {
  const TempHost temp;
  store_cached(temp.host(), "k", sample());
  const std::string path = temp.folder() + "/k";
  const std::string good = slurp(path);
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    spill(path, bad);
    EXPECT_FALSE(load_cached(temp.host(), "k")) << "byte " << i;
    spill(path, good.substr(0, i));
    EXPECT_FALSE(load_cached(temp.host(), "k")) << "cut at " << i;
  }
  spill(path, good + "x");
  EXPECT_FALSE(load_cached(temp.host(), "k"));
  store_cached(temp.host(), "k", sample());  // a damaged one is written anew
  EXPECT_TRUE(load_cached(temp.host(), "k"));
}

TEST(SeccompCache, links_and_fifos_are_absent) {
  const TempHost temp;
  store_cached(temp.host(), "k", sample());
  const std::string path = temp.folder() + "/k";
  ASSERT_EQ(::rename(path.c_str(), (temp.folder() + "/real").c_str()), 0);
  ASSERT_EQ(::symlink("real", path.c_str()), 0);
  EXPECT_FALSE(load_cached(temp.host(), "k"));
  ::unlink(path.c_str());
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_FALSE(load_cached(temp.host(), "k"));  // and does not hang
}

TEST(SeccompCache, a_folder_that_others_can_reach_is_not_used) {
  const TempHost temp;
  store_cached(temp.host(), "k", sample());
  ::chmod(temp.folder().c_str(), 0755);
  EXPECT_FALSE(load_cached(temp.host(), "k"));
  ::chmod(temp.folder().c_str(), 0700);
  EXPECT_TRUE(load_cached(temp.host(), "k"));
  Host stranger = temp.host();
  stranger.euid = Uid(temp.host().euid.value + 1);
  EXPECT_FALSE(load_cached(stranger, "k"));
}

TEST(SeccompCache, a_folder_behind_a_link_is_not_used) {
  TempHost temp;
  store_cached(temp.host(), "k", sample());
  ASSERT_EQ(::rename(temp.folder().c_str(), (temp.folder() + "-moved").c_str()), 0);
  ASSERT_EQ(::symlink("seccomp-moved", temp.folder().c_str()), 0);
  EXPECT_FALSE(load_cached(temp.host(), "k"));
}

TEST(SeccompCache, stays_bounded) {
  const TempHost temp;
  for (int i = 0; i < 300; ++i)
    store_cached(temp.host(), "k" + std::to_string(i), sample());
  const Result<Fd> folder = sys::open_dir(At::cwd(), temp.folder());
  ASSERT_TRUE(folder);
  EXPECT_LE(sys::list_dir(folder->get())->size(), 256U);
  EXPECT_TRUE(load_cached(temp.host(), "k299"));
}

TEST(SeccompCache, without_a_place_nothing_fails) {
  Host host;
  host.cache_dir = "";
  store_cached(host, "k", sample());
  EXPECT_FALSE(load_cached(host, "k"));
  host.cache_dir = "/proc/nowhere";
  store_cached(host, "k", sample());
  EXPECT_FALSE(load_cached(host, "k"));
}

TEST(SeccompCache, every_part_of_the_rules_is_in_the_key) {
  const oci::Seccomp base{.default_action = "SCMP_ACT_ERRNO",
                          .architectures = {"SCMP_ARCH_X86"},
                          .flags = {"SECCOMP_FILTER_FLAG_LOG"},
                          .syscalls = {{.names = {"read", "write"},
                                        .action = "SCMP_ACT_ALLOW",
                                        .args = {{0, 1, 2, "SCMP_CMP_EQ"}}}}};
  std::set<std::string> keys{cache_key(base)};
  EXPECT_EQ(cache_key(base), *keys.begin());
  std::size_t variants = 1;
  const auto differs = [&](auto change) {
    oci::Seccomp other = base;
    change(other);
    keys.insert(cache_key(other));
    EXPECT_EQ(keys.size(), ++variants);
  };
  differs([](oci::Seccomp& s) { s.default_action = "SCMP_ACT_KILL"; });
  differs([](oci::Seccomp& s) { s.default_errno_ret = 0; });
  differs([](oci::Seccomp& s) { s.default_errno_ret = 1; });
  differs([](oci::Seccomp& s) { s.architectures = {}; });
  differs([](oci::Seccomp& s) { s.flags = {}; });
  differs([](oci::Seccomp& s) { s.listener_path = "/x"; });
  differs([](oci::Seccomp& s) { s.syscalls = {}; });
  differs([](oci::Seccomp& s) { s.syscalls[0].names = {"readw", "rite"}; });
  differs([](oci::Seccomp& s) { s.syscalls[0].action = "SCMP_ACT_LOG"; });
  differs([](oci::Seccomp& s) { s.syscalls[0].errno_ret = 5; });
  differs([](oci::Seccomp& s) { s.syscalls[0].args[0].index = 1; });
  differs([](oci::Seccomp& s) { s.syscalls[0].args[0].value = 5; });
  differs([](oci::Seccomp& s) { s.syscalls[0].args[0].value_two = 5; });
  differs([](oci::Seccomp& s) { s.syscalls[0].args[0].op = "SCMP_CMP_NE"; });
  differs([](oci::Seccomp& s) { s.syscalls.push_back(s.syscalls[0]); });
}

}  // namespace
}  // namespace vrun::seccomp
