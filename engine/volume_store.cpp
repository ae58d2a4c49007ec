#include "engine/volume_store.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.hpp"
#include "base/fs.hpp"
#include "base/json_table.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/events.hpp"
#include "engine/volumes.hpp"

namespace vrun::engine {

constexpr auto json_fields(const Volume*) {
  using json::field;
  return json::fields(field("version", &Volume::version, {.min = 1, .max = 1, .required = true}),
                      field("name", &Volume::name, {.required = true, .non_empty = true}),
                      field("tenant", &Volume::tenant, {.required = true}),
                      field("created", &Volume::created), field("labels", &Volume::labels),
                      field("anonymous", &Volume::anonymous));
}

namespace {

constexpr std::size_t kRecordBytes = 1U << 20U;
constexpr std::size_t kGuestRecordBytes = 4U << 20U;
constexpr const char* kRecord = "volume.json";
// No name a volume can have.
constexpr std::string_view kMaking = ".making-";
constexpr std::string_view kRemoving = ".removing-";

std::string tenant_dir(const Guests& guests) {
  return guests.places().volumes(guests.tenant());
}

// The tenant's directory, locked; empty when there is none yet.
struct Shelf {
  Fd dir, lock;
};
Result<std::optional<Shelf>> open_shelf(const Guests& guests) {
  Result<Fd> dir = sys::open_dir(At::cwd(), tenant_dir(guests));
  if (!dir && dir.error().code() == Code::kNotFound) return std::optional<Shelf>();
  if (!dir) return std::move(dir).error();
  Fd lock = TRY(sys::open_dir(At::cwd(), tenant_dir(guests)));
  TRY(sys::lock(lock.get(), LOCK_EX, "volumes"));
  return std::optional(Shelf{*std::move(dir), std::move(lock)});
}

bool is_there(const Fd& dir, const std::string& name) {
  return sys::stat(dir, name, AT_SYMLINK_NOFOLLOW).has_value();
}

Result<void> fill(const Fd& dir, const Volume& volume) {
  TRY(sys::make_dir(dir, "data", 0755));
  const Fd data = TRY(sys::open_dir(dir, "data"));
  TRY(sys::chmod(data.get(), 0755));  // whatever our umask
  return fs::replace_file(dir, kRecord, to_json(volume));
}

// The shelf is locked: the name is free, and what has a temporary name was left by the dead.
Result<void> make(const Fd& shelf, const Volume& volume) {
  const std::string making = std::string(kMaking) + volume.name;
  TRY(fs::remove_tree(shelf, making));
  TRY(sys::make_dir(shelf, making, 0700));
  Result<void> filled = fill(TRY(sys::open_dir(shelf, making)), volume);
  if (filled) return sys::rename(shelf, making, shelf, volume.name);
  static_cast<void>(fs::remove_tree(shelf, making));
  return std::move(filled).error().during("make volume " + quote(volume.name));
}

// Out of sight at once; the lock on what goes keeps sweeps of others away from it.
Result<Fd> hide(const Fd& shelf, const std::string& name) {
  Fd going = TRY(sys::open(shelf, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY(sys::lock(going.get(), LOCK_EX, "volume " + quote(name)));
  TRY(sys::rename(shelf, name, shelf, std::string(kRemoving) + name));
  return going;
}

Result<Volume> read_volume(const Fd& shelf, const std::string& name) {
  const std::string text =
      TRY(fs::read_file(shelf, name + "/" + kRecord, kRecordBytes, fs::Kind::kRegularOnly));
  return parse_volume_record(text, "volume " + name);
}

// Empty when a guest went away or changed its name meanwhile: then another look is needed.
Result<std::optional<VolumeUsers>> look_for_users(const Guests& guests) {
  const std::string path = guests.places().guests(guests.tenant());
  VolumeUsers users;
  const Result<Fd> dir = sys::open_dir(At::cwd(), path);
  if (!dir) return std::optional(users);
  for (const std::string& name : TRY(sys::list_dir(dir->get()))) {
    if (name.starts_with('.')) continue;
    const std::string file = name + "/guest.json";
    Result<std::string> text = fs::read_file(*dir, file, kGuestRecordBytes, fs::Kind::kRegularOnly);
    if (!text && text.error().code() == Code::kNotFound) {
      if (!is_there(*dir, name)) return std::optional<VolumeUsers>();
      continue;  // being made: it asks for its volumes after its record is there
    }
    if (!text) return std::move(text).error();
    const GuestRecord record = TRY(parse_guest_record(*text, fs::join(path, file)));
    for (const VolumeUse& use : record.volumes)
      users[use.name].push_back(record.name);
  }
  return std::optional(std::move(users));
}

std::vector<std::string> without(std::vector<std::string> names, std::string_view one) {
  std::erase(names, one);
  return names;
}

Error unknown(std::string_view wanted, const std::vector<Volume>& all) {
  Error error(Code::kNotFound, "no such volume " + quote(wanted.substr(0, 80)));
  std::vector<std::string_view> names;
  for (const Volume& volume : all)
    names.emplace_back(volume.name);
  const auto near = nearest(wanted, names);
  if (near) return std::move(error).hint("did you mean " + std::string(*near) + "?");
  return std::move(error).hint("`vrun volume ls` lists the volumes");
}

bool is_prunable(const Volume& volume, const VolumeUsers& users, const VolumePrune& rule) {
  if (users.contains(volume.name) || (!rule.named && !volume.anonymous)) return false;
  return std::all_of(rule.labels.begin(), rule.labels.end(),
                     [&](const std::string& label) { return volume.has_label(label); });
}

Result<std::vector<Volume>> list_in(const Fd& shelf) {
  std::vector<Volume> all;
  for (const std::string& name : TRY(sys::list_dir(shelf.get()))) {
    if (!is_volume_name(name)) continue;
    Result<Volume> volume = read_volume(shelf, name);
    if (volume) {
      all.push_back(*std::move(volume));
    } else if (volume.error().code() != Code::kNotFound) {  // else: removed while we looked
      log::warning(std::move(volume).error().text());
    }
  }
  std::sort(all.begin(), all.end(),
            [](const Volume& a, const Volume& b) { return a.name < b.name; });
  return all;
}

}  // namespace

bool Volume::has_label(std::string_view wanted) const {
  return std::any_of(labels.begin(), labels.end(), [&](const std::string& label) {
    return label == wanted || std::string_view(label).substr(0, label.find('=')) == wanted;
  });
}

std::string to_json(const Volume& volume) {
  return json::write(volume, json::Style::kTabs) + "\n";
}

Result<Volume> parse_volume_record(std::string_view json, std::string_view name) {
  return json::read<Volume>(json, name);
}

std::string volume_dir(const Places& places, const std::string& tenant, const std::string& name) {
  return fs::join(places.volumes(tenant), name);
}

std::string volume_data(const Places& places, const std::string& tenant, const std::string& name) {
  return volume_dir(places, tenant, name) + "/data";
}

std::string make_volume_name() {
  return make_guest_id();
}

Result<void> make_volume(const Guests& guests, Volume volume) {
  volume.tenant = guests.tenant();
  volume.created = now_text();
  TRY(fs::make_dirs(At::cwd(), tenant_dir(guests), 0700));
  const std::optional<Shelf> shelf = TRY(open_shelf(guests));
  if (!shelf) return Error::system(ENOENT, "open " + quote(tenant_dir(guests)));
  if (is_there(shelf->dir, volume.name)) return {};
  TRY(make(shelf->dir, volume));
  note_volume(guests, volume.name, "create");
  return {};
}

Result<void> relabel_volume(const Guests& guests, const std::string& name,
                            std::vector<std::string> labels) {
  const std::optional<Shelf> shelf = TRY(open_shelf(guests));
  if (!shelf) return unknown(name, {});
  Volume volume = TRY(read_volume(shelf->dir, name));
  volume.labels = std::move(labels);
  return fs::replace_file(TRY(sys::open_dir(shelf->dir, name)), kRecord, to_json(volume));
}

Result<std::vector<Volume>> list_volumes(const Guests& guests) {
  Result<Fd> dir = sys::open_dir(At::cwd(), tenant_dir(guests));
  if (dir) return list_in(*dir);
  if (dir.error().code() == Code::kNotFound) return std::vector<Volume>();
  return std::move(dir).error();
}

Result<Volume> find_volume(const Guests& guests, std::string_view name) {
  std::vector<Volume> all = TRY(list_volumes(guests));
  for (Volume& volume : all) {
    if (volume.name == name) return std::move(volume);
  }
  return unknown(name, all);
}

Result<VolumeUsers> volume_users(const Guests& guests) {
  constexpr int kMostLooks = 100;
  for (int look = 0; look < kMostLooks; ++look) {
    std::optional<VolumeUsers> users = TRY(look_for_users(guests));
    if (users) return *std::move(users);
  }
  return Error(Code::kState, "guests come and go too fast to see who uses which volume")
      .hint("try again");
}

Result<void> remove_volume(const Guests& guests, std::string_view name, std::string_view but_for) {
  Fd going;
  Fd dir;
  {
    std::optional<Shelf> shelf = TRY(open_shelf(guests));
    if (!shelf || !is_volume_name(name) || !is_there(shelf->dir, std::string(name)))
      return unknown(name, shelf ? TRY(list_in(shelf->dir)) : std::vector<Volume>());
    const VolumeUsers users = TRY(volume_users(guests));
    const auto found = users.find(name);
    const auto others =
        found == users.end() ? std::vector<std::string>() : without(found->second, but_for);
    if (!others.empty()) {
      return Error(Code::kState,
                   "volume " + quote(name) + " is used by guest " + join(others, ", "))
          .hint("remove the guests first: vrun rm " + join(others, " "));
    }
    going = TRY(hide(shelf->dir, std::string(name)));
    dir = std::move(shelf->dir);
  }
  note_volume(guests, std::string(name), "destroy");
  return fs::remove_tree(dir, std::string(kRemoving) + std::string(name));
}

Result<std::vector<std::string>> prune_volumes(const Guests& guests, const VolumePrune& rule) {
  std::vector<std::string> names;
  const VolumeUsers users = TRY(volume_users(guests));
  for (const Volume& volume : TRY(list_volumes(guests))) {
    if (!is_prunable(volume, users, rule)) continue;
    if (!rule.dry_run) {
      Result<void> removed = remove_volume(guests, volume.name);
      const bool taken = !removed && (removed.error().code() == Code::kState ||
                                      removed.error().code() == Code::kNotFound);
      if (taken) continue;  // somebody was faster: a guest, or another prune
      if (!removed) return std::move(removed).error();
    }
    names.push_back(volume.name);
  }
  return names;
}

Result<void> sweep_volumes(const Guests& guests) {
  std::vector<std::pair<std::string, Fd>> dead;
  Fd dir;
  {
    Result<Fd> looked = sys::open_dir(At::cwd(), tenant_dir(guests));
    if (!looked) return {};
    const auto names = TRY(sys::list_dir(looked->get()));
    const bool clean = std::none_of(names.begin(), names.end(),
                                    [](const std::string& name) { return name[0] == '.'; });
    if (clean) return {};
    std::optional<Shelf> shelf = TRY(open_shelf(guests));
    if (!shelf) return {};
    dir = std::move(shelf->dir);
    for (const std::string& name : TRY(sys::list_dir(dir.get()))) {
      if (!name.starts_with('.')) continue;
      Result<Fd> one = sys::open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (one && ::flock(one->get(), LOCK_EX | LOCK_NB) == 0)
        dead.emplace_back(name, *std::move(one));
    }
  }
  for (const auto& [name, lock] : dead)
    TRY(fs::remove_tree(dir, name));
  return {};
}

Result<Fd> lock_volume(const Guests& guests, const std::string& name) {
  Fd dir = TRY(sys::open_dir(At::cwd(), volume_dir(guests.places(), guests.tenant(), name)));
  TRY(sys::lock(dir.get(), LOCK_EX, "volume " + quote(name)));
  return dir;
}

}  // namespace vrun::engine
