#include "engine/guest_volumes.hpp"

#include <algorithm>
#include <set>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include "base/fs.hpp"
#include "base/helper.hpp"
#include "base/log.hpp"
#include "base/spawn.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/volume_store.hpp"
#include "engine/volumes.hpp"
#include "images/layers.hpp"
#include "images/tree_request.hpp"

namespace vrun::engine {
namespace {

constexpr const char* kIncoming = "incoming";
constexpr const char* kComplete = "complete";

bool has_option(const oci::Mount& mount, std::string_view option) {
  return std::find(mount.options.begin(), mount.options.end(), option) != mount.options.end();
}

}  // namespace

VolumeUse use_of(const AskedMount& asked) {
  VolumeUse use;
  use.name = asked.volume.empty() ? make_volume_name() : asked.volume;
  use.target = asked.mount.destination;
  use.anonymous = asked.volume.empty();
  use.read_only = has_option(asked.mount, "rro");
  use.no_id_map = !has_option(asked.mount, "ridmap");
  use.no_copy = !asked.copy;
  return use;
}

namespace {

// The place of each mount that a flag asks for, and the volumes among them.
class Settling {
 public:
  explicit Settling(GuestRecord& record) : record_(record) {}

  Result<void> take(const std::string& flag, Result<AskedMount> parsed) {
    const AskedMount asked = TRY(std::move(parsed));
    TRY(take_place(flag, asked.mount.destination));
    if (asked.is_volume) record_.volumes.push_back(use_of(asked));
    return {};
  }
  Result<void> take_place(const std::string& flag, const std::string& target) {
    if (taken_.insert(target).second) return {};
    return Error(Code::kInvalid,
                 flag + ": something else is mounted at " + quote(target) + " already")
        .hint("one flag for each place inside");
  }
  void take_of_image(const std::string& path) {
    const std::string target = fs::clean(path);
    if (!target.starts_with('/') || target == "/" || !taken_.insert(target).second) return;
    AskedMount asked;
    asked.mount = bind_of("", target, false, true);
    record_.volumes.push_back(use_of(asked));
  }

 private:
  GuestRecord& record_;
  std::set<std::string> taken_;
};

std::vector<images::IdShift> to_shifts(const std::vector<oci::IdMapping>& ids) {
  std::vector<images::IdShift> shifts;
  for (const oci::IdMapping& one : ids)
    shifts.push_back({one.container_id, one.host_id, one.size});
  return shifts;
}

std::uint32_t inside_of(std::uint32_t outside, const std::vector<oci::IdMapping>& ids) {
  for (const oci::IdMapping& one : ids) {
    if (outside >= one.host_id && outside - one.host_id < one.size)
      return outside - one.host_id + one.container_id;
  }
  return 0;
}

// A place inside the guest's root; empty when it is no directory there.
Result<Fd> open_place(const Fd& root, const std::string& target) {
  Result<Fd> place = sys::open2(root, target.substr(1), O_PATH | O_DIRECTORY,
                                RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (place) return place;
  const int why = place.error().sys_errno();
  if (why == ENOENT || why == ENOTDIR) return Fd();
  return place;
}

// By vrun-image: it holds whoever made the files to what a tar can say.
Result<void> copy_tree(const Fd& root, const std::string& from, const std::string& to,
                       const std::vector<oci::IdMapping>& ids, const Host& host) {
  const Fd shown = TRY(sys::duplicate(root.get()));
  images::TreeRequest request;
  request.root = shown.get();
  request.path = from + "/.";
  request.file = to;
  request.ids = to_shifts(ids);
  request.keep_owners = true;
  Command command;
  command.path = TRY(helper_path("vrun-image"));
  command.argv = {"vrun-image", "copy-out", to_json(request)};
  command.env = host.env;
  command.keep = {shown.get()};
  const Finished finished = TRY(run(command));
  if (finished.exit.code() == 0) return {};
  return images::from_report(finished.output, finished.exit.code());
}

// The copy is whole: into its place, and again from here where this was killed.
Result<void> move_in(const Fd& volume, const Fd& data) {
  const Fd complete = TRY(sys::open_dir(volume, kComplete));
  const struct stat st = TRY(sys::stat(complete.get()));
  TRY(sys::chown(volume, "data", Uid(st.st_uid), Gid(st.st_gid)));
  TRY(sys::chmod(data.get(), st.st_mode & 07777U));
  for (const std::string& name : TRY(sys::list_dir(complete.get())))
    TRY(sys::rename(complete, name, data, name));
  return sys::remove_dir(volume, kComplete);
}

Result<void> bring(const Fd& volume, const Fd& place, const Fd& root, const VolumeUse& use,
                   const std::string& path, const std::vector<oci::IdMapping>& ids,
                   const Host& host) {
  TRY(sys::make_dir(volume, kIncoming, 0700));
  const struct stat st = TRY(sys::stat(place.get()));
  TRY(copy_tree(root, use.target, path + "/" + kIncoming, ids, host));
  TRY(sys::chown(volume, kIncoming, Uid(inside_of(st.st_uid, ids)),
                 Gid(inside_of(st.st_gid, ids))));
  const Fd incoming = TRY(sys::open_dir(volume, kIncoming));
  TRY(sys::chmod(incoming.get(), st.st_mode & 07777U));
  return sys::rename(volume, kIncoming, volume, kComplete);
}

Result<void> fill_one(const Guests& guests, const VolumeUse& use, const Fd& root,
                      const std::vector<oci::IdMapping>& ids) {
  const Fd volume = TRY(lock_volume(guests, use.name));
  const Fd data = TRY(sys::open_dir(volume, "data"));
  if (sys::stat(volume, kComplete, AT_SYMLINK_NOFOLLOW)) return move_in(volume, data);
  TRY(fs::remove_tree(volume, kIncoming));
  if (use.no_copy || !TRY(sys::list_dir(data.get())).empty()) return {};
  const Fd place = TRY(open_place(root, use.target));
  if (!place) return {};
  const std::string path = volume_dir(guests.places(), guests.tenant(), use.name);
  TRY(bring(volume, place, root, use, path, ids, guests.host()));
  return move_in(volume, data);
}

// The flag that asked for a mount at this place.
std::string flag_for(const std::string& target, const GuestRecord& record) {
  const RunRequest& request = record.request;
  const auto is_it = [&](const Result<AskedMount>& asked) {
    return asked && asked->mount.destination == target;
  };
  for (const std::string& text : request.volumes) {
    if (is_it(parse_volume(text, "/"))) return "--volume " + quote(text);
  }
  for (const std::string& text : request.mounts) {
    if (is_it(parse_mount(text))) return "--mount " + quote(text);
  }
  for (const std::string& text : request.tmpfs) {
    const Result<oci::Mount> mount = parse_tmpfs(text);
    if (mount && mount->destination == target) return "--tmpfs " + quote(text);
  }
  for (const VolumeUse& use : record.volumes) {
    if (use.target == target) return "the volume that the image declares at " + quote(target);
  }
  for (const std::string& text : request.devices) {
    const auto parts = split(text, ':');
    const std::string inside(parts.size() > 1 && parts[1].starts_with('/') ? parts[1] : parts[0]);
    if (fs::clean(inside) == target) return "--device " + quote(text);
  }
  return {};
}

}  // namespace

Error in_flag_words(Error error, const oci::Spec& spec, const GuestRecord& record) {
  constexpr std::string_view kMounts = "mounts[";
  const std::string_view where = error.where();
  if (!where.starts_with(kMounts)) return error;
  const auto digits = where.substr(kMounts.size());
  const auto index = parse_u64(digits.substr(0, digits.find(']')));
  if (!index || *index >= spec.mounts.size()) return error;
  const std::string flag = flag_for(spec.mounts[*index].destination, record);
  if (flag.empty()) return error;
  return std::move(error).at_instead(flag);
}

Result<void> settle_volumes(const oci::ImageConfig& image, GuestRecord& record) {
  Settling settling(record);
  record.volumes.clear();
  for (const std::string& text : record.request.volumes)
    TRY(settling.take("--volume " + quote(text), parse_volume(text, "/")));
  for (const std::string& text : record.request.mounts)
    TRY(settling.take("--mount " + quote(text), parse_mount(text)));
  for (const std::string& text : record.request.tmpfs) {
    const oci::Mount mount = TRY(parse_tmpfs(text));
    TRY(settling.take_place("--tmpfs " + quote(text), mount.destination));
  }
  for (const std::string& path : image.volumes)
    settling.take_of_image(path);
  return {};
}

Result<void> make_volumes(const Guests& guests, const GuestRecord& record) {
  for (const VolumeUse& use : record.volumes) {
    Volume volume;
    volume.name = use.name;
    volume.anonymous = use.anonymous;
    TRY(make_volume(guests, std::move(volume)));
  }
  return {};
}

std::vector<oci::Mount> volume_mounts(const Guests& guests, const GuestRecord& record) {
  std::vector<oci::Mount> mounts;
  for (const VolumeUse& use : record.volumes) {
    mounts.push_back(bind_of(volume_data(guests.places(), guests.tenant(), use.name), use.target,
                             use.read_only, !use.no_id_map));
  }
  return mounts;
}

Result<void> fill_volumes(const Guests& guests, const GuestRecord& record, const Fd& root,
                          const std::vector<oci::IdMapping>& ids) {
  for (const VolumeUse& use : record.volumes) {
    Result<void> filled = fill_one(guests, use, root, ids);
    if (!filled)
      return std::move(filled).error().during("fill volume " + quote(use.name) + " from " +
                                              quote(use.target) + " of the image");
  }
  return {};
}

std::vector<std::string> mount_points(const GuestRecord& record) {
  std::vector<std::string> places{"/proc",      "/sys",          "/dev",
                                  "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"};
  for (const VolumeUse& use : record.volumes)
    places.push_back(use.target);
  const auto take = [&](const Result<AskedMount>& asked) {
    if (asked) places.push_back(asked->mount.destination);
  };
  for (const std::string& text : record.request.volumes)
    take(parse_volume(text, "/"));
  for (const std::string& text : record.request.mounts)
    take(parse_mount(text));
  for (const std::string& text : record.request.tmpfs) {
    const Result<oci::Mount> mount = parse_tmpfs(text);
    if (mount) places.push_back(mount->destination);
  }
  return places;
}

Result<void> remove_own_volumes(const Guests& guests, const GuestRecord& record) {
  for (const VolumeUse& use : record.volumes) {
    if (!use.anonymous) continue;
    Result<void> removed = remove_volume(guests, use.name, record.name);
    const bool settled = removed || removed.error().code() == Code::kNotFound ||
                         removed.error().code() == Code::kState;  // another guest has it by now
    if (!settled) return std::move(removed).error();
  }
  return {};
}

}  // namespace vrun::engine
