#include "engine/id_ranges.hpp"

#include <filesystem>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/images/folder.hpp"

namespace vrun::engine {
namespace {

using images::test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::set<std::string> files_in(const std::string& dir) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir))
    names.insert(entry.path().filename());
  return names;
}

TEST(IdRanges, the_lowest_free_range_comes_first_and_goes_back) {
  TemporaryFolder folder;
  const std::string dir = folder / "ids";
  {
    const auto a = IdRange::allocate(dir, {}, folder.path());
    ASSERT_TRUE(a) << a.error().text();
    EXPECT_EQ(a->start(), 524288U);
    const auto b = IdRange::allocate(dir, {}, folder.path());
    EXPECT_EQ(b->start(), 524288U + 65536U);
    EXPECT_EQ(*IdRange::next_free(dir, {}), 524288U + 2 * 65536U);
    EXPECT_EQ(std::filesystem::read_symlink(folder / "ids/524288"), folder.path());
    EXPECT_THAT(a->mapping(), ElementsAre(oci::IdMapping{0, 524288, 65536}));
  }
  EXPECT_TRUE(files_in(dir).empty());
}

TEST(IdRanges, ranges_of_other_users_are_avoided) {
  // Touches the first range from above and lies in the middle of the third.
  const IdSpace space =
      IdSpace::from_subid("alice:589823:1\nbroken\nbob:x:y\n", "carol:700000:10\n");
  EXPECT_FALSE(space.is_free(524288));
  EXPECT_TRUE(space.is_free(589824));
  EXPECT_FALSE(space.is_free(655360));
}

TEST(IdRanges, our_own_lines_give_the_space_on_the_common_grid) {
  TemporaryFolder folder;
  const IdSpace space =
      IdSpace::from_subid("vrun:1000000:200000\nalice:1:5\n", "vrun:1000000:200000\n");
  EXPECT_EQ(space.first, 1000000U);
  EXPECT_EQ(space.end, 1200000U);
  const auto range = IdRange::allocate(folder / "ids", space, folder.path());
  ASSERT_TRUE(range);
  EXPECT_EQ(range->start() % 65536, 0U);
  EXPECT_GE(range->start(), 1000000U);
}

TEST(IdRanges, a_line_in_one_file_only_does_not_count) {
  EXPECT_EQ(IdSpace::from_subid("vrun:1000000:200000\n", "").first, 524288U);
}

TEST(IdRanges, a_full_space_is_an_error_that_says_what_to_do) {
  TemporaryFolder folder;
  const IdSpace space{.first = 65536, .end = 3 * 65536, .taken = {}};
  const auto a = IdRange::allocate(folder / "ids", space, folder.path());
  const auto b = IdRange::allocate(folder / "ids", space, folder.path());
  const auto c = IdRange::allocate(folder / "ids", space, folder.path());
  EXPECT_TRUE(a && b);
  ASSERT_FALSE(c);
  EXPECT_THAT(c.error().text(), HasSubstr("2 guests hold one"));
  EXPECT_THAT(c.error().hint(), HasSubstr("/etc/subuid"));
}

TEST(IdRanges, never_shared_by_64_processes_at_once) {
  TemporaryFolder folder;
  const std::string dir = folder / "ids";
  constexpr int kProcesses = 64;
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      // Two each, one given back: files of the other stay.
      auto first = IdRange::allocate(dir, {}, folder.path());
      auto second = IdRange::allocate(dir, {}, folder.path());
      if (!first || !second || first->start() == second->start()) ::_exit(1);
      second->keep();
      first->release();
      ::_exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  // Had two processes been given one range, one of the files would be missing.
  EXPECT_EQ(files_in(dir).size(), static_cast<std::size_t>(kProcesses));
}

TEST(IdRanges, ranges_of_guests_that_are_gone_come_back) {
  TemporaryFolder folder;
  const std::string dir = folder / "ids";
  folder.write("alive/guest.json", "{}");
  auto alive = IdRange::allocate(dir, {}, folder / "alive");
  auto gone = IdRange::allocate(dir, {}, folder / "gone");
  ASSERT_TRUE(alive && gone);
  alive->keep();
  gone->keep();
  folder.write("ids/.9999", "");  // of a rename that was killed
  ASSERT_TRUE(release_orphaned_ranges(dir));
  EXPECT_EQ(files_in(dir), std::set<std::string>{std::to_string(alive->start())});
}

}  // namespace
}  // namespace vrun::engine
