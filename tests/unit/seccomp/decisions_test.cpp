#include "seccomp/decisions.hpp"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>

#include "seccomp/emit.hpp"
#include "tests/unit/seccomp/bpf_run.hpp"

namespace vrun::seccomp {
namespace {

constexpr std::uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS;
constexpr std::uint16_t kRet = BPF_RET | BPF_K;

sock_filter jump(std::uint16_t op, std::uint32_t k, std::uint8_t yes, std::uint8_t no) {
  return BPF_JUMP(static_cast<std::uint16_t>(BPF_JMP | op | BPF_K), k, yes, no);
}

TEST(Decisions, ranges_are_exact_to_the_last_number) {
  const Program program{BPF_STMT(kLoad, 0),     jump(BPF_JGT, 10, 0, 1), BPF_STMT(kRet, 1),
                        jump(BPF_JEQ, 3, 0, 1), BPF_STMT(kRet, 2),       BPF_STMT(kRet, 3)};
  Nodes nodes;
  const auto decisions = decide(program, nodes);
  ASSERT_TRUE(decisions);
  ASSERT_EQ(decisions->size(), 1U);  // no architecture is looked at
  const NodeId one = nodes.add({kRet, 1, 0, 0}), two = nodes.add({kRet, 2, 0, 0}),
               three = nodes.add({kRet, 3, 0, 0});
  EXPECT_EQ((*decisions)[0].calls, (Ranges{{0, three}, {3, two}, {4, three}, {11, one}}));
}

TEST(Decisions, the_first_of_two_tests_for_a_number_wins) {
  const Program program{BPF_STMT(kLoad, 0),     jump(BPF_JEQ, 5, 0, 1), BPF_STMT(kRet, 1),
                        jump(BPF_JGE, 5, 0, 1), BPF_STMT(kRet, 2),      BPF_STMT(kRet, 3)};
  Nodes nodes;
  const auto decisions = decide(program, nodes);
  ASSERT_TRUE(decisions);
  const Program again = emit(*decisions, nodes);
  EXPECT_EQ(verdict(again, {0, 4}), 3U);
  EXPECT_EQ(verdict(again, {0, 5}), 1U);
  EXPECT_EQ(verdict(again, {0, 6}), 2U);
}

TEST(Decisions, code_for_arguments_is_kept_and_shared) {
  // calls 7 and 9 look at the same argument in two copies of the same code
  const Program program{BPF_STMT(kLoad, 0), jump(BPF_JEQ, 7, 2, 0), jump(BPF_JEQ, 9, 4, 0),
                        BPF_STMT(kRet, 0),  BPF_STMT(kLoad, 16),    jump(BPF_JEQ, 1, 0, 3),
                        BPF_STMT(kRet, 1),  BPF_STMT(kLoad, 16),    jump(BPF_JEQ, 1, 1, 0),
                        BPF_STMT(kRet, 0),  BPF_STMT(kRet, 1)};
  Nodes nodes;
  const auto decisions = decide(program, nodes);
  ASSERT_TRUE(decisions);
  const Ranges& calls = (*decisions)[0].calls;
  ASSERT_EQ(calls.size(), 5U);
  EXPECT_EQ(calls[1].first, 7U);
  EXPECT_EQ(calls[3].first, 9U);
  EXPECT_EQ(calls[1].node, calls[3].node);
}

TEST(Decisions, of_broken_programs_there_are_none) {
  Nodes nodes;
  EXPECT_FALSE(decide({}, nodes));
  EXPECT_FALSE(decide({BPF_STMT(kLoad, 0)}, nodes));                         // runs off its end
  EXPECT_FALSE(decide({BPF_JUMP(BPF_JMP | BPF_JA, 7, 0, 0)}, nodes));        // jumps off its end
  EXPECT_FALSE(decide({jump(BPF_JEQ, 1, 0, 0), BPF_STMT(kRet, 1)}, nodes));  // nothing loaded
}

}  // namespace
}  // namespace vrun::seccomp
