// A tiny interpreter of the BPF instructions that the device filter uses, so that what a program
// decides can be tested without loading it. Anything else it meets is a failure of the test.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include <gtest/gtest.h>
#include <linux/bpf.h>

namespace vrun::cgroups {

struct BpfRun {
  std::uint64_t answer = 0;
  std::size_t steps = 0;
};

inline std::optional<std::uint64_t> bpf_alu(unsigned op, std::uint64_t a, std::uint64_t b,
                                            bool wide) {
  std::uint64_t result = 0;
  switch (op) {
    case BPF_MOV:
      result = b;
      break;
    case BPF_AND:
      result = a & b;
      break;
    case BPF_OR:
      result = a | b;
      break;
    case BPF_XOR:
      result = a ^ b;
      break;
    case BPF_SUB:
      result = a - b;
      break;
    case BPF_LSH:
      result = wide ? a << b : std::uint64_t(std::uint32_t(a) << b);
      break;
    case BPF_RSH:
      result = wide ? a >> b : std::uint32_t(a) >> b;
      break;
    default:
      return std::nullopt;
  }
  return wide ? result : result & 0xffffffffU;
}

inline std::optional<BpfRun> run_bpf(const std::vector<bpf_insn>& program,
                                     const bpf_cgroup_dev_ctx& context) {
  std::array<std::uint64_t, 11> reg = {};
  BpfRun run;
  for (std::size_t at = 0; at < program.size(); ++at, ++run.steps) {
    const bpf_insn& in = program[at];
    auto immediate = static_cast<std::uint64_t>(static_cast<std::int64_t>(in.imm));
    bool by_register = BPF_SRC(in.code) == BPF_X;
    switch (BPF_CLASS(in.code)) {
      case BPF_LDX: {
        if (in.code != (BPF_LDX | BPF_MEM | BPF_W) || in.src_reg != BPF_REG_1) return std::nullopt;
        if (in.off < 0 || std::size_t(in.off) + 4 > sizeof(context)) return std::nullopt;
        std::uint32_t word = 0;
        std::memcpy(&word, reinterpret_cast<const char*>(&context) + in.off, sizeof(word));
        reg[in.dst_reg] = word;
        break;
      }
      case BPF_ALU:
      case BPF_ALU64: {
        bool wide = BPF_CLASS(in.code) == BPF_ALU64;
        auto value = bpf_alu(BPF_OP(in.code), reg[in.dst_reg],
                             by_register ? reg[in.src_reg] : immediate, wide);
        if (!value) return std::nullopt;
        reg[in.dst_reg] = *value;
        break;
      }
      case BPF_JMP32:
        if (in.code != (BPF_JMP32 | BPF_JNE | BPF_K) || in.off < 0) return std::nullopt;
        if (std::uint32_t(reg[in.dst_reg]) != std::uint32_t(in.imm)) at += std::size_t(in.off);
        break;
      case BPF_JMP:
        if (in.code != (BPF_JMP | BPF_EXIT)) return std::nullopt;
        run.answer = reg[0];
        return run;
      default:
        return std::nullopt;
    }
  }
  return std::nullopt;  // ran off the end
}

}  // namespace vrun::cgroups
