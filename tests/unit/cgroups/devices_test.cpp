#include "cgroups/devices.hpp"

#include <random>

#include <gtest/gtest.h>

#include "cgroups/group.hpp"
#include "tests/unit/cgroups/bpf_interpreter.hpp"

namespace vrun::cgroups {
namespace {

using oci::DeviceRule;
using Rules = std::vector<DeviceRule>;

DeviceRule deny_all() {
  return {false, 'a', {}, {}, "rwm"};
}
DeviceRule allow(char type, std::int64_t major, std::int64_t minor, std::string access) {
  return {true, type, major, minor, std::move(access)};
}
DeviceRule deny(char type, std::int64_t major, std::int64_t minor, std::string access) {
  return {false, type, major, minor, std::move(access)};
}

// The meaning of rules, in its simplest form: for each access the last rule that names it counts.
bool expected(const Rules& rules, char type, std::uint32_t major, std::uint32_t minor,
              unsigned access) {
  for (unsigned bit : {kMayRead, kMayWrite, kMayMknod}) {
    if ((access & bit) == 0) continue;
    bool allowed = false;
    char letter = bit == kMayRead ? 'r' : bit == kMayWrite ? 'w' : 'm';
    for (const DeviceRule& rule : rules) {
      bool matches = (rule.type == 'a' || rule.type == type) &&
                     (rule.major.value_or(-1) == -1 || rule.major == major) &&
                     (rule.minor.value_or(-1) == -1 || rule.minor == minor) &&
                     (rule.access.empty() || rule.access.find(letter) != std::string::npos);
      if (matches) allowed = rule.allow;
    }
    if (!allowed) return false;
  }
  return true;
}

std::vector<bpf_insn> program_of(const Rules& rules) {
  auto tables = normalise(rules);
  EXPECT_TRUE(tables) << tables.error().text();
  return compile(*tables);
}

bool allows(const std::vector<bpf_insn>& program, char type, std::uint32_t major,
            std::uint32_t minor, unsigned access) {
  if (program.empty()) return true;
  bpf_cgroup_dev_ctx context = {};
  context.access_type = access << 16U | (type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
  context.major = major;
  context.minor = minor;
  auto run = run_bpf(program, context);
  EXPECT_TRUE(run) << "the interpreter met something it does not know";
  return run && run->answer == 1;
}

void expect_same(const Rules& rules, const std::vector<std::uint32_t>& majors,
                 const std::vector<std::uint32_t>& minors) {
  std::vector<bpf_insn> program = program_of(rules);
  for (char type : {'c', 'b'}) {
    for (std::uint32_t major : majors) {
      for (std::uint32_t minor : minors) {
        for (unsigned access = 1; access <= kMayAll; ++access) {
          ASSERT_EQ(allows(program, type, major, minor, access),
                    expected(rules, type, major, minor, access))
              << type << " " << major << ":" << minor << " access " << access;
        }
      }
    }
  }
}

TEST(Devices, the_usual_list_allows_what_it_says_and_nothing_else) {
  Rules rules = {deny_all()};
  for (DeviceRule& rule : default_devices())
    rules.push_back(std::move(rule));
  auto program = program_of(rules);
  EXPECT_TRUE(allows(program, 'c', 1, 3, kMayRead | kMayWrite));
  EXPECT_TRUE(allows(program, 'c', 1, 3, kMayMknod));
  EXPECT_TRUE(allows(program, 'c', 136, 77, kMayRead | kMayWrite));
  EXPECT_TRUE(allows(program, 'c', 10, 200, kMayRead | kMayWrite));
  EXPECT_TRUE(allows(program, 'b', 8, 0, kMayMknod));
  EXPECT_FALSE(allows(program, 'b', 8, 0, kMayRead));
  EXPECT_FALSE(allows(program, 'c', 1, 1, kMayRead));  // /dev/mem
  EXPECT_FALSE(allows(program, 'c', 10, 232, kMayRead | kMayWrite));
  expect_same(rules, {0, 1, 5, 8, 10, 136, 4095}, {0, 1, 2, 3, 5, 7, 8, 9, 200, 1048575});
  EXPECT_LT(program.size(), 80U);
}

TEST(Devices, nothing_is_allowed_without_rules) {
  auto program = program_of({});
  EXPECT_FALSE(allows(program, 'c', 1, 3, kMayRead));
  EXPECT_FALSE(allows(program, 'b', 8, 0, kMayMknod));
}

TEST(Devices, rules_that_allow_everything_need_no_program) {
  EXPECT_TRUE(program_of({{true, 'a', {}, {}, "rwm"}}).empty());
  EXPECT_TRUE(program_of({deny_all(), {true, 'a', -1, -1, ""}}).empty());
  EXPECT_TRUE(program_of({allow('c', -1, -1, "rwm"), allow('b', -1, -1, "rwm")}).empty());
  EXPECT_TRUE(program_of({deny_all(), deny('c', 1, 3, "r"), allow('a', -1, -1, "rwm")}).empty());
  EXPECT_FALSE(program_of({allow('c', -1, -1, "rwm")}).empty());
  EXPECT_FALSE(program_of({allow('a', -1, -1, "rwm"), deny('c', 1, 3, "r")}).empty());
}

TEST(Devices, the_last_rule_wins_for_each_access) {
  Rules rules = {deny_all(),           allow('c', -1, -1, "rw"), deny('c', 1, -1, "w"),
                 allow('c', 1, 5, ""), deny('c', 1, 5, "m"),     allow('b', 8, -1, "r"),
                 deny('a', 8, 1, "r")};
  expect_same(rules, {0, 1, 8, 9}, {0, 1, 3, 5});
}

TEST(Devices, a_later_wide_rule_takes_narrow_ones_back) {
  Rules rules = {deny_all(), allow('c', 1, 3, "rwm"), allow('c', 1, 5, "rwm"),
                 deny('c', 1, -1, "w"), allow('c', 1, 5, "w")};
  auto program = program_of(rules);
  EXPECT_FALSE(allows(program, 'c', 1, 3, kMayWrite));
  EXPECT_TRUE(allows(program, 'c', 1, 3, kMayRead));
  EXPECT_TRUE(allows(program, 'c', 1, 5, kMayRead | kMayWrite | kMayMknod));
}

TEST(Devices, minors_of_every_major) {
  Rules rules = {deny_all(),
                 allow('c', -1, 5, "rw"),
                 deny('c', 1, -1, "w"),
                 allow('c', 2, 5, "m"),
                 deny('c', -1, 7, "r"),
                 allow('c', 3, -1, "rwm")};
  expect_same(rules, {0, 1, 2, 3, 4}, {0, 5, 6, 7});
}

TEST(Devices, random_lists_mean_what_the_simple_form_says) {
  std::mt19937 random(20240607);  // fixed: a failure can be repeated
  auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  for (int round = 0; round < 400; ++round) {
    Rules rules;
    int count = 1 + pick(12);
    for (int i = 0; i < count; ++i) {
      std::string access;
      for (char letter : {'r', 'w', 'm'}) {
        if (pick(3) != 0) access += letter;
      }
      // Half of the rounds have minors of every major, which need the other form of program.
      int minor = pick(5) - 1;
      int major = round % 2 == 0 && minor != -1 ? pick(4) : pick(5) - 1;
      rules.push_back({pick(2) == 0, "abc"[pick(3)], major, minor, access});
    }
    expect_same(rules, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4});
    if (HasFatalFailure()) FAIL() << "round " << round;
  }
}

Rules many(unsigned count, bool straight) {
  Rules rules = {deny_all()};
  if (straight) rules.push_back(allow('c', -1, 7, "r"));
  for (unsigned i = 0; i < count; ++i) {
    rules.push_back(allow(i % 3 == 0 ? 'b' : 'c', i % 1000, i / 1000, i % 2 == 0 ? "rw" : "rwm"));
  }
  return rules;
}

TEST(Devices, programs_grow_with_the_number_of_rules_and_no_faster) {
  for (bool straight : {false, true}) {
    std::size_t of_1000 = program_of(many(1000, straight)).size();
    std::size_t of_10000 = program_of(many(10000, straight)).size();
    EXPECT_LE(of_1000, 11000U) << straight;
    EXPECT_LE(of_10000, of_1000 * 11) << straight;
    EXPECT_GE(of_10000, of_1000 * 9) << straight;
  }
}

TEST(Devices, the_last_of_many_rules_is_found) {
  for (bool straight : {false, true}) {
    auto program = program_of(many(20000, straight));
    EXPECT_TRUE(allows(program, 'c', 998, 18, kMayRead | kMayWrite)) << straight;
    EXPECT_TRUE(allows(program, 'b', 0, 18, kMayRead | kMayWrite)) << straight;
    EXPECT_FALSE(allows(program, 'b', 0, 18, kMayMknod)) << straight;
    EXPECT_FALSE(allows(program, 'c', 999, 21, kMayRead)) << straight;
  }
}

TEST(Devices, jumps_stay_within_the_reach_of_an_instruction) {
  for (bool straight : {false, true}) {
    for (const bpf_insn& one : program_of(many(20000, straight)))
      ASSERT_GE(one.off, 0);
  }
}

TEST(Devices, wrong_rules_are_named) {
  auto wrong = normalise({deny_all(), allow('c', 1, 3, "rx")});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().where(), "linux.resources.devices[1].access");
  wrong = normalise({allow('c', -7, 3, "r")});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().where(), "linux.resources.devices[0].major");
}

TEST(Devices, numbers_beyond_the_kernels_match_nothing) {
  auto program =
      program_of({deny_all(), allow('c', 4096, 0, "rwm"), allow('c', 1, 1U << 20U, "r")});
  EXPECT_FALSE(allows(program, 'c', 0, 0, kMayRead));
  EXPECT_FALSE(allows(program, 'c', 2, 0, kMayRead));
}

TEST(Devices, without_bpf_only_lists_of_allowances_may_be_passed_over) {
  EXPECT_TRUE(check_skippable({deny_all(), allow('c', 1, 3, "rwm")}));
  auto refused = check_skippable({deny_all(), deny('c', 1, 3, "w")});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().where(), "linux.resources.devices[1]");
}

TEST(Devices, lines_for_the_v1_controller) {
  auto tables = normalise({deny_all(), allow('c', -1, -1, "m"), allow('c', 1, 3, "rw")});
  auto lines = device_lines(*tables);
  ASSERT_TRUE(lines) << lines.error().text();
  std::vector<DeviceLine> wanted = {{false, "a"}, {true, "c *:* m"}, {true, "c 1:3 rwm"}};
  EXPECT_EQ(*lines, wanted);
  tables = normalise({allow('a', -1, -1, "rwm"), deny('b', 8, -1, "w")});
  lines = device_lines(*tables);
  ASSERT_TRUE(lines) << lines.error().text();
  wanted = {{true, "a"}, {false, "b 8:* w"}};
  EXPECT_EQ(*lines, wanted);
  tables = normalise({deny_all(), allow('c', 1, -1, "rwm"), deny('c', 1, 3, "w")});
  EXPECT_FALSE(device_lines(*tables));
}

}  // namespace
}  // namespace vrun::cgroups
