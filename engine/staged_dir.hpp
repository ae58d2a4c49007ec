// Directories in the making beside a tenant's guests, on their file system and in their budget:
// what becomes a snapshot, a rolled-back or an imported guest.
//
//   data/guests/TENANT/.staged-PURPOSE-RANDOM/   flock held by the command that makes it
//
// No guest's name begins with a dot. One whose lock is free was left by a killed command: the sweep
// of guests (guest_dir.hpp) removes it.
#pragma once

#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

// Removed on drop, with everything in it.
class StagedDir {
 public:
  static Result<StagedDir> create(const Guests& guests, std::string_view purpose);
  StagedDir(StagedDir&& other) noexcept;
  StagedDir(const StagedDir&) = delete;
  StagedDir& operator=(const StagedDir&) = delete;
  StagedDir& operator=(StagedDir&&) = delete;
  ~StagedDir();

  const Fd& dir() const { return dir_; }
  const std::string& path() const { return path_; }
  // A new directory in it, mode 0755 whatever our umask: a guest's "/" or a volume's.
  Result<Fd> make(const std::string& name);
  // Contents reach the disk, then it gets its name in `at`: Code::kExists when that is taken. From
  // then on it stays.
  Result<void> publish(const Fd& at, const std::string& name);

 private:
  StagedDir(Fd parent, Fd dir, std::string path, std::string name)
      : parent_(std::move(parent)),
        dir_(std::move(dir)),
        path_(std::move(path)),
        name_(std::move(name)) {}
  Fd parent_, dir_;
  std::string path_, name_;
  bool armed_ = true;
};

// Out of sight at once, then removed: `at`/`name`, which is on the guests' file system.
// Code::kState when somebody uses it (flock).
Result<void> remove_aside(const Guests& guests, const Fd& at, const std::string& name);

}  // namespace vrun::engine
