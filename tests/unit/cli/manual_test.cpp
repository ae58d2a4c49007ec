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
std::string offered(const std::string& line, const Manual& manual = oci_manual()) {
  Command command;
  command.path = "/bin/bash";
  command.argv = {"bash",
                  "-c",
                  "eval \"$1\"; compopt() { :; }; vrun-oci() { echo web; echo db; };"
                  "read -ra COMP_WORDS <<<\"$2\"; [[ $2 == *' ' ]] && COMP_WORDS+=('');"
                  "vrun() { echo web; echo db; };"
                  "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); ${3//-/_}; echo \"${COMPREPLY[*]}\"",
                  "bash",
                  bash_completion(manual),
                  line,
                  "_" + std::string(manual.name)};
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

TEST(BashCompletion, offers_the_second_word_of_a_group_and_its_flags) {
  const Manual everyday = everyday_manual();
  const std::string verbs = "create ls inspect rm connect disconnect prune";
  EXPECT_EQ(offered("vrun netw", everyday), "network");
  EXPECT_EQ(offered("vrun network ", everyday), verbs);
  EXPECT_EQ(offered("vrun --data-dir /x network ", everyday), verbs);
  EXPECT_EQ(offered("vrun network cr", everyday), "create");
  EXPECT_EQ(offered("vrun network create --sub", everyday), "--subnet");
  EXPECT_EQ(offered("vrun network ls --sub", everyday), "");
  EXPECT_EQ(offered("vrun network ls --format ", everyday), "table json");
  EXPECT_EQ(offered("vrun system ", everyday), "df prune");
  EXPECT_EQ(offered("vrun image h", everyday), "history");
  EXPECT_EQ(offered("vrun images --dig", everyday), "--digests");
}

TEST(Completions, of_zsh_and_fish_know_the_second_words_of_groups) {
  const std::string zsh = zsh_completion(everyday_manual());
  const std::string fish = fish_completion(everyday_manual());
  EXPECT_NE(zsh.find("network) _vrun_network ;;"), std::string::npos);
  EXPECT_NE(zsh.find("_vrun_network() {"), std::string::npos);
  EXPECT_NE(zsh.find("'create:make a network'"), std::string::npos);
  EXPECT_EQ(zsh.find("'network create:"), std::string::npos);
  EXPECT_NE(fish.find("and not __fish_seen_subcommand_from create ls"), std::string::npos);
  EXPECT_NE(
      fish.find("__fish_seen_subcommand_from network; and __fish_seen_subcommand_from create' "
                "-l subnet"),
      std::string::npos);
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
