#include "tenants/caller_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/sys.hpp"

namespace vrun::tenants {
namespace {

using ::testing::HasSubstr;

CallerFiles some() {
  CallerFiles files;
  files.env = {"A=1", std::string("B=\0\xFF", 4)};
  files.files = {{"dir", "dir/a.yaml", "kind: Guest\n"}, {"empty", "empty", ""}};
  files.copies = {{"name", true}};
  return files;
}

TEST(CallerFilesTest, what_is_written_is_read_again) {
  const Result<CallerFiles> read = parse_caller_files(to_bytes(some()));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->env, some().env);
  ASSERT_EQ(read->files.size(), 2U);
  EXPECT_EQ(read->files[0].name, "dir/a.yaml");
  EXPECT_EQ(read->files[0].text, "kind: Guest\n");
  ASSERT_EQ(read->copies.size(), 1U);
  EXPECT_TRUE(read->copies[0].directory);
  EXPECT_TRUE(read->has("dir"));
  EXPECT_FALSE(read->has("dir/a.yaml"));
}

TEST(CallerFilesTest, no_part_of_it_is_taken_for_the_whole) {
  const std::string bytes = to_bytes(some());
  std::size_t good = 0;
  for (std::size_t size = 0; size < bytes.size(); ++size)
    good += parse_caller_files(bytes.substr(0, size)) ? 1U : 0U;
  EXPECT_EQ(good, 5U);  // at the borders of its five records
}

TEST(CallerFilesTest, odd_bytes_are_refused) {
  EXPECT_FALSE(parse_caller_files("z"));
  EXPECT_FALSE(parse_caller_files("e\xFF\xFF\xFF\xFFx"));
  CallerFiles two = some();
  two.copies.push_back({"other", false});
  EXPECT_FALSE(parse_caller_files(to_bytes(two)));
}

TEST(CallerFilesTest, only_a_sealed_memfd_is_read) {
  const Fd good = *to_memfd(some());
  EXPECT_TRUE(read_caller_files(good.get()));
  const Fd open = *sys::memfd("open");
  ASSERT_TRUE(sys::write_all(open.get(), to_bytes(some())));
  const Result<CallerFiles> refused = read_caller_files(open.get());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kDenied);
  EXPECT_FALSE(read_caller_files(STDIN_FILENO));
}

TEST(CallerFilesTest, too_much_is_refused_before_it_is_sent) {
  CallerFiles files;
  files.files = {{"big", "big", std::string(kMostCallerBytes, 'x')}};
  const Result<Fd> made = to_memfd(files);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().text(), HasSubstr("larger than 20 MiB"));
}

}  // namespace
}  // namespace vrun::tenants
