// A manifest's faults are told in its own words.
#include "engine/field_words.hpp"

#include <gtest/gtest.h>

#include "base/text.hpp"
#include "manifest/table.hpp"

namespace vrun::engine {
namespace {

TEST(FieldWords, flags_become_fields) {
  EXPECT_EQ(fields_for_flags("--memory-swap without --memory: it is the sum of both"),
            "limits.memorySwap without limits.memory: it is the sum of both");
  EXPECT_EQ(fields_for_flags("--volume '/x:/y': stat '/x'"), "volumes '/x:/y': stat '/x'");
  EXPECT_EQ(fields_for_flags("--isolation vm with --privileged"),
            "isolation: vm with security.privileged");
}

TEST(FieldWords, command_lines_and_what_is_no_flag_stay) {
  for (const char* text :
       {"raise it: vrun tenant update acme --memory SIZE", "`vrun update --cpus 2 web` does it",
        "a--memory", "--memory-of-somebody", "-- --", ""})
    EXPECT_EQ(fields_for_flags(text), text);
  EXPECT_EQ(fields_for_flags("vrun stop --time 0; or raise --memory"),
            "vrun stop --time 0; or raise limits.memory");
}

TEST(FieldWords, code_step_and_hint_are_kept) {
  const Error error = as_fields(
      std::move(Error(Code::kNotFound, "--device: stat '/dev/x'").hint("drop --device").step("s")));
  EXPECT_EQ(error.code(), Code::kNotFound);
  EXPECT_EQ(error.text(), "devices: stat '/dev/x'");
  EXPECT_EQ(error.hint(), "drop devices");
  EXPECT_EQ(error.step(), "s");
}

TEST(FieldWords, each_field_is_one_of_a_guest) {
  for (const FieldOfFlag& row : fields_of_flags()) {
    std::span<const manifest::Field> fields = manifest::find_kind("Guest")->fields;
    for (const std::string_view word : split(row.field.substr(0, row.field.find(':')), '.')) {
      const manifest::Field* field = manifest::find_field(fields, word);
      ASSERT_NE(field, nullptr) << row.field;
      fields = field->fields;
    }
  }
}

}  // namespace
}  // namespace vrun::engine
