// The kernel's view of a seccomp program, written down anew: runs it on one call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <linux/seccomp.h>

#include "seccomp/library.hpp"

namespace vrun::seccomp {

// What a run looked at beyond architecture and number: the offset of each argument word, and the
// constants that it was compared with.
using Looked = std::map<std::uint32_t, std::set<std::uint32_t>>;

inline std::uint32_t run_bpf(const Program& program, const seccomp_data& data,
                             Looked* looked = nullptr) {
  std::uint32_t a = 0, from = 0;
  for (std::size_t pc = 0; pc < program.size(); ++pc) {
    const sock_filter& at = program[pc];
    const bool uses = BPF_CLASS(at.code) == BPF_ALU ||
                      (BPF_CLASS(at.code) == BPF_JMP && BPF_OP(at.code) != BPF_JA);
    if (uses && looked != nullptr && from >= offsetof(seccomp_data, args))
      (*looked)[from].insert(at.k);
    bool taken = false;
    switch (at.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (at.k % 4 != 0 || at.k + 4 > sizeof(data)) throw std::runtime_error("load outside");
        std::memcpy(&a, reinterpret_cast<const char*>(&data) + at.k, 4);
        from = at.k;
        continue;
      case BPF_ALU | BPF_AND | BPF_K:
        a &= at.k;
        continue;
      case BPF_RET | BPF_K:
        return at.k;
      case BPF_JMP | BPF_JA:
        pc += at.k;
        continue;
      case BPF_JMP | BPF_JEQ | BPF_K:
        taken = a == at.k;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        taken = a > at.k;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        taken = a >= at.k;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        taken = (a & at.k) != 0;
        break;
      default:
        throw std::runtime_error("instruction " + std::to_string(at.code));
    }
    pc += taken ? at.jt : at.jf;
  }
  throw std::runtime_error("runs off its end");
}

inline Program program_of(const std::string& bytes) {
  Program program(bytes.size() / sizeof(sock_filter));
  std::memcpy(program.data(), bytes.data(), bytes.size());
  return program;
}

// What the call does under the program.
struct Call {
  std::uint32_t arch;
  std::uint32_t nr;
  std::uint64_t args[6] = {};
};
inline std::uint32_t verdict(const Program& program, const Call& call) {
  seccomp_data data{};
  data.nr = static_cast<int>(call.nr);
  data.arch = call.arch;
  std::memcpy(data.args, call.args, sizeof(data.args));
  return run_bpf(program, data);
}

// Every way in which the two programs were seen to differ: empty if they agree on all numbers
// 0..1023 (for x86_64 also with the x32 bit), odd numbers, all architectures, and for calls whose
// arguments are looked at all combinations of words at and beside the constants they are compared
// with.
std::string differences(const Program& one, const Program& other);

}  // namespace vrun::seccomp
