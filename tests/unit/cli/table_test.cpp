#include "cli/table.hpp"

#include <gtest/gtest.h>

namespace vrun::cli {
namespace {

TEST(Table, columns_are_runc_s_twelve_wide_with_three_blanks_between) {
  EXPECT_EQ(table({{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}}),
            "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
  EXPECT_EQ(table({{"ID", "PID"}, {"a-long-container", "1"}}),
            "ID                 PID\na-long-container   1\n");
}

TEST(Table, control_characters_never_come_out_raw) {
  EXPECT_EQ(table({{"a\x1b[31m", "b\n"}}), "a\\x1b[31m   b\\x0a\n");
}

TEST(Table, width_counts_characters_not_bytes) {
  EXPECT_EQ(table({{"ééé", "x"}}), "ééé         x\n");
}

}  // namespace
}  // namespace vrun::cli
