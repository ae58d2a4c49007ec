// `vrun completion SHELL`: the completions that the packages install, for shells without them.
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/manual.hpp"
#include "cli/verb_tools.hpp"

namespace vrun::cli {

Result<int> everyday_completion(const EverydayCall& call) {
  const std::string shell = call.arguments.word(0);
  std::string text;
  if (shell == "bash") text = bash_completion(everyday_manual());
  if (shell == "zsh") text = zsh_completion(everyday_manual());
  if (shell == "fish") text = fish_completion(everyday_manual());
  if (text.empty()) {
    return Error(Code::kInvalid, "no completions for " + quote(shell))
        .hint("there are: bash, zsh, fish");
  }
  TRY(sys::write_all(STDOUT_FILENO, text));
  return 0;
}

}  // namespace vrun::cli
