#include "manifest/yaml.hpp"

#include <gtest/gtest.h>

namespace vrun::manifest {
namespace {

std::string fault_of(const std::string& text, const YamlLimits& limits = {}) {
  Faults faults;
  read_yaml(text, "f", faults, limits);
  return faults.empty() ? "" : faults[0].line();
}

TEST(Yaml, a_bomb_of_aliases_is_refused_before_it_goes_off) {
  std::string text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c <= 'j'; ++c) {
    text += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 10; ++i)
      text += std::string("*") + static_cast<char>(c - 1) + (i < 9 ? ", " : "]\n");
  }
  EXPECT_NE(fault_of(text).find("more than 100000 values once aliases are spread"),
            std::string::npos);
}

TEST(Yaml, nesting_aliases_and_size_have_bounds) {
  EXPECT_NE(fault_of(std::string(40, '[') + std::string(40, ']')).find("nested deeper than 32"),
            std::string::npos);
  EXPECT_NE(fault_of("a: &a 1\nb: [*a, *a, *a]\n", {.aliases = 2}).find("more than 2 aliases"),
            std::string::npos);
  EXPECT_EQ(fault_of(std::string(5U << 20U, 'x')), "f: is larger than 4 MiB");
  EXPECT_NE(fault_of("a: &a {b: *a}\n").find("an alias of something that contains it"),
            std::string::npos);
}

TEST(Yaml, unknown_tags_and_null_bytes_are_refused) {
  EXPECT_NE(fault_of("a: !python/object x\n").find("unknown tag '!python/object'"),
            std::string::npos);
  EXPECT_NE(fault_of("a: \"\\0\"\n").find("null byte"), std::string::npos);
}

TEST(Yaml, merge_keys_are_carried_out_and_what_is_said_wins) {
  Faults faults;
  const auto read = read_yaml("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\n", "f", faults);
  ASSERT_TRUE(faults.empty());
  const Node* y = read.at(0).find("y");
  EXPECT_EQ(y->text_of("a"), "1");
  EXPECT_EQ(y->text_of("b"), "3");
}

TEST(Yaml, places_count_from_one) {
  Faults faults;
  const auto read = read_yaml("a:\n  b: c\n", "f", faults);
  const Node* b = read.at(0).find("a")->find("b");
  EXPECT_EQ(b->place.line, 2U);
  EXPECT_EQ(b->place.column, 6U);
}

}  // namespace
}  // namespace vrun::manifest
