#include "tenants/id_blocks.hpp"

#include <gtest/gtest.h>

namespace vrun::tenants {
namespace {

IdArea area(std::uint64_t blocks) {
  return {kIdsPerBlock, kIdsPerBlock * (1 + blocks), [](std::uint64_t) { return true; }};
}

TEST(IdBlocksTest, blocks_come_from_the_upper_end_and_never_overlap) {
  IdBook book;
  EXPECT_EQ(take_block(book, area(3), "a")->first, 3 * kIdsPerBlock);
  EXPECT_EQ(take_block(book, area(3), "b")->first, 2 * kIdsPerBlock);
  EXPECT_EQ(take_block(book, area(3), "a")->first, 1 * kIdsPerBlock);
  const Result<IdBlock> none = take_block(book, area(3), "c");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), Code::kState);
}

TEST(IdBlocksTest, a_retired_block_is_not_given_again) {
  IdBook book;
  const std::uint64_t first = take_block(book, area(2), "a")->first;
  retire_blocks(book, "a", "2026-01-01T00:00:00Z");
  EXPECT_EQ(book.blocks[0].retired, "2026-01-01T00:00:00Z");
  EXPECT_NE(take_block(book, area(2), "a")->first, first);
  EXPECT_FALSE(take_block(book, area(2), "a"));
}

TEST(IdBlocksTest, ids_of_others_in_a_block_make_it_unfit) {
  IdArea with_others = area(2);
  with_others.is_free = [](std::uint64_t start) { return start != 2 * kIdsPerBlock + 65536; };
  IdBook book;
  EXPECT_EQ(take_block(book, with_others, "a")->first, kIdsPerBlock);
}

TEST(IdBlocksTest, the_book_is_kept_as_text) {
  IdBook book;
  ASSERT_TRUE(take_block(book, area(2), "a"));
  retire_blocks(book, "a", "then");
  const Result<IdBook> back = parse_id_book(to_json(book), "ids.json");
  ASSERT_TRUE(back);
  EXPECT_EQ(back->blocks, book.blocks);
  EXPECT_FALSE(parse_id_book("{\"version\":2,\"blocks\":[]}", "ids.json"));
  EXPECT_FALSE(parse_id_book("{\"version\":1,\"blocks\":[{\"first\":0}]}", "ids.json"));
}

TEST(IdBlocksTest, a_block_is_enough_for_64_guests) {
  EXPECT_EQ(blocks_for(0), 1U);
  EXPECT_EQ(blocks_for(64), 1U);
  EXPECT_EQ(blocks_for(65), 2U);
}

}  // namespace
}  // namespace vrun::tenants
