#include "cli/go_template.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::cli {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kGuest =
    R"({"name":"web","state":{"status":"running","pid":7},"nets":{"a":{"ip":"10.0.0.1"},)"
    R"("b":{"ip":"10.0.0.2"}},"ports":["80","81"],"bad":"\u001b[2J"})";

std::string filled(std::string_view text) {
  const json::Document document = *json::Document::parse(kGuest, "test");
  Result<std::string> out = fill_template(text, document.root());
  return out ? *out : "error: " + out.error().text() + " / " + out.error().hint();
}

TEST(GoTemplate, dockers_names_find_ours) {
  EXPECT_EQ(filled("{{.State.Status}}"), "running");
  EXPECT_EQ(filled("{{ .Name }} is {{.state.pid}}!"), "web is 7!");
  EXPECT_EQ(filled("a\\tb{{.Name}}\\n"), "a\tbweb\n");
}

TEST(GoTemplate, json_and_range) {
  EXPECT_EQ(filled("{{json .Ports}}"), R"(["80","81"])");
  EXPECT_EQ(filled("{{range .Nets}}<{{.IP}}>{{end}}."), "<10.0.0.1><10.0.0.2>.");
  EXPECT_EQ(filled("{{range .Ports}}{{.}} {{end}}"), "80 81 ");
  EXPECT_EQ(filled("{{range .Nets}}{{range .}}{{.}}{{end}};{{end}}"), "10.0.0.1;10.0.0.2;");
}

TEST(GoTemplate, what_it_cannot_is_said) {
  EXPECT_THAT(filled("{{.State.Statu}}"), HasSubstr("did you mean status?"));
  EXPECT_THAT(filled("{{len .Ports}}"), HasSubstr("'{{len .Ports}}' is not understood"));
  EXPECT_THAT(filled("{{.Name | upper}}"), HasSubstr("is not understood"));
  EXPECT_THAT(filled("{{.Name"), HasSubstr("'{{' is not closed"));
  EXPECT_THAT(filled("{{range .Ports}}"), HasSubstr("'{{range}}' is not closed"));
  EXPECT_THAT(filled("{{range .Name}}{{end}}"), HasSubstr("range needs a list"));
}

TEST(GoTemplate, no_control_characters_come_out) {
  EXPECT_EQ(filled("{{.Bad}}"), "\\x1b[2J");
}

TEST(GoTemplate, rows_are_lines_or_a_table) {
  const json::Document list = *json::Document::parse(R"([{"id":1,"n":"x"},{"id":2,"n":"y"}])", "t");
  EXPECT_EQ(*fill_rows("{{.ID}}={{.N}}", list.root()), "1=x\n2=y\n");
  EXPECT_EQ(*fill_rows("table {{.ID}}\\t{{.N}}", list.root()),
            "ID          N\n1           x\n2           y\n");
}

}  // namespace
}  // namespace vrun::cli
