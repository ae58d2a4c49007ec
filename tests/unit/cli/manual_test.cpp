#include "cli/manual.hpp"

#include <gtest/gtest.h>

#include "base/host.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"

namespace vrun::cli {
namespace {

const Manual kOci = oci_manual();

TEST(Manual, names_every_verb_and_flag_deprecated_ones_too) {
  const std::string page = manual_page(kOci);
  for (const Manual::Verb& verb : kOci.verbs) {
    EXPECT_NE(page.find(".SS " + std::string(verb.name) + "\n"), std::string::npos);
    for (const Flag& flag : verb.flags) {
      EXPECT_NE(page.find(roff("--" + std::string(flag.name.view()))), std::string::npos)
          << flag.name.view();
    }
  }
}

TEST(Manual, each_persona_has_its_page) {
  EXPECT_TRUE(manual_page(kOci).starts_with(".TH VRUN\\-OCI 8 "));
  const std::string everyday = manual_page(everyday_manual());
  EXPECT_TRUE(everyday.starts_with(".TH VRUN 1 "));
  EXPECT_NE(everyday.find(".SS run\n"), std::string::npos);
  EXPECT_NE(everyday.find("\\-\\-memory"), std::string::npos);
}

TEST(Manual, text_never_becomes_a_roff_request) {
  EXPECT_EQ(roff(".so x\n'y a-b\\c"), "\\&.so x\n\\&'y a\\-b\\ec");
  const std::string page = manual_page(kOci);
  for (const std::string_view line : split(page, '\n')) {
    if (line.empty() || line[0] != '.') continue;
    const std::string_view request =
        line.substr(1, line.find(' ') == std::string_view::npos ? 2 : line.find(' ') - 1);
    const std::vector<std::string_view> known{"TH", "SH", "SS", "PP", "TP", "B", "I", "BR"};
    EXPECT_NE(std::find(known.begin(), known.end(), request), known.end()) << line;
  }
}

// What bash offers after `line`, by the real shell.
std::string offered(const std::string& line) {
  Command command;
  command.path = "/bin/bash";
  command.argv = {"bash",
                  "-c",
                  "eval \"$1\"; compopt() { :; }; vrun-oci() { echo web; echo db; };"
                  "read -ra COMP_WORDS <<<\"$2\"; [[ $2 == *' ' ]] && COMP_WORDS+=('');"
                  "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _vrun_oci; echo \"${COMPREPLY[*]}\"",
                  "bash",
                  bash_completion(oci_manual()),
                  line};
  command.env = Host::current().env;
  const Result<Finished> finished = run(command);
  EXPECT_TRUE(finished);
  return finished ? std::string(trim(finished->output)) : "";
}

TEST(BashCompletion, offers_verbs_flags_containers_and_values) {
  EXPECT_EQ(offered("vrun-oci st"), "start state");
  EXPECT_EQ(offered("vrun-oci --root /x st"), "start state");
  EXPECT_EQ(offered("vrun-oci --log-format "), "text json");
  EXPECT_EQ(offered("vrun-oci delete --fo"), "--force");
  EXPECT_EQ(offered("vrun-oci delete "), "web db");
  EXPECT_EQ(offered("vrun-oci list -f j"), "json");
  EXPECT_EQ(offered("vrun-oci list "), "");
  EXPECT_EQ(offered("vrun-oci create --bundle /pro"), "/proc");
  EXPECT_EQ(offered("vrun-oci update --kernel-m"), "") << "deprecated flags are not offered";
}

TEST(Completions, of_zsh_and_fish_name_every_flag_that_is_shown) {
  const std::string zsh = zsh_completion(oci_manual());
  const std::string fish = fish_completion(oci_manual());
  for (const Manual::Verb& verb : kOci.verbs) {
    for (const Flag& flag : verb.flags) {
      if (flag.shown != Shown::kAlways) continue;
      const std::string name(flag.name.view());
      EXPECT_NE(zsh.find("--" + name), std::string::npos) << name;
      EXPECT_NE(fish.find("__fish_seen_subcommand_from " + std::string(verb.name) + "' -l " + name),
                std::string::npos)
          << verb.name << " " << name;
    }
  }
}

}  // namespace
}  // namespace vrun::cli
