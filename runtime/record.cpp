#include "runtime/record.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/json_table.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/location_json.hpp"
#include "oci/reader.hpp"

namespace vrun::runtime {
namespace {

constexpr std::size_t kMaxRecordBytes = 4U << 20U;
constexpr const char* kIntentName = "intent";
constexpr const char* kGroupMadeName = "group";
constexpr const char* kStateName = "state.json";
constexpr const char* kConfigName = "config.json";
constexpr const char* kStateTemporary = ".state.json.new";

Error does_not_exist(const std::string& id) {
  return Error(Code::kNotFound, "container " + quote(id) + " does not exist");
}

Result<void> write_new(const Fd& dir, const char* name, std::string_view bytes) {
  Fd file = TRY(sys::open(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  Result<void> written = sys::write_all(file.get(), bytes);
  if (!written) return std::move(written).error().during("write " + std::string(name));
  return {};
}

// The text of a link is written whole or not at all, by one system call. Longer than a link can be:
// a file.
Result<void> write_record(const Fd& dir, const char* name, const Record& record) {
  const std::string text = to_json(record);
  Result<void> linked = sys::make_symlink(text, dir, name);
  if (linked || linked.error().sys_errno() != ENAMETOOLONG) return linked;
  return write_new(dir, name, text);
}

Result<Fd> open_root(const std::string& root) {
  return sys::open(At::cwd(), root, O_RDONLY | O_DIRECTORY);
}

}  // namespace

void read_pid(const json::In& in, ProcessMark& out) {
  if (const auto pid = json::decode_integer(in, 0, 1U << 30U))
    out.pid = Pid(static_cast<pid_t>(*pid));
}

void write_pid(json::Writer& writer, const ProcessMark& mark) {
  writer.member("pid", static_cast<std::int64_t>(mark.pid.value));
}

constexpr auto json_fields(const ProcessMark*) {
  return json::fields(json::custom("pid", read_pid, write_pid),
                      json::field("startTime", &ProcessMark::start_time),
                      json::field("pidfsInode", &ProcessMark::pidfs_inode),
                      json::field("bootId", &ProcessMark::boot_id));
}

// version first, so that a later vrun can tell what it reads.
constexpr auto json_fields(const Record*) {
  return json::fields(
      json::field("version", &Record::version, {.min = 1, .max = 1, .required = true}),
      json::field("id", &Record::id, {.required = true}), json::field("process", &Record::process),
      json::field("owner", &Record::owner), json::field("bundle", &Record::bundle),
      json::field("rootfs", &Record::rootfs), json::field("created", &Record::created),
      json::field("cgroup", &Record::cgroup), json::field("closid", &Record::closid),
      json::field("ownClosid", &Record::own_closid), json::field("rootless", &Record::rootless),
      json::field("annotations", &Record::annotations));
}

std::string to_json(const Record& record) {
  return json::write(record);
}

Result<Record> parse_record(std::string_view json, std::string_view name) {
  return json::read<Record>(json, name, {.bytes = kMaxRecordBytes});
}

Result<NewFolder> NewFolder::create(const std::string& root, const ContainerId& id) {
  if (::access(root.c_str(), F_OK) != 0) TRY(fs::make_dirs(At::cwd(), root, 0700));
  Fd root_dir = TRY(open_root(root));
  Result<void> made = sys::make_dir(root_dir, id.str(), 0700);
  if (!made && made.error().sys_errno() == EEXIST) {
    return Error(Code::kExists, "container with given ID already exists")
        .at(id.str())
        .hint("choose another id, or delete that container first");
  }
  if (!made) return std::move(made).error().during("make the state folder in " + quote(root));
  Result<Fd> dir = sys::open(root_dir, id.str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir) {
    static_cast<void>(sys::remove_dir(root_dir, id.str()));
    return std::move(dir).error();
  }
  NewFolder folder(std::move(root_dir), *std::move(dir), id.str());
  TRY(sys::lock(folder.dir_.get(), LOCK_EX, "the state folder of " + id.str()));
  const struct stat st = TRY(sys::stat(folder.dir_.get()));
  if (st.st_nlink != 0) return folder;
  folder.commit();  // what has this name now, if anything, is somebody else's
  return Error(Code::kState, "container " + quote(id.str()) + " was deleted while it was made");
}

NewFolder::NewFolder(NewFolder&& other) noexcept
    : root_(std::move(other.root_)),
      dir_(std::move(other.dir_)),
      id_(std::move(other.id_)),
      armed_(std::exchange(other.armed_, false)) {}

NewFolder::~NewFolder() {
  if (armed_) static_cast<void>(fs::remove_tree(root_, id_));
}

Result<Folder> Folder::open(const std::string& root, const std::string& id, Lock lock) {
  const ContainerId checked = TRY(ContainerId::parse(id));
  while (true) {
    Result<Fd> root_dir = open_root(root);
    if (!root_dir && root_dir.error().sys_errno() == ENOENT) return does_not_exist(id);
    if (!root_dir) return std::move(root_dir).error();
    Result<Fd> dir = sys::open(*root_dir, checked.str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!dir && dir.error().sys_errno() == ENOENT) return does_not_exist(id);
    if (!dir) return std::move(dir).error();
    const int operation = lock == Lock::kTry ? LOCK_EX | LOCK_NB : LOCK_EX;
    if (lock != Lock::kNone) TRY(sys::lock(dir->get(), operation, "the state folder of " + id));
    // While we waited for the lock the folder may have been removed, and perhaps made anew: then
    // look again.
    const struct stat st = TRY(sys::stat(dir->get()));
    if (st.st_nlink != 0) return Folder(*std::move(root_dir), *std::move(dir), checked.str());
  }
}

Result<Record> read_record(At dir, const std::string& path) {
  Result<std::string> text = sys::read_link(dir, path);
  if (!text) text = fs::read_file(dir, path, kMaxRecordBytes, fs::Kind::kRegularOnly);
  if (!text) return std::move(text).error();
  return parse_record(*text, path);
}

Result<Record> read_state(const Fd& root, const std::string& id) {
  return read_record(root, id + "/" + kStateName);
}

Result<Folder::Loaded> Folder::load() const {
  Result<Record> record = read_record(dir_, kStateName);
  if (record) return Loaded{*std::move(record), true, true};
  const bool group_made = sys::read_link(dir_, kGroupMadeName).has_value();
  record = read_record(dir_, kIntentName);
  if (record) return Loaded{*std::move(record), false, group_made};
  Record empty;
  empty.id = id_;
  return Loaded{std::move(empty), false, group_made};
}

Result<oci::Spec> Folder::load_config() const {
  const std::string text =
      TRY(fs::read_file(dir_, kConfigName, oci::kMaxConfigBytes, fs::Kind::kRegularOnly));
  return oci::parse_spec(text, kConfigName);
}

bool Folder::is_locked() const {
  if (!sys::lock(dir_.get(), LOCK_SH | LOCK_NB, "the state folder")) return true;
  return !sys::lock(dir_.get(), LOCK_UN, "the state folder");
}

void NewFolder::unlock() const {
  static_cast<void>(sys::lock(dir_.get(), LOCK_UN, "the state folder"));
}

void Folder::unlock() const {
  static_cast<void>(sys::lock(dir_.get(), LOCK_UN, "the state folder"));
}

Result<void> Folder::remove() {
  return fs::remove_tree(root_, id_);
}

Result<void> write_intent(const Fd& dir, const Record& record) {
  Record intent;
  intent.id = record.id;
  intent.bundle = record.bundle;
  intent.created = record.created;
  intent.cgroup = record.cgroup;
  intent.closid = record.closid;
  return write_record(dir, kIntentName, intent);
}

Result<void> mark_group_made(const Fd& dir) {
  return sys::make_symlink("made", dir, kGroupMadeName);
}

Result<void> write_config(const Fd& dir, std::string_view config) {
  return write_new(dir, kConfigName, config);
}

Result<void> prepare_state(const Fd& dir, const Record& record) {
  return write_record(dir, kStateTemporary, record);
}

Result<void> publish_state(const Fd& dir) {
  return sys::rename(dir, kStateTemporary, dir, kStateName);
}

}  // namespace vrun::runtime
