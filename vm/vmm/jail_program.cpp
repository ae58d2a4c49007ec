#include "vm/vmm/jail_program.hpp"

#include <cerrno>
#include <cstddef>

#include <linux/audit.h>
#include <linux/seccomp.h>

#include "seccomp/decisions.hpp"
#include "seccomp/emit.hpp"
#include "seccomp/nodes.hpp"

namespace vrun::vmm::jail {
namespace {

using seccomp::NodeId;
using seccomp::Nodes;
using seccomp::Ranges;

// Where the condition of `call` holds `yes`, else `no`.
NodeId asked(const Call& call, NodeId yes, NodeId no, Nodes& nodes) {
  if (call.argument < 0) return yes;
  const auto low_half =
      static_cast<std::uint32_t>(offsetof(seccomp_data, args) +
                                 sizeof(std::uint64_t) * static_cast<std::size_t>(call.argument));
  NodeId next = nodes.add({BPF_JMP | BPF_JEQ | BPF_K, call.value, yes, no});
  if (call.mask != ~0U) next = nodes.add({BPF_ALU | BPF_AND | BPF_K, call.mask, next, 0});
  return nodes.add({BPF_LD | BPF_W | BPF_ABS, low_half, next, 0});
}

void add(Ranges& ranges, std::uint32_t first, NodeId node) {
  if (!ranges.empty() && ranges.back().first == first) {
    ranges.back().node = node;
    // The one before may be the same now.
    if (ranges.size() > 1 && ranges[ranges.size() - 2].node == node) ranges.pop_back();
    return;
  }
  if (ranges.empty() || ranges.back().node != node) ranges.push_back({first, node});
}

}  // namespace

seccomp::Program program_of(std::span<const Call> calls, std::uint32_t refusal) {
  Nodes nodes;
  const NodeId allow = nodes.add({BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0});
  const NodeId refuse = nodes.add({BPF_RET | BPF_K, refusal, 0, 0});
  const NodeId missing = nodes.add({BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS, 0, 0});
  Ranges ranges;
  add(ranges, 0, refuse);
  for (std::size_t i = 0; i < calls.size();) {
    const std::uint32_t number = calls[i].number;
    NodeId node = refuse;
    for (; i < calls.size() && calls[i].number == number; ++i)
      node = asked(calls[i], calls[i].missing ? missing : allow, node, nodes);
    add(ranges, number, node);
    add(ranges, number + 1, refuse);
  }
  const seccomp::Decisions decisions{{0, {{0, refuse}}},
                                     {AUDIT_ARCH_X86_64, std::move(ranges)},
                                     {AUDIT_ARCH_X86_64 + 1, {{0, refuse}}}};
  return seccomp::emit(decisions, nodes);
}

}  // namespace vrun::vmm::jail
