#include "cli/persona.hpp"

#include <csignal>
#include <cstdlib>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "cli/oci_main.hpp"

namespace vrun::cli {

void prepare_process() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest free number is the one that is missing. Not close-on-exec: it is stdio.
    if (::open("/dev/null", O_RDWR) < 0) ::_exit(125);  // NOLINT(android-cloexec-open)
  }
  ::umask(022);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGCHLD, SIG_DFL);  // ignored by the caller, no child could be waited for
}

Dispatch dispatch(std::span<char* const> argv) {
  if (argv.empty()) return {Persona::kEveryday, argv};
  const std::string_view name = fs::base_name(argv[0]);
  const auto words = argv.subspan(1);
  // "runc" by a link in its place: the same command line.
  if (name == "vrun-oci" || name == "runc") return {Persona::kOci, words};
  // What vrun-broker runs for an admin of a tenant is never the runtime without tenants.
  if (std::getenv("VRUN_FIXED_TENANT") != nullptr) return {Persona::kEveryday, argv};
  if (!words.empty() && std::string_view(words[0]) == "oci")
    return {Persona::kOci, words.subspan(1)};
  if (means_bundle(words)) return {Persona::kOci, words};
  return {Persona::kEveryday, argv};
}

}  // namespace vrun::cli
