#include "images/names.hpp"

#include <algorithm>
#include <ctime>

#include <fcntl.h>

#include "base/digest.hpp"
#include "base/fs.hpp"
#include "base/journal.hpp"
#include "base/json_table.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

constexpr std::size_t kLargestFile = 16U << 10U;
constexpr std::string_view kSuffix = ".json";

struct NameFile {
  std::string reference, media_type, digest, created;
  std::uint64_t size = 0;
};

constexpr auto json_fields(const NameFile*) {
  return json::fields(json::field("reference", &NameFile::reference, {.required = true}),
                      json::field("mediaType", &NameFile::media_type, {.required = true}),
                      json::field("digest", &NameFile::digest, {.required = true}),
                      json::field("size", &NameFile::size, {.max = INT64_MAX, .required = true}),
                      json::field("created", &NameFile::created));
}

// What a name is filed under: with a digest the tag says nothing.
std::string key_of(const oci::Reference& reference) {
  if (!reference.digest) return reference.str();
  return reference.repository() + "@" + reference.digest->str();
}

// References may be longer than a file name, and have slashes.
std::string file_of(const oci::Reference& reference) {
  return sha256_hex(key_of(reference)) + std::string(kSuffix);
}

bool is_safe(const std::string& tenant) {
  constexpr std::size_t kLongest = 64;
  return !tenant.empty() && tenant.size() <= kLongest && tenant.front() != '.' &&
         std::all_of(tenant.begin(), tenant.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

Result<Named> read_name(const Fd& dir, const std::string& file) {
  const std::string text = TRY(fs::read_file(dir, file, kLargestFile, fs::Kind::kRegularOnly));
  NameFile read = TRY(json::read<NameFile>(text, "image name " + file));
  Named named;
  named.reference = TRY(oci::Reference::parse(read.reference));
  named.manifest.digest = TRY(oci::Digest::parse(read.digest));
  named.manifest.media_type = std::move(read.media_type);
  named.manifest.size = read.size;
  named.created = std::move(read.created);
  if (file_of(named.reference) == file) return named;
  return Error(Code::kInvalid, "image name " + file + ": holds the name " +
                                   quote(named.reference.str()) + ", which belongs elsewhere");
}

std::string refs_dir(const Store& store) {
  return fs::join(store.data_dir(), "images/refs");
}

}  // namespace

Result<Names> Names::open(const Store& store, const std::string& tenant) {
  if (!is_safe(tenant)) {
    return Error(Code::kInvalid,
                 "tenant " + quote(tenant) + ": not a name of letters, digits, . _ -");
  }
  const std::string path = fs::join(refs_dir(store), tenant);
  TRY(fs::make_dirs(At::cwd(), path, 0700));
  return Names(TRY(sys::open_dir(At::cwd(), path)), store.data_dir(), tenant);
}

Result<void> Names::set(const oci::Reference& reference, const oci::Descriptor& manifest) {
  NameFile file;
  file.reference = key_of(reference);
  file.media_type = manifest.media_type;
  file.digest = manifest.digest.str();
  file.size = manifest.size;
  file.created = now_text();
  return fs::replace_file(dir_, file_of(reference), json::write(file) + "\n");
}

Result<std::optional<oci::Descriptor>> Names::find(const oci::Reference& reference) const {
  Result<Named> named = read_name(dir_, file_of(reference));
  if (named) return std::optional(std::move(named->manifest));
  if (named.error().code() != Code::kNotFound) return std::move(named).error();
  if (!reference.digest) return std::optional<oci::Descriptor>();
  for (Named& other : TRY(list())) {
    if (other.reference.repository() != reference.repository()) continue;
    if (other.manifest.digest == *reference.digest) return std::optional(std::move(other.manifest));
  }
  return std::optional<oci::Descriptor>();
}

Result<std::vector<Named>> Names::list(std::vector<std::string>* damaged) const {
  std::vector<Named> found;
  for (const std::string& file : TRY(sys::list_dir(dir_.get()))) {
    if (file.starts_with('.') || !file.ends_with(kSuffix))
      continue;  // being written, or a left-over
    Result<Named> named = read_name(dir_, file);
    if (named) {
      found.push_back(*std::move(named));
    } else if (named.error().code() != Code::kNotFound && damaged != nullptr) {
      damaged->push_back(tenant_ + "/" + file + ": " + named.error().text());
    }
  }
  std::sort(found.begin(), found.end(),
            [](const Named& a, const Named& b) { return a.reference < b.reference; });
  return found;
}

Result<bool> Names::remove(const oci::Reference& reference) {
  Result<void> gone = sys::unlink(dir_, file_of(reference));
  if (gone) return true;
  if (gone.error().code() == Code::kNotFound) return false;
  return std::move(gone).error();
}

void Names::note(std::string_view action, const oci::Reference& reference,
                 const oci::Digest& manifest) const {
  note_happening(data_dir_, {.type = "image",
                             .action = action,
                             .id = manifest.str(),
                             .name = reference.familiar(),
                             .tenant = tenant_,
                             .image = "",
                             .attributes = {}});
}

Result<std::vector<std::string>> tenants_with_names(const Store& store) {
  Result<Fd> dir = sys::open_dir(At::cwd(), refs_dir(store));
  if (!dir) {
    if (dir.error().code() == Code::kNotFound) return std::vector<std::string>();
    return std::move(dir).error();
  }
  std::vector<std::string> names = TRY(sys::list_dir(dir->get()));
  std::erase_if(names, [](const std::string& name) { return !is_safe(name); });
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace vrun::images
