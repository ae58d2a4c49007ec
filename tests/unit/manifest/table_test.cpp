#include "manifest/table.hpp"

#include <set>

#include <gtest/gtest.h>

#include "base/fs.hpp"
#include "base/json.hpp"
#include "manifest/reference.hpp"
#include "manifest/schema.hpp"

namespace vrun::manifest {
namespace {

void check(std::span<const Field> fields, const std::string& path) {
  std::set<std::string_view> names;
  for (const Field& field : fields) {
    const std::string here = path + "." + std::string(field.name);
    EXPECT_TRUE(names.insert(field.name).second) << here << " is there twice";
    EXPECT_FALSE(field.help.empty()) << here;
    const bool chosen = field.type == Type::kChoice || field.type == Type::kChoiceMap ||
                        field.type == Type::kShares;
    EXPECT_EQ(chosen, !field.choices.empty()) << here;
    const bool nested = field.type == Type::kObject || field.type == Type::kObjects;
    EXPECT_EQ(nested, !field.fields.empty()) << here;
    check(field.fields, here);
  }
}

TEST(Table, is_whole) {
  for (const KindRow& kind : kinds())
    check(kind.fields, std::string(kind.name));
}

TEST(Table, limits_ports_labels_and_probes_change_live) {
  const auto& guest = find_kind("Guest")->fields;
  for (const char* name : {"ports", "labels", "restart"})
    EXPECT_TRUE(find_field(guest, name)->live) << name;
  EXPECT_TRUE(find_field(find_field(guest, "limits")->fields, "memory")->live);
  EXPECT_TRUE(find_field(find_field(guest, "probes")->fields, "liveness")->live);
  EXPECT_FALSE(find_field(guest, "image")->live);
}

TEST(Table, the_schema_names_every_kind_and_field) {
  const std::string text = json_schema();
  const auto schema = json::Document::parse(text, "schema");
  ASSERT_TRUE(schema);
  for (const KindRow& kind : kinds()) {
    const json::Value* described = schema->root().find("$defs")->find(kind.name);
    ASSERT_NE(described, nullptr) << kind.name;
    for (const Field& field : kind.fields)
      EXPECT_NE(described->find("properties")->find(field.name), nullptr) << field.name;
  }
}

TEST(Table, the_reference_in_the_documentation_is_this_one) {
  const auto page = fs::read_file(At::cwd(), VRUN_SOURCE_DIR "/docs/manifest.md", 1U << 20U);
  ASSERT_TRUE(page);
  EXPECT_NE(page->find(reference_text()), std::string::npos)
      << "docs/manifest.md: put the output of `vrun-manifest reference` at its end";
}

}  // namespace
}  // namespace vrun::manifest
