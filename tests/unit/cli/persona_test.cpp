#include "cli/persona.hpp"

#include <gtest/gtest.h>

#include "cli/oci_main.hpp"
#include "tests/unit/cli/words.hpp"

namespace vrun::cli {
namespace {

std::string persona(const Words& argv) {
  const Dispatch found = dispatch(argv);
  std::string text = found.persona == Persona::kOci ? "oci:" : "everyday:";
  for (const char* word : found.words)
    text += std::string(" ") + word;
  return text;
}

TEST(Persona, the_name_of_the_program_decides_first) {
  EXPECT_EQ(persona({"/usr/bin/vrun-oci", "run", "x"}), "oci: run x");
  EXPECT_EQ(persona({"/usr/sbin/runc", "list"}), "oci: list");
  EXPECT_EQ(persona({"vrun", "run", "x"}), "everyday: vrun run x");
  EXPECT_EQ(persona({"vrun"}), "everyday: vrun");
}

TEST(Persona, oci_as_the_first_word) {
  EXPECT_EQ(persona({"vrun", "oci", "--root", "/r", "list"}), "oci: --root /r list");
  EXPECT_EQ(persona({"vrun", "oci"}), "oci:");
  EXPECT_EQ(persona({"vrun", "ps", "oci"}), "everyday: vrun ps oci");
}

TEST(Persona, the_bundle_flag_decides_for_create_and_run) {
  EXPECT_EQ(persona({"vrun", "create", "--bundle", "/b", "web"}), "oci: create --bundle /b web");
  EXPECT_EQ(persona({"vrun", "run", "--pid-file", "p", "-b", "/b", "web"}),
            "oci: run --pid-file p -b /b web");
  EXPECT_EQ(persona({"vrun", "run", "--bundle=/b", "web"}), "oci: run --bundle=/b web");
}

TEST(Persona, words_of_a_guest_s_own_command_do_not_decide) {
  EXPECT_EQ(persona({"vrun", "run", "base", "sh", "--bundle", "x"}),
            "everyday: vrun run base sh --bundle x");
  EXPECT_EQ(persona({"vrun", "run", "--memory", "64m", "base", "-b", "x"}),
            "everyday: vrun run --memory 64m base -b x");
  EXPECT_EQ(persona({"vrun", "exec", "--bundle", "x"}), "everyday: vrun exec --bundle x");
}

}  // namespace
}  // namespace vrun::cli
