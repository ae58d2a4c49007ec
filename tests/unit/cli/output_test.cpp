#include "cli/output.hpp"

#include <array>

#include <gtest/gtest.h>

#include "base/json_writer.hpp"
#include "tests/unit/cli/words.hpp"

namespace vrun::cli {
namespace {

std::string yaml(std::string_view json) {
  const Result<json::Document> document = json::Document::parse(json, "test");
  return document ? to_yaml(document->root()) : document.error().text();
}

TEST(Yaml, objects_and_lists_are_blocks) {
  EXPECT_EQ(yaml(R"({"a": 1, "b": {"c": true}, "d": [1, -2], "e": [], "f": {}, "g": null})"),
            "a: 1\nb:\n  c: true\nd:\n  - 1\n  - -2\ne: []\nf: {}\ng: null\n");
}

TEST(Yaml, the_first_key_of_a_list_s_object_follows_the_dash) {
  EXPECT_EQ(yaml(R"([{"a": 1, "b": [{"c": 2}]}, {"a": 3}])"), "- a: 1\n  b:\n    - c: 2\n- a: 3\n");
  EXPECT_EQ(yaml("[[1, 2], [3]]"), "- - 1\n  - 2\n- - 3\n");
}

TEST(Yaml, what_could_be_read_as_something_else_is_quoted) {
  EXPECT_EQ(
      yaml(R"(["plain", "/a/b.c", "no", "Yes", "null", "1", "1e3", "", "a: b", "- x", "#", "~"])"),
      "- plain\n- /a/b.c\n- \"no\"\n- \"Yes\"\n- \"null\"\n- \"1\"\n- \"1e3\"\n- \"\"\n"
      "- \"a: b\"\n- \"- x\"\n- \"#\"\n- \"~\"\n");
}

TEST(Yaml, empty_documents_are_flow) {
  EXPECT_EQ(yaml("[]"), "[]\n");
  EXPECT_EQ(yaml("{}"), "{}\n");
}

TEST(Document, control_characters_never_come_out_raw) {
  json::Writer writer;
  writer.begin_array()
      .value(
          "\x1b[31m \x7f \xc2\x9b"
          "2J \xc3\xa9")
      .end_array();
  const std::string json = writer.take();
  for (const Form form : {Form::kJson, Form::kYaml}) {
    const Result<std::string> text = document(form, json);
    ASSERT_TRUE(text);
    EXPECT_EQ(text->find('\x1b'), std::string::npos);
    EXPECT_EQ(text->find('\x7f'), std::string::npos);
    EXPECT_EQ(text->find("\xc2\x9b"), std::string::npos);
    EXPECT_NE(text->find("\xc3\xa9"), std::string::npos);
    EXPECT_NE(text->find("\\u009b2J"), std::string::npos);
  }
}

constexpr std::array<std::string_view, 2> kKnown{"name", "status"};

TEST(FiltersTest, one_name_is_or_and_several_are_and) {
  const Result<Filters> filters = Filters::parse({"name=a", "name=b", "status=up"}, kKnown);
  ASSERT_TRUE(filters);
  const auto holds = [&](std::string_view name, std::string_view status) {
    return filters->hold([&](std::string_view key, std::string_view value) {
      return value == (key == "name" ? name : status);
    });
  };
  EXPECT_TRUE(holds("a", "up"));
  EXPECT_TRUE(holds("b", "up"));
  EXPECT_FALSE(holds("c", "up"));
  EXPECT_FALSE(holds("a", "down"));
}

TEST(FiltersTest, a_value_may_hold_an_equals_sign_and_none_hold_for_all) {
  const Result<Filters> filters = Filters::parse({"name=a=b"}, kKnown);
  ASSERT_TRUE(filters);
  EXPECT_TRUE(filters->hold([](auto, std::string_view value) { return value == "a=b"; }));
  EXPECT_TRUE(Filters().hold([](auto, auto) { return false; }));
}

TEST(FiltersTest, faults_name_the_near_word) {
  const Result<Filters> unknown = Filters::parse({"nane=x"}, kKnown);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().text(), "--filter 'nane=x': unknown");
  EXPECT_EQ(unknown.error().hint(), "did you mean name?");
  const Result<Filters> bare = Filters::parse({"name"}, kKnown);
  ASSERT_FALSE(bare);
  EXPECT_EQ(bare.error().text(), "--filter 'name': not NAME=VALUE");
}

TEST(Sizes, are_in_binary_units_with_three_digits) {
  EXPECT_EQ(binary_size(0), "0B");
  EXPECT_EQ(binary_size(1023), "1023B");
  EXPECT_EQ(binary_size(1536), "1.50KiB");
  EXPECT_EQ(binary_size(64ULL << 20U), "64.0MiB");
  EXPECT_EQ(binary_size(200ULL << 30U), "200GiB");
  EXPECT_EQ(percent(12.345), "12.35%");
}

}  // namespace
}  // namespace vrun::cli
