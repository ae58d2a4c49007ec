// tag, rmi, prune and df: names change, and what nothing needs goes.
#include <algorithm>
#include <array>
#include <set>

#include <unistd.h>

#include "base/fs.hpp"
#include "base/helper.hpp"
#include "base/json_writer.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/complain.hpp"
#include "cli/table.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_images.hpp"
#include "engine/boot_cache.hpp"
#include "engine/volume_store.hpp"
#include "images/charge.hpp"
#include "images/gc.hpp"
#include "images/holdings.hpp"
#include "images/layers.hpp"
#include "images/names.hpp"

namespace vrun::cli {
namespace {

using images::Image;
using images::Named;

// The store, the names in it and what is shipped: what every verb here needs.
struct Shelf {
  images::Store store;
  images::Names names;
  std::vector<Image> shipped;
};

Result<Shelf> open_shelf(const EverydayCall& call) {
  images::Store store = TRY(images::Store::open(call.places.data));
  images::Names names = TRY(images::Names::open(store, call.tenant));
  return Shelf{std::move(store), std::move(names), TRY(catalog_of(call).shipped())};
}

// What `word` takes away: one name, or all names of the image with that id.
Result<std::vector<Named>> names_meant(const EverydayCall& call, const Shelf& shelf,
                                       const std::string& word) {
  std::vector<Named> all = TRY(shelf.names.list());
  const Result<oci::Reference> wanted = oci::Reference::parse(word);
  if (wanted) {
    for (Named& named : all) {
      if (named.reference == *wanted) return std::vector<Named>{std::move(named)};
    }
  }
  const Image image = TRY(catalog_of(call).find(word));
  // One configuration may be packed in several manifests: they all have its id.
  std::set<std::string> manifests;
  std::vector<std::string> damaged;
  for (const images::Listed& listed : TRY(catalog_of(call).list(damaged))) {
    if (listed.image.manifest.config.digest == image.manifest.config.digest) {
      manifests.insert(listed.image.digest.str());
    }
  }
  std::erase_if(
      all, [&](const Named& named) { return !manifests.contains(named.manifest.digest.str()); });
  if (wanted && wanted->digest) {
    // Of one repository: other repositories keep what they call the same content.
    std::erase_if(all, [&](const Named& named) {
      return named.reference.repository() != wanted->repository();
    });
  }
  if (!all.empty()) return all;
  return Error(Code::kState,
               "image " + quote(word) + " came with vrun: it has no name to take away");
}

std::string users_of(const std::vector<images::ImageUser>& users, const oci::Digest& manifest) {
  std::vector<std::string> guests;
  for (const images::ImageUser& user : users) {
    if (user.manifest == manifest) guests.push_back(user.guest);
  }
  return join(guests, ", ");
}

std::size_t count_of(const std::vector<Named>& names, const oci::Digest& manifest) {
  return static_cast<std::size_t>(
      std::count_if(names.begin(), names.end(),
                    [&](const Named& named) { return named.manifest.digest == manifest; }));
}

// The tenant's own: what others made of the image is not for its eyes.
Result<std::vector<images::ImageUser>> own_users(const Shelf& shelf) {
  return images::readable_image_users(shelf.store.data_dir(), shelf.names.tenant());
}

// The last name of an image, the one it was shipped under included, is not taken from a guest of
// it unasked.
Result<void> check_unused(const Shelf& shelf, const std::vector<Named>& going, bool force) {
  if (force) return {};
  const std::vector<Named> all = TRY(shelf.names.list());
  const auto users = TRY(own_users(shelf));
  for (const Named& named : going) {
    const oci::Digest& manifest = named.manifest.digest;
    const bool is_shipped = std::any_of(shelf.shipped.begin(), shelf.shipped.end(),
                                        [&](const Image& one) { return one.digest == manifest; });
    if (is_shipped || count_of(all, manifest) > count_of(going, manifest)) continue;
    const std::string guests = users_of(users, manifest);
    if (guests.empty()) continue;
    return Error(Code::kState,
                 "image " + quote(named.reference.familiar()) + " is used by " + guests)
        .hint("remove the guests first, or take the name away with --force: they keep the image");
  }
  return {};
}

Result<void> take_name(Shelf& shelf, const Named& named) {
  TRY(shelf.names.remove(named.reference));
  shelf.names.note("untag", named.reference, named.manifest.digest);
  return {};
}

struct Freed {
  images::Content content;
  std::vector<Named> names;
  std::vector<Image> images;
  std::string text;
};

Result<void> remove_one(const EverydayCall& call, Shelf& shelf, const std::string& word,
                        Freed& freed) {
  const std::vector<Named> going = TRY(names_meant(call, shelf, word));
  TRY(check_unused(shelf, going, call.arguments.on("force")));
  // One that is damaged can be removed as well; its content is then for prune.
  const Result<Image> image = images::read_stored(shelf.store, going.front().manifest.digest, word);
  for (const Named& named : going) {
    TRY(take_name(shelf, named));
    freed.names.push_back(named);
    freed.text += "Untagged: " + named.reference.familiar() + "\n";
  }
  if (!image) return {};
  freed.content.add(*image);
  freed.images.push_back(*image);
  return {};
}

// What is still on the disk stays charged, until the collector had its turn.
void settle_charge(const Shelf& shelf, const images::Holdings& held, const Freed& freed,
                   bool collected) {
  const std::string& tenant = shelf.names.tenant();
  if (tenant == engine::kDefaultTenant) return;
  if (!collected) {
    for (const Image& image : freed.images)
      held.mark_all(image);
  }
  static_cast<void>(images::note_charge(shelf.store, tenant, shelf.shipped));
}

// Once for each image that went with its last name.
void note_deleted(const Shelf& shelf, const std::vector<Named>& names,
                  const images::Content& held) {
  std::set<std::string> told;
  for (const Named& named : names) {
    const oci::Digest& manifest = named.manifest.digest;
    if (held.blobs.contains(manifest.hex) || !told.insert(manifest.str()).second) continue;
    shelf.names.note("delete", named.reference, manifest);
  }
}

// What the tenant no longer has, and how much that was: the same whether others have it or not.
images::Removed measure(const images::Store& store, const images::Content& lost) {
  images::Removed sum;
  for (const std::string& hex : lost.blobs) {
    if (!store.has_blob({"sha256", hex})) continue;
    ++sum.blobs;
    sum.bytes += images::tree_bytes(store.blobs(), hex);
  }
  for (const std::string& hex : lost.layers) {
    if (!store.has_layer({"sha256", hex})) continue;
    ++sum.layers;
    sum.bytes += images::tree_bytes(store.layers(), hex);
  }
  return sum;
}

std::string words_of(const images::Removed& removed) {
  return std::to_string(removed.layers) + " layers, " + std::to_string(removed.blobs) + " blobs, " +
         human_size(removed.bytes) + " on disk\n";
}

Result<bool> may_go_on(const Arguments& arguments, const std::string& question) {
  if (arguments.on("force") || arguments.on("dry-run")) return true;
  return says_yes(question);
}

// Names of images that no guest was made from.
Result<std::vector<Named>> unused_names(const Shelf& shelf) {
  const auto users = TRY(own_users(shelf));
  std::vector<Named> unused = TRY(shelf.names.list());
  std::erase_if(
      unused, [&](const Named& named) { return !users_of(users, named.manifest.digest).empty(); });
  return unused;
}

Result<void> take_unused_names(const Arguments& arguments, Shelf& shelf) {
  const bool dry = arguments.on("dry-run");
  for (const Named& named : TRY(unused_names(shelf))) {
    if (!dry) TRY(take_name(shelf, named));
    TRY(print_out((dry ? "would untag: " : "Untagged: ") + named.reference.familiar() + "\n"));
  }
  return {};
}

Error in_use() {
  return Error(Code::kState, "other commands are bringing or using images just now")
      .hint("try again when they have ended");
}

// What says something of all tenants is for root.
bool is_root_own(const EverydayCall& call) {
  return call.tenant == "default";
}

// The error may name images and guests of all tenants.
void warn_of_damage(const EverydayCall& call, const std::string& what, const Error& error) {
  log::warning(
      what + ": " +
      (is_root_own(call) ? error.text() : "the image store has damage, which root can mend"));
}

struct Use {
  std::string what;
  std::uint64_t count = 0, active = 0, bytes = 0;
};

Use use_of(const Fd& dir, const std::string& what, const std::set<std::string>& needed) {
  Use use{what};
  const Result<std::vector<std::string>> names = sys::list_dir(dir.get());
  if (!names) return use;
  for (const std::string& name : *names) {
    if (name.starts_with('.')) continue;
    ++use.count;
    if (needed.contains(name)) ++use.active;
    use.bytes += images::tree_bytes(dir, name);
  }
  return use;
}

Result<Use> volume_use(const EverydayCall& call) {
  const engine::Guests guests = TRY(guests_of(call));
  const engine::VolumeUsers users = TRY(engine::volume_users(guests));
  Use use{"Volumes"};
  for (const engine::Volume& volume : TRY(engine::list_volumes(guests))) {
    ++use.count;
    if (users.contains(volume.name)) ++use.active;
  }
  use.bytes = images::tree_bytes(At::cwd(), call.places.volumes(guests.tenant()));
  return use;
}

// What micro-VMs boot, unpacked; active is what a kernel of this host or a guest still needs.
Result<Use> kernel_use(const EverydayCall& call) {
  Use use{"Kernels"};
  const std::string path = fs::join(call.places.data, "vm/cache");
  const Result<Fd> cache = sys::open_dir(At::cwd(), path);
  if (!cache) return use;
  for (const std::string& name : TRY(sys::list_dir(cache->get())))
    use.count += name == "lock" ? 0 : 1;
  use.active = use.count - TRY(engine::prune_boot_cache(call.places, call.host, true)).entries;
  use.bytes = images::tree_bytes(At::cwd(), path);
  return use;
}

Result<std::vector<Use>> uses(const EverydayCall& call) {
  const Shelf shelf = TRY(open_shelf(call));
  const images::Content needed = TRY(images::needed_content(shelf.store, shelf.shipped));
  const auto users = TRY(images::image_users(call.places.data));
  const auto names = TRY(shelf.names.list());
  std::vector<Use> rows;
  Use images_row{"Images", names.size(), 0, 0};
  for (const Named& named : names) {
    if (!users_of(users, named.manifest.digest).empty()) ++images_row.active;
  }
  rows.push_back(images_row);
  rows.push_back(use_of(shelf.store.blobs(), "Blobs", needed.blobs));
  rows.push_back(use_of(shelf.store.layers(), "Layers", needed.layers));
  rows[0].bytes = rows[1].bytes + rows[2].bytes;
  Use guests{"Guests", users.size(), users.size(), 0};
  guests.bytes = images::tree_bytes(At::cwd(), fs::join(call.places.data, "guests"));
  rows.push_back(guests);
  rows.push_back(TRY(volume_use(call)));
  rows.push_back(TRY(kernel_use(call)));
  return rows;
}

// `system df -v`: what each guest wrote, below the sums; images are listed as by `images`.
Result<int> each_use(const EverydayCall& call, const std::string& sums) {
  TRY(print_out(sums + "\nimages:\n"));
  TRY(list_images(call));
  std::vector<std::vector<std::string>> cells{{"GUEST", "SIZE"}};
  const std::string guests = fs::join(call.places.data, "guests");
  for (const images::ImageUser& user : TRY(images::image_users(call.places.data))) {
    const std::uint64_t bytes =
        images::tree_bytes(At::cwd(), fs::join(guests, user.tenant + "/" + user.guest));
    cells.push_back({user.guest, human_size(bytes)});
  }
  return print_out("\nguests:\n" + table(cells));
}

}  // namespace

Result<int> tag_image(const EverydayCall& call) {
  Result<oci::Reference> name = oci::Reference::parse(call.arguments.word(1));
  if (!name) return std::move(name).error();
  if (name->digest) {
    return Error(Code::kInvalid, "a name to give has a tag, not a digest");
  }
  Shelf shelf = TRY(open_shelf(call));
  const Fd using_it = TRY(shelf.store.use());
  const Image image = TRY(catalog_of(call).find(call.arguments.word(0)));
  if (!shelf.store.has_blob(image.digest)) {
    const std::string helper = TRY(helper_path("vrun-image"));
    TRY(images::ensure_layers(shelf.store, image, helper, call.host));
  }
  if (!shelf.store.has_blob(image.digest)) {
    return Error(Code::kState,
                 "image " + quote(call.arguments.word(0)) + " is not in the store yet")
        .hint("make a guest of it first");
  }
  TRY(shelf.names.set(*name, image.descriptor));
  shelf.names.note("tag", *name, image.digest);
  return 0;
}

Result<int> remove_images(const EverydayCall& call) {
  Shelf shelf = TRY(open_shelf(call));
  Freed freed;
  int failed = 0;
  for (std::size_t i = 0; i < call.arguments.words().size(); ++i) {
    Result<void> removed = remove_one(call, shelf, call.arguments.word(i), freed);
    if (removed) continue;
    failed = kOwnFailure;
    complain("vrun", std::move(removed).error().during("rmi"));
  }
  for (const Image& image : freed.images)
    images::Holdings::unmark(shelf.store, shelf.names.tenant(), image);
  const images::Holdings held = TRY(images::Holdings::of(shelf.store, shelf.names.tenant()));
  freed.content.remove(held.content());
  for (const Image& image : shelf.shipped) {
    images::Content shipped;
    shipped.add(image);
    freed.content.remove(shipped);
  }
  const images::Removed lost = measure(shelf.store, freed.content);
  images::Collection rule;
  rule.shipped = shelf.shipped;
  rule.only = std::move(freed.content);
  // The names are gone whatever happens to the content: the policy or prune free what others use
  // at the moment, and nobody is told whether they do.
  const Result<std::optional<images::Removed>> removed = images::collect(shelf.store, rule);
  settle_charge(shelf, held, freed, removed && *removed);
  TRY(print_out(freed.text));
  note_deleted(shelf, freed.names, held.content());
  if (!removed) {
    warn_of_damage(call, "the content stays for now", removed.error());
  } else if (!*removed && is_root_own(call)) {
    log::warning("the content stays for now, others use the store: vrun image prune frees it");
  } else if (lost.blobs + lost.layers > 0) {
    TRY(print_out("Deleted: " + words_of(lost)));
  }
  collect_by_policy(call);
  return failed;
}

void collect_by_policy(const EverydayCall& call) {
  const auto collect = [&]() -> Result<void> {
    const images::Store store = TRY(images::Store::open(call.places.data));
    return images::collect_if_due(store, TRY(catalog_of(call).shipped()));
  };
  if (Result<void> due = collect(); !due) {
    warn_of_damage(call, "collecting what nobody needs", due.error());
  }
}

Result<int> prune_images(const EverydayCall& call) {
  const bool all = call.arguments.on("all");
  Shelf shelf = TRY(open_shelf(call));
  const std::string question = all ? "This removes every image that no guest uses. Go on?"
                                   : "This removes all content that no image and no guest needs. "
                                     "Go on?";
  if (!TRY(may_go_on(call.arguments, question))) return 1;
  if (all) TRY(take_unused_names(call.arguments, shelf));
  images::Collection rule;
  rule.shipped = shelf.shipped;
  rule.dry_run = call.arguments.on("dry-run");
  const std::optional<images::Removed> removed = TRY(images::collect(shelf.store, rule));
  if (!removed) return in_use();
  return print_out((rule.dry_run ? "would remove " : "removed ") + words_of(*removed));
}

// The unpacked kernels of micro-VMs are the host's, not a tenant's.
Result<void> prune_kernels(const EverydayCall& call, bool dry_run) {
  const vm::CachePruned pruned = TRY(engine::prune_boot_cache(call.places, call.host, dry_run));
  if (pruned.entries == 0) return {};
  TRY(print_out((dry_run ? "would remove " : "removed ") + std::to_string(pruned.entries) +
                " unpacked kernels and initramfs of micro-VMs, " + human_size(pruned.bytes) + "\n"));
  return {};
}

Result<int> prune_system(const EverydayCall& call) {
  const bool dry = call.arguments.on("dry-run");
  const int code = TRY(prune_images(call));
  if (code == 0 && call.tenant == engine::kDefaultTenant) TRY(prune_kernels(call, dry));
  if (code != 0 || !call.arguments.on("volumes")) return code;
  const engine::Guests guests = TRY(guests_of(call));
  TRY(engine::sweep_volumes(guests));
  engine::VolumePrune rule;
  rule.named = call.arguments.on("all");
  rule.dry_run = dry;
  for (const std::string& name : TRY(engine::prune_volumes(guests, rule)))
    TRY(print_out((dry ? "would remove volume " : "removed volume ") + name + "\n"));
  return 0;
}

Result<int> disk_use(const EverydayCall& call) {
  const bool json = TRY(wants_json(call.arguments, "table"));
  const std::vector<Use> rows = TRY(uses(call));
  if (json) {
    json::Writer w(json::Style::kSpaces);
    w.begin_array();
    for (const Use& row : rows) {
      w.begin_object()
          .member("Type", row.what)
          .member("TotalCount", row.count)
          .member("Active", row.active)
          .member("Size", row.bytes)
          .end_object();
    }
    w.end_array();
    return print_out(w.take() + "\n");
  }
  std::vector<std::vector<std::string>> cells{{"TYPE", "TOTAL", "ACTIVE", "SIZE"}};
  for (const Use& row : rows) {
    cells.push_back(
        {row.what, std::to_string(row.count), std::to_string(row.active), human_size(row.bytes)});
  }
  if (call.arguments.on("verbose")) return each_use(call, table(cells));
  return print_out(table(cells));
}

}  // namespace vrun::cli
