#include "cgroups/apply.hpp"

#include <cerrno>

#include "base/fs.hpp"
#include "base/text.hpp"

namespace vrun::cgroups {
namespace {

constexpr std::size_t kMaxFile = 1U << 20U;

Error explain(const Write& write, int sys_errno) {
  Error error = Error::system(sys_errno, "write " + quote(write.value) + " to " + write.file);
  if (sys_errno == EACCES || sys_errno == EPERM) {
    return std::move(error)
        .at(write.where)
        .hint(
            "the cgroup is not delegated to this user; see Delegate= in "
            "systemd.resource-control(5)");
  }
  if (sys_errno == EBUSY && write.file.starts_with("memory.")) {
    return std::move(error).at(write.where).hint("the group uses more than that already");
  }
  return std::move(error).at(write.where);
}

enum class Outcome { kDone, kLater };

Result<Outcome> write_one(const Write& write, const Target& target, bool last_try) {
  int directory = TRY(target.directory(write.controller));
  int sys_errno = ENOENT;
  if (directory >= 0) {
    Result<void> written = fs::write_value(At::borrowed(directory), write.file, write.value);
    if (written) return Outcome::kDone;
    sys_errno = written.error().sys_errno();
  }
  if (sys_errno == EINVAL && write.retry_last && !last_try) return Outcome::kLater;
  if (sys_errno != ENOENT) return explain(write, sys_errno);
  if (write.lifts) return Outcome::kDone;
  return target.missing(write);
}

}  // namespace

Result<void> write_limits(const std::vector<Write>& writes, const Target& target) {
  std::vector<const Write*> later;
  for (const Write& write : writes) {
    if (TRY(write_one(write, target, false)) == Outcome::kLater) later.push_back(&write);
  }
  for (const Write* write : later)
    TRY(write_one(*write, target, true));
  return {};
}

Reader reader_of(const Target& target) {
  return [target](std::string_view controller, const std::string& file) -> Result<std::string> {
    int directory = TRY(target.directory(std::string(controller)));
    if (directory < 0) {
      return target.missing({std::string(controller), file, "", "linux.resources"});
    }
    return fs::read_file(At::borrowed(directory), file, kMaxFile);
  };
}

}  // namespace vrun::cgroups
