#include "vm/agent/frames.hpp"

#include <gtest/gtest.h>

namespace vrun::vm {
namespace {

TEST(Frames, come_back_whole_however_they_are_cut) {
  const std::string bytes = encode(FrameType::kExec, "{\"args\":[]}") +
                            encode_numbers(FrameType::kExit, {3, 0}) + encode(FrameType::kInputEnd);
  FrameReader reader;
  std::vector<Frame> frames;
  for (const char byte : bytes) {
    reader.feed(std::string_view(&byte, 1));
    auto next = reader.next();
    ASSERT_TRUE(next.has_value());
    if (*next) frames.push_back(**next);
  }
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(frames[0].content, "{\"args\":[]}");
  EXPECT_EQ(number_of(frames[1], 0, 2), 3u);
  EXPECT_EQ(number_of(frames[1], 1, 2), 0u);
  EXPECT_EQ(number_of(frames[1], 0, 1), std::nullopt);
  EXPECT_EQ(frames[2].type, FrameType::kInputEnd);
  EXPECT_TRUE(reader.empty());
}

TEST(Frames, unknown_types_and_absurd_lengths_are_refused_before_their_content) {
  for (const std::string& bytes :
       {std::string("\0\0\0\0\0", 5), std::string("\0\0\0\0\x13", 5),
        std::string("\xff\xff\xff\xff\x0b", 5), std::string("\x01\0\0\0\x08", 5),
        std::string("\x01\0\x01\0\x07", 5), std::string("\x01\0\x40\0\x02", 5)}) {
    FrameReader reader;
    reader.feed(bytes);
    EXPECT_FALSE(reader.next().has_value());
  }
}

TEST(Frames, the_largest_are_taken) {
  FrameReader reader;
  reader.feed(encode(FrameType::kOutput, std::string(kMostStream, 'x')));
  const auto next = reader.next();
  ASSERT_TRUE(next.has_value() && next->has_value());
  EXPECT_EQ((*next)->content.size(), kMostStream);
}

}  // namespace
}  // namespace vrun::vm
