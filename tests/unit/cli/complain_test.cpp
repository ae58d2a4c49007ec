#include "cli/complain.hpp"

#include <gtest/gtest.h>

namespace vrun::cli {
namespace {

TEST(Complaint, has_the_program_the_text_and_the_hint) {
  const Error error =
      Error(Code::kNotFound, "no such container").during("start web").hint("see vrun-oci list");
  EXPECT_EQ(complaint("vrun-oci", error),
            "vrun-oci: start web: no such container\n  hint: see vrun-oci list\n");
}

TEST(Complaint, several_faults_stand_on_lines_of_their_own) {
  EXPECT_EQ(complaint("vrun", Error(Code::kInvalid, "root: is missing\nprocess.args: is empty")),
            "vrun: root: is missing\n  process.args: is empty\n");
}

TEST(Complaint, control_characters_never_come_out_raw) {
  const std::string text = complaint("vrun", Error(Code::kInvalid, "a\x1b[31mb\rc").hint("\x07"));
  EXPECT_EQ(text, "vrun: a\\x1b[31mb\\x0dc\n  hint: \\x07\n");
}

}  // namespace
}  // namespace vrun::cli
