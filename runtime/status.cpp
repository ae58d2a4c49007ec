#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "runtime/container.hpp"
#include "runtime/record.hpp"

namespace vrun::runtime {
namespace {

// A container that was created and not started waits at its gate. The socket of one that was
// started is gone; if `start` was killed before it could remove it, nobody listens there.
bool waits_at_gate(const Folder& folder) {
  if (::faccessat(folder.dir().get(), kGateName, F_OK, AT_SYMLINK_NOFOLLOW) != 0) return false;
  const Result<Fd> probe = sys::connect_unix(folder.dir(), kGateName);
  return probe.has_value() || probe.error().sys_errno() == EAGAIN;
}

Result<Status> status_of(const Folder& folder, const Folder::Loaded& loaded, const Host& host) {
  const Record& record = loaded.record;
  if (!loaded.complete) return Status::kStopped;
  const std::optional<std::uint64_t> start_time = start_time_of(record.pid);
  if (!start_time || *start_time != record.start_time) return Status::kStopped;
  if (waits_at_gate(folder)) return Status::kCreated;
  const Result<std::unique_ptr<cgroups::Group>> group = cgroups::open(record.cgroup, host);
  if (!group) return Status::kRunning;
  const Result<bool> frozen = (*group)->is_frozen();
  return frozen && *frozen ? Status::kPaused : Status::kRunning;
}

}  // namespace

const char* to_text(Status status) {
  switch (status) {
    case Status::kCreating:
      return "creating";
    case Status::kCreated:
      return "created";
    case Status::kRunning:
      return "running";
    case Status::kPaused:
      return "paused";
    case Status::kStopped:
      return "stopped";
  }
  return "unknown";
}

Result<Info> read_info(const Folder& folder, const Folder::Loaded& loaded, const Host& host) {
  Info info;
  info.id = folder.id();
  info.status = TRY(status_of(folder, loaded, host));
  if (info.status != Status::kStopped) info.pid = loaded.record.pid;
  info.bundle = loaded.record.bundle;
  info.rootfs = loaded.record.rootfs;
  info.created = loaded.record.created;
  info.owner = Uid(TRY(sys::stat(folder.dir().get())).st_uid);
  info.annotations = loaded.record.annotations;
  return info;
}

oci::State to_state(const Info& info) {
  oci::State state;
  state.id = info.id;
  state.status = to_text(info.status);
  state.pid = info.pid.value;
  state.bundle = info.bundle;
  state.annotations = info.annotations;
  return state;
}

Result<Info> state(const Context& context, const std::string& id) {
  const Folder folder = TRY(Folder::open(context.root, id, Folder::Lock::kNone));
  Folder::Loaded loaded = TRY(folder.load());
  Info info = TRY(read_info(folder, loaded, context.host));
  if (loaded.complete) return info;
  // No state: its maker is at work, or was killed at it.
  if (folder.is_locked()) {
    info.status = Status::kCreating;
    return info;
  }
  // It may have been finished or removed between the two looks: look again with nobody at work.
  const Folder settled = TRY(Folder::open(context.root, id, Folder::Lock::kExclusive));
  loaded = TRY(settled.load());
  if (loaded.complete) return read_info(settled, loaded, context.host);
  return Error(Code::kState,
               "container " + quote(id) + ": its state is damaged or was never completed")
      .hint("delete --force removes it and what it left");
}

Result<std::vector<Info>> list(const Context& context) {
  std::vector<Info> infos;
  Result<Fd> root = sys::open(At::cwd(), context.root, O_RDONLY | O_DIRECTORY);
  if (!root && root.error().sys_errno() == ENOENT) return infos;
  if (!root) return std::move(root).error();
  std::vector<std::string> names = TRY(sys::list_dir(root->get()));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const Result<Folder> folder = Folder::open(context.root, name, Folder::Lock::kNone);
    if (!folder) continue;  // not a container, or removed a moment ago
    const Result<Folder::Loaded> loaded = folder->load();
    if (!loaded) continue;
    Result<Info> info = read_info(*folder, *loaded, context.host);
    if (info) infos.push_back(*std::move(info));
  }
  return infos;
}

}  // namespace vrun::runtime
