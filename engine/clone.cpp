#include "engine/clone.hpp"

#include <algorithm>
#include <optional>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"
#include "engine/disk.hpp"
#include "engine/events.hpp"
#include "engine/guest_dir.hpp"
#include "engine/guest_files.hpp"
#include "engine/guest_life.hpp"
#include "engine/guest_network.hpp"
#include "engine/guest_setup.hpp"
#include "engine/guest_start.hpp"
#include "engine/guest_volumes.hpp"
#include "engine/held_signals.hpp"
#include "engine/policies.hpp"
#include "engine/saved_machine.hpp"
#include "engine/snapshots.hpp"
#include "engine/still_guest.hpp"
#include "engine/tenant_entry.hpp"
#include "engine/tenant_policy.hpp"
#include "engine/tree_copy.hpp"
#include "engine/volume_store.hpp"
#include "engine/volumes.hpp"
#include "network/wishes.hpp"

namespace vrun::engine {
namespace {

constexpr const char* kMadeVolumes = "made-volumes";
constexpr std::size_t kListBytes = 1U << 20U;
constexpr std::uint64_t kInside = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

// ---- the configuration ----

bool has_fixed_port(const std::string& publish) {
  const Result<network::Publish> port = network::parse_publish(publish);
  return port && port->host_port != 0;
}

// "web:ip=10.1.2.3,alias=db" without what only one guest can have.
std::string without_addresses(const std::string& text, std::vector<std::string>& left_out) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos || text.starts_with("container:")) return text;
  std::vector<std::string> kept;
  for (const std::string_view option : split(std::string_view(text).substr(colon + 1), ',')) {
    const bool own =
        option.starts_with("ip=") || option.starts_with("ip6=") || option.starts_with("mac=");
    if (own) {
      left_out.push_back("--network " + text.substr(0, colon) + ":" + std::string(option));
    } else {
      kept.emplace_back(option);
    }
  }
  return kept.empty() ? text.substr(0, colon) : text.substr(0, colon + 1) + join(kept, ",");
}

void take_or_leave(const char* flag, const std::string& wished, std::string& value,
                   std::vector<std::string>& left_out) {
  if (wished.empty() && !value.empty()) left_out.push_back(std::string(flag) + " " + value);
  value = wished;
}

// What two guests cannot both have. vrun's own labels say what else belongs to the source.
std::vector<std::string> make_its_own(RunRequest& request, const CloneWish& wish) {
  std::vector<std::string> left_out;
  request.name = wish.name;
  request.hostname = wish.hostname;
  request.cidfile.clear();
  take_or_leave("--ip", wish.ip, request.ip, left_out);
  take_or_leave("--ip6", wish.ip6, request.ip6, left_out);
  take_or_leave("--mac-address", wish.mac_address, request.mac_address, left_out);
  request.network = without_addresses(request.network, left_out);
  for (std::string& network : request.more_networks)
    network = without_addresses(network, left_out);
  std::erase_if(request.publish, [&](const std::string& one) {
    if (!has_fixed_port(one)) return false;
    if (wish.publish.empty()) left_out.push_back("--publish " + one);
    return true;
  });
  request.publish.insert(request.publish.end(), wish.publish.begin(), wish.publish.end());
  std::erase_if(request.labels, [](const std::string& one) { return one.starts_with("vrun."); });
  request.labels.insert(request.labels.end(), wish.labels.begin(), wish.labels.end());
  return left_out;
}

void warn_of_left_out(const std::vector<std::string>& left_out) {
  if (left_out.empty()) return;
  log::warning("not copied, since two guests cannot have it: " + join(left_out, ", ") +
               "; give the clone its own with --publish, --ip, --ip6, --mac-address");
}

// ---- volumes ----

// "old:/data" and "type=volume,source=old,target=/data" with the new name.
std::string renamed_in_volume(const std::string& text, const std::string& from,
                              const std::string& to) {
  return text.starts_with(from + ":") ? to + text.substr(from.size()) : text;
}

std::string renamed_in_mount(const std::string& text, const std::string& from,
                             const std::string& to) {
  const Result<AskedMount> asked = parse_mount(text);
  if (!asked || !asked->is_volume || asked->volume != from) return text;
  std::vector<std::string> parts;
  for (const std::string_view part : split(text, ',')) {
    const bool source = part == "source=" + from || part == "src=" + from;
    parts.push_back(source ? "source=" + to : std::string(part));
  }
  return join(parts, ",");
}

std::string own_volume_name(const std::string& guest, const std::string& volume) {
  return guest + "-" + volume;
}

// The source's volume at the same place.
const VolumeUse* source_of(const VolumeUse& use, const std::vector<VolumeUse>& sources) {
  const auto found = std::find_if(sources.begin(), sources.end(),
                                  [&](const VolumeUse& one) { return one.target == use.target; });
  return found == sources.end() ? nullptr : &*found;
}

// Where the files come from: a guest that stands still, or a snapshot.
struct Source {
  std::optional<StillGuest> still;
  std::optional<OpenSnapshot> snapshot;

  const GuestRecord& record() const { return still ? still->record() : snapshot->record; }
  const Fd& dir() const { return still ? still->dir() : snapshot->dir; }
  // None when a snapshot was made without it.
  Result<Fd> open_volume(const Guests& guests, const std::string& name) const {
    if (still) {
      return sys::open_dir(At::cwd(), volume_data(guests.places(), guests.tenant(), name));
    }
    const auto& volumes = snapshot->facts.volumes;
    for (std::size_t i = 0; i < volumes.size(); ++i) {
      if (volumes[i].name == name) {
        return sys::open_dir(snapshot->dir, "volumes/" + std::to_string(i));
      }
    }
    log::warning("volume " + quote(name) + " is not in the snapshot: the clone's begins empty");
    return Fd();
  }
};

Result<void> copy_volume(const Guests& guests, const Source& source, const std::string& from_name,
                         const VolumeUse& use) {
  const Fd from = TRY(source.open_volume(guests, from_name));
  if (!from) return {};
  const Fd volume = TRY(lock_volume(guests, use.name));
  const Fd to = TRY(sys::open_dir(volume, "data"));
  TRY(copy_tree_exactly(from, to));
  return {};
}

Result<void> copy_volumes(const Guests& guests, const Source& source, const GuestRecord& clone,
                          CloneVolumes how) {
  if (how == CloneVolumes::kEmpty) return {};
  for (const VolumeUse& use : clone.volumes) {
    const VolumeUse* from = source_of(use, source.record().volumes);
    if (from == nullptr || from->name == use.name) continue;  // shared
    Result<void> copied = copy_volume(guests, source, from->name, use);
    if (!copied) return std::move(copied).error().during("volume " + quote(from->name));
  }
  return {};
}

Result<std::vector<std::string>> names_to_make(const Guests& guests, const Source& source,
                                               const GuestRecord& clone) {
  std::vector<std::string> names;
  for (const VolumeUse& use : clone.volumes) {
    const VolumeUse* from = source_of(use, source.record().volumes);
    const bool shared = from != nullptr && from->name == use.name;
    if (use.anonymous || shared) continue;
    if (find_volume(guests, use.name)) {
      return Error(Code::kExists, "volume " + quote(use.name) + " already exists")
          .hint("give the clone another name, or remove the volume: vrun volume rm " + use.name);
    }
    names.push_back(use.name);
  }
  return names;
}

// ---- the new guest ----

Result<GuestRecord> record_of_clone(const Guests& guests, const Source& source,
                                    const oci::ImageConfig& image, CloneWish wish) {
  const GuestRecord& from = source.record();
  if (wish.name.empty()) wish.name = make_guest_name(from.image);
  TRY(check_guest_name(wish.name));
  GuestRecord record;
  record.id = make_guest_id();
  record.name = wish.name;
  record.tenant = guests.tenant();
  record.image = from.image;
  record.manifest_digest = from.manifest_digest;
  record.created = now_text();
  record.request = from.request;
  warn_of_left_out(make_its_own(record.request, wish));
  if (wish.volumes != CloneVolumes::kShare) {
    rename_volumes(record.request, record.name, from.volumes);
  }
  TRY(settle_volumes(image, record));
  return record;
}

// As for a guest of `create`: a tenant's policy may have changed since the source was made.
Result<void> check_clone(const Guests& guests, const oci::ImageConfig& image,
                         const GuestRecord& record) {
  TRY(check_network(record.request));
  TRY(check_policies(record.request));
  TRY(check_wishes(guests, record.request));
  const GuestFacts facts = TRY(read_facts(record, guests));
  return check_guest(guests, image, record.request, facts);
}

Result<CreatedGuest> make_guest(const Guests& guests, const oci::ImageConfig& image,
                                GuestRecord record) {
  const Fd admission = TRY(admit_guest(guests, record.request));
  GuestDir dir = TRY(GuestDir::create(guests.places().guests(guests.tenant()), record));
  TRY(dir.make_startable(oci::to_json(image)));
  return CreatedGuest{std::move(record), std::move(dir)};
}

Result<void> fill_clone(const Guests& guests, const Source& source, const CreatedGuest& created,
                        CloneVolumes volumes) {
  const Fd from = TRY(sys::open_dir(source.dir(), "upper"));
  const Fd to = TRY(sys::open_dir(created.dir.dir(), "upper"));
  TRY(copy_tree_exactly(from, to));
  TRY(forget_identity(to));
  const auto names = TRY(names_to_make(guests, source, created.record));
  TRY(note_made_volumes(created.dir.dir(), names));
  TRY(make_volumes(guests, created.record));
  TRY(copy_volumes(guests, source, created.record, volumes));
  if (source.still) TRY(source.still->check(guests));
  return {};
}

Result<void> sync_disk(const Fd& dir) {
  if (::syncfs(dir.get()) == 0) return {};
  return Error::system(errno, "write the guest");
}

Result<Source> open_source(const Guests& guests, const GuestRecord& record,
                           const std::string& snapshot) {
  Source source;
  if (snapshot.empty()) {
    source.still.emplace(TRY(StillGuest::begin(guests, record)));
  } else {
    source.snapshot.emplace(TRY(open_snapshot(guests, record, snapshot)));
  }
  return source;
}

Result<void> check_machine(const Source& source) {
  if (source.snapshot && source.snapshot->facts.machine) return {};
  const std::string& guest = source.record().name;
  return Error(Code::kInvalid, source.snapshot
                                   ? "snapshot " + quote(source.snapshot->facts.name) +
                                         " of guest " + quote(guest) + " has no machine"
                                   : "no snapshot of guest " + quote(guest) + " is named")
      .hint("`vrun vm snapshot " + guest + "` makes one, and GUEST@SNAPSHOT names it");
}

// Emptied, not removed: what a layer below has under the name must not show up.
Result<void> clear_file(const Fd& upper, const std::string& path) {
  const Result<Fd> file = sys::open2(upper, path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK, kInside);
  if (!file) return {};
  const struct stat st = TRY(sys::stat(file->get()));
  if (!S_ISREG(st.st_mode) || st.st_size == 0) return {};
  if (::ftruncate(file->get(), 0) == 0) return {};
  return Error::system(errno, "clear " + quote("/" + path));
}

}  // namespace

void rename_volumes(RunRequest& request, const std::string& guest,
                    const std::vector<VolumeUse>& volumes) {
  for (const VolumeUse& use : volumes) {
    if (use.anonymous) continue;
    const std::string own = own_volume_name(guest, use.name);
    for (std::string& text : request.volumes)
      text = renamed_in_volume(text, use.name, own);
    for (std::string& text : request.mounts)
      text = renamed_in_mount(text, use.name, own);
  }
}

Result<CloneVolumes> parse_clone_volumes(std::string_view text) {
  if (text.empty() || text == "copy") return CloneVolumes::kCopy;
  if (text == "share") return CloneVolumes::kShare;
  if (text == "empty") return CloneVolumes::kEmpty;
  return Error(Code::kInvalid, "--volumes " + quote(text) + ": unknown")
      .hint("there are: copy, share, empty");
}

Result<void> forget_identity(const Fd& upper) {
  TRY(clear_file(upper, "etc/machine-id"));
  TRY(clear_file(upper, "var/lib/systemd/random-seed"));
  // D-Bus wants one that is whole or none: systemd's own is as good (dbus-uuidgen(1)).
  const Result<Fd> dbus = sys::open2(upper, "var/lib/dbus", O_RDONLY | O_DIRECTORY, kInside);
  if (!dbus) return {};
  const Result<struct stat> st = sys::stat(*dbus, "machine-id", AT_SYMLINK_NOFOLLOW);
  if (!st || !S_ISREG(st->st_mode)) return {};
  TRY(sys::unlink(*dbus, "machine-id"));
  return sys::make_symlink("/etc/machine-id", *dbus, "machine-id");
}

Result<void> note_made_volumes(const Fd& guest_dir, const std::vector<std::string>& names) {
  if (names.empty()) return {};
  return fs::replace_file(guest_dir, kMadeVolumes, join(names, "\n") + "\n");
}

void drop_made_volumes(const Guests& guests, const Fd& guest_dir, const std::string& guest) {
  const Result<std::string> text =
      fs::read_file(guest_dir, kMadeVolumes, kListBytes, fs::Kind::kRegularOnly);
  if (!text) return;
  for (const std::string_view name : split(*text, '\n')) {
    if (is_volume_name(name)) static_cast<void>(remove_volume(guests, name, guest));
  }
}

Result<GuestRecord> clone_guest(const Guests& guests, const GuestRecord& source_record,
                                const std::string& snapshot, CloneWish wish) {
  TRY(refuse_for_disk(source_record.request, "clone"));
  if (!wish.name.empty()) TRY(check_guest_name(wish.name));
  TRY(enter_tenant(guests));
  const CloneVolumes volumes = wish.volumes;
  const bool machine = wish.machine;
  const HeldSignals held;
  const images::Store store = TRY(images::Store::open(guests.places().data));
  const Fd in_use = TRY(store.use());  // the layers stay until the new record names them
  std::optional<Source> source(TRY(open_source(guests, source_record, snapshot)));
  const Fd image_dir = TRY(sys::open_dir(At::cwd(), guests.path_of(source_record)));
  if (machine) TRY(check_machine(*source));
  const oci::ImageConfig image = TRY(read_image_config(image_dir));
  GuestRecord record = TRY(record_of_clone(guests, *source, image, std::move(wish)));
  TRY(check_clone(guests, image, record));
  CreatedGuest created = TRY(make_guest(guests, image, std::move(record)));
  Undo undo([&] {
    drop_made_volumes(guests, created.dir.dir(), created.record.name);
    static_cast<void>(remove_own_volumes(guests, created.record));
  });
  TRY(fill_clone(guests, *source, created, volumes));
  if (machine) TRY(link_saved_machine(source->dir(), created.dir.dir()));
  source.reset();  // the source goes on
  TRY(sync_disk(created.dir.dir()));
  record = created.record;
  TRY(mark_kept(created.dir.dir()));
  created.dir.keep();
  undo.commit();
  static_cast<void>(sys::unlink(created.dir.dir(), kMadeVolumes));
  note_event(guests.places(), record, "create", {{"from", source_record.name}});
  return record;
}

void remove_failed_clone(const Guests& guests, const GuestRecord& clone, CloneVolumes volumes) {
  static_cast<void>(remove_guest(guests, clone, Force::kYes, OwnVolumes::kRemove));
  if (volumes == CloneVolumes::kShare) return;
  for (const VolumeUse& use : clone.volumes) {
    if (!use.anonymous) static_cast<void>(remove_volume(guests, use.name, clone.name));
  }
}

}  // namespace vrun::engine
