#include "engine/guest_dir.hpp"

#include <array>
#include <cctype>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/id.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::engine {
namespace {

constexpr std::size_t kLongestName = 64;  // HOST_NAME_MAX
// A guest that is being removed: no name a guest can have.
constexpr std::string_view kRemoving = ".removing-";
constexpr const char* kKept = "kept";

std::string random_digits() {
  std::array<unsigned char, 3> bytes{};
  // Cannot fail for so few bytes once the system has booted (getrandom(2)); names are made unique
  // by mkdir anyway.
  if (::getrandom(bytes.data(), bytes.size(), 0) < 0) bytes = {};
  std::string text;
  for (const unsigned char byte : bytes) {
    text += "0123456789abcdef"[byte >> 4U];
    text += "0123456789abcdef"[byte & 15U];
  }
  return text;
}

// Under its new name nobody takes it for a guest; its lock, still held, keeps others from removing
// it too.
Result<void> remove_guest(const Fd& parent, const std::string& name) {
  const std::string going = std::string(kRemoving) + name + "-" + random_digits();
  TRY(sys::rename(parent, name, parent, going));
  return fs::remove_tree(parent, going);
}

struct Dead {
  std::string name;
  Fd lock;
};

// What commands that died left below `parent`: half-made and half-removed guests.
Result<std::vector<Dead>> find_dead(const Fd& parent, const std::string& guests_dir) {
  std::vector<Dead> dead;
  const Fd making = TRY(sys::open_dir(At::cwd(), guests_dir));
  TRY(sys::lock(making.get(), LOCK_EX, "guests"));
  for (const std::string& name : TRY(sys::list_dir(parent.get()))) {
    // One system call for each guest: this is done before every start.
    const std::string kept = name + "/" + kKept;
    const bool removing = name.starts_with(kRemoving);
    if (!removing && ::faccessat(parent.get(), kept.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
      continue;
    }
    Result<Fd> dir = sys::open(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!dir || ::flock(dir->get(), LOCK_EX | LOCK_NB) != 0) continue;  // gone, or alive
    // Looked at again: it may have been kept since.
    if (!removing && ::faccessat(dir->get(), kKept, F_OK, AT_SYMLINK_NOFOLLOW) == 0) continue;
    dead.push_back({name, *std::move(dir)});
  }
  return dead;
}

Result<void> fill(const Fd& dir, const GuestRecord& record) {
  // The upper directory is the guest's "/": everyone inside may enter it, whatever our umask.
  TRY(sys::make_dir(dir, "upper", 0755));
  const Fd upper = TRY(sys::open_dir(dir, "upper"));
  TRY(sys::chmod(upper.get(), 0755));
  TRY(sys::make_dir(dir, "work", 0700));
  TRY(sys::make_dir(dir, "files", 0755));
  return fs::replace_file(dir, "guest.json", to_json(record));
}

Result<void> write_owned(const Fd& dir, const std::string& name, std::string_view text,
                         const GuestFiles& files) {
  TRY(fs::replace_file(dir, name, text, 0644));
  const Fd file = TRY(sys::open(dir, name, O_RDONLY | O_NOFOLLOW));
  TRY(sys::chmod(file.get(), 0644));
  return sys::chown(dir, name, Uid(files.root_uid), Gid(files.root_gid));
}

// The host's own file, or nothing where it has none.
std::string host_file(const std::string& path) {
  constexpr std::size_t kMost = 1U << 20U;
  Result<std::string> text = fs::read_file(At::cwd(), path, kMost, fs::Kind::kRegularOnly);
  return text ? *std::move(text) : std::string();
}

// --dns takes the place of all that would be there; the other two add to it.
std::string resolver_file(const GuestFiles& files) {
  std::string text;
  for (const std::string& server : files.dns)
    text += "nameserver " + server + "\n";
  if (files.dns.empty()) {
    text = files.host_network ? host_file("/etc/resolv.conf") : "# this guest has no network\n";
  }
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  if (!files.dns_search.empty()) text += "search " + join(files.dns_search, " ") + "\n";
  if (!files.dns_options.empty()) text += "options " + join(files.dns_options, " ") + "\n";
  return text;
}

}  // namespace

Result<void> check_guest_name(const std::string& name) {
  const bool good = ContainerId::parse(name).has_value() && name.size() <= kLongestName &&
                    std::isalnum(static_cast<unsigned char>(name.front())) != 0;
  if (good) return {};
  return Error(Code::kInvalid, "--name " + quote(name.substr(0, 80)) + ": not a name for a guest")
      .hint("1 to 64 letters, digits and the characters _ + . -, a letter or digit first");
}

std::string make_guest_name(const std::string& image) {
  std::string stem;
  for (const char c : fs::base_name(image)) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 || stem.size() == 40) break;
    stem += c;
  }
  return (stem.empty() ? "guest" : stem) + "-" + random_digits();
}

Result<GuestDir> GuestDir::create(const std::string& guests_dir, const GuestRecord& record) {
  TRY(fs::make_dirs(At::cwd(), guests_dir, 0700));
  Fd parent = TRY(sys::open_dir(At::cwd(), guests_dir));
  // Between mkdir and flock the directory looks like a dead command's: sweep_guests() waits for
  // this lock.
  const Fd making = TRY(sys::open_dir(At::cwd(), guests_dir));
  TRY(sys::lock(making.get(), LOCK_EX, "guests"));
  Result<void> made = sys::make_dir(parent, record.name, 0700);
  if (!made && made.error().code() == Code::kExists) {
    return Error(Code::kExists, "guest " + quote(record.name) + " already exists")
        .hint("choose another --name, or take the name from it: vrun rm " + record.name +
              " (an ended guest keeps its name), or vrun rename");
  }
  if (!made) return std::move(made).error();
  Fd dir = TRY(sys::open_dir(parent, record.name));
  TRY(sys::lock(dir.get(), LOCK_EX | LOCK_NB, "guest " + quote(record.name)));
  GuestDir guest(std::move(parent), std::move(dir), fs::join(guests_dir, record.name), record.name);
  TRY(fill(guest.dir_, record));
  return guest;
}

GuestDir::GuestDir(GuestDir&& other) noexcept
    : parent_(std::move(other.parent_)),
      dir_(std::move(other.dir_)),
      path_(std::move(other.path_)),
      name_(std::move(other.name_)),
      armed_(std::exchange(other.armed_, false)) {}

GuestDir::~GuestDir() {
  if (armed_) static_cast<void>(remove_guest(parent_, name_));
}

Result<void> GuestDir::make_startable(std::string_view image_config) {
  TRY(fs::replace_file(dir_, "image.json", image_config));
  return sys::make_dir(dir_, "logs", 0700);
}

Result<void> mark_kept(const Fd& guest_dir) {
  const Fd mark = TRY(sys::open(guest_dir, kKept, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600));
  return {};
}

Result<void> remove_kept(const std::string& guests_dir, const std::string& name) {
  const Fd parent = TRY(sys::open_dir(At::cwd(), guests_dir));
  return remove_guest(parent, name);
}

Result<void> GuestDir::remove() {
  armed_ = false;
  return remove_guest(parent_, name_);
}

Result<void> write_guest_files(const Fd& guest_dir, const GuestFiles& files) {
  const Fd dir = TRY(sys::open_dir(guest_dir, "files"));
  const std::string own_hosts =
      "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t" +
      files.hostname + "\n";
  std::string hosts = files.host_network ? host_file("/etc/hosts") : own_hosts;
  for (const std::string& entry : files.add_hosts) {
    const std::size_t colon = entry.find(':');
    hosts += entry.substr(colon + 1) + "\t" + entry.substr(0, colon) + "\n";
  }
  const std::string resolver = resolver_file(files);
  TRY(write_owned(dir, "hosts", hosts, files));
  TRY(write_owned(dir, "resolv.conf", resolver, files));
  return write_owned(dir, "hostname", files.hostname + "\n", files);
}

Result<void> sweep_guests(const std::string& guests_dir,
                          const std::function<Result<bool>(const std::string&)>& end_guest) {
  Result<Fd> opened = sys::open_dir(At::cwd(), guests_dir);
  if (!opened) {
    if (opened.error().code() == Code::kNotFound) return {};
    return std::move(opened).error();
  }
  const Fd parent = *std::move(opened);
  const std::vector<Dead> dead = TRY(find_dead(parent, guests_dir));
  for (const auto& [name, lock] : dead) {
    if (name.starts_with('.')) {
      // No guest: something in the making (staged_dir.hpp), or half removed.
      if (!name.starts_with(kRemoving)) TRY(end_guest(name));
      TRY(fs::remove_tree(parent, name));
    } else if (TRY(end_guest(name))) {
      TRY(remove_guest(parent, name));
    }
  }
  return {};
}

}  // namespace vrun::engine
