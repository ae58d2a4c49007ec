// The state folder of one container: ROOT/ID, mode 0700.
//
// - intent: a link whose text is written first, before anything is made: id and cgroup, so that
//   `delete --force` finds what to undo after kill -9 at any moment.
// - group: a link that says that the cgroup was made, by us.
// - config.json: the config as it was at create. exec takes capabilities, seccomp and user from it.
// - state.json: made when the container exists: its process, bundle, cgroup. A link whose text it
// is
//   (one system call reads it), or a file where it is longer than a link can be.
// - gate: the start gate (a unix socket); gone once the container was started.
//
// The folder itself carries the lock (flock). Removing the folder ends the container's existence.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/id.hpp"
#include "base/result.hpp"
#include "cgroups/group.hpp"
#include "runtime/container.hpp"
#include "runtime/process_mark.hpp"

namespace vrun::runtime {

struct Record {
  std::uint32_t version = 1;
  std::string id;
  std::string bundle, rootfs, created;
  ProcessMark process;
  std::uint32_t owner = 0;  // who made the container
  cgroups::Location cgroup;
  std::string closid;  // intelRdt group that is ours to remove
  bool own_closid = false;
  bool rootless = false;
  std::map<std::string, std::string> annotations;
};

std::string to_json(const Record& record);
Result<Record> parse_record(std::string_view json, std::string_view name);

// The folder of a container that is being made: removed on drop unless commit() was called.
class NewFolder {
 public:
  // Fails with kExists if the id is taken. The folder is locked.
  static Result<NewFolder> create(const std::string& root, const ContainerId& id);
  NewFolder(NewFolder&& other) noexcept;
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;
  NewFolder& operator=(NewFolder&&) = delete;
  ~NewFolder();

  const Fd& dir() const { return dir_; }
  void commit() { armed_ = false; }
  void unlock() const;

 private:
  NewFolder(Fd root, Fd dir, std::string id)
      : root_(std::move(root)), dir_(std::move(dir)), id_(std::move(id)) {}
  Fd root_, dir_;
  std::string id_;
  bool armed_ = true;
};

// An existing container's folder.
class Folder {
 public:
  enum class Lock { kNone, kExclusive, kTry };
  // "container ID does not exist" when there is none; with kTry the errno EWOULDBLOCK when another
  // command holds the lock.
  static Result<Folder> open(const std::string& root, const std::string& id, Lock lock);

  const Fd& dir() const { return dir_; }
  // state.json; when it is missing or damaged: the intent with pid 0 (`complete` is false then).
  struct Loaded {
    Record record;
    bool complete = true;
    bool group_made = true;
  };
  Result<Loaded> load() const;
  Result<oci::Spec> load_config() const;
  const std::string& id() const { return id_; }
  // Does some command hold the lock right now? Asked by one that does not.
  bool is_locked() const;
  void unlock() const;
  // Removes the folder. The caller holds the lock.
  Result<void> remove();

 private:
  Folder(Fd root, Fd dir, std::string id)
      : root_(std::move(root)), dir_(std::move(dir)), id_(std::move(id)) {}
  Fd root_, dir_;
  std::string id_;
};

Result<void> write_intent(const Fd& dir, const Record& record);
// Since the clone comes after this mark, a group of a folder without it holds no process of ours.
Result<void> mark_group_made(const Fd& dir);
Result<void> write_config(const Fd& dir, std::string_view config);
// Two halves, so that the slow one runs beside the stage's work: prepare writes the bytes, publish
// renames.
Result<void> prepare_state(const Fd& dir, const Record& record);
Result<void> publish_state(const Fd& dir);

// state.json of the container `id` of an opened root.
Result<Record> read_state(const Fd& root, const std::string& id);

// Status, pid and the rest as `state` shows them; asks the kernel whether the process lives.
Result<Info> read_info(const Folder& folder, const Folder::Loaded& loaded, const Host& host);

inline constexpr const char* kGateName = "gate";

}  // namespace vrun::runtime
