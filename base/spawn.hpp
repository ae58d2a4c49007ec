// Runs another program: hooks, newuidmap, the helper executables.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/sys.hpp"

namespace vrun {

struct Command {
  std::string path;               // absolute, or searched in PATH when it has no slash
  std::vector<std::string> argv;  // with argv[0]
  std::vector<std::string> env;
  std::string input;  // bytes on stdin; empty: /dev/null
  std::optional<std::chrono::milliseconds> timeout;
  std::vector<int>
      keep;         // descriptors inherited under the same number (else all but stdio are closed)
  std::string cwd;  // empty: ours
  std::size_t output_limit = 64U << 10U;  // bytes of output to keep, from the end
  int ends_with = -1;  // a pidfd: the program is killed when that process has ended
};

struct Finished {
  sys::Exit exit;
  std::string output;  // the end of stdout and stderr (at most output_limit), for error messages
};

// Waits for the end; on timeout the child's process group is killed and the error has
// Code::kTimeout, with `ends_with` Code::kState.
Result<Finished> run(const Command& command);

}  // namespace vrun
