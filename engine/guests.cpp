#include "engine/guests.hpp"

#include <algorithm>
#include <cerrno>
#include <map>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/halves.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/rollback.hpp"
#include "tenants/group.hpp"

namespace vrun::engine {
namespace {

constexpr std::size_t kRecordBytes = 4U << 20U;
constexpr std::size_t kLeastIdDigits = 1;

bool is_id_start(std::string_view text) {
  return text.size() >= kLeastIdDigits && text.size() <= 64 &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool exists(const std::string& path) {
  return sys::stat(At::cwd(), path, AT_SYMLINK_NOFOLLOW).has_value();
}

bool is_held(const std::string& lock) {
  const Result<Fd> file = sys::open(At::cwd(), lock, O_RDONLY | O_NOFOLLOW);
  return file && ::flock(file->get(), LOCK_SH | LOCK_NB) != 0;
}

// `dir`: of the tenant's guests.
Result<GuestRecord> read_record(const Fd& dir, const std::string& name) {
  const std::string path = name + "/guest.json";
  const std::string text = TRY(fs::read_file(dir, path, kRecordBytes, fs::Kind::kRegularOnly));
  return parse_guest_record(text, path);
}

Error unknown(std::string_view wanted, const std::vector<Guest>& all) {
  Error error(Code::kNotFound, "no such guest " + quote(wanted.substr(0, 80)));
  std::vector<std::string_view> names;
  for (const Guest& guest : all)
    names.emplace_back(guest.record.name);
  const auto near = nearest(wanted, names);
  if (near) return std::move(error).hint("did you mean " + std::string(*near) + "?");
  return std::move(error).hint("`vrun ps -a` lists the guests");
}

Error ambiguous(std::string_view wanted, const std::vector<const Guest*>& matches) {
  std::vector<std::string> names;
  for (const Guest* guest : matches)
    names.push_back(guest->record.short_id() + " (" + guest->record.name + ")");
  return Error(Code::kInvalid, quote(wanted) + " is the beginning of " +
                                   std::to_string(matches.size()) + " ids: " + join(names, ", "))
      .hint("give more digits, or the name");
}

// Into the blocks that the file has already: by one write, so that a killed command leaves the old
// text or the new one. Only a power cut could leave some of both.
bool overwrite(const Fd& dir, const std::string& name, std::string text) {
  const Result<Fd> file = sys::open(dir, name, O_WRONLY | O_NOFOLLOW);
  if (!file) return false;
  const Result<struct stat> now = sys::stat(file->get());
  if (!now) return false;
  const auto length = static_cast<std::size_t>(now->st_size);
  constexpr std::size_t kBlock = 512;  // of st_blocks
  if (text.size() > static_cast<std::size_t>(now->st_blocks) * kBlock) return false;
  text.resize(std::max(text.size(), length), ' ');  // what is longer than before stays JSON
  const ssize_t n = ::pwrite(file->get(), text.data(), text.size(), 0);
  return n == static_cast<ssize_t>(text.size());
}

}  // namespace

const char* to_text(GuestStatus status) {
  switch (status) {
    case GuestStatus::kCreated:
      return "created";
    case GuestStatus::kRunning:
      return "running";
    case GuestStatus::kPaused:
      return "paused";
    case GuestStatus::kRestarting:
      return "restarting";
    case GuestStatus::kEnding:
      return "ending";
    case GuestStatus::kExited:
      return "exited";
  }
  return "unknown";
}

Result<void> LockedGuest::save() {
  const std::string text = to_json(guest.record);
  Result<void> saved = fs::replace_file(dir_, "guest.json", text);
  const int why = saved ? 0 : saved.error().sys_errno();
  if (why != ENOSPC && why != EDQUOT) return saved;
  // A full disk must not keep a guest from being stopped.
  if (overwrite(dir_, "guest.json", text)) return {};
  return saved;
}

Result<Guests> Guests::open(const Places& places, std::string tenant, const Host& host) {
  runtime::Context context;
  context.root = places.states(tenant);
  context.host = host;
  if (host.nested()) context.rootless = "true";
  if (tenant != kDefaultTenant) {
    const Result<tenants::TenantGroup> group = tenants::TenantGroup::find(places.run, tenant, host);
    if (group) context.parent_group = group->guests();
  }
  return Guests(places, std::move(tenant), std::move(context));
}

std::string Guests::path_of(const GuestRecord& record) const {
  return fs::join(places_.guests(tenant_), record.name);
}

std::string Guests::monitor_dir(const GuestRecord& record) const {
  return places_.monitors(tenant_) + "/" + record.id;
}

Result<GuestRecord> Guests::read(const std::string& name) const {
  const Fd dir = TRY(sys::open_dir(At::cwd(), places_.guests(tenant_)));
  return read_record(dir, name);
}

Guest Guests::look(GuestRecord record) const {
  const Result<runtime::Info> info = runtime::state(context_, record.id);
  return look(std::move(record), info ? &*info : nullptr);
}

Guest Guests::look(GuestRecord record, const runtime::Info* info) const {
  Guest guest;
  guest.record = std::move(record);
  guest.status = guest.record.last.started.empty() ? GuestStatus::kCreated : GuestStatus::kExited;
  const std::string monitor = monitor_dir(guest.record);
  // A guest of `run --rm` in the foreground has no monitor but the command itself.
  if (info == nullptr && !guest.record.request.remove && !exists(monitor)) return guest;
  if (info) guest.pid = info->pid;
  if (info && info->status == runtime::Status::kRunning) guest.status = GuestStatus::kRunning;
  if (info && info->status == runtime::Status::kPaused) guest.status = GuestStatus::kPaused;
  if (!guest.runs() && exists(monitor + "/restarting")) {
    guest.status = GuestStatus::kRestarting;
    return guest;
  }
  if (!guest.runs()) {
    if (guest.record.last.finished.empty() && is_held(monitor + "/monitor")) {
      guest.status = GuestStatus::kEnding;
    }
    return guest;
  }
  guest.probes = read_probe_states(monitor);
  guest.ready = is_ready(guest.probes);
  for (const ProbeState& probe : guest.probes) {
    if (probe.probe == Probe::kLiveness) guest.health = probe.state;
  }
  return guest;
}

Result<Guest> Guests::find(std::string_view name_or_id) const {
  const bool could_be_name = ContainerId::parse(name_or_id).has_value() && name_or_id.size() <= 64;
  if (could_be_name && exists(places_.guests(tenant_) + "/" + std::string(name_or_id))) {
    return look(TRY(read(std::string(name_or_id))));
  }
  const std::vector<Guest> all = TRY(list());
  std::vector<const Guest*> matches;
  if (is_id_start(name_or_id)) {
    for (const Guest& guest : all) {
      if (guest.record.id.starts_with(name_or_id)) matches.push_back(&guest);
    }
  }
  if (matches.empty()) return unknown(name_or_id, all);
  if (matches.size() > 1) return ambiguous(name_or_id, matches);
  return *matches[0];
}

std::optional<Guest> Guests::look_at(const Fd& dir, const std::string& name,
                                     const std::map<std::string, runtime::Info>& containers) const {
  if (name.starts_with('.')) return std::nullopt;  // being removed
  Result<GuestRecord> record = read_record(dir, name);
  if (!record) {
    // Made or removed at this moment: nothing to say.
    if (record.error().code() != Code::kNotFound) log::warning(record.error().text());
    return std::nullopt;
  }
  const auto container = containers.find(record->id);
  // Not there: it does not run, or it was started since.
  if (container == containers.end()) return look(*std::move(record));
  return look(*std::move(record), &container->second);
}

Result<std::vector<Guest>> Guests::list() const {
  std::vector<Guest> guests;
  Result<Fd> dir = sys::open_dir(At::cwd(), places_.guests(tenant_));
  if (!dir && dir.error().code() == Code::kNotFound) return guests;
  if (!dir) return std::move(dir).error();
  // All at once: what is the same for every guest (the cgroup layout) is looked at only once.
  std::map<std::string, runtime::Info> containers;
  for (runtime::Info& info : TRY(runtime::list(context_))) {
    std::string id = info.id;
    containers.emplace(std::move(id), std::move(info));
  }
  const std::vector<std::string> names = TRY(sys::list_dir(dir->get()));
  std::vector<std::optional<Guest>> found(names.size());
  for_each_half(names.size(), [&](std::size_t first, std::size_t end) {
    for (std::size_t i = first; i < end; ++i)
      found[i] = look_at(*dir, names[i], containers);
  });
  // Sorted before they are moved: a guest is some kilobytes of text.
  std::vector<Guest*> order;
  for (std::optional<Guest>& guest : found) {
    if (guest) order.push_back(&*guest);
  }
  std::sort(order.begin(), order.end(), [](const Guest* a, const Guest* b) {
    return a->record.created != b->record.created ? a->record.created > b->record.created
                                                  : a->record.name < b->record.name;
  });
  guests.reserve(order.size());
  for (Guest* guest : order)
    guests.push_back(std::move(*guest));
  return guests;
}

Result<LockedGuest> Guests::lock(const GuestRecord& record) const {
  const std::string path = path_of(record);
  const auto gone = [&] {
    return Error(Code::kNotFound, "guest " + quote(record.name) + " was removed meanwhile");
  };
  Result<Fd> dir = sys::open_dir(At::cwd(), path);
  if (!dir && dir.error().code() == Code::kNotFound) return gone();
  if (!dir) return std::move(dir).error();
  Fd lock = TRY(sys::open(*dir, "lock", O_RDWR | O_CREAT, 0600));
  TRY(sys::lock(lock.get(), LOCK_EX, "guest " + quote(record.name)));
  TRY(settle_rollback(*this, record.id, *dir));
  // It may have been removed, renamed or made anew while we waited.
  Result<GuestRecord> now = read(record.name);
  if (!now || now->id != record.id) return gone();
  return LockedGuest(look(*std::move(now)), *std::move(dir), std::move(lock), path);
}

}  // namespace vrun::engine
