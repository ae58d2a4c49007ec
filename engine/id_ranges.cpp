#include "engine/id_ranges.hpp"

#include <algorithm>
#include <cerrno>
#include <set>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::engine {
namespace {

constexpr std::string_view kOwnName = "vrun";

struct SubidLine {
  std::string_view name;
  std::uint64_t first, end;
};

// Lines that make no sense are passed over, as newuidmap(1) does.
std::vector<SubidLine> parse_subid(std::string_view text) {
  std::vector<SubidLine> lines;
  for (const std::string_view line : split(text, '\n')) {
    const auto fields = split(trim(line), ':');
    if (fields.size() != 3) continue;
    const auto start = parse_u64(fields[1]);
    const auto count = parse_u64(fields[2]);
    if (!start || !count || *start > 0xFFFFFFFFU || *count > 0xFFFFFFFFU) continue;
    lines.push_back({fields[0], *start, *start + *count});
  }
  return lines;
}

// Both files must give us the ids; of several lines the first counts.
void take_own(IdSpace& space, const std::vector<SubidLine>& uids,
              const std::vector<SubidLine>& gids) {
  const auto is_own = [](const SubidLine& line) { return line.name == kOwnName; };
  const auto uid = std::find_if(uids.begin(), uids.end(), is_own);
  const auto gid = std::find_if(gids.begin(), gids.end(), is_own);
  if (uid == uids.end() || gid == gids.end()) return;
  space.first = std::max(uid->first, gid->first);
  space.end = std::min(uid->end, gid->end);
}

Result<Fd> open_locked(const std::string& dir) {
  TRY(fs::make_dirs(At::cwd(), dir, 0700));
  Fd ranges = TRY(sys::open_dir(At::cwd(), dir));
  TRY(sys::lock(ranges.get(), LOCK_EX, "id ranges"));
  return ranges;
}

Result<std::set<std::uint64_t>> starts_in_use(const Fd& dir) {
  std::set<std::uint64_t> starts;
  for (const std::string& name : TRY(sys::list_dir(dir.get()))) {
    if (const auto start = parse_u64(name)) starts.insert(*start);
  }
  return starts;
}

Error no_free_range(const IdSpace& space, std::size_t used) {
  return Error(Code::kState, "no free range of " + std::to_string(kIdsPerGuest) + " ids between " +
                                 std::to_string(space.first) + " and " + std::to_string(space.end) +
                                 ": " + std::to_string(used) + " guests hold one")
      .hint(
          "stop guests, or give a larger range in lines vrun:START:COUNT of /etc/subuid and "
          "/etc/subgid");
}

// All spaces share one grid, so that ranges of different spaces cannot overlap in part.
std::uint64_t on_grid(std::uint64_t id) {
  return (id + kIdsPerGuest - 1) / kIdsPerGuest * kIdsPerGuest;
}

Result<std::uint32_t> find_free_among(const std::set<std::uint64_t>& used, const IdSpace& space) {
  for (std::uint64_t start = on_grid(space.first); start + kIdsPerGuest <= space.end;
       start += kIdsPerGuest) {
    if (!used.contains(start) && space.is_free(start)) return static_cast<std::uint32_t>(start);
  }
  return no_free_range(space, used.size());
}

Result<std::uint32_t> find_free(const Fd& dir, const IdSpace& space) {
  const std::set<std::uint64_t> used = TRY(starts_in_use(dir));
  return find_free_among(used, space);
}

// Empty: nobody.
std::string owner_of(const Fd& ranges, std::uint64_t start) {
  return sys::read_link(ranges, std::to_string(start)).value_or("");
}

}  // namespace

IdSpace IdSpace::from_subid(std::string_view subuid, std::string_view subgid) {
  IdSpace space;
  const auto uids = parse_subid(subuid);
  const auto gids = parse_subid(subgid);
  take_own(space, uids, gids);
  for (const auto* lines : {&uids, &gids}) {
    for (const SubidLine& line : *lines) {
      if (line.name != kOwnName) space.taken.push_back({line.first, line.end});
    }
  }
  return space;
}

bool IdSpace::is_free(std::uint64_t start) const {
  return std::none_of(taken.begin(), taken.end(), [start](const Taken& other) {
    return start < other.end && other.first < start + kIdsPerGuest;
  });
}

Result<IdRange> IdRange::allocate(const std::string& dir, const IdSpace& space,
                                  const std::string& owner) {
  return take(dir, space, owner, 0);
}

Result<IdRange> IdRange::take(const std::string& dir, const IdSpace& space,
                              const std::string& owner, std::uint32_t start) {
  const Fd ranges = TRY(open_locked(dir));
  Fd unlocked = TRY(sys::open_dir(ranges, "."));  // the lock ends with this function
  if (start != 0 && owner_of(ranges, start) == owner) return IdRange(std::move(unlocked), start);
  const std::set<std::uint64_t> used = TRY(starts_in_use(ranges));
  const bool nobodys = start != 0 && start % kIdsPerGuest == 0 && !used.contains(start) &&
                       space.is_free(start) && start >= space.first &&
                       start + std::uint64_t{kIdsPerGuest} <= space.end;
  if (!nobodys) start = TRY(find_free_among(used, space));
  const std::string name = std::to_string(start);
  TRY(sys::make_symlink(owner, ranges, name));
  return IdRange(std::move(unlocked), start);
}

Result<std::uint32_t> IdRange::next_free(const std::string& dir, const IdSpace& space) {
  Result<Fd> ranges = sys::open_dir(At::cwd(), dir);
  if (!ranges && ranges.error().code() == Code::kNotFound) return find_free_among({}, space);
  if (!ranges) return std::move(ranges).error();
  return find_free(*ranges, space);
}

IdRange IdRange::whole(std::vector<oci::IdMapping> ids) {
  IdRange range(Fd(), 0);
  range.whole_ = std::move(ids);
  range.armed_ = false;
  return range;
}

IdRange::IdRange(IdRange&& other) noexcept
    : dir_(std::move(other.dir_)),
      start_(other.start_),
      whole_(std::move(other.whole_)),
      armed_(std::exchange(other.armed_, false)) {}

IdRange::~IdRange() {
  release();
}

void IdRange::release() {
  if (!std::exchange(armed_, false)) return;
  static_cast<void>(sys::unlink(dir_, std::to_string(start_)));
}

std::vector<oci::IdMapping> IdRange::mapping() const {
  if (!whole_.empty()) return whole_;
  return {{.container_id = 0, .host_id = start_, .size = kIdsPerGuest}};
}

Result<void> release_range(const std::string& dir, std::uint32_t start, const std::string& owner) {
  const Fd ranges = TRY(open_locked(dir));
  if (owner_of(ranges, start) != owner) return {};
  return sys::unlink(ranges, std::to_string(start));
}

Result<void> rename_owner(const std::string& dir, std::uint32_t start, const std::string& owner,
                          const std::function<Result<void>()>& rename) {
  const Fd ranges = TRY(open_locked(dir));
  const bool noted = start != 0 && !owner_of(ranges, start).empty();
  TRY(rename());
  if (!noted) return {};
  const std::string fresh = "." + std::to_string(start);
  static_cast<void>(sys::unlink(ranges, fresh));  // of a command that died here
  TRY(sys::make_symlink(owner, ranges, fresh));
  return sys::rename(ranges, fresh, ranges, std::to_string(start));
}

Result<void> release_orphaned_ranges(const std::string& dir) {
  const Fd ranges = TRY(open_locked(dir));
  for (const std::string& name : TRY(sys::list_dir(ranges.get()))) {
    // One system call for each: this is done before every start.
    const bool dangling = ::faccessat(ranges.get(), name.c_str(), F_OK, 0) != 0 && errno == ENOENT;
    const bool gone = dangling || name.starts_with('.');  // of a rename that was killed
    if (gone) TRY(sys::unlink(ranges, name));
  }
  return {};
}

}  // namespace vrun::engine
