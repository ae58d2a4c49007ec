#include "images/catalog.hpp"

#include <algorithm>

#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

constexpr std::size_t kShortestId = 4;
constexpr std::size_t kDigits = 64;

Error no_such_image(std::string_view name, const std::vector<std::string>& names) {
  Error error(Code::kNotFound, "no such image " + quote(name));
  if (names.empty()) return std::move(error).hint("no image is here; vrun pull fetches one");
  const std::vector<std::string_view> views(names.begin(), names.end());
  const auto near = nearest(name, views);
  const std::string meant = near ? "did you mean " + quote(*near) + "? " : "";
  return std::move(error).hint(meant + "there is: " + join(names, ", ") +
                               "; vrun pull fetches others");
}

// The digits of an id, when it can be one: "sha256:" may stand before them.
std::string_view digits_of(std::string_view id) {
  constexpr std::string_view kAlgorithm = "sha256:";
  if (id.starts_with(kAlgorithm)) id.remove_prefix(kAlgorithm.size());
  const bool hex = std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
  return hex && id.size() >= kShortestId && id.size() <= kDigits ? id : std::string_view();
}

bool has_id(const Image& image, std::string_view digits) {
  return image.digest.hex.starts_with(digits) ||
         image.manifest.config.digest.hex.starts_with(digits);
}

}  // namespace

bool Catalog::has_store() const {
  if (data_dir_.empty()) return false;
  return ::access(fs::join(data_dir_, "images/refs/" + tenant_).c_str(), F_OK) == 0;
}

std::string Catalog::store_dir() const {
  return fs::join(data_dir_, "images");
}

Result<std::vector<Named>> Catalog::named(std::vector<std::string>* damaged) const {
  if (!has_store()) return std::vector<Named>();
  const Store store = TRY(Store::open(data_dir_));
  return TRY(Names::open(store, tenant_)).list(damaged);
}

Result<std::vector<std::string>> Catalog::shipped_names() const {
  Result<Fd> dir = sys::open_dir(At::cwd(), shipped_);
  if (!dir) {
    if (dir.error().code() == Code::kNotFound) return std::vector<std::string>{};
    return std::move(dir).error();
  }
  std::vector<std::string> names = TRY(sys::list_dir(dir->get()));
  std::erase_if(names, [](const std::string& name) { return name.starts_with('.'); });
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::vector<std::string>> Catalog::names() const {
  std::vector<std::string> names = TRY(shipped_names());
  constexpr std::string_view kUsualTag = ":latest";
  for (const Named& own : TRY(named(nullptr))) {
    std::string& name = names.emplace_back(own.reference.familiar());
    if (name.ends_with(kUsualTag)) name.resize(name.size() - kUsualTag.size());
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

Result<std::optional<Image>> Catalog::find_shipped(const oci::Reference& wanted) const {
  for (const std::string& known : TRY(shipped_names())) {
    Result<oci::Reference> reference = oci::Reference::parse(known);
    if (!reference || reference->repository() != wanted.repository()) continue;
    if (!wanted.digest && wanted.tag != reference->tag) continue;
    Image image = TRY(read_layout(fs::join(shipped_, known), known));
    if (wanted.digest && *wanted.digest != image.digest) continue;
    return std::optional(std::move(image));
  }
  return std::optional<Image>();
}

Result<std::optional<Image>> Catalog::find_named(const oci::Reference& wanted) const {
  if (!has_store()) return std::optional<Image>();
  const Store store = TRY(Store::open(data_dir_));
  const Names names = TRY(Names::open(store, tenant_));
  const std::optional<oci::Descriptor> manifest = TRY(names.find(wanted));
  if (!manifest) return std::optional<Image>();
  return std::optional(TRY(read_image(store_dir(), *manifest, wanted.familiar())));
}

Result<std::optional<Image>> Catalog::find_by_id(std::string_view id) const {
  const std::string_view digits = digits_of(id);
  std::vector<std::string> damaged;
  std::optional<Image> found;
  if (digits.empty()) return found;
  for (Listed& listed : TRY(list(damaged))) {
    if (!has_id(listed.image, digits)) continue;
    // Two manifests of one configuration are one image, packed twice.
    const oci::Digest& config = listed.image.manifest.config.digest;
    if (found && found->manifest.config.digest == config) continue;
    if (found) {
      return Error(Code::kInvalid, "id " + quote(id) + " begins the ids of several images")
          .hint("give more of its digits");
    }
    found = std::move(listed.image);
  }
  return found;
}

Result<Image> Catalog::find(std::string_view name) const {
  // 64 digits, and what begins with sha256:, cannot be names.
  const bool is_id = digits_of(name).size() == kDigits || name.starts_with("sha256:");
  if (!is_id) {
    const oci::Reference wanted = TRY(oci::Reference::parse(name));
    if (std::optional<Image> image = TRY(find_named(wanted))) return *std::move(image);
    if (std::optional<Image> image = TRY(find_shipped(wanted))) return *std::move(image);
  }
  if (std::optional<Image> image = TRY(find_by_id(name))) return *std::move(image);
  return no_such_image(name, TRY(names()));
}

Result<bool> Catalog::is_shipped(std::string_view name) const {
  const Result<oci::Reference> wanted = oci::Reference::parse(name);
  if (!wanted) return false;
  if (TRY(find_named(*wanted))) return false;
  return TRY(find_shipped(*wanted)).has_value();
}

Result<std::vector<Image>> Catalog::shipped() const {
  std::vector<Image> images;
  for (const std::string& known : TRY(shipped_names()))
    images.push_back(TRY(read_layout(fs::join(shipped_, known), known)));
  return images;
}

Result<std::vector<Listed>> Catalog::list(std::vector<std::string>& damaged) const {
  std::vector<Listed> rows;
  for (Named& own : TRY(named(&damaged))) {
    const auto same = std::find_if(rows.begin(), rows.end(), [&](const Listed& row) {
      return row.image.digest == own.manifest.digest;
    });
    if (same != rows.end()) {
      same->names.push_back(std::move(own.reference));
      continue;
    }
    Result<Image> image = read_image(store_dir(), own.manifest, own.reference.familiar());
    if (!image) {
      damaged.push_back(image.error().text());
      continue;
    }
    Listed& row = rows.emplace_back();
    row.names.push_back(std::move(own.reference));
    row.created = std::move(own.created);
    row.image = *std::move(image);
  }
  for (const std::string& known : TRY(shipped_names())) {
    Result<Image> image = read_layout(fs::join(shipped_, known), known);
    if (!image) {
      damaged.push_back(image.error().text());
      continue;
    }
    // An image in the store under its name is what the name means (find()).
    const Result<oci::Reference> name = oci::Reference::parse(known);
    const bool hidden =
        name && std::any_of(rows.begin(), rows.end(), [&](const Listed& row) {
          return std::find(row.names.begin(), row.names.end(), *name) != row.names.end();
        });
    if (hidden) continue;
    Listed& row = rows.emplace_back();
    row.shipped = known;
    row.image = *std::move(image);
  }
  return rows;
}

}  // namespace vrun::images
