#include "base/json_writer.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace vrun::json {
namespace {

TEST(JsonWriter, writes_compact_text) {
  Writer w;
  w.begin_object().member("s", "a\"\n\x01").member("t", true).member("n", -1).member("u", 1U);
  w.member("big", UINT64_MAX).member("small", INT64_MIN).member("d", 0.25);
  w.key("null").null();
  w.key("list").value(std::span<const std::string>(std::vector<std::string>{"x", "y"}));
  w.key("empty").begin_array().end_array().end_object();
  EXPECT_EQ(w.take(),
            R"({"s":"a\"\n\u0001","t":true,"n":-1,"u":1,"big":18446744073709551615,)"
            R"("small":-9223372036854775808,"d":0.25,"null":null,"list":["x","y"],"empty":[]})");
}

TEST(JsonWriter, indents_with_tabs_as_go_does) {
  Writer w(Style::kTabs);
  w.begin_object().member("a", 1).key("b").begin_array().value("x").value("y").end_array();
  w.key("c").begin_object().end_object().end_object();
  EXPECT_EQ(w.take(), "{\n\t\"a\": 1,\n\t\"b\": [\n\t\t\"x\",\n\t\t\"y\"\n\t],\n\t\"c\": {}\n}");
}

TEST(JsonWriter, terminals_are_safe_from_every_control) {
  Writer w;
  w.value("a\x7f\xc2\x9b" "b\xc2\xa0\xe2\x82\xac");  // DEL, CSI; then a space and a euro
  EXPECT_EQ(w.take(), "\"a\\u007f\\u009bb\xc2\xa0\xe2\x82\xac\"");
}

TEST(JsonWriter, replaces_what_is_not_utf8) {
  Writer w;
  w.begin_array().value("\xc3\xa9\xff\xed\xa0\x80x").value(std::string_view()).end_array();
  EXPECT_EQ(w.take(), "[\"\xc3\xa9\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDx\",\"\"]");
}

}  // namespace
}  // namespace vrun::json
