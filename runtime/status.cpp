#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "base/halves.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "runtime/container.hpp"
#include "runtime/record.hpp"

namespace vrun::runtime {
namespace {

// A container that was created and not started waits at its gate. The socket of one that was
// started is gone; if `start` was killed before it could remove it, nobody listens there.
bool waits_at_gate(At root, const std::string& gate) {
  if (::faccessat(root.get(), gate.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) return false;
  const Result<Fd> probe = sys::connect_packets(root, gate);
  return probe.has_value() || probe.error().sys_errno() == EAGAIN;
}

// `gate`: its path from `at`.
Status status_of(const Record& record, At at, const std::string& gate,
                 const cgroups::FrozenLook& groups) {
  if (!open_marked(record.process)) return Status::kStopped;
  if (waits_at_gate(at, gate)) return Status::kCreated;
  const Result<bool> frozen = groups.is_frozen(record.cgroup);
  return frozen && *frozen ? Status::kPaused : Status::kRunning;
}

Info info_of(const Record& record, const std::string& id, Status status) {
  Info info;
  info.id = id;
  info.status = status;
  if (status != Status::kStopped) info.pid = record.process.pid;
  info.bundle = record.bundle;
  info.rootfs = record.rootfs;
  info.created = record.created;
  info.owner = Uid(record.owner);
  info.annotations = record.annotations;
  return info;
}

// A damaged container is listed as stopped, a folder that holds none not at all.
std::optional<Info> look_at(const Context& context, const Fd& root, const std::string& id,
                            const cgroups::FrozenLook& groups) {
  const Result<Record> record = read_state(root, id);
  if (record) return info_of(*record, id, status_of(*record, root, id + "/" + kGateName, groups));
  const Result<Folder> folder = Folder::open(context.root, id, Folder::Lock::kNone);
  if (!folder) return std::nullopt;  // not a container, or removed a moment ago
  const Result<Folder::Loaded> loaded = folder->load();
  if (!loaded) return std::nullopt;
  Result<Info> info = read_info(*folder, *loaded, context.host);
  if (!info) return std::nullopt;
  return *std::move(info);
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
  if (!loaded.complete) {
    Info info = info_of(loaded.record, folder.id(), Status::kStopped);
    info.owner = Uid(TRY(sys::stat(folder.dir().get())).st_uid);
    return info;
  }
  const cgroups::FrozenLook groups(host);
  return info_of(loaded.record, folder.id(),
                 status_of(loaded.record, folder.dir(), kGateName, groups));
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
  const cgroups::FrozenLook groups(context.host);
  std::vector<std::string> names = TRY(sys::list_dir(root->get()));
  std::sort(names.begin(), names.end());
  std::vector<std::optional<Info>> found(names.size());
  for_each_half(names.size(), [&](std::size_t first, std::size_t end) {
    for (std::size_t i = first; i < end; ++i)
      found[i] = look_at(context, *root, names[i], groups);
  });
  for (std::optional<Info>& info : found) {
    if (info) infos.push_back(*std::move(info));
  }
  return infos;
}

}  // namespace vrun::runtime
