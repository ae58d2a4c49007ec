#include "vm/agent/report.hpp"

#include <gtest/gtest.h>

namespace vrun::vm {
namespace {

TEST(Report, comes_back_as_it_was_written) {
  const EndReport report{.signal = 9,
                         .memory_kills = 2,
                         .lost = "the guest's kernel panicked: x",
                         .checkpointed = true};
  const EndReport back = *parse_report(to_json(report));
  EXPECT_EQ(back.signal, 9u);
  EXPECT_EQ(back.memory_kills, 2u);
  EXPECT_EQ(back.lost, report.lost);
  EXPECT_TRUE(back.checkpointed);
  EXPECT_FALSE(parse_report("{}")->checkpointed);
  EXPECT_TRUE(parse_report(to_json({})).has_value());
}

TEST(Report, of_a_hostile_writer_is_words_and_numbers) {
  EXPECT_EQ(parse_report(R"({"lost":"a[31mb"})")->lost.find('\x1b'), std::string::npos);
  EXPECT_FALSE(parse_report(R"({"signal":65})").has_value());
  EXPECT_FALSE(parse_report(R"({"signal":-1})").has_value());
  EXPECT_FALSE(parse_report("").has_value());
  EXPECT_FALSE(parse_report(R"({"lost":")" + std::string(kMostReport, 'a') + "\"}").has_value());
}

}  // namespace
}  // namespace vrun::vm
