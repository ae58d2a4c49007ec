#include "runtime/checkpoint.hpp"

#include <unistd.h>

#include "base/fs.hpp"
#include "base/text.hpp"

namespace vrun::runtime {
namespace {

Result<std::string> find_criu(const Context& context, const CriuOptions& options) {
  const std::string name = options.criu.empty() ? "criu" : options.criu;
  if (name.find('/') != std::string::npos) {
    if (::access(name.c_str(), X_OK) == 0) return name;
  } else {
    for (const std::string_view dir : split(context.host.variable("PATH"), ':')) {
      std::string path = fs::join(dir, name);
      if (::access(path.c_str(), X_OK) == 0) return path;
    }
  }
  return Error(Code::kUnsupported, "criu is not installed").hint("install it: apt install criu");
}

}  // namespace

Result<void> checkpoint(const Context& context, const CheckpointOptions& options) {
  TRY(find_criu(context, options.criu));
  return Error(Code::kUnsupported, "this build has no vrun-criu");
}

Result<int> restore(const Context& context, const RestoreOptions& options) {
  TRY(find_criu(context, options.criu));
  return Error(Code::kUnsupported, "this build has no vrun-criu");
}

}  // namespace vrun::runtime
