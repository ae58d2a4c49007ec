#include "images/names.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/images/layout_maker.hpp"

namespace vrun::images {
namespace {

using test::digest_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

oci::Reference named(const std::string& text) {
  return *oci::Reference::parse(text);
}

oci::Descriptor manifest(const std::string& bytes) {
  oci::Descriptor descriptor;
  descriptor.media_type = oci::kManifestType;
  descriptor.digest = digest_of(bytes);
  descriptor.size = bytes.size();
  return descriptor;
}

class NamesOfATenant : public ::testing::Test {
 protected:
  std::vector<std::string> all() {
    std::vector<std::string> texts;
    const std::vector<Named> listed = *names_.list();
    for (const Named& one : listed)
      texts.push_back(one.reference.familiar());
    return texts;
  }

  test::TemporaryFolder folder_;
  Store store_ = *Store::open(folder_ / "data");
  Names names_ = *Names::open(store_, "default");
};

TEST_F(NamesOfATenant, every_spelling_is_one_name) {
  ASSERT_TRUE(names_.set(named("alpine"), manifest("a")));
  for (const char* text :
       {"alpine:latest", "docker.io/alpine", "docker.io/library/alpine:latest"}) {
    const auto found = names_.find(named(text));
    ASSERT_TRUE(found && *found) << text;
    EXPECT_EQ((*found)->digest, digest_of("a"));
    EXPECT_EQ((*found)->size, 1U);
    EXPECT_EQ((*found)->media_type, oci::kManifestType);
  }
  EXPECT_FALSE(*names_.find(named("alpine:3")));
}

TEST_F(NamesOfATenant, a_name_moves_to_a_new_image_and_goes) {
  ASSERT_TRUE(names_.set(named("a"), manifest("one")));
  ASSERT_TRUE(names_.set(named("a"), manifest("two")));
  EXPECT_EQ((*names_.find(named("a")))->digest, digest_of("two"));
  EXPECT_TRUE(*names_.remove(named("a")));
  EXPECT_FALSE(*names_.remove(named("a")));
  EXPECT_THAT(all(), ElementsAre());
}

TEST_F(NamesOfATenant, a_digest_finds_the_repositorys_image_under_another_tag) {
  ASSERT_TRUE(names_.set(named("alpine:3"), manifest("a")));
  const std::string digest = digest_of("a").str();
  EXPECT_TRUE(*names_.find(named("alpine@" + digest)));
  EXPECT_TRUE(*names_.find(named("alpine:other@" + digest))) << "a digest wins over the tag";
  EXPECT_FALSE(*names_.find(named("debian@" + digest)));
  EXPECT_FALSE(*names_.find(named("alpine@" + digest_of("b").str())));
}

TEST_F(NamesOfATenant, an_image_pulled_by_digest_is_found_by_it) {
  // The digest may be that of an index, which no manifest has.
  const oci::Reference pulled = named("alpine@" + digest_of("index").str());
  ASSERT_TRUE(names_.set(pulled, manifest("a")));
  EXPECT_EQ((*names_.find(pulled))->digest, digest_of("a"));
}

TEST_F(NamesOfATenant, tenants_do_not_see_each_others_names) {
  ASSERT_TRUE(names_.set(named("a"), manifest("a")));
  Names other = *Names::open(store_, "other");
  EXPECT_FALSE(*other.find(named("a")));
  ASSERT_TRUE(other.set(named("b"), manifest("b")));
  EXPECT_THAT(all(), ElementsAre("a:latest"));
  EXPECT_THAT(*tenants_with_names(store_), ElementsAre("default", "other"));
}

TEST_F(NamesOfATenant, a_tenant_cannot_lead_out_of_the_folder) {
  for (const char* name : {"", ".", "..", "../x", "a/b", "a b", ".hidden"})
    EXPECT_EQ(Names::open(store_, name).error().code(), Code::kInvalid) << name;
}

TEST_F(NamesOfATenant, a_damaged_name_is_told_and_leaves_the_others) {
  ASSERT_TRUE(names_.set(named("a"), manifest("a")));
  ASSERT_TRUE(names_.set(named("b"), manifest("b")));
  const std::string dir = "data/images/refs/default/";
  folder_.write(dir + std::string(64, '0') + ".json", "{");
  folder_.write(dir + ".half.123.tmp", "{");
  std::vector<std::string> damaged;
  EXPECT_EQ(names_.list(&damaged)->size(), 2U);
  EXPECT_THAT(damaged, ElementsAre(HasSubstr(std::string(64, '0'))));
}

TEST_F(NamesOfATenant, a_file_that_holds_anothers_name_is_damaged) {
  ASSERT_TRUE(names_.set(named("a"), manifest("a")));
  const std::string dir = folder_ / "data/images/refs/default";
  for (const auto& file : std::filesystem::directory_iterator(dir)) {
    std::filesystem::rename(file.path(), dir + "/" + std::string(64, '1') + ".json");
    break;
  }
  std::vector<std::string> damaged;
  EXPECT_TRUE(names_.list(&damaged)->empty());
  EXPECT_THAT(damaged, ElementsAre(HasSubstr("belongs elsewhere")));
}

}  // namespace
}  // namespace vrun::images
