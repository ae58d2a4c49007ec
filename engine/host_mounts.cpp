#include "engine/host_mounts.hpp"

#include <algorithm>

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::engine {
namespace {

bool has(const oci::Mount& mount, const char* option) {
  return std::find(mount.options.begin(), mount.options.end(), option) != mount.options.end();
}

// Are there mounts of the host below it that come along?
Result<bool> has_mounts_below(const Fd& source, const oci::Mount& mount) {
  if (!has(mount, "rbind")) return false;
  constexpr std::size_t kMostBytes = 64U << 20U;
  const std::string top =
      TRY(sys::read_link(At::cwd(), "/proc/self/fd/" + std::to_string(source.get())));
  const std::string table = TRY(fs::read_file(At::cwd(), "/proc/self/mountinfo", kMostBytes));
  for (const std::string_view line : split(table, '\n')) {
    const auto words = split(line, ' ');  // proc_pid_mountinfo(5): the fifth is where it is
    if (words.size() > 4 && words[4].starts_with(top == "/" ? top : top + "/")) return true;
  }
  return false;
}

// Nothing set-user-id can be left where this guest cannot write, or where the host ignores it.
Result<bool> is_harmless(const Fd& source, const oci::Mount& mount) {
  if (has(mount, "rro")) return true;
  struct statvfs fs {};
  if (::fstatvfs(source.get(), &fs) != 0)
    return Error::system(errno, "look at the file system of " + quote(mount.source));
  const bool held = has(mount, "ro") || (fs.f_flag & (ST_NOSUID | ST_RDONLY)) != 0;
  return held && !TRY(has_mounts_below(source, mount));
}

// The ids of `inside`, as far as they are of the guest, on the disk: its 0 is `root`, the others
// follow the tenant's first.
std::vector<oci::IdMapping> on_disk(const std::vector<oci::IdMapping>& inside, std::uint32_t root,
                                    const tenants::IdBlock& ids) {
  const bool own = root >= ids.first && root < ids.first + ids.count;
  // The host's root is somebody outside of the guest: without an id in the mount nobody could write
  // where it owns, or its group does, whatever the mode (Linux, HAS_UNMAPPED_ID of fs/namei.c).
  constexpr std::uint32_t kNobody = 65534;
  std::vector<oci::IdMapping> maps{{.container_id = 0, .host_id = kNobody, .size = 1}};
  for (oci::IdMapping map : inside) {
    if (map.container_id == 0 && !own) {
      maps.push_back({.container_id = root, .host_id = map.host_id, .size = 1});
      ++map.container_id, ++map.host_id, --map.size;
    }
    if (map.size == 0) continue;
    map.container_id += static_cast<std::uint32_t>(ids.first);
    maps.push_back(map);
  }
  return maps;
}

}  // namespace

Result<void> keep_owners(const tenants::Tenant& tenant, const Fd& source, const oci::Spec& spec,
                         oci::Mount& mount) {
  const bool mapped = has(mount, "ridmap") || has(mount, "idmap") || !mount.uid_mappings.empty();
  const auto& uids = mount.uid_mappings.empty() ? spec.linux.uid_mappings : mount.uid_mappings;
  const auto& gids = mount.gid_mappings.empty() ? spec.linux.gid_mappings : mount.gid_mappings;
  // Without a mapping what it writes has ids of the tenant; without a user namespace, which root
  // allows by name, its root is root.
  if (!mapped || uids.empty() || gids.empty() || tenant.ids.empty()) return {};
  if (TRY(is_harmless(source, mount))) return {};
  const struct stat top = TRY(sys::stat(source.get()));
  const tenants::IdBlock& ids = tenant.ids.front();
  const auto own = static_cast<std::uint32_t>(ids.first);
  std::vector<oci::IdMapping> new_uids = on_disk(uids, top.st_uid == 0 ? own : top.st_uid, ids);
  std::vector<oci::IdMapping> new_gids = on_disk(gids, top.st_gid == 0 ? own : top.st_gid, ids);
  mount.uid_mappings = std::move(new_uids);
  mount.gid_mappings = std::move(new_gids);
  if (top.st_uid == 0 && (top.st_mode & S_IWOTH) == 0) {
    log::warning(quote(mount.source) +
                 " belongs to root, so the guest may not write there: give it to a user (chown), "
                 "or mount its file system nosuid; with :ro it reads what root may read");
  }
  return {};
}

}  // namespace vrun::engine
