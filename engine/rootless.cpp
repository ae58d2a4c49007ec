#include "engine/rootless.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <iterator>
#include <set>
#include <utility>

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "namespaces/id_maps.hpp"
#include "runtime/process_mark.hpp"

namespace vrun::engine {
namespace {

constexpr std::size_t kMostBytes = 1U << 20U;
constexpr std::string_view kGuestPrefix = "guest-";

std::string members_dir(const Places& places) {
  return fs::join(places.run, "namespace");
}

std::string text_of_file(const char* path) {
  return fs::read_file(At::cwd(), path, kMostBytes).value_or("");
}

// ---- joining ----

struct Member {
  Pid pid;
  std::uint64_t start = 0;
  bool is_guest = false;
};

// "PID START"
std::optional<Member> read_member(const Fd& dir, const std::string& name) {
  const auto text = fs::read_file(dir, name, 64, fs::Kind::kRegularOnly);
  if (!text) return std::nullopt;
  const auto fields = split(trim(*text), ' ');
  if (fields.size() != 2) return std::nullopt;
  const auto pid = parse_u64(fields[0]);
  const auto start = parse_u64(fields[1]);
  if (!pid || !start || *pid > 0x7FFFFFFF) return std::nullopt;
  return Member{Pid(static_cast<pid_t>(*pid)), *start, name.starts_with(kGuestPrefix)};
}

Result<void> write_member(const Places& places, const std::string& name, Pid pid) {
  const auto start = runtime::start_time_of(pid);
  if (!start) return Error(Code::kState, "process " + std::to_string(pid.value) + " has ended");
  TRY(fs::make_dirs(At::cwd(), members_dir(places), 0700));
  const Fd dir = TRY(sys::open_dir(At::cwd(), members_dir(places)));
  return fs::replace_file(dir, name, std::to_string(pid.value) + " " + std::to_string(*start));
}

bool is_owned_by(const Fd& user_namespace, std::uint32_t uid) {
  uid_t owner = 0;
  return ::ioctl(user_namespace.get(), NS_GET_OWNER_UID, &owner) == 0 && owner == uid;
}

// A guest's own user namespace is a child of the one we look for; with --userns host it is that
// one.
Fd parent_unless_ours(Fd ns, const Host& host) {
  const Result<Fd> here = sys::open(At::cwd(), host.proc + "/self/ns/user", O_RDONLY);
  Fd parent(::ioctl(ns.get(), NS_GET_PARENT));
  if (!here || !parent) return ns;
  const Result<struct stat> a = sys::stat(parent.get());
  const Result<struct stat> b = sys::stat(here->get());
  if (a && b && a->st_ino == b->st_ino && a->st_dev == b->st_dev) return ns;
  return parent;
}

std::optional<Fd> namespace_of(const Member& member, const Host& host) {
  if (runtime::start_time_of(member.pid) != member.start) return std::nullopt;
  Result<Fd> ns = sys::open(
      At::cwd(), host.proc + "/" + std::to_string(member.pid.value) + "/ns/user", O_RDONLY);
  if (!ns) return std::nullopt;
  Fd found = parent_unless_ours(*std::move(ns), host);
  if (!is_owned_by(found, host.euid.value)) return std::nullopt;
  return found;
}

// Joins the namespace of a live member; false: there is none. Notes of the dead are taken away.
Result<bool> join_existing(const Fd& dir, const Host& host) {
  for (const std::string& name : TRY(sys::list_dir(dir.get()))) {
    if (name == "lock" || name.starts_with('.')) continue;
    const std::optional<Member> member = read_member(dir, name);
    const std::optional<Fd> ns = member ? namespace_of(*member, host) : std::nullopt;
    if (ns && sys::set_namespace(ns->get(), CLONE_NEWUSER)) return true;
    static_cast<void>(sys::unlink(dir, name));
  }
  return false;
}

// ---- making ----

struct Maps {
  std::vector<oci::IdMapping> uids, gids;
};

Maps maps_of_user(const Host& host) {
  const std::string name = name_of_user(text_of_file("/etc/passwd"), host.euid.value);
  Maps maps;
  maps.uids = user_mappings(text_of_file("/etc/subuid"), name, host.euid.value, host.euid.value);
  maps.gids = user_mappings(text_of_file("/etc/subgid"), name, host.euid.value, host.egid.value);
  // With ids for one kind only, files could be given to users but not to groups.
  if (maps.uids.size() > 1 && maps.gids.size() > 1) return maps;
  maps.uids.resize(1);
  maps.gids.resize(1);
  return maps;
}

struct Pipe {
  Fd read, write;
  static Result<Pipe> make() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Error::system(errno, "make a pipe");
    return Pipe{Fd(ends[0]), Fd(ends[1])};
  }
};

// In a child that stays outside: set-user-id programs such as newuidmap gain nothing inside.
int write_maps_of(Pid target, const Maps& maps, const Host& host, const Fd& go, const Fd& answer) {
  std::array<char, 1> byte{};
  if (sys::read(go.get(), byte).value_or(0) != 1) return 1;  // it could not make one
  const Result<void> written = namespaces::write_id_maps(target, maps.uids, maps.gids, host);
  if (written) return 0;
  static_cast<void>(
      sys::write_all(answer.get(), written.error().hint() + "\n" + written.error().text()));
  return 1;
}

Error from_answer(std::string_view answer) {
  const std::size_t end = std::min(answer.find('\n'), answer.size());
  Error error(Code::kDenied, "map the ids of the user: " +
                                 std::string(answer.substr(std::min(end + 1, answer.size()))));
  return std::move(error).hint(answer.substr(0, end));
}

Result<void> make_namespace(const Host& host) {
  const Maps maps = maps_of_user(host);
  Pipe go = TRY(Pipe::make());
  Pipe answer = TRY(Pipe::make());
  const Pid self(::getpid());
  const pid_t helper = ::fork();
  if (helper < 0) return Error::system(errno, "start a process");
  if (helper == 0) {
    go.write.reset();
    ::_exit(write_maps_of(self, maps, host, go.read, answer.write));
  }
  answer.write.reset();
  Result<void> made = sys::unshare(CLONE_NEWUSER);
  if (made) made = sys::write_all(go.write.get(), "g");
  go.write.reset();
  std::string text;
  std::array<char, 1024> buffer{};
  while (const std::size_t n = TRY(sys::read(answer.read.get(), buffer)))
    text.append(buffer.data(), n);
  int status = 0;
  while (::waitpid(helper, &status, 0) < 0 && errno == EINTR) {
  }
  if (!made) {
    return std::move(made)
        .error()
        .during("make a user namespace")
        .hint(
            "without root, guests need user namespaces: sysctl user.max_user_namespaces and "
            "kernel.unprivileged_userns_clone; `vrun doctor` looks");
  }
  if (status == 0) return {};
  return from_answer(text);
}

// Mounts that we make are nobody else's; `host` and programs that we start learn who we are.
Result<void> settle(const Places& places, Host& host) {
  TRY(sys::unshare(CLONE_NEWNS));
  const Host now = Host::current();
  if (now.rootless() || !now.nested()) {
    return Error(Code::kInternal, "the user namespace does not make us its root");
  }
  host.euid = now.euid;
  host.egid = now.egid;
  host.nested_ids = now.nested_ids;
  host.runtime_dir = places.run;
  host.cache_dir = places.run + "/cache";
  for (const auto& [name, value] :
       {std::pair("VRUN_DATA_DIR", &places.data), std::pair("VRUN_RUN_DIR", &places.run)}) {
    if (::setenv(name, value->c_str(), 1) != 0) return Error::system(errno, "set environment");
    const std::string start = std::string(name) + "=";
    std::erase_if(host.env, [&](const std::string& entry) { return entry.starts_with(start); });
    host.env.push_back(start + *value);
  }
  return {};
}

}  // namespace

Result<NamespaceMember> NamespaceMember::enter(const Places& places, Host& host) {
  if (!host.rootless()) return note(places, host);
  const std::string path = members_dir(places);
  TRY(fs::make_dirs(At::cwd(), path, 0700));
  const Fd dir = TRY(sys::open_dir(At::cwd(), path));
  const Fd lock = TRY(sys::open(dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  TRY(sys::lock(lock.get(), LOCK_EX, "the user namespace"));
  if (!TRY(join_existing(dir, host))) TRY(make_namespace(host));
  NamespaceMember member(fs::join(path, std::to_string(::getpid())));
  TRY(settle(places, host));
  TRY(write_member(places, std::to_string(::getpid()), Pid(::getpid())));
  return member;
}

Result<NamespaceMember> NamespaceMember::note(const Places& places, const Host& host) {
  if (!host.nested()) return NamespaceMember();
  const std::string name = std::to_string(::getpid());
  TRY(write_member(places, name, Pid(::getpid())));
  return NamespaceMember(fs::join(members_dir(places), name));
}

NamespaceMember::NamespaceMember(NamespaceMember&& other) noexcept
    : path_(std::exchange(other.path_, "")) {}

NamespaceMember& NamespaceMember::operator=(NamespaceMember&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

NamespaceMember::~NamespaceMember() {
  if (!path_.empty()) static_cast<void>(sys::unlink(At::cwd(), path_));
}

Result<void> note_guest(const Places& places, const Host& host, const std::string& id, Pid pid) {
  if (!host.nested()) return {};
  return write_member(places, std::string(kGuestPrefix) + id, pid);
}

void forget_guest(const Places& places, const Host& host, const std::string& id) {
  if (!host.nested()) return;
  static_cast<void>(
      sys::unlink(At::cwd(), fs::join(members_dir(places), std::string(kGuestPrefix) + id)));
}

std::vector<oci::IdMapping> user_mappings(std::string_view subid, std::string_view name,
                                          std::uint32_t uid, std::uint32_t own) {
  std::vector<oci::IdMapping> maps{{.container_id = 0, .host_id = own, .size = 1}};
  constexpr std::uint64_t kEnd = 0xFFFFFFFF;
  constexpr std::size_t kMostRanges = 339;  // of a map: 340 lines since Linux 4.15
  std::uint64_t next = 1;
  for (const std::string_view line : split(subid, '\n')) {
    const auto fields = split(trim(line), ':');
    if (fields.size() != 3 || maps.size() > kMostRanges) continue;
    if (fields[0] != std::to_string(uid) && (name.empty() || fields[0] != name)) continue;
    const auto first = parse_u64(fields[1]);
    const auto count = parse_u64(fields[2]);
    if (!first || !count || *count == 0 || *first >= kEnd || *count > kEnd - *first) continue;
    if (next + *count > kEnd) continue;
    maps.push_back({.container_id = static_cast<std::uint32_t>(next),
                    .host_id = static_cast<std::uint32_t>(*first),
                    .size = static_cast<std::uint32_t>(*count)});
    next += *count;
  }
  return maps;
}

std::string name_of_user(std::string_view passwd, std::uint32_t uid) {
  for (const std::string_view line : split(passwd, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() >= 3 && parse_u64(fields[2]) == uid) return std::string(fields[0]);
  }
  return {};
}

std::vector<oci::IdMapping> namespace_ids(const Host& host) {
  return namespace_ids(text_of_file((host.proc + "/self/uid_map").c_str()),
                       text_of_file((host.proc + "/self/gid_map").c_str()));
}

std::vector<oci::IdMapping> namespace_ids(std::string_view uid_map, std::string_view gid_map) {
  const std::uint64_t end = std::min(ids_in_map(uid_map), ids_in_map(gid_map));
  std::set<std::uint64_t> starts{end};
  for (const std::string_view map : {uid_map, gid_map}) {
    for (const std::string_view line : split(map, '\n')) {
      const std::string_view words = trim(line);
      const auto start = parse_u64(words.substr(0, words.find(' ')));
      if (start && *start < end) starts.insert(*start);
    }
  }
  std::vector<oci::IdMapping> ids;
  for (auto start = starts.begin(); *start != end; ++start) {
    const auto first = static_cast<std::uint32_t>(*start);
    const auto size = static_cast<std::uint32_t>(*std::next(start) - *start);
    ids.push_back({.container_id = first, .host_id = first, .size = size});
  }
  return ids;
}

std::string single_id_warning(const Host& host) {
  if (host.nested_ids != 1) return {};
  return "no ids for this user in /etc/subuid and /etc/subgid: everything in a guest belongs to "
         "its root, and its programs cannot become other users (root can give ids: usermod "
         "--add-subuids 100000-165535 --add-subgids 100000-165535 USER)";
}

Result<void> check_account(const Account& account, const Host& host) {
  if (!host.nested()) return {};
  const std::uint32_t uid = account.user.uid.value;
  const std::uint32_t gid = account.user.gid.value;
  if (uid < host.nested_ids && gid < host.nested_ids) return {};
  return Error(Code::kInvalid, "user " + std::to_string(uid) + ":" + std::to_string(gid) +
                                   " is not among the " + std::to_string(host.nested_ids) +
                                   " ids of this user's guests")
      .hint("give the user a larger range in /etc/subuid and /etc/subgid, or use --user 0");
}

}  // namespace vrun::engine
