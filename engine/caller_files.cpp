#include "engine/caller_files.hpp"

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::engine {

bool is_brokered(const Host& host) {
  return !host.variable("VRUN_FIXED_TENANT").empty();
}

void keep_caller_files(const Host& host) {
  if (is_brokered(host) && !host.variable("VRUN_CALLER_FILES").empty())
    static_cast<void>(sys::set_inheritable(kCallerFilesFd, false));
}

Result<tenants::CallerFiles> caller_files(const Host& host) {
  if (!is_brokered(host) || host.variable("VRUN_CALLER_FILES").empty())
    return tenants::CallerFiles();
  return tenants::read_caller_files(kCallerFilesFd);
}

Result<std::string> read_caller_file(const Host& host, const std::string& path, std::size_t most) {
  if (!is_brokered(host)) return fs::read_file(At::cwd(), path, most, fs::Kind::kRegularOnly);
  const tenants::CallerFiles sent = TRY(caller_files(host));
  for (const tenants::CallerFile& file : sent.files) {
    if (file.asked != path || file.name != path) continue;
    if (file.text.size() <= most) return file.text;
    return Error(Code::kInvalid, "file " + quote(path) + ": too large");
  }
  return Error(Code::kDenied, "file " + quote(path) + " was not sent by the caller, and root " +
                                  "opens none for others")
      .hint("name it on the command line, or let root do it");
}

Result<std::vector<std::string>> caller_environment(const Host& host) {
  if (!is_brokered(host)) return host.env;
  return TRY(caller_files(host)).env;
}

}  // namespace vrun::engine
