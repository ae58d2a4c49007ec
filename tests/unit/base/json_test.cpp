#include "base/json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::json {
namespace {

using ::testing::HasSubstr;

std::string fault_of(std::string_view text, Limits limits = {}) {
  const auto document = Document::parse(text, "doc", limits);
  return document ? "accepted" : document.error().text();
}

TEST(JsonDocument, keeps_every_kind_of_value) {
  const auto document = Document::parse(
      R"({"a":null,"b":true,"c":18446744073709551615,"d":-9223372036854775808,"e":1.5,"f":"x\n","g":[1,[]],"h":{}})",
      "doc");
  ASSERT_TRUE(document) << document.error().text();
  const Value& root = document->root();
  EXPECT_TRUE(root.find("a")->is_null());
  EXPECT_TRUE(root.find("b")->as_bool());
  EXPECT_EQ(root.find("c")->as_unsigned(), UINT64_MAX);
  EXPECT_EQ(root.find("d")->kind(), Kind::kNegative);
  EXPECT_EQ(root.find("d")->as_negative(), INT64_MIN);
  EXPECT_EQ(root.find("e")->as_real(), 1.5);
  EXPECT_EQ(root.find("f")->as_text(), "x\n");
  EXPECT_EQ(root.find("g")->elements().size(), 2U);
  EXPECT_EQ(root.find("g")->elements()[1].kind(), Kind::kArray);
  EXPECT_TRUE(root.find("h")->members().empty());
  EXPECT_EQ(root.find("i"), nullptr);
  EXPECT_EQ(root.find("b")->find("x"), nullptr);
}

TEST(JsonDocument, may_be_moved) {
  auto document = Document::parse(R"(["s"])", "doc");
  ASSERT_TRUE(document);
  const Document moved = *std::move(document);
  EXPECT_EQ(moved.root().elements()[0].as_text(), "s");
}

TEST(JsonDocument, says_where_the_text_is_wrong) {
  EXPECT_EQ(fault_of("{\n  \"a\\n\": 1,\n  x\n}"),
            "doc: line 3, column 3: not valid JSON: missing a name for object member");
  EXPECT_EQ(fault_of("[1 2]"),
            "doc: line 1, column 4: not valid JSON: missing a comma or ']' after an array element");
}

// Under the address sanitizer: RapidJSON reads past a character that is cut off.
TEST(JsonDocument, refuses_a_character_that_is_cut_off) {
  for (const std::string cut : {"\xc3", "\xe1", "\xe1\x80", "\xf1", "\xf1\x80\x80"}) {
    EXPECT_THAT(fault_of("{\"" + std::string(40, 'y') + cut), HasSubstr("not valid JSON"));
    EXPECT_THAT(fault_of("\"" + cut), HasSubstr("not valid JSON"));
  }
}

TEST(JsonDocument, refuses_duplicates_and_nul_anywhere) {
  EXPECT_EQ(fault_of(R"({"a":[{"b":1,"c":2,"b":3}]})"), "doc: a[0].b: is there twice");
  EXPECT_EQ(fault_of(R"([["x","a\u0000"]])"), "doc: [0][1]: has a NUL character");
  EXPECT_EQ(fault_of(R"({"a":1,"a":2,"b":"\u0000"})"),
            "doc: 2 faults\n  a: is there twice\n  b: has a NUL character");
}

TEST(JsonDocument, has_limits) {
  EXPECT_EQ(fault_of("[[[]]]", {.depth = 3}), "accepted");
  EXPECT_EQ(fault_of("[[[]]]", {.depth = 2}), "doc: nested deeper than 2 levels");
  EXPECT_EQ(fault_of("[    ]", {.bytes = 5}), "doc: has 6 bytes, the limit is 5");
}

TEST(JsonPlace, quotes_odd_names) {
  const auto document = Document::parse(R"({"a b":{"c":["x"]},"":{"d":1}})", "doc");
  ASSERT_TRUE(document);
  Faults faults("doc");
  const In root(document->root(), faults);
  const In odd(root, "a b", *document->root().find("a b"));
  const In list(odd, "c", *odd.value().find("c"));
  EXPECT_EQ(In(list, 0U, list.value().elements()[0]).path(), "['a b'].c[0]");
  const In empty(root, "", *document->root().find(""));
  EXPECT_EQ(In(empty, "d", *empty.value().find("d")).path(), "[''].d");
}

TEST(JsonFaults, hold_one_hint) {
  Faults faults("doc");
  EXPECT_TRUE(faults.result());
  faults.add("", "is odd");
  faults.hint("make it even");
  const auto result = faults.result();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().text(), "doc: is odd");
  EXPECT_EQ(result.error().hint(), "make it even");
}

}  // namespace
}  // namespace vrun::json
