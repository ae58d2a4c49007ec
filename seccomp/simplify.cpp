#include "seccomp/simplify.hpp"

#include "base/log.hpp"
#include "seccomp/decisions.hpp"
#include "seccomp/emit.hpp"

namespace vrun::seccomp {

Program simplify(const Program& program) {
  Nodes nodes;
  const auto wanted = decide(program, nodes);
  if (!wanted) return program;
  Program smaller = emit(*wanted, nodes);
  if (smaller.size() >= program.size()) return program;
  // the same nodes: equal numbers are equal code
  if (decide(smaller, nodes) != wanted) {
    log::debug("seccomp: the smaller filter is not the same, using that of libseccomp");
    return program;
  }
  return smaller;
}

}  // namespace vrun::seccomp
