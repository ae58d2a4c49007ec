#include "engine/guest_archive.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "base/fs.hpp"
#include "base/helper.hpp"
#include "base/json_table.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"
#include "engine/clone.hpp"
#include "engine/disk.hpp"
#include "engine/events.hpp"
#include "engine/guest_dir.hpp"
#include "engine/guest_network.hpp"
#include "engine/guest_setup.hpp"
#include "engine/guest_volumes.hpp"
#include "engine/policies.hpp"
#include "engine/snapshots.hpp"
#include "engine/still_guest.hpp"
#include "engine/tenant_entry.hpp"
#include "engine/tenant_policy.hpp"
#include "engine/tree_copy.hpp"
#include "engine/volume_store.hpp"
#include "engine/volumes.hpp"
#include "images/archive_request.hpp"
#include "images/catalog.hpp"
#include "images/gc.hpp"
#include "images/tree_request.hpp"

namespace vrun::engine {

struct ArchivedVolume {
  std::string name, target;
  bool operator==(const ArchivedVolume&) const = default;
};

struct ArchiveFacts {
  std::string format = "vrun-guest";
  std::uint32_t version = 1;
  std::string created, architecture, image, manifest;
  bool with_image = false;
  std::vector<ArchivedVolume> volumes;
};

constexpr std::array<std::string_view, 1> kFormats{"vrun-guest"};

constexpr auto json_fields(const ArchivedVolume*) {
  using json::field;
  return json::fields(field("name", &ArchivedVolume::name, {.required = true, .non_empty = true}),
                      field("target", &ArchivedVolume::target, {.required = true}));
}

constexpr auto json_fields(const ArchiveFacts*) {
  using json::field;
  using A = ArchiveFacts;
  return json::fields(
      field("format", &A::format, {.names = kFormats, .required = true}),
      field("version", &A::version, {.min = 1, .max = 1, .required = true}),
      field("created", &A::created), field("architecture", &A::architecture, {.required = true}),
      field("image", &A::image), field("manifest", &A::manifest, {.required = true}),
      field("withImage", &A::with_image), field("volumes", &A::volumes));
}

namespace {

constexpr const char* kFacts = "vrun-guest.json";
constexpr std::size_t kFactsBytes = 1U << 20U;
constexpr std::size_t kRecordBytes = 4U << 20U;
constexpr std::uint64_t kInside = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

// ---- the helper ----

// `in` and `out`: its stdin and stdout; -1: /dev/null and ours. It has said what went wrong.
Result<void> run_helper(const char* verb, std::string json, int in, int out) {
  const std::string helper = TRY(helper_path("vrun-image"));
  std::string name = verb, program = "vrun-image";
  std::array<char*, 4> argv{program.data(), name.data(), json.data(), nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  const Undo destroy([&] { ::posix_spawn_file_actions_destroy(&actions); });
  if (in >= 0) ::posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  if (in < 0) {
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  if (out >= 0) ::posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, helper.c_str(), &actions, nullptr, argv.data(), environ);
  if (error != 0) return Error::system(error, "run " + quote(helper));
  const Fd process = TRY(sys::pidfd_open(Pid(pid)));
  if (TRY(sys::wait(process.get())).code() == 0) return {};
  return Error(Code::kState, "the archive is not whole");
}

// ---- export ----

// What is packed, and what keeps it as it is meanwhile.
struct Cargo {
  GuestRecord record;
  Fd upper;
  std::vector<std::pair<ArchivedVolume, Fd>> volumes;
  std::optional<Picture> picture;
  std::optional<OpenSnapshot> snapshot;
  std::optional<StillGuest> still;
};

Result<void> take_kept(const Fd& dir, const Snapshot& facts, Cargo& cargo) {
  cargo.upper = TRY(sys::open_dir(dir, "upper"));
  for (std::size_t i = 0; i < facts.volumes.size(); ++i) {
    const SnapshotVolume& volume = facts.volumes[i];
    cargo.volumes.emplace_back(ArchivedVolume{volume.name, volume.target},
                               TRY(sys::open_dir(dir, "volumes/" + std::to_string(i))));
  }
  return {};
}

Result<Cargo> load_cargo(const Guests& guests, const GuestRecord& record,
                         const std::string& snapshot) {
  Cargo cargo;
  if (!snapshot.empty()) {
    cargo.snapshot.emplace(TRY(open_snapshot(guests, record, snapshot)));
    cargo.record = cargo.snapshot->record;
    TRY(take_kept(cargo.snapshot->dir, cargo.snapshot->facts, cargo));
    return cargo;
  }
  if (TRY(guests.find(record.name)).runs()) {
    cargo.picture.emplace(
        TRY(take_picture(guests, record, {.name = "", .comment = "", .volumes = true})));
    cargo.record = cargo.picture->record;
    TRY(take_kept(cargo.picture->dir.dir(), cargo.picture->facts, cargo));
    return cargo;
  }
  cargo.still.emplace(TRY(StillGuest::begin(guests, record)));
  cargo.record = cargo.still->record();
  cargo.upper = TRY(sys::open_dir(cargo.still->dir(), "upper"));
  for (const VolumeUse& use : cargo.record.volumes) {
    const std::string path = volume_data(guests.places(), guests.tenant(), use.name);
    Result<Fd> data = sys::open_dir(At::cwd(), path);
    if (!data && data.error().code() == Code::kNotFound) continue;  // made at its next start
    cargo.volumes.emplace_back(ArchivedVolume{use.name, use.target}, TRY(std::move(data)));
  }
  return cargo;
}

class Packing {
 public:
  explicit Packing(const Guests& guests) {
    request_.data_dir = guests.places().data;
    request_.tenant = guests.tenant();
  }
  Result<void> add(const Fd& dir, const std::string& name, const std::string& top) {
    Fd kept = TRY(sys::duplicate(dir.get()));
    TRY(sys::set_inheritable(kept.get(), true));
    request_.parts.push_back({kept.get(), name, top});
    kept_.push_back(std::move(kept));
    return {};
  }
  Result<void> write(int out) const { return run_helper("pack", to_json(request_), -1, out); }

 private:
  images::TreeRequest request_;
  std::vector<Fd> kept_;
};

// An OCI layout without a name: those of another host are not ours to give.
Result<void> add_image(const images::Image& image, const Fd& staged, Packing& packing) {
  TRY(fs::replace_file(staged, "oci-layout", oci::layout_json()));
  oci::Index index;
  oci::Descriptor manifest = image.descriptor;
  manifest.annotations.clear();
  index.manifests.push_back(manifest);
  TRY(fs::replace_file(staged, "index.json", oci::to_json(index)));
  TRY(packing.add(staged, "oci-layout", "image/oci-layout"));
  TRY(packing.add(staged, "index.json", "image/index.json"));
  const Fd blobs = TRY(sys::open_dir(At::cwd(), image.layout_dir + "/blobs/sha256"));
  std::vector<oci::Descriptor> wanted{image.descriptor, image.manifest.config};
  wanted.insert(wanted.end(), image.manifest.layers.begin(), image.manifest.layers.end());
  std::vector<std::string> done;
  for (const oci::Descriptor& blob : wanted) {
    const std::string& hex = blob.digest.hex;
    if (std::find(done.begin(), done.end(), hex) != done.end()) continue;
    if (!sys::stat(blobs, hex, AT_SYMLINK_NOFOLLOW)) {
      return Error(Code::kState, "blob " + blob.digest.str() + " of the image is not here")
          .hint("export without --with-image, and pull the image on the other host");
    }
    TRY(packing.add(blobs, hex, "image/blobs/sha256/" + hex));
    done.push_back(hex);
  }
  return {};
}

// The guest's very image: in the store under any name or none, or shipped with vrun. By digest
// alone nobody gets what another tenant has pulled.
Result<images::Image> image_of(const Guests& guests, const GuestRecord& record) {
  const Places& places = guests.places();
  const images::Catalog catalog(places.images, places.data, guests.tenant());
  Result<images::Image> found = catalog.find(record.manifest_digest);
  if (found || found.error().code() != Code::kNotFound) return found;
  const images::Store store = TRY(images::Store::open(places.data));
  const oci::Digest digest = TRY(oci::Digest::parse(record.manifest_digest));
  const auto users = TRY(images::readable_image_users(places.data, guests.tenant()));
  const bool own = std::any_of(users.begin(), users.end(), [&](const images::ImageUser& user) {
    return user.manifest == digest;
  });
  if (own && store.has_blob(digest)) return images::read_stored(store, digest, record.image);
  return found;
}

// ---- import ----

Result<std::string> read_plain(const Fd& tree, const std::string& name, std::size_t limit) {
  const Fd file = TRY(sys::open2(tree, name, O_RDONLY | O_NONBLOCK, kInside));
  return fs::read_file(At::cwd(), "/proc/self/fd/" + std::to_string(file.get()), limit,
                       fs::Kind::kRegularOnly);
}

struct Stranger {
  ArchiveFacts facts;
  GuestRecord record;
};

Result<Stranger> read_stranger(const Fd& tree) {
  Result<std::string> facts = read_plain(tree, kFacts, kFactsBytes);
  if (!facts) {
    return std::move(facts)
        .error()
        .with_code(Code::kInvalid)
        .hint(
            "only archives of `vrun guest export` can be imported; `vrun import` makes an image of "
            "a "
            "root file system");
  }
  Stranger stranger;
  stranger.facts = TRY(json::read<ArchiveFacts>(*facts, kFacts));
  const std::string text = TRY(read_plain(tree, "guest.json", kRecordBytes));
  stranger.record = TRY(parse_guest_record(text, "guest.json"));
  if (stranger.facts.architecture == images::machine_architecture()) return stranger;
  return Error(Code::kUnsupported,
               "the guest is of architecture " + quote(stranger.facts.architecture.substr(0, 40)) +
                   ", this machine is " + std::string(images::machine_architecture()));
}

Error no_image(const ArchiveFacts& facts) {
  const std::string name = printable(facts.image.substr(0, 200));
  const Result<oci::Reference> reference = oci::Reference::parse(facts.image);
  const std::string whole =
      reference ? reference->domain + "/" + reference->path + "@" + printable(facts.manifest)
                : name;
  return Error(Code::kNotFound, "the guest's image " + quote(facts.image.substr(0, 200)) + " (" +
                                    printable(facts.manifest.substr(0, 80)) + ") is not here")
      .hint("vrun pull " + whole + "; or bring it from the other host: vrun save " + name +
            " | ssh THIS-HOST vrun load; or export with --with-image");
}

// What names a file must be no link: it would lead to the host's.
Result<void> check_layout(const Fd& tree) {
  for (const char* dir : {"image", "image/blobs", "image/blobs/sha256"}) {
    const Fd opened = TRY(sys::open2(tree, dir, O_RDONLY | O_DIRECTORY, kInside));
    for (const std::string& name : TRY(sys::list_dir(opened.get()))) {
      const struct stat st = TRY(sys::stat(opened, name, AT_SYMLINK_NOFOLLOW));
      if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) continue;
      return Error(Code::kInvalid, "image/: " + quote(name.substr(0, 80)) + " is no file");
    }
  }
  return {};
}

Result<images::Image> bring_image(const Guests& guests, const Stranger& stranger,
                                  const StagedDir& staged, const Fd& tree) {
  GuestRecord wanted;
  wanted.image = stranger.facts.image;
  wanted.manifest_digest = TRY(oci::Digest::parse(stranger.facts.manifest)).str();
  Result<images::Image> here = image_of(guests, wanted);
  if (here || here.error().code() != Code::kNotFound) return here;
  if (!stranger.facts.with_image) return no_image(stranger.facts);
  TRY(check_layout(tree));
  images::ArchiveRequest request;
  request.data_dir = guests.places().data;
  request.tenant = guests.tenant();
  request.shipped = guests.places().images;
  request.file = staged.path() + "/tree/image";
  request.quiet = true;
  request.image_limit = TRY(image_limit(guests.places(), guests.tenant(), guests.host()));
  const Fd null = TRY(sys::open(At::cwd(), "/dev/null", O_WRONLY));
  TRY(run_helper("load", to_json(request), -1, null.get()));
  here = image_of(guests, wanted);
  if (here) return here;
  return Error(Code::kInvalid, "the archive has another image than it says");
}

// A new guest of this host; of the stranger's record only what a user could have asked for.
Result<GuestRecord> to_record(const Guests& guests, const images::Image& image,
                              const Stranger& stranger, const GuestImport& wish) {
  GuestRecord record;
  record.id = make_guest_id();
  record.name = wish.name.empty() ? stranger.record.name : wish.name;
  TRY(check_guest_name(record.name));
  record.tenant = guests.tenant();
  record.image = stranger.facts.image;
  record.manifest_digest = image.digest.str();
  record.created = now_text();
  record.request = stranger.record.request;
  record.request.name = record.name;
  record.request.image = record.image;
  record.request.cidfile.clear();
  std::erase_if(record.request.labels,
                [](const std::string& one) { return one.starts_with("vrun."); });
  if (wish.rename_volumes) {
    rename_volumes(record.request, record.name, stranger.record.volumes);
  }
  TRY(settle_volumes(image.config, record));
  return record;
}

Result<void> check_asks(const RunRequest& request, const GuestImport& wish) {
  const std::vector<std::string> asks = asks_of_host(request);
  if (asks.empty() || wish.trust) return {};
  return Error(Code::kDenied, "the guest's configuration asks of this host: " + join(asks, ", "))
      .hint("if you trust who made the archive, and the host has what it names: --trust");
}

// As for a guest of `create`.
Result<void> check_stranger(const Guests& guests, const images::Image& image,
                            const GuestRecord& record) {
  TRY(check_request(record.request));
  TRY(check_network(record.request));
  TRY(check_policies(record.request));
  TRY(check_wishes(guests, record.request));
  TRY(check_flags(image.config, record.request));
  const GuestFacts facts = TRY(read_facts(record, guests));
  return check_guest(guests, image.config, record.request, facts);
}

Result<std::vector<std::string>> new_volumes(const Guests& guests, const GuestRecord& record) {
  std::vector<std::string> names, taken;
  for (const VolumeUse& use : record.volumes) {
    if (use.anonymous) continue;
    (find_volume(guests, use.name) ? taken : names).push_back(use.name);
  }
  if (taken.empty()) return names;
  return Error(Code::kExists, "here already: volume " + join(taken, ", "))
      .hint("--rename-volumes imports them as " + record.name + "-" + taken.front() + " ...");
}

// Into the volume's place; copied where a tenant's disk shows its parts as several mounts.
Result<void> place_volume(const Guests& guests, const Fd& tree, const std::string& number,
                          const std::string& name) {
  const std::string path = "volumes/" + number;
  const Fd from = TRY(sys::open2(tree, path, O_RDONLY | O_DIRECTORY, kInside));
  const Fd volume = TRY(lock_volume(guests, name));
  Result<void> moved = sys::rename(tree, path, volume, "data");  // over an empty directory
  if (moved || moved.error().sys_errno() != EXDEV) return moved;
  const Fd to = TRY(sys::open_dir(volume, "data"));
  TRY(copy_tree_exactly(from, to));
  return {};
}

Result<void> place_volumes(const Guests& guests, const Fd& tree, const ArchiveFacts& facts,
                           const GuestRecord& record) {
  for (std::size_t i = 0; i < facts.volumes.size(); ++i) {
    const auto use =
        std::find_if(record.volumes.begin(), record.volumes.end(),
                     [&](const VolumeUse& one) { return one.target == facts.volumes[i].target; });
    if (use == record.volumes.end()) {
      return Error(Code::kInvalid, std::string(kFacts) + ": volume " +
                                       quote(facts.volumes[i].name.substr(0, 80)) +
                                       " is not of this guest");
    }
    TRY(place_volume(guests, tree, std::to_string(i), use->name));
  }
  return {};
}

Result<void> place_upper(const Fd& tree, const Fd& guest_dir) {
  const Fd upper = TRY(sys::open2(tree, "upper", O_RDONLY | O_DIRECTORY, kInside));
  TRY(sys::remove_dir(guest_dir, "upper"));
  return sys::rename(tree, "upper", guest_dir, "upper");
}

Result<GuestRecord> make_guest(const Guests& guests, const images::Image& image,
                               const Stranger& stranger, const Fd& tree, GuestRecord record) {
  const auto names = TRY(new_volumes(guests, record));
  Fd admission = TRY(admit_guest(guests, record.request));
  GuestDir dir = TRY(GuestDir::create(guests.places().guests(guests.tenant()), record));
  TRY(dir.make_startable(oci::to_json(image.config)));
  admission.reset();
  TRY(note_made_volumes(dir.dir(), names));
  Undo undo([&] {
    drop_made_volumes(guests, dir.dir(), record.name);
    static_cast<void>(remove_own_volumes(guests, record));
  });
  TRY(place_upper(tree, dir.dir()));
  TRY(make_volumes(guests, record));
  TRY(place_volumes(guests, tree, stranger.facts, record));
  if (::syncfs(dir.dir().get()) != 0) return Error::system(errno, "write the guest");
  TRY(mark_kept(dir.dir()));
  dir.keep();
  undo.commit();
  static_cast<void>(sys::unlink(dir.dir(), "made-volumes"));
  return record;
}

void add_all(const char* flag, const std::vector<std::string>& values,
             std::vector<std::string>& asks) {
  for (const std::string& value : values)
    asks.push_back("--" + std::string(flag) + " " + printable(value));
}

void add_binds(const RunRequest& request, std::vector<std::string>& asks) {
  for (const std::string& text : request.volumes) {
    const Result<AskedMount> asked = parse_volume(text, "/");
    if (asked && !asked->is_volume) asks.push_back("--volume " + printable(text));
  }
  for (const std::string& text : request.mounts) {
    const Result<AskedMount> asked = parse_mount(text);
    if (asked && asked->mount.type == "bind" && !asked->is_volume) {
      asks.push_back("--mount " + printable(text));
    }
  }
}

}  // namespace

std::vector<std::string> asks_of_host(const RunRequest& request) {
  std::vector<std::string> asks;
  add_binds(request, asks);
  add_all("device", request.devices, asks);
  if (request.privileged) asks.emplace_back("--privileged");
  add_all("cap-add", request.cap_add, asks);
  add_all("security-opt", request.security_opts, asks);
  add_all("sysctl", request.sysctls, asks);
  const std::array<std::pair<const char*, const std::string*>, 6> spaces{
      {{"userns", &request.userns},
       {"pid", &request.pid},
       {"ipc", &request.ipc},
       {"uts", &request.uts},
       {"cgroupns", &request.cgroupns},
       {"network", &request.network}}};
  for (const auto& [flag, value] : spaces) {
    const bool joins = *value == "host" || value->starts_with("container:");
    if (joins) asks.push_back("--" + std::string(flag) + " " + printable(*value));
  }
  // Its own host's secrets are not in the archive: these would be ours.
  for (const std::string& content : request.contents)
    asks.push_back(printable(content.substr(0, content.rfind(':'))));
  return asks;
}

Result<void> export_guest(const Guests& guests, const GuestRecord& record, const GuestExport& wish,
                          int out) {
  TRY(refuse_for_disk(record.request, "guest export"));
  TRY(enter_tenant(guests));
  const Cargo cargo = TRY(load_cargo(guests, record, wish.snapshot));
  StagedDir staged = TRY(StagedDir::create(guests, "export"));
  ArchiveFacts facts;
  facts.created = now_text();
  facts.architecture = images::machine_architecture();
  facts.image = cargo.record.image;
  facts.manifest = cargo.record.manifest_digest;
  facts.with_image = wish.with_image;
  for (const auto& [volume, dir] : cargo.volumes)
    facts.volumes.push_back(volume);
  TRY(fs::replace_file(staged.dir(), kFacts, json::write(facts, json::Style::kTabs) + "\n"));
  TRY(fs::replace_file(staged.dir(), "guest.json", to_json(cargo.record)));
  Packing packing(guests);
  TRY(packing.add(staged.dir(), kFacts, kFacts));
  TRY(packing.add(staged.dir(), "guest.json", "guest.json"));
  std::optional<Fd> in_use;
  if (wish.with_image) {
    const images::Store store = TRY(images::Store::open(guests.places().data));
    in_use.emplace(TRY(store.use()));
    const images::Image image = TRY(image_of(guests, cargo.record));
    TRY(add_image(image, staged.dir(), packing));
  }
  TRY(packing.add(cargo.upper, ".", "upper"));
  for (std::size_t i = 0; i < cargo.volumes.size(); ++i)
    TRY(packing.add(cargo.volumes[i].second, ".", "volumes/" + std::to_string(i)));
  return packing.write(out);
}

Result<GuestRecord> import_guest(const Guests& guests, const GuestImport& wish, int in) {
  if (!wish.name.empty()) TRY(check_guest_name(wish.name));
  TRY(enter_tenant(guests));
  const images::Store store = TRY(images::Store::open(guests.places().data));
  const Fd in_use = TRY(store.use());
  StagedDir staged = TRY(StagedDir::create(guests, "import"));
  const Fd tree = TRY(staged.make("tree"));
  images::TreeRequest request;
  request.data_dir = guests.places().data;
  request.tenant = guests.tenant();
  const Fd shown = TRY(sys::duplicate(tree.get()));
  TRY(sys::set_inheritable(shown.get(), true));
  request.root = shown.get();
  TRY(run_helper("unpack", to_json(request), in, -1));
  const Stranger stranger = TRY(read_stranger(tree));
  TRY(check_asks(stranger.record.request, wish));
  const images::Image image = TRY(bring_image(guests, stranger, staged, tree));
  GuestRecord record = TRY(to_record(guests, image, stranger, wish));
  TRY(check_stranger(guests, image, record));
  TRY(bring_layers(store, image, guests.host()));
  record = TRY(make_guest(guests, image, stranger, tree, std::move(record)));
  note_event(guests.places(), record, "create", {{"from", "import"}});
  return record;
}

}  // namespace vrun::engine
