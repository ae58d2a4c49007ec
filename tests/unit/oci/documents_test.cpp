#include "oci/documents.hpp"

#include <gtest/gtest.h>

#include "base/json.hpp"
#include "oci/reader.hpp"
#include "tests/unit/oci/sample.hpp"

namespace vrun::oci {
namespace {

// The golden files are what runc 1.1.5 wrote, but for ociVersion.
std::string as_written_by_runc(const std::string& file) {
  std::string text = test::read_data(file);
  const std::string theirs = R"("ociVersion": "1.0.2-dev")";
  text.replace(text.find(theirs), theirs.size(), R"("ociVersion": "1.3.0")");
  return text;
}

TEST(Defaults, spec_prints_what_runc_prints_byte_for_byte) {
  EXPECT_EQ(to_json(default_spec(), true), as_written_by_runc("runc-spec.json"));
}

TEST(Defaults, rootless_spec_prints_what_runc_prints_byte_for_byte) {
  EXPECT_EQ(to_json(rootless_spec(Uid(0), Gid(0)), true),
            as_written_by_runc("runc-spec-rootless.json"));
}

TEST(Defaults, rootless_spec_maps_root_to_the_caller) {
  const Spec spec = rootless_spec(Uid(1000), Gid(1001));
  EXPECT_EQ(spec.linux.uid_mappings,
            (std::vector<IdMapping>{{.container_id = 0, .host_id = 1000, .size = 1}}));
  EXPECT_EQ(spec.linux.gid_mappings,
            (std::vector<IdMapping>{{.container_id = 0, .host_id = 1001, .size = 1}}));
}

TEST(Defaults, a_pure_v2_host_gets_a_cgroup_namespace) {
  EXPECT_EQ(find_namespace(default_spec().linux, NamespaceType::kCgroup), nullptr);
  EXPECT_NE(find_namespace(default_spec({.cgroup_namespace = true}).linux, NamespaceType::kCgroup),
            nullptr);
}

TEST(Defaults, pass_the_reader_and_the_checker) {
  for (const Spec& spec : {default_spec(), rootless_spec(Uid(7), Gid(8))}) {
    const auto read = parse_spec(to_json(spec, false), "config.json");
    ASSERT_TRUE(read) << read.error().text();
    EXPECT_EQ(*read, spec);
    const auto checked = check(*read);
    EXPECT_TRUE(checked) << checked.error().text();
  }
}

TEST(StateDocument, has_the_members_of_the_specification) {
  State state;
  state.id = "web";
  state.status = "running";
  state.pid = 42;
  state.bundle = "/b";
  EXPECT_EQ(to_json(state, false),
            R"({"ociVersion":"1.3.0","id":"web","pid":42,"status":"running","bundle":"/b"})");
  state.pid = 0;
  state.status = "stopped";
  state.annotations = {{"a", "1"}, {"b", "\n"}};
  EXPECT_EQ(to_json(state, false),
            R"({"ociVersion":"1.3.0","id":"web","pid":0,"status":"stopped","bundle":"/b",)"
            R"("annotations":{"a":"1","b":"\n"}})");
}

TEST(StateDocument, stays_valid_json_when_a_path_is_not_utf8) {
  State state;
  state.bundle = "/\xff\xfe/\xc3\xa9";
  const std::string text = to_json(state, false);
  const auto read = json::Document::parse(text, "state");
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(read->root().find("bundle")->as_text(), "/\xEF\xBF\xBD\xEF\xBF\xBD/\xc3\xa9");
}

TEST(RoundTrip, the_full_config_survives_writing_and_reading) {
  const auto spec = parse_spec(test::full_config(), "full.json");
  ASSERT_TRUE(spec) << spec.error().text();
  for (const bool pretty : {false, true}) {
    const auto again = parse_spec(to_json(*spec, pretty), "written");
    ASSERT_TRUE(again) << again.error().text();
    EXPECT_EQ(*again, *spec);
  }
}

// What a reader drops, a round trip of structs cannot see; the text can.
TEST(RoundTrip, the_full_config_is_written_as_it_was_read) {
  const auto spec = parse_spec(test::full_config(), "full.json");
  ASSERT_TRUE(spec) << spec.error().text();
  EXPECT_EQ(to_json(*spec, true) + "\n", test::full_config());
}

// The JSON text of a value with sorted members, to compare documents.
std::string canonical(const json::Value& value) {
  switch (value.kind()) {
    case json::Kind::kNull:
      return "null";
    case json::Kind::kBool:
      return value.as_bool() ? "true" : "false";
    case json::Kind::kUnsigned:
      return std::to_string(value.as_unsigned());
    case json::Kind::kNegative:
      return std::to_string(value.as_negative());
    case json::Kind::kReal:
      return std::to_string(value.as_real());
    case json::Kind::kString:
      return "'" + std::string(value.as_text()) + "'";
    case json::Kind::kArray:
      break;
    case json::Kind::kObject: {
      std::map<std::string, std::string> members;
      for (const json::Member& member : value.members()) {
        members[std::string(member.key.as_text())] = canonical(member.value);
      }
      std::string text = "{";
      for (const auto& [key, inner] : members)
        text += key + ":" + inner + ",";
      return text + "}";
    }
  }
  std::string text = "[";
  for (const json::Value& element : value.elements())
    text += canonical(element) + ",";
  return text + "]";
}

// Configs as Podman, Buildah and containerd wrote them: nothing in them is lost.
TEST(RoundTrip, nothing_that_an_engine_writes_is_dropped) {
  for (const std::string name : {"podman-4.3", "buildah-1.28", "containerd-1.6"}) {
    const std::string text = test::read_data("engine-" + name + ".json");
    const auto spec = parse_spec(text, name);
    ASSERT_TRUE(spec) << spec.error().text();
    const std::string written = to_json(*spec, false);
    const auto before = json::Document::parse(text, name);
    const auto after = json::Document::parse(written, name);
    ASSERT_TRUE(before && after);
    EXPECT_EQ(canonical(after->root()), canonical(before->root())) << name;
    // `ctr oci spec` prints no args; the other two are whole.
    const bool complete = name != "containerd-1.6";
    EXPECT_EQ(check(*spec, name).has_value(), complete) << name;
  }
}

TEST(RoundTrip, parts_survive_writing_and_reading) {
  const auto spec = parse_spec(test::full_config(), "full.json");
  ASSERT_TRUE(spec);
  const auto process = parse_process(to_json(*spec->process, false), "process");
  ASSERT_TRUE(process) << process.error().text();
  EXPECT_EQ(*process, *spec->process);
  const auto resources = parse_resources(to_json(*spec->linux.resources, false), "resources");
  ASSERT_TRUE(resources) << resources.error().text();
  EXPECT_EQ(*resources, *spec->linux.resources);
}

}  // namespace
}  // namespace vrun::oci
