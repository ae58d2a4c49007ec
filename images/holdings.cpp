#include "images/holdings.hpp"

#include <ctime>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "images/names.hpp"

namespace vrun::images {
namespace {

constexpr const char* kBrought = "images/brought";
constexpr std::size_t kDigits = 64;

std::string pair_of(const std::string& blob, const std::string& diff_id) {
  return blob + "-" + diff_id;
}

bool is_pair(const std::string& name) {
  return name.size() == 2 * kDigits + 1;
}

std::string marks_of(const Store& store, const std::string& tenant) {
  return fs::join(store.data_dir(), fs::join(kBrought, tenant));
}

bool is_young(const Fd& dir, const std::string& name, std::int64_t idle) {
  const Result<struct stat> st = sys::stat(dir, name, AT_SYMLINK_NOFOLLOW);
  return st && std::time(nullptr) - st->st_mtime < idle;
}

constexpr std::int64_t kMarkAge = std::chrono::seconds(kIdleAge).count();

Result<std::vector<std::string>> list_if_there(const std::string& path) {
  Result<Fd> dir = sys::open_dir(At::cwd(), path);
  if (dir) return sys::list_dir(dir->get());
  if (dir.error().code() == Code::kNotFound) return std::vector<std::string>();
  return std::move(dir).error();
}

}  // namespace

Result<Holdings> Holdings::of(const Store& store, const std::string& tenant) {
  Holdings holdings(store, tenant);
  TRY(holdings.add_marks());
  const Names names = TRY(Names::open(store, tenant));
  for (const Named& named : TRY(names.list()))
    holdings.add(named.manifest.digest);
  for (const ImageUser& user : TRY(readable_image_users(store.data_dir(), tenant)))
    holdings.add(user.manifest);
  return holdings;
}

void Holdings::add(const oci::Digest& manifest) {
  const Result<Image> image = read_stored(*store_, manifest, manifest.str());
  if (!image) return;  // shipped and not yet unpacked, or damaged
  content_.add(*image);
  const auto& layers = image->manifest.layers;
  for (std::size_t i = 0; i < layers.size(); ++i)
    pairs_.insert(pair_of(layers[i].digest.hex, image->config.diff_ids[i].hex));
}

Result<void> Holdings::add_marks() {
  const std::set<std::string> marks = TRY(marks_of_tenant(*store_, tenant_));
  content_ = content_of_marks(marks);
  for (const std::string& name : marks)
    if (is_pair(name)) pairs_.insert(name);
  return {};
}

bool Holdings::has_blob(const oci::Digest& digest) const {
  return (tenant_.empty() || content_.blobs.contains(digest.hex)) && store_->has_blob(digest);
}

bool Holdings::has_layer(const oci::Digest& blob, const oci::Digest& diff_id) const {
  if (!store_->has_layer(diff_id)) return false;
  if (tenant_.empty()) return true;
  return store_->has_blob(blob) && pairs_.contains(pair_of(blob.hex, diff_id.hex));
}

bool Holdings::was_brought(const oci::Digest& blob, const oci::Digest& diff_id) const {
  if (!store_->has_layer(diff_id)) return false;
  if (tenant_.empty()) return true;
  const Result<Fd> dir = sys::open_dir(At::cwd(), marks_of(*store_, tenant_));
  return dir && is_young(*dir, pair_of(blob.hex, diff_id.hex), kMarkAge);
}

Result<void> Holdings::set_mark(const std::string& name) const {
  if (tenant_.empty()) return {};
  TRY(fs::make_dirs(At::cwd(), marks_of(*store_, tenant_), 0700));
  const Fd dir = TRY(sys::open_dir(At::cwd(), marks_of(*store_, tenant_)));
  const Fd file = TRY(sys::open(dir, name, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600));
  if (::futimens(file.get(), nullptr) == 0) return {};
  return Error::system(errno, "mark what was brought");
}

Result<void> Holdings::mark(const oci::Digest& blob, const oci::Digest& diff_id) const {
  return set_mark(pair_of(blob.hex, diff_id.hex));
}

Result<void> Holdings::mark(const oci::Digest& blob) const {
  return set_mark(blob.hex);
}

void Holdings::mark_all(const Image& image) const {
  static_cast<void>(mark(image.digest));
  static_cast<void>(mark(image.manifest.config.digest));
  for (std::size_t i = 0; i < image.manifest.layers.size(); ++i)
    static_cast<void>(mark(image.manifest.layers[i].digest, image.config.diff_ids[i]));
}

void Holdings::unmark(const Store& store, const std::string& tenant, const Image& image) {
  const Result<Fd> dir = sys::open_dir(At::cwd(), marks_of(store, tenant));
  if (!dir) return;
  for (std::size_t i = 0; i < image.manifest.layers.size(); ++i) {
    const std::string name =
        pair_of(image.manifest.layers[i].digest.hex, image.config.diff_ids[i].hex);
    static_cast<void>(sys::unlink(*dir, name));
    static_cast<void>(sys::unlink(*dir, image.manifest.layers[i].digest.hex));
  }
  static_cast<void>(sys::unlink(*dir, image.digest.hex));
  static_cast<void>(sys::unlink(*dir, image.manifest.config.digest.hex));
}

std::string Holdings::key(const oci::Digest& digest) const {
  return tenant_.empty() ? digest.hex : digest.hex + "." + tenant_;
}

Result<std::set<std::string>> marks_of_tenant(const Store& store, const std::string& tenant) {
  std::set<std::string> marks;
  const std::string path = marks_of(store, tenant);
  for (std::string& name : TRY(list_if_there(path))) {
    if (!is_pair(name) && name.size() != kDigits) continue;
    const Fd dir = TRY(sys::open_dir(At::cwd(), path));
    if (is_young(dir, name, kMarkAge)) marks.insert(std::move(name));
  }
  return marks;
}

Content content_of_marks(const std::set<std::string>& marks) {
  Content content;
  for (const std::string& name : marks) {
    content.blobs.insert(name.substr(0, kDigits));
    if (is_pair(name)) content.layers.insert(name.substr(kDigits + 1));
  }
  return content;
}

void remove_marks(const Store& store, const std::string& tenant,
                  const std::set<std::string>& marks) {
  const Result<Fd> dir = sys::open_dir(At::cwd(), marks_of(store, tenant));
  if (!dir) return;
  for (const std::string& name : marks)
    static_cast<void>(sys::unlink(*dir, name));
}

Result<void> remove_old_marks(const Store& store, std::int64_t idle) {
  const std::string all = fs::join(store.data_dir(), kBrought);
  for (const std::string& tenant : TRY(list_if_there(all))) {
    const Fd dir = TRY(sys::open_dir(At::cwd(), fs::join(all, tenant)));
    for (const std::string& name : TRY(sys::list_dir(dir.get()))) {
      const bool whole = (is_pair(name) || name.size() == kDigits) &&
                         store.has_blob({"sha256", name.substr(0, kDigits)}) &&
                         (!is_pair(name) || store.has_layer({"sha256", name.substr(kDigits + 1)}));
      if (!whole || !is_young(dir, name, idle)) TRY(sys::unlink(dir, name));
    }
  }
  return {};
}

}  // namespace vrun::images
