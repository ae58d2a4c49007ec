#include "images/gc.hpp"

#include <ctime>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fs.hpp"
#include "base/json.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "images/charge.hpp"
#include "images/holdings.hpp"
#include "images/names.hpp"

namespace vrun::images {
namespace {

constexpr std::size_t kLargestRecord = 1U << 20U;
constexpr std::string_view kStamp = "collected";  // its time: when the policy last had its turn

bool is_hidden(const std::string& name) {
  return name.starts_with('.');
}

// The names in a directory that may not exist.
Result<std::vector<std::string>> list_if_there(const std::string& path) {
  Result<Fd> dir = sys::open_dir(At::cwd(), path);
  if (dir) return sys::list_dir(dir->get());
  if (dir.error().code() == Code::kNotFound) return std::vector<std::string>();
  return std::move(dir).error();
}

Result<std::optional<ImageUser>> read_user(const std::string& guests, const std::string& tenant,
                                           const std::string& guest) {
  const std::string path = fs::join(guests, tenant + "/" + guest + "/guest.json");
  const Result<std::string> text =
      fs::read_file(At::cwd(), path, kLargestRecord, fs::Kind::kRegularOnly);
  if (!text) {
    // Being made (its maker uses the store, so nothing is collected now) or removed.
    const bool gone = text.error().code() == Code::kNotFound || text.error().sys_errno() == ENOTDIR;
    if (gone) return std::optional<ImageUser>();
    return Error(text.error().code(), text.error().text());
  }
  const json::Document document = TRY(json::Document::parse(*text, path));
  const json::Value* manifest = document.root().find("manifest");
  if (manifest == nullptr || manifest->kind() != json::Kind::kString) {
    return Error(Code::kInvalid, quote(path) + ": names no manifest");
  }
  if (manifest->as_text().empty()) return std::optional<ImageUser>();  // made from a root directory
  return std::optional(ImageUser{tenant, guest, TRY(oci::Digest::parse(manifest->as_text()))});
}

Result<void> add_root(const Store& store, const oci::Digest& manifest, const std::string& whose,
                      Content& needed) {
  Result<Image> image = read_stored(store, manifest, manifest.str());
  if (image) {
    needed.add(*image);
    return {};
  }
  return std::move(image)
      .error()
      .during("nothing is removed while it is not known what " + whose + " needs")
      .with_code(Code::kState)
      .hint("vrun image fsck --repair takes away what cannot be mended");
}

bool is_shipped(const std::vector<Image>& shipped, const oci::Digest& manifest) {
  for (const Image& image : shipped) {
    if (image.digest == manifest) return true;
  }
  return false;
}

std::uint64_t bytes_of(const Fd& dir) {
  std::uint64_t bytes = 0;
  const Result<std::vector<std::string>> names = sys::list_dir(dir.get());
  if (!names) return 0;
  for (const std::string& name : *names)
    bytes += tree_bytes(dir, name);
  return bytes;
}

// One run over the store by its only user.
class Collector {
 public:
  Collector(const Store& store, const Collection& rule, Content needed)
      : store_(store), rule_(rule), needed_(std::move(needed)) {}

  Result<Removed> run() {
    // Layers first: a blob without its layer can be unpacked again, not the other way round.
    TRY(each(store_.layers(), needed_.layers,
             [this](const std::string& hex) { return remove_layer(hex); }));
    TRY(each(store_.blobs(), needed_.blobs,
             [this](const std::string& hex) { return remove_blob(hex); }));
    if (rule_.dry_run) return removed_;
    const auto oldest = rule_.only ? std::chrono::seconds(kIdleAge) : rule_.idle;
    TRY(remove_old_marks(store_, oldest.count()));
    if (!rule_.only) TRY(remove_locks());
    return removed_;
  }

  // What run() took away goes: files of gigabytes take their time, which nobody else has to wait
  // for.
  Result<void> empty_trash() {
    return trash_ ? fs::remove_tree(store_.layers(), trash_name_) : Result<void>();
  }

 private:
  template <typename Action>
  Result<void> each(const Fd& dir, const std::set<std::string>& keep, Action action) {
    const bool layers = &dir == &store_.layers();
    for (const std::string& name : TRY(sys::list_dir(dir.get()))) {
      if (is_hidden(name) || keep.contains(name)) continue;
      if (rule_.only && !(layers ? rule_.only->layers : rule_.only->blobs).contains(name)) continue;
      if (is_young(dir, name)) continue;
      TRY(action(name));
    }
    return {};
  }

  // By ctime, which rename sets: when it appeared in the store. A layer's mtime is its maker's.
  bool is_young(const Fd& dir, const std::string& name) const {
    const Result<struct stat> st = sys::stat(dir, name, AT_SYMLINK_NOFOLLOW);
    return st && rule_.idle.count() > 0 && std::time(nullptr) - st->st_ctime < rule_.idle.count();
  }

  Result<void> remove_layer(const std::string& hex) {
    ++removed_.layers;
    removed_.bytes += tree_bytes(store_.layers(), hex);
    if (rule_.dry_run) return {};
    forget_size(store_, hex);
    return take_away(store_.layers(), hex);
  }

  Result<void> remove_blob(const std::string& hex) {
    ++removed_.blobs;
    removed_.bytes += tree_bytes(store_.blobs(), hex);
    if (rule_.dry_run) return {};
    return take_away(store_.blobs(), hex);
  }

  // To one directory that is nobody's layer, and that the next sweep removes if we are killed.
  Result<void> take_away(const Fd& dir, const std::string& hex) {
    if (!trash_) {
      trash_lock_ = TRY(store_.lock({"sha256", hex}));
      trash_name_ = unfinished_name({"sha256", hex});
      TRY(fs::remove_tree(store_.layers(), trash_name_));
      TRY(sys::make_dir(store_.layers(), trash_name_, 0700));
      trash_ = TRY(sys::open_dir(store_.layers(), trash_name_));
    }
    const char* kind = &dir == &store_.layers() ? "layer-" : "blob-";
    return sys::rename(dir, hex, trash_, kind + hex);
  }

  // Nobody else is in the store, so nobody awaits one; who empties a trash holds one.
  Result<void> remove_locks() {
    for (const std::string& name : TRY(sys::list_dir(store_.locks().get()))) {
      const Fd lock = TRY(sys::open(store_.locks(), name, O_RDONLY | O_NOFOLLOW));
      if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) TRY(sys::unlink(store_.locks(), name));
    }
    return {};
  }

  const Store& store_;
  const Collection& rule_;
  Content needed_;
  Removed removed_;
  Fd trash_, trash_lock_;
  std::string trash_name_;
};

bool is_due(const Store& store) {
  const Result<struct stat> st =
      sys::stat(At::cwd(), fs::join(store.data_dir(), "images/" + std::string(kStamp)));
  constexpr std::time_t kDay = 86400;
  return !st || std::time(nullptr) - st->st_mtime >= kDay;
}

}  // namespace

void Content::add(const Image& image) {
  blobs.insert(image.digest.hex);
  blobs.insert(image.manifest.config.digest.hex);
  for (const oci::Descriptor& layer : image.manifest.layers)
    blobs.insert(layer.digest.hex);
  for (const oci::Digest& diff_id : image.config.diff_ids)
    layers.insert(diff_id.hex);
}

void Content::remove(const Content& other) {
  for (const std::string& hex : other.blobs)
    blobs.erase(hex);
  for (const std::string& hex : other.layers)
    layers.erase(hex);
}

std::uint64_t tree_bytes(At at, const std::string& name) {
  struct stat st {};
  if (::fstatat(at.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return 0;
  constexpr std::uint64_t kBlock = 512;  // of st_blocks, whatever the filesystem's own size is
  // A hard link's content is shared among its names.
  const std::uint64_t links = S_ISDIR(st.st_mode) || st.st_nlink == 0 ? 1 : st.st_nlink;
  const std::uint64_t own = static_cast<std::uint64_t>(st.st_blocks) * kBlock / links;
  if (!S_ISDIR(st.st_mode)) return own;
  const Result<Fd> dir = sys::open(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  return dir ? own + bytes_of(*dir) : own;
}

Result<std::vector<ImageUser>> image_users(const std::string& data_dir) {
  const std::string guests = fs::join(data_dir, "guests");
  std::vector<ImageUser> users;
  for (const std::string& tenant : TRY(list_if_there(guests))) {
    if (is_hidden(tenant)) continue;
    for (const std::string& guest : TRY(list_if_there(fs::join(guests, tenant)))) {
      if (is_hidden(guest)) continue;
      std::optional<ImageUser> user = TRY(read_user(guests, tenant, guest));
      if (user) users.push_back(*std::move(user));
    }
  }
  return users;
}

Result<std::vector<ImageUser>> readable_image_users(const std::string& data_dir,
                                                    const std::string& tenant) {
  const std::string guests = fs::join(data_dir, "guests");
  std::vector<ImageUser> users;
  for (const std::string& guest : TRY(list_if_there(fs::join(guests, tenant)))) {
    if (is_hidden(guest)) continue;
    Result<std::optional<ImageUser>> user = read_user(guests, tenant, guest);
    if (user && *user) users.push_back(**std::move(user));
  }
  return users;
}

Result<Image> read_stored(const Store& store, const oci::Digest& manifest,
                          const std::string& name) {
  oci::Descriptor descriptor;
  descriptor.digest = manifest;
  descriptor.media_type = oci::kManifestType;
  const struct stat st = TRY(sys::stat(store.blobs(), manifest.hex, AT_SYMLINK_NOFOLLOW));
  descriptor.size = static_cast<std::uint64_t>(st.st_size);
  Image image = TRY(read_image(fs::join(store.data_dir(), "images"), descriptor, name));
  if (!image.manifest.media_type.empty()) image.descriptor.media_type = image.manifest.media_type;
  return image;
}

Result<Content> needed_content(const Store& store, const std::vector<Image>& shipped) {
  Content needed;
  for (const Image& image : shipped)
    needed.add(image);
  for (const std::string& tenant : TRY(tenants_with_names(store))) {
    const Names names = TRY(Names::open(store, tenant));
    std::vector<std::string> damaged;
    for (const Named& named : TRY(names.list(&damaged)))
      TRY(add_root(store, named.manifest.digest, "image " + quote(named.reference.familiar()),
                   needed));
    if (!damaged.empty()) {
      return Error(Code::kState,
                   "nothing is removed beside the damaged image name " + damaged.front())
          .hint("vrun image fsck --repair takes away what cannot be mended");
    }
  }
  for (const ImageUser& user : TRY(image_users(store.data_dir()))) {
    if (is_shipped(shipped, user.manifest)) continue;
    TRY(add_root(store, user.manifest, "guest " + quote(user.guest), needed));
  }
  return needed;
}

Result<std::optional<Removed>> collect(const Store& store, const Collection& collection) {
  TRY(store.sweep());
  std::optional<Fd> own = TRY(store.try_own());
  if (!own) return std::optional<Removed>();
  Content needed = TRY(needed_content(store, collection.shipped));
  Collector collector(store, collection, std::move(needed));
  const Removed removed = TRY(collector.run());
  if (!collection.dry_run) note_all_charges(store, collection.shipped);
  own.reset();
  TRY(collector.empty_trash());
  return std::optional(removed);
}

Result<void> collect_if_due(const Store& store, const std::vector<Image>& shipped) {
  if (!is_due(store)) return {};
  Collection rule;
  rule.shipped = shipped;
  rule.idle = kIdleAge;
  if (!TRY(collect(store, rule))) return {};  // others are at work: next time
  const Fd images = TRY(sys::open_dir(At::cwd(), fs::join(store.data_dir(), "images")));
  return fs::replace_file(images, std::string(kStamp), "");
}

}  // namespace vrun::images
