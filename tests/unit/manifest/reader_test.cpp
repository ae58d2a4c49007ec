#include "manifest/reader.hpp"

#include <gtest/gtest.h>

namespace vrun::manifest {
namespace {

Manifest read(const std::string& text, const std::vector<std::string>& settings = {},
              const std::vector<std::string>& known = {}) {
  const std::vector<Source> sources{{"f", text}};
  return read_manifest(sources, settings, known);
}

std::string spec_of(const std::string& fields, const std::vector<std::string>& settings = {}) {
  const Manifest manifest =
      read("apiVersion: vrun/v1\nkind: Guest\nname: web\nimage: base\n" + fields, settings);
  if (!manifest.faults.empty()) return manifest.faults[0].line();
  return manifest.objects.at(0).spec;
}

TEST(Reader, gives_the_same_text_for_the_same_object_in_another_order_and_form) {
  const std::string spec = spec_of("env: {B: 2, A: 1}\ntty: true\n");
  EXPECT_EQ(spec, R"({"image":"base","env":{"A":"1","B":"2"},"tty":true})");
  EXPECT_EQ(spec_of("tty: true\nenv: [A=1, B=2]\n"), spec);
}

TEST(Reader, keeps_what_stands_in_quotes_a_text) {
  EXPECT_EQ(spec_of("args: [sleep, '007', true]\n"),
            R"({"image":"base","args":["sleep","007","true"]})");
}

TEST(Reader, several_documents_and_files_are_one_manifest) {
  const std::vector<Source> sources{
      {"a", "apiVersion: vrun/v1\nkind: Network\nname: n\n---\n---\n"},
      {"b", "apiVersion: vrun/v1\nkind: Guest\nname: g\nimage: i\nnetwork: n\n"}};
  const Manifest manifest = read_manifest(sources);
  EXPECT_TRUE(manifest.faults.empty());
  ASSERT_EQ(manifest.objects.size(), 2U);
  EXPECT_EQ(manifest.objects[1].place.file, "b");
}

TEST(Reader, what_is_there_already_may_be_referred_to) {
  const std::string text = "apiVersion: vrun/v1\nkind: Guest\nname: g\nimage: i\nnetwork: n\n";
  EXPECT_EQ(read(text).faults.size(), 1U);
  EXPECT_TRUE(read(text, {}, {"Network/n"}).faults.empty());
}

TEST(Reader, settings_change_make_and_append) {
  EXPECT_EQ(spec_of("replicas: 1\n", {"guests.web.replicas=3"}),
            R"({"image":"base","replicas":3})");
  EXPECT_EQ(
      spec_of("", {"guests.web.env.MODE=fast", "guests.web.args[0]=a", "guests.web.args[1]=b"}),
      R"({"image":"base","args":["a","b"],"env":{"MODE":"fast"}})");
  EXPECT_EQ(spec_of("", {"guests.web.limits={pids: 5}"}),
            R"({"image":"base","limits":{"pids":5}})");
}

TEST(Reader, guests_of_a_group_depend_on_each_other_by_their_short_names) {
  const Manifest manifest = read(
      "apiVersion: vrun/v1\nkind: Group\nname: g\nguests:\n- {name: a, image: i}\n"
      "- {name: b, image: i, dependsOn: {a: started}}\n");
  EXPECT_TRUE(manifest.faults.empty());
}

TEST(Reader, circles_over_several_guests_are_found_once) {
  const auto guest = [](const std::string& name, const std::string& after) {
    return "---\napiVersion: vrun/v1\nkind: Guest\nname: " + name + "\nimage: i\ndependsOn: {" +
           after + ": started}\n";
  };
  const Manifest manifest = read(guest("a", "b") + guest("b", "c") + guest("c", "a"));
  ASSERT_EQ(manifest.faults.size(), 1U);
  EXPECT_EQ(manifest.faults[0].text, "a circle: a -> b -> c -> a");
}

}  // namespace
}  // namespace vrun::manifest
