#include "cli/help.hpp"

#include <gtest/gtest.h>

#include "base/text.hpp"

namespace vrun::cli {
namespace {

TEST(Help, of_a_verb_is_made_from_its_row) {
  EXPECT_EQ(help_text(*find_verb("kill")),
            "vrun-oci kill - send a signal to the process of a container\n"
            "\n"
            "usage: vrun-oci [GLOBAL FLAGS] kill [FLAGS] CONTAINER [SIGNAL]\n"
            "\n"
            "SIGNAL is a name with or without SIG, or a number; SIGTERM if there is none.\n"
            "\n"
            "flags:\n"
            "  -a, --all   signal every process of the container\n");
  EXPECT_EQ(help_text(*find_verb("events")),
            "vrun-oci events - print statistics and out-of-memory events as JSON lines\n"
            "\n"
            "usage: vrun-oci [GLOBAL FLAGS] events [FLAGS] CONTAINER\n"
            "\n"
            "One line each, until the container stops.\n"
            "\n"
            "flags:\n"
            "      --interval DURATION   time between two statistics (default: 5s)\n"
            "      --stats               print the statistics once and end\n");
}

TEST(Help, of_every_verb_fits_a_terminal_and_names_every_flag_but_deprecated_ones) {
  for (const Verb& verb : oci_verbs()) {
    const std::string text = help_text(verb);
    for (const std::string_view line : split(text, '\n')) {
      EXPECT_LE(line.size(), 100U) << line;
      EXPECT_FALSE(line.ends_with(' ')) << line;
    }
    for (const Flag& flag : verb.flags()) {
      const bool named = text.find("--" + std::string(flag.name.view())) != std::string::npos;
      EXPECT_TRUE(named || flag.shown == Shown::kDeprecated)
          << verb.name.view() << " " << flag.name.view();
    }
  }
}

TEST(Help, of_the_program_lists_every_verb_and_global_flag) {
  const std::string text = help_text();
  for (const Verb& verb : oci_verbs()) {
    EXPECT_NE(text.find("\n  " + std::string(verb.name.view()) + " "), std::string::npos)
        << verb.name.view();
  }
  EXPECT_NE(text.find("--systemd-cgroup"), std::string::npos);
  EXPECT_NE(text.find("--criu"), std::string::npos);
}

TEST(Help, version_has_the_lines_that_engines_parse) {
  const std::string text = version_text();
  EXPECT_TRUE(text.starts_with("vrun-oci version " VRUN_VERSION "\n")) << text;
  EXPECT_TRUE(text.ends_with("spec: 1.3.0\n")) << text;
}

TEST(Help, wrap_breaks_only_at_blanks) {
  EXPECT_EQ(wrap("aaa bbb ccc", 2, 9), "  aaa bbb\n  ccc\n");
  EXPECT_EQ(wrap("averylongword x", 0, 5), "averylongword\nx\n");
}

}  // namespace
}  // namespace vrun::cli
