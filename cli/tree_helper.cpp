#include "cli/tree_helper.hpp"

#include <cerrno>

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/helper.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"

namespace vrun::cli {

Result<std::array<Fd, 2>> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Error::system(errno, "pipe");
  return std::array<Fd, 2>{Fd(ends[0]), Fd(ends[1])};
}

Result<Fd> start_tree_helper(const char* verb, const images::TreeRequest& request, const Fd& mine,
                             int as) {
  const std::string helper = TRY(helper_path("vrun-image"));
  std::string json = to_json(request), name = verb, program = "vrun-image";
  std::array<char*, 4> argv{program.data(), name.data(), json.data(), nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  const Undo destroy([&] { ::posix_spawn_file_actions_destroy(&actions); });
  ::posix_spawn_file_actions_adddup2(&actions, mine.get(), as);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, helper.c_str(), &actions, nullptr, argv.data(), environ);
  if (error != 0) return Error::system(error, "run " + quote(helper));
  return sys::pidfd_open(Pid(pid));
}

Result<tenants::CallerCopy> describe_source(const std::string& path, bool follow) {
  const std::string clean = fs::clean(path);
  const bool contents = path == "." || path.ends_with("/.");
  const bool whole = clean == "/" || clean == "." || clean.ends_with("..");
  const bool as_directory = contents || whole || path.ends_with('/');
  const struct stat facts =
      TRY(sys::stat(At::cwd(), path, follow || as_directory ? 0 : AT_SYMLINK_NOFOLLOW));
  tenants::CallerCopy copy;
  if (!contents && !whole) copy.name = fs::base_name(clean);
  copy.directory = S_ISDIR(facts.st_mode);
  return copy;
}

}  // namespace vrun::cli
