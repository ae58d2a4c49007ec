#include "images/catalog.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/images/layout_maker.hpp"
#include "tests/unit/images/tar.hpp"

namespace vrun::images {
namespace {

using test::Tar;
using test::TemporaryFolder;
using test::write_layout;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Catalogs : public ::testing::Test {
 protected:
  Catalogs() {
    write_layout(folder_, "base", Tar().bytes());
    write_layout(folder_, "other", Tar().file("f").bytes());
  }
  TemporaryFolder folder_;
  Catalog catalog_{folder_.path()};
};

TEST_F(Catalogs, lists_names_in_order) {
  EXPECT_THAT(*catalog_.names(), ElementsAre("base", "other"));
  EXPECT_THAT(*Catalog("/nonexistent/vrun").names(), IsEmpty());
}

TEST_F(Catalogs, every_spelling_of_a_name_finds_it) {
  for (const char* name : {"base", "base:latest", "docker.io/library/base"}) {
    const auto image = catalog_.find(name);
    ASSERT_TRUE(image) << name << ": " << image.error().text();
    EXPECT_EQ(image->name, "base");
  }
  const std::string digest = catalog_.find("base")->digest.str();
  EXPECT_TRUE(catalog_.find("base@" + digest));
  EXPECT_FALSE(catalog_.find("other@" + digest));
}

TEST_F(Catalogs, an_unknown_image_suggests_the_nearest_and_lists_what_is_there) {
  const auto image = catalog_.find("bsae");
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code(), Code::kNotFound);
  EXPECT_EQ(image.error().text(), "no such image 'bsae'");
  EXPECT_THAT(image.error().hint(), HasSubstr("did you mean 'base'?"));
  EXPECT_THAT(image.error().hint(), HasSubstr("base, other"));
  EXPECT_THAT(catalog_.find("postgres").error().hint(), Not(HasSubstr("did you mean")));
  EXPECT_EQ(catalog_.find("base:1.0").error().code(), Code::kNotFound);
  EXPECT_EQ(catalog_.find("quay.io/base").error().code(), Code::kNotFound);
}

TEST_F(Catalogs, names_that_are_none_are_refused) {
  for (const char* name : {"", "../base", "/etc", "base\n", "a b", "BASE"})
    EXPECT_FALSE(catalog_.find(name)) << name;
}

}  // namespace
}  // namespace vrun::images
