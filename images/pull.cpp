#include "images/pull.hpp"

#include <array>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "images/platform.hpp"

namespace vrun::images {
namespace {

constexpr const char* kProgram = "vrun-image";

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (std::string& word : words)
    out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

// With our stderr and stdin; stdout goes nowhere. `report` keeps its number.
Result<Pid> start(const std::string& helper, std::vector<std::string> argv, const Host& host,
                  int report) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  // dup2 onto itself takes close-on-exec away (glibc 2.29).
  ::posix_spawn_file_actions_adddup2(&actions, report, report);
  std::vector<std::string> env = host.env;
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, helper.c_str(), &actions, nullptr, pointers(argv).data(),
                                  pointers(env).data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return Error::system(error, "run " + quote(helper));
  return Pid(pid);
}

}  // namespace

Result<PullPolicy> parse_pull_policy(std::string_view text) {
  if (text.empty() || text == "missing") return PullPolicy::kMissing;
  if (text == "always") return PullPolicy::kAlways;
  if (text == "never") return PullPolicy::kNever;
  return Error(Code::kInvalid, "--pull " + quote(text) + ": should be always, missing or never");
}

Result<void> pull_images(TransferRequest request, const std::string& helper, const Host& host) {
  constexpr std::size_t kReportBytes = 1U << 20U;
  const Fd report = TRY(sys::memfd("report"));
  request.report_fd = report.get();
  const Pid pid = TRY(start(helper, {kProgram, "pull", to_json(request)}, host, report.get()));
  const Fd pidfd = TRY(sys::pidfd_open(pid));
  const sys::Exit exit = TRY(sys::wait(pidfd.get()));
  if (exit.code() == 0) return {};
  std::string text(kReportBytes, '\0');
  const ssize_t n = ::pread(report.get(), text.data(), text.size(), 0);
  if (n > 0) return error_from_json(std::string_view(text).substr(0, static_cast<std::size_t>(n)));
  const std::string how = exit.signaled ? "was killed by signal " : "ended with status ";
  return Error(Code::kInternal, "vrun-image " + how + std::to_string(exit.value));
}

Result<void> pull_by_policy(PullPolicy policy, bool is_here, TransferRequest request,
                            const std::string& helper, const Host& host) {
  if (policy == PullPolicy::kAlways) return pull_images(std::move(request), helper, host);
  if (is_here) return {};
  if (policy == PullPolicy::kMissing) return pull_images(std::move(request), helper, host);
  const std::string image = request.images.empty() ? "" : request.images.front();
  return Error(Code::kNotFound,
               "no such image " + quote(image) + ", and --pull never forbids to fetch it")
      .hint("`vrun pull " + printable(image) + "` fetches it");
}

Result<Image> obtain(const Catalog& catalog, PullPolicy policy, TransferRequest request,
                     const std::string& helper, const Host& host) {
  if (request.images.size() != 1) return Error(Code::kInternal, "obtain one image");
  const std::string name = request.images.front();
  Result<Image> here = catalog.find(name);
  if (!here && here.error().code() != Code::kNotFound) return here;
  bool fits = here.has_value();
  if (here && !request.platform.empty()) {
    const oci::Platform wanted = TRY(parse_platform(request.platform));
    fits = here->config.architecture == wanted.architecture;
  }
  // The catalog knows the names that are near.
  if (!here && policy == PullPolicy::kNever) return here;
  if (fits && policy != PullPolicy::kAlways) return here;
  if (here && TRY(catalog.is_shipped(name))) {
    if (fits) return here;  // nothing newer is anywhere
    return Error(Code::kNotFound, "image " + quote(name) + " came with vrun, for linux/" +
                                      printable(here->config.architecture) + " only")
        .hint("vrun pull a whole name, such as docker.io/library/" + printable(name) +
              ", for another one");
  }
  TRY(pull_by_policy(policy, fits, std::move(request), helper, host));
  return catalog.find(name);
}

Error become_transfer(std::string_view verb, const TransferRequest& request,
                      const std::string& helper, const Host& host) {
  std::vector<std::string> argv{kProgram, std::string(verb), to_json(request)};
  std::vector<std::string> env = host.env;
  ::execve(helper.c_str(), pointers(argv).data(), pointers(env).data());
  return Error::system(errno, "run " + quote(helper));
}

}  // namespace vrun::images
