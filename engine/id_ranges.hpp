// Which ids outside belong to which guest: 65536 for each, never shared by two live guests.
//
// A range in use is a link in one directory (run/ids), named by its first id, to the guest's
// directory: a link to nowhere is nobody's. Everything happens under a lock of that directory, so
// any number of commands may allocate at once. Files on disk keep the image's own ids, so a range
// needs no memory beyond the guest's life.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

inline constexpr std::uint32_t kIdsPerGuest = 65536;

// Where ranges are taken from, and what lies inside but belongs to somebody else.
struct IdSpace {
  // systemd's range for containers: 524288 to 1879048191 (systemd.io, UIDS-GIDS).
  std::uint64_t first = 524288;
  std::uint64_t end = 1879048192;
  struct Taken {
    std::uint64_t first, end;
  };
  std::vector<Taken> taken;

  // From the texts of /etc/subuid and /etc/subgid: ranges of other users are avoided; a line
  // "vrun:START:COUNT" in both gives the space itself.
  static IdSpace from_subid(std::string_view subuid, std::string_view subgid);
  bool is_free(std::uint64_t start) const;
};

// A guest's range; given back on drop unless keep() was called.
class IdRange {
 public:
  // `owner`: the absolute path of the guest's directory, which must exist for as long as the range
  // is used.
  static Result<IdRange> allocate(const std::string& dir, const IdSpace& space,
                                  const std::string& owner);
  // The range that begins at `start`, if it still is the owner's (a restart) or nobody's (the first
  // start after a boot); else another one. 0: any.
  static Result<IdRange> take(const std::string& dir, const IdSpace& space,
                              const std::string& owner, std::uint32_t start);
  // The range that allocate() would give now, for a dry run.
  static Result<std::uint32_t> next_free(const std::string& dir, const IdSpace& space);
  // All ids of our user namespace, which guests without root share; nothing is noted.
  static IdRange whole(std::vector<oci::IdMapping> ids);
  IdRange(IdRange&& other) noexcept;
  IdRange(const IdRange&) = delete;
  IdRange& operator=(const IdRange&) = delete;
  IdRange& operator=(IdRange&&) = delete;
  ~IdRange();

  std::uint32_t start() const { return start_; }
  std::vector<oci::IdMapping> mapping() const;
  void keep() { armed_ = false; }
  // Gives it back now. Always before the owner's directory goes: from then on anybody may hand the
  // range to another guest, whose file we would remove.
  void release();

 private:
  IdRange(Fd dir, std::uint32_t start) : dir_(std::move(dir)), start_(start) {}
  Fd dir_;
  std::uint32_t start_;
  std::vector<oci::IdMapping> whole_;
  bool armed_ = true;
};

// Gives back one that was kept, when its owner is removed.
Result<void> release_range(const std::string& dir, std::uint32_t start, const std::string& owner);
// Does `rename`, which gives the owner's directory the name `owner`, and notes it: nobody looks in
// between.
Result<void> rename_owner(const std::string& dir, std::uint32_t start, const std::string& owner,
                          const std::function<Result<void>()>& rename);

// Gives back the ranges whose owner's directory is gone (their command died).
Result<void> release_orphaned_ranges(const std::string& dir);

}  // namespace vrun::engine
