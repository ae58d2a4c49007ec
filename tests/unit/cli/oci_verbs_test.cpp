#include "cli/oci_verbs.hpp"

#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tests/unit/cli/words.hpp"

namespace vrun::cli {
namespace {

// What runc accepts, written down from its documentation: engines use these words.
const std::map<std::string, std::set<std::string>>& runc_flags() {
  static const std::map<std::string, std::set<std::string>> flags{
      {"create",
       {"bundle", "b", "console-socket", "pidfd-socket", "pid-file", "no-pivot", "no-new-keyring",
        "preserve-fds"}},
      {"run",
       {"bundle", "b", "console-socket", "pidfd-socket", "detach", "d", "keep", "pid-file",
        "no-subreaper", "no-pivot", "no-new-keyring", "preserve-fds"}},
      {"start", {}},
      {"state", {}},
      {"kill", {"all", "a"}},
      {"delete", {"force", "f"}},
      {"exec",
       {"console-socket",
        "pidfd-socket",
        "cwd",
        "env",
        "e",
        "tty",
        "t",
        "user",
        "u",
        "additional-gids",
        "g",
        "process",
        "p",
        "detach",
        "d",
        "pid-file",
        "process-label",
        "apparmor",
        "no-new-privs",
        "cap",
        "c",
        "preserve-fds",
        "cgroup",
        "ignore-paused",
        "no-subreaper"}},
      {"list", {"format", "f", "quiet", "q"}},
      {"ps", {"format", "f"}},
      {"pause", {}},
      {"resume", {}},
      {"update", {"resources",          "r",
                  "blkio-weight",       "cpu-period",
                  "cpu-quota",          "cpu-burst",
                  "cpu-share",          "cpu-rt-period",
                  "cpu-rt-runtime",     "cpuset-cpus",
                  "cpuset-mems",        "kernel-memory",
                  "kernel-memory-tcp",  "memory",
                  "memory-reservation", "memory-swap",
                  "pids-limit",         "l3-cache-schema",
                  "mem-bw-schema",      "cpu-idle"}},
      {"events", {"interval", "stats"}},
      {"features", {}},
      {"spec", {"bundle", "b", "rootless"}},
      {"checkpoint",
       {"image-path", "work-path", "parent-path", "leave-running", "tcp-established", "ext-unix-sk",
        "shell-job", "lazy-pages", "status-fd", "page-server", "file-locks", "pre-dump",
        "manage-cgroups-mode", "empty-ns", "auto-dedup"}},
      {"restore", {"console-socket", "image-path",
                   "work-path",      "tcp-established",
                   "ext-unix-sk",    "shell-job",
                   "file-locks",     "manage-cgroups-mode",
                   "bundle",         "b",
                   "detach",         "d",
                   "pid-file",       "no-subreaper",
                   "no-pivot",       "empty-ns",
                   "auto-dedup",     "lazy-pages",
                   "lsm-profile",    "lsm-mount-context"}},
  };
  return flags;
}

std::set<std::string> names_of(std::span<const Flag> flags) {
  std::set<std::string> names;
  for (const Flag& flag : flags) {
    names.emplace(flag.name.view());
    if (!flag.alias.view().empty()) names.emplace(flag.alias.view());
  }
  return names;
}

TEST(OciVerbs, every_verb_takes_exactly_runc_s_flags) {
  std::set<std::string> verbs;
  for (const Verb& verb : oci_verbs()) {
    const std::string name(verb.name.view());
    verbs.insert(name);
    ASSERT_TRUE(runc_flags().contains(name)) << name;
    EXPECT_EQ(names_of(verb.flags()), runc_flags().at(name)) << name;
  }
  EXPECT_EQ(verbs.size(), runc_flags().size());
}

TEST(OciVerbs, global_flags_are_runc_s) {
  EXPECT_EQ(names_of(oci_globals()),
            (std::set<std::string>{"debug", "log", "log-format", "root", "criu", "systemd-cgroup",
                                   "rootless", "version", "v"}));
}

void expect_sound(std::span<const Flag> flags, std::string_view where) {
  std::set<std::string_view> seen;
  for (const Flag& flag : flags) {
    EXPECT_TRUE(seen.insert(flag.name.view()).second)
        << where << ": --" << flag.name.view() << " twice";
    if (!flag.alias.view().empty()) {
      EXPECT_TRUE(seen.insert(flag.alias.view()).second)
          << where << ": -" << flag.alias.view() << " twice";
    }
    EXPECT_EQ(flag.kind == Kind::kSwitch, flag.value.view().empty())
        << where << ": --" << flag.name.view();
    EXPECT_FALSE(flag.help.view().empty()) << where << ": --" << flag.name.view();
    EXPECT_FALSE(flag.help.view().ends_with('.')) << where << ": --" << flag.name.view();
  }
}

TEST(OciVerbs, tables_have_no_duplicates_and_no_gaps) {
  std::set<std::string_view> names;
  expect_sound(oci_globals(), "globals");
  for (const Verb& verb : oci_verbs()) {
    EXPECT_TRUE(names.insert(verb.name.view()).second) << verb.name.view();
    EXPECT_FALSE(verb.summary.view().empty()) << verb.name.view();
    EXPECT_LE(verb.least, verb.most) << verb.name.view();
    EXPECT_EQ(find_verb(verb.name), &verb);
    expect_sound(verb.flags(), verb.name);
  }
  EXPECT_EQ(find_verb("nonsense"), nullptr);
}

TEST(OciVerbs, each_flag_of_each_verb_is_parsed_in_both_spellings) {
  const std::map<Kind, std::string> values{
      {Kind::kText, "x"}, {Kind::kList, "x"}, {Kind::kNumber, "1"}, {Kind::kDuration, "1s"}};
  for (const Verb& verb : oci_verbs()) {
    for (const Flag& flag : verb.flags()) {
      const std::string name = "--" + std::string(flag.name.view());
      const Words joined{flag.kind == Kind::kSwitch ? name : name + "=" + values.at(flag.kind)};
      const Result<Arguments> with_equals = parse(verb.flags(), verb.flags_anywhere, joined);
      ASSERT_TRUE(with_equals) << verb.name.view() << " " << name;
      EXPECT_TRUE(with_equals->has(flag.name)) << verb.name.view() << " " << name;
      if (flag.kind == Kind::kSwitch) continue;
      const Result<Arguments> apart =
          parse(verb.flags(), verb.flags_anywhere, Words{name, values.at(flag.kind)});
      ASSERT_TRUE(apart) << verb.name.view() << " " << name;
      EXPECT_EQ(apart->text(flag.name), values.at(flag.kind));
    }
  }
}

std::string complaint_of(std::string_view verb, const Words& words) {
  const Result<Arguments> parsed = parse(*find_verb(verb), words);
  return parsed ? "accepted" : parsed.error().text() + " | " + parsed.error().hint();
}

TEST(OciVerbs, the_number_of_arguments_is_checked) {
  EXPECT_EQ(complaint_of("create", {}),
            "requires exactly 1 argument, got 0 | usage: vrun-oci [GLOBAL FLAGS] create [FLAGS] "
            "CONTAINER");
  EXPECT_EQ(complaint_of("state", {"a", "b"}),
            "requires exactly 1 argument, got 2 | usage: vrun-oci [GLOBAL FLAGS] state CONTAINER");
  EXPECT_EQ(complaint_of("kill", {"a", "b", "c"}),
            "requires at most 2 arguments, got 3 | usage: vrun-oci [GLOBAL FLAGS] kill [FLAGS] "
            "CONTAINER [SIGNAL]");
  EXPECT_EQ(complaint_of("exec", {"-t"}),
            "requires at least 1 argument, got 0 | usage: vrun-oci [GLOBAL FLAGS] exec [FLAGS] "
            "CONTAINER COMMAND "
            "[ARGUMENT...]");
  EXPECT_EQ(complaint_of("list", {"a"}),
            "requires exactly 0 arguments, got 1 | usage: vrun-oci [GLOBAL FLAGS] list [FLAGS]");
  EXPECT_EQ(complaint_of("kill", {"--help"}), "accepted");
}

TEST(OciVerbs, what_follows_the_container_of_exec_and_ps_is_not_ours) {
  const Result<Arguments> exec =
      parse(*find_verb("exec"), Words{"-t", "web", "ls", "-la", "--help"});
  ASSERT_TRUE(exec);
  EXPECT_FALSE(exec->help());
  EXPECT_EQ(exec->words(), (std::vector<std::string_view>{"web", "ls", "-la", "--help"}));
  const Result<Arguments> ps = parse(*find_verb("ps"), Words{"web", "-ef"});
  ASSERT_TRUE(ps);
  EXPECT_EQ(ps->words(), (std::vector<std::string_view>{"web", "-ef"}));
}

TEST(OciVerbs, exec_alone_fails_with_255) {
  for (const Verb& verb : oci_verbs()) {
    EXPECT_EQ(verb.failure, verb.name.view() == "exec" ? 255 : 1) << verb.name.view();
  }
}

}  // namespace
}  // namespace vrun::cli
