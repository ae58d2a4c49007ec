#include "engine/contents.hpp"

#include <algorithm>
#include <cctype>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/json_table.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::engine {

namespace {
struct StoredContent {
  std::string version, manifest;
  std::map<std::string, std::string> files;
};
constexpr auto json_fields(const StoredContent*) {
  return json::fields(json::field("version", &StoredContent::version),
                      json::field("manifest", &StoredContent::manifest),
                      json::field("files", &StoredContent::files));
}

constexpr std::size_t kMostBytes = 4U << 20U;
constexpr std::uint64_t kMostOfTenant = 32U << 20U, kMostObjects = 1000;

const char* word_of(ContentKind kind) {
  return kind == ContentKind::kSecret ? "secret" : "config";
}

std::string folder_of(const Guests& guests, ContentKind kind) {
  return guests.places().data + "/" + word_of(kind) + "s/" + guests.tenant();
}

std::string live_dir(const Guests& guests, const GuestRecord& record) {
  return guests.places().run + "/contents/" + guests.tenant() + "/" + record.id;
}

struct Use {
  ContentKind kind;
  std::string name, target;
};

// The name becomes one of a file: a record from elsewhere (guest import) may say anything.
bool is_object_name(std::string_view name) {
  const auto good = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= 63 &&
         std::isalnum(static_cast<unsigned char>(name[0])) != 0 &&
         std::all_of(name.begin(), name.end(), good);
}

// "secret:NAME:TARGET".
Result<Use> parse_use(const std::string& text) {
  const auto parts = split(text, ':');
  const bool good = parts.size() == 3 && (parts[0] == "secret" || parts[0] == "config") &&
                    is_object_name(parts[1]) && parts[2].starts_with('/');
  if (!good) return Error(Code::kInvalid, "contents " + quote(text) + ": not KIND:NAME:TARGET");
  return Use{parts[0] == "secret" ? ContentKind::kSecret : ContentKind::kConfig,
             std::string(parts[1]), std::string(parts[2])};
}

bool is_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
}

Result<void> need_memory(const std::string& path) {
  struct statfs facts {};
  if (::statfs(path.c_str(), &facts) != 0) return Error::system(errno, "look at " + quote(path));
  if (facts.f_type == TMPFS_MAGIC || facts.f_type == RAMFS_MAGIC) return {};
  return Error(Code::kUnsupported,
               "secrets must not reach a disk, and " + quote(path) + " is not on tmpfs")
      .hint("let VRUN_RUN_DIR be on tmpfs, as /run is");
}

Result<void> write_one(const Fd& dir, const std::string& name, const std::string& bytes, Uid user,
                       Gid group, unsigned mode) {
  if (!is_file_name(name)) return Error(Code::kInvalid, quote(name) + " is no file name");
  const Fd file = TRY(sys::open(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0400));
  TRY(sys::write_all(file.get(), bytes));
  if (::fchown(file.get(), user.value, group.value) != 0 || ::fchmod(file.get(), mode) != 0)
    return Error::system(errno, "give away " + quote(name));
  return {};
}

struct Holding {
  std::uint64_t bytes = 0, objects = 0;
};

// Sizes on the disk, which are those of the contents and a little more.
Result<void> add_holding(const std::string& folder, const std::string& but, Holding& sum) {
  const Result<Fd> dir = sys::open_dir(At::cwd(), folder);
  if (!dir) return {};
  for (const std::string& file : TRY(sys::list_dir(dir->get()))) {
    if (file == but) continue;
    const Result<struct stat> st = sys::stat(*dir, file, AT_SYMLINK_NOFOLLOW);
    if (!st) continue;  // just removed
    sum.bytes += static_cast<std::uint64_t>(st->st_size);
    ++sum.objects;
  }
  return {};
}

// They lie outside of the disk budget, so that a full one stops no guest that needs them: a tenant
// has a fixed room for them.
Result<void> check_room(const Guests& guests, ContentKind kind, const std::string& name,
                        std::size_t bytes) {
  if (guests.tenant() == kDefaultTenant) return {};
  Holding sum;
  for (const ContentKind one : {ContentKind::kSecret, ContentKind::kConfig})
    TRY(add_holding(folder_of(guests, one), one == kind ? name + ".json" : "", sum));
  const bool fits = sum.bytes + bytes <= kMostOfTenant && sum.objects < kMostObjects;
  if (fits) return {};
  return Error(Code::kState, std::string(word_of(kind)) + " " + quote(name) + ": tenant " +
                                 quote(guests.tenant()) + " has " + std::to_string(sum.objects) +
                                 " Secrets and Configs of " + std::to_string(sum.bytes) +
                                 " bytes, and may have 1000 of 32 MiB together")
      .hint("remove some, or put what is large into a volume");
}

}  // namespace

Result<Content> read_content(const Guests& guests, ContentKind kind, const std::string& name) {
  const std::string path = folder_of(guests, kind) + "/" + name + ".json";
  Result<std::string> text = fs::read_file(At::cwd(), path, 2 * kMostBytes, fs::Kind::kRegularOnly);
  if (!text && text.error().code() == Code::kNotFound) {
    return Error(Code::kNotFound, std::string("no such ") + word_of(kind) + " " + quote(name));
  }
  if (!text) return std::move(text).error();
  StoredContent stored =
      TRY(json::read<StoredContent>(*text, std::string(word_of(kind)) + " " + name));
  return Content{stored.version, stored.manifest, std::move(stored.files)};
}

Result<void> write_content(const Guests& guests, ContentKind kind, const std::string& name,
                           const Content& content) {
  std::size_t bytes = 0;
  for (const auto& [file, text] : content.files) {
    bytes += text.size();
    if (!is_file_name(file)) return Error(Code::kInvalid, quote(file) + " is no file name");
  }
  if (bytes > kMostBytes) return Error(Code::kInvalid, name + " is larger than 4 MiB");
  TRY(check_room(guests, kind, name, bytes));
  TRY(fs::make_dirs(At::cwd(), folder_of(guests, kind), 0700));
  const Fd dir = TRY(sys::open_dir(At::cwd(), folder_of(guests, kind)));
  const StoredContent stored{content.version, content.manifest, content.files};
  return fs::replace_file(dir, name + ".json", json::write(stored), 0600);
}

Result<void> remove_content(const Guests& guests, ContentKind kind, const std::string& name) {
  Result<void> gone = sys::unlink(At::cwd(), folder_of(guests, kind) + "/" + name + ".json");
  if (!gone && gone.error().code() == Code::kNotFound) return {};
  return gone;
}

Result<std::vector<std::string>> content_names(const Guests& guests, ContentKind kind) {
  constexpr std::string_view kEnd = ".json";
  const Result<Fd> dir = sys::open_dir(At::cwd(), folder_of(guests, kind));
  std::vector<std::string> names;
  if (!dir) return names;
  for (const std::string& name : TRY(sys::list_dir(dir->get()))) {
    if (name.ends_with(kEnd)) names.push_back(name.substr(0, name.size() - kEnd.size()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::string> content_versions(const Guests& guests, const RunRequest& request) {
  std::string out;
  for (const std::string& text : request.contents) {
    const Use use = TRY(parse_use(text));
    const Content content = TRY(read_content(guests, use.kind, use.name));
    out += (out.empty() ? "" : ",") + std::string(word_of(use.kind)) + ":" + use.name + "=" +
           content.version;
  }
  return out;
}

Result<RunRequest> place_contents(const Guests& guests, const GuestRecord& record, Uid user,
                                  Gid group) {
  RunRequest request = record.request;
  if (request.contents.empty()) return request;
  TRY(clear_contents(guests, record));
  const std::string home = live_dir(guests, record);
  TRY(fs::make_dirs(At::cwd(), home, 0700));
  for (const std::string& text : record.request.contents) {
    const Use use = TRY(parse_use(text));
    const bool secret = use.kind == ContentKind::kSecret;
    if (secret) TRY(need_memory(home));
    const Content content = TRY(read_content(guests, use.kind, use.name));
    const std::string path = home + "/" + word_of(use.kind) + "-" + use.name;
    TRY(fs::make_dirs(At::cwd(), path, 0755));
    const Fd dir = TRY(sys::open_dir(At::cwd(), path));
    for (const auto& [name, bytes] : content.files)
      TRY(write_one(dir, name, bytes, user, group, secret ? 0400 : 0444));
    if (::fchown(dir.get(), user.value, group.value) != 0)
      return Error::system(errno, "give away " + quote(path));
    request.volumes.push_back(path + ":" + use.target + ":ro,noidmap");
  }
  return request;
}

Result<void> clear_contents(const Guests& guests, const GuestRecord& record) {
  const std::string home = live_dir(guests, record);
  const Result<Fd> parent = sys::open_dir(At::cwd(), std::string(fs::dir_name(home)));
  if (!parent) return {};
  return fs::remove_tree(*parent, record.id);
}

}  // namespace vrun::engine
