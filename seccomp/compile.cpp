#include <linux/filter.h>

#include "seccomp/cache.hpp"
#include "seccomp/enosys.hpp"
#include "seccomp/library.hpp"
#include "seccomp/rules.hpp"
#include "seccomp/simplify.hpp"

namespace vrun::seccomp {
namespace {

std::string to_bytes(const Program& program) {
  return std::string(reinterpret_cast<const char*>(program.data()),
                     program.size() * sizeof(sock_filter));
}

Result<Filter> compile_anew(const oci::Seccomp& seccomp) {
  const Rules rules = TRY(check(seccomp));
  Program program = enosys_prelude(seccomp, rules);
  const Program body = TRY(build_with_libseccomp(rules));
  program.insert(program.end(), body.begin(), body.end());
  program = simplify(program);
  if (program.size() > BPF_MAXINSNS)
    return Error(Code::kUnsupported, "linux.seccomp: the rules give " +
                                         std::to_string(program.size()) +
                                         " instructions, more than the kernel's 4096");
  return Filter{to_bytes(program), rules.flags, rules.notifies};
}

}  // namespace

Result<Filter> compile(const oci::Seccomp& seccomp, const Host& host) {
  const std::string key = cache_key(seccomp);
  if (std::optional<Filter> cached = load_cached(host, key)) return *std::move(cached);
  Filter filter = TRY(compile_anew(seccomp));
  store_cached(host, key, filter);
  return filter;
}

}  // namespace vrun::seccomp
