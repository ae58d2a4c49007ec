#include "seccomp/simplify.hpp"

#include <random>
#include <set>

#include <gtest/gtest.h>
#include <linux/audit.h>

#include "seccomp/enosys.hpp"
#include "seccomp/seccomp.hpp"
#include "tests/unit/seccomp/bpf_run.hpp"

namespace vrun::seccomp {

namespace {

std::vector<std::uint32_t> call_numbers(std::uint32_t arch) {
  std::vector<std::uint32_t> numbers{0x3fffffffU, 0x40000000U + 5000U, 0x7fffffffU, 0x80000000U,
                                     0xf0005U,    0xfffffffeU,         0xffffffffU};
  for (std::uint32_t n = 0; n < 1024; ++n) {
    numbers.push_back(n);
    if (arch == AUDIT_ARCH_X86_64) numbers.push_back(n | 0x40000000U);
  }
  return numbers;
}

// Both programs on one call; tries argument words until no run looks at anything new.
class Pair {
 public:
  Pair(const Program& one, const Program& other) : one_(one), other_(other) {}

  // Empty, or the arguments on which they differ.
  std::string compare(std::uint32_t arch, std::uint32_t nr) {
    data_ = {};
    data_.arch = arch;
    data_.nr = static_cast<int>(nr);
    looked_.clear();
    std::size_t known = 0;
    do {
      known = constants();
      seen_ = looked_;
      const std::string found = combine(looked_.begin());
      if (!found.empty()) return found;
      looked_ = seen_;
    } while (constants() != known);
    return "";
  }

 private:
  std::size_t constants() const {
    std::size_t count = looked_.size();
    for (const auto& word : looked_)
      count += word.second.size();
    return count;
  }

  std::string combine(Looked::const_iterator word) {
    if (word == looked_.end()) return run();
    std::set<std::uint32_t> values{0, 1, 0xffffffffU};
    for (const std::uint32_t k : word->second)
      values.insert({k - 1, k, k + 1});
    const Looked::const_iterator next = std::next(word);
    for (const std::uint32_t value : values) {
      std::memcpy(reinterpret_cast<char*>(&data_) + word->first, &value, sizeof(value));
      const std::string found = combine(next);
      if (!found.empty()) return found;
    }
    return "";
  }

  std::string run() {
    Looked now;
    const std::uint32_t a = run_bpf(one_, data_, &now), b = run_bpf(other_, data_, &now);
    for (auto& [word, constants] : now)
      seen_[word].merge(constants);
    // not while iterating over looked_: taken over by the next round
    if (a == b) return "";
    return "arch " + std::to_string(data_.arch) + " call " + std::to_string(data_.nr) + ": " +
           std::to_string(a) + " and " + std::to_string(b);
  }

  const Program& one_;
  const Program& other_;
  seccomp_data data_{};
  Looked looked_, seen_;
};

}  // namespace

std::string differences(const Program& one, const Program& other) {
  Pair pair(one, other);
  std::string found;
  for (const std::uint32_t arch : {std::uint32_t{AUDIT_ARCH_X86_64}, std::uint32_t{AUDIT_ARCH_I386},
                                   std::uint32_t{AUDIT_ARCH_AARCH64}, 0U, 0xffffffffU}) {
    for (const std::uint32_t nr : call_numbers(arch)) {
      const std::string difference = pair.compare(arch, nr);
      if (!difference.empty()) found += difference + "\n";
    }
  }
  return found;
}

namespace {

Program reference(const oci::Seccomp& seccomp) {
  const Result<Rules> rules = check(seccomp);
  if (!rules) ADD_FAILURE() << rules.error().text();
  Program program = enosys_prelude(seccomp, *rules);
  Result<Program> body = build_with_libseccomp(*rules);
  if (!body) ADD_FAILURE() << body.error().text();
  program.insert(program.end(), body->begin(), body->end());
  return program;
}

const std::vector<std::string> kAllX86{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};

TEST(Simplify, the_default_profile_for_three_abis_is_the_same_and_under_400_instructions) {
  Result<oci::Seccomp> profile = default_profile({"CAP_SYS_CHROOT"});
  ASSERT_TRUE(profile);
  profile->architectures = kAllX86;
  const Program before = reference(*profile);
  const Program after = simplify(before);
  EXPECT_EQ(differences(before, after), "");
  EXPECT_GT(before.size(), 1000U);
  EXPECT_LT(after.size(), 400U);
  RecordProperty("before", static_cast<int>(before.size()));
  RecordProperty("after", static_cast<int>(after.size()));
}

TEST(Simplify, a_long_deny_list_is_the_same) {
  oci::Seccomp profile{.default_action = "SCMP_ACT_ALLOW", .architectures = kAllX86};
  for (const char* name : {"mount", "umount2", "ptrace", "bpf", "keyctl", "reboot", "swapon"})
    profile.syscalls.push_back({.names = {name}, .action = "SCMP_ACT_ERRNO", .errno_ret = 38});
  profile.syscalls.push_back({.names = {"getppid"}, .action = "SCMP_ACT_KILL_PROCESS"});
  const Program before = reference(profile);
  const Program after = simplify(before);
  EXPECT_LT(after.size(), before.size());
  EXPECT_EQ(differences(before, after), "");
}

// Rules as they come: any names, actions, conditions, defaults.
oci::Seccomp random_profile(std::mt19937& random) {
  const auto pick = [&](auto count) {
    return std::uniform_int_distribution<std::uint64_t>(
        0, static_cast<std::uint64_t>(count) - 1)(random);
  };
  static const std::vector<std::string> actions{"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO",
                                                "SCMP_ACT_LOG",   "SCMP_ACT_KILL_PROCESS",
                                                "SCMP_ACT_TRAP",  "SCMP_ACT_TRACE"};
  static const std::vector<std::string> ops{"SCMP_CMP_EQ",       "SCMP_CMP_NE", "SCMP_CMP_GE",
                                            "SCMP_CMP_GT",       "SCMP_CMP_LE", "SCMP_CMP_LT",
                                            "SCMP_CMP_MASKED_EQ"};
  oci::Seccomp profile{.default_action = actions[pick(actions.size())]};
  if (pick(2) == 0) profile.architectures = kAllX86;
  std::set<std::string> used;
  for (std::uint64_t n = pick(120) + 1; n > 0; --n) {
    char* resolved =
        seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, static_cast<int>(pick(440)));
    if (resolved == nullptr) continue;
    const std::string name = resolved;
    std::free(resolved);
    if (!used.insert(name).second) continue;
    oci::SyscallRule rule{.names = {name}, .action = actions[pick(actions.size())]};
    if (pick(4) == 0) {
      for (std::uint64_t count = pick(3) + 1; count > 0; --count) {
        const std::uint64_t value = pick(3) == 0 ? (pick(16) << 32U) | pick(16) : pick(64);
        rule.args.push_back(
            {static_cast<std::uint32_t>(pick(6)), value, pick(64), ops[pick(ops.size())]});
      }
    }
    profile.syscalls.push_back(std::move(rule));
  }
  return profile;
}

TEST(Simplify, random_profiles_are_the_same) {
  std::mt19937 random(20240229);
  for (int i = 0; i < 10; ++i) {
    const oci::Seccomp profile = random_profile(random);
    const Result<Rules> rules = check(profile);
    ASSERT_TRUE(rules) << rules.error().text();
    Program before = enosys_prelude(profile, *rules);
    const Result<Program> body = build_with_libseccomp(*rules);
    if (!body) continue;  // rules that contradict each other
    before.insert(before.end(), body->begin(), body->end());
    const Program after = simplify(before);
    EXPECT_LE(after.size(), before.size());
    ASSERT_EQ(differences(before, after), "") << "profile " << i;
  }
}

TEST(Simplify, jumps_too_far_for_a_byte_get_stepping_stones) {
  // every fourth call with code of its own for an argument: hundreds of instructions, far targets
  oci::Seccomp profile{.default_action = "SCMP_ACT_ALLOW"};
  for (int nr = 0; nr < 334; ++nr) {
    char* name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, nr);
    if (name == nullptr) continue;
    oci::SyscallRule rule{.names = {name}, .action = "SCMP_ACT_ERRNO", .errno_ret = 9};
    if (nr % 4 == 0) {
      rule.errno_ret = static_cast<std::uint32_t>(10 + nr);
      rule.args = {{0, static_cast<std::uint64_t>(nr), 0, "SCMP_CMP_EQ"}};
    }
    profile.syscalls.push_back(std::move(rule));
    std::free(name);
  }
  const Program before = reference(profile);
  const Program after = simplify(before);
  EXPECT_GT(after.size(), 512U);
  EXPECT_LT(after.size(), before.size());
  EXPECT_EQ(differences(before, after), "");
}

TEST(Simplify, what_it_does_not_understand_stays) {
  // looks at single bits of the call number
  const Program odd{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
                    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1),
                    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
                    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const Program same = simplify(odd);
  ASSERT_EQ(same.size(), odd.size());
  for (std::size_t i = 0; i < odd.size(); ++i)
    EXPECT_EQ(std::memcmp(&same[i], &odd[i], sizeof(odd[i])), 0);
}

}  // namespace
}  // namespace vrun::seccomp
