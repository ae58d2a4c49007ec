#include "engine/snapshots.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.hpp"
#include "base/fs.hpp"
#include "base/json_table.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/disk.hpp"
#include "engine/events.hpp"
#include "engine/held_signals.hpp"
#include "engine/saved_machine.hpp"
#include "engine/still_guest.hpp"
#include "engine/tenant_entry.hpp"
#include "engine/tree_copy.hpp"
#include "engine/volume_store.hpp"
#include "engine/volumes.hpp"

namespace vrun::engine {

constexpr auto json_fields(const SnapshotVolume*) {
  using json::field;
  return json::fields(field("name", &SnapshotVolume::name, {.required = true, .non_empty = true}),
                      field("target", &SnapshotVolume::target, {.required = true}));
}

constexpr auto json_fields(const Snapshot*) {
  using json::field;
  using S = Snapshot;
  return json::fields(field("version", &S::version, {.min = 1, .max = 1, .required = true}),
                      field("name", &S::name, {.required = true, .non_empty = true}),
                      field("guest", &S::guest), field("created", &S::created, {.required = true}),
                      field("comment", &S::comment), field("machine", &S::machine),
                      field("running", &S::running), field("standstillUs", &S::standstill_us),
                      field("entries", &S::entries), field("bytes", &S::bytes, {.always = true}),
                      field("shared", &S::shared), field("volumes", &S::volumes));
}

namespace {

constexpr const char* kSnapshots = "snapshots";
constexpr const char* kFacts = "snapshot.json";
constexpr const char* kDraft = "draft";
constexpr std::size_t kFactsBytes = 1U << 20U;
constexpr std::size_t kRecordBytes = 4U << 20U;

Result<void> check_name(const std::string& name) {
  if (is_volume_name(name) && name.size() <= 64) return {};
  return Error(Code::kInvalid, quote(name.substr(0, 80)) + " is not a name for a snapshot")
      .hint("1 to 64 letters, digits and the characters _ . -, a letter or digit first");
}

// The guest's snapshots; none when there never was one.
Result<Fd> open_shelf(const Fd& guest_dir) {
  Result<Fd> shelf = sys::open(guest_dir, kSnapshots, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!shelf && shelf.error().code() == Code::kNotFound) return Fd();
  return shelf;
}

Result<Fd> make_shelf(const Fd& guest_dir) {
  Result<void> made = sys::make_dir(guest_dir, kSnapshots, 0700);
  if (!made && made.error().code() != Code::kExists) return std::move(made).error();
  return open_shelf(guest_dir);
}

Result<std::vector<Snapshot>> list_in(const Fd& shelf) {
  std::vector<Snapshot> all;
  if (!shelf) return all;
  for (const std::string& name : TRY(sys::list_dir(shelf.get()))) {
    const Result<std::string> text =
        fs::read_file(shelf, name + "/" + kFacts, kFactsBytes, fs::Kind::kRegularOnly);
    if (!text && text.error().code() == Code::kNotFound) continue;  // removed meanwhile
    Result<Snapshot> one = text ? parse_snapshot(*text, "snapshot " + name)
                                : Result<Snapshot>(Error(text.error().code(), text.error().text()));
    if (one) {
      all.push_back(*std::move(one));
    } else {
      log::warning(std::move(one).error().text());
    }
  }
  std::sort(all.begin(), all.end(), [](const Snapshot& a, const Snapshot& b) {
    return a.created != b.created ? a.created < b.created : a.name < b.name;
  });
  return all;
}

Error unknown(const GuestRecord& record, std::string_view wanted,
              const std::vector<Snapshot>& all) {
  Error error(Code::kNotFound,
              "guest " + quote(record.name) + " has no snapshot " + quote(wanted.substr(0, 80)));
  std::vector<std::string_view> names;
  for (const Snapshot& one : all)
    names.emplace_back(one.name);
  const auto near = nearest(wanted, names);
  if (near) return std::move(error).hint("did you mean " + std::string(*near) + "?");
  return std::move(error).hint("`vrun snapshot ls " + record.name + "` lists them");
}

Result<std::string> free_name(const Fd& guest_dir) {
  std::vector<std::string> taken;
  const Fd shelf = TRY(open_shelf(guest_dir));
  if (shelf) taken = TRY(sys::list_dir(shelf.get()));
  for (std::size_t number = 1;; ++number) {
    std::string name = "snap" + std::to_string(number);
    if (std::find(taken.begin(), taken.end(), name) == taken.end()) return name;
  }
}

void add(const TreeCopy& copied, Snapshot& facts) {
  facts.entries += copied.entries;
  facts.bytes += copied.bytes;
  facts.shared += copied.shared;
}

Result<void> copy_volumes(const Guests& guests, const GuestRecord& record, StagedDir& staged,
                          Snapshot& facts) {
  const Fd all = TRY(staged.make("volumes"));
  for (const VolumeUse& use : record.volumes) {
    const std::string number = std::to_string(facts.volumes.size());
    const Fd from =
        TRY(sys::open_dir(At::cwd(), volume_data(guests.places(), guests.tenant(), use.name)));
    TRY(sys::make_dir(all, number, 0755));
    const Fd to = TRY(sys::open_dir(all, number));
    Result<TreeCopy> copied = copy_tree_exactly(from, to);
    if (!copied) return std::move(copied).error().during("volume " + quote(use.name));
    add(*copied, facts);
    facts.volumes.push_back({use.name, use.target});
  }
  return {};
}

// Of the writable layer of a guest that runs.
Result<std::optional<Draft>> draft_of(const Guests& guests, const GuestRecord& record,
                                      StagedDir& staged) {
  if (!TRY(guests.find(record.name)).runs()) return std::optional<Draft>();
  const Fd dir = TRY(staged.make(kDraft));
  const Fd from = TRY(sys::open_dir(At::cwd(), fs::join(guests.path_of(record), "upper")));
  return std::optional<Draft>(TRY(Draft::of(from, dir)));
}

// The guest stands still here and nowhere else. Answers its directory.
Result<Fd> fill_picture(const Guests& guests, const GuestRecord& record, const SnapshotWish& wish,
                        StagedDir& staged, Snapshot& facts) {
  using Clock = std::chrono::steady_clock;
  const Fd upper = TRY(staged.make("upper"));
  std::optional<Draft> draft = TRY(draft_of(guests, record, staged));
  const StillGuest still = TRY(StillGuest::begin(guests, record));
  const Clock::time_point begun = Clock::now();
  const Fd from = TRY(sys::open_dir(still.dir(), "upper"));
  const TreeCopy copied = TRY(copy_tree_exactly(from, upper, draft ? &*draft : nullptr));
  add(copied, facts);
  if (wish.volumes) TRY(copy_volumes(guests, still.record(), staged, facts));
  TRY(still.check(guests));
  facts.guest = still.record().name;
  facts.running = still.runs();
  if (facts.running) {
    facts.standstill_us = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begun).count());
  }
  TRY(fs::replace_file(staged.dir(), "guest.json", to_json(still.record())));
  return sys::open_dir(still.dir(), ".");
}

// The same with its machine, which cannot be asked while the guest's group is frozen: it stands
// still by itself.
Result<Fd> fill_with_machine(const Guests& guests, const GuestRecord& record,
                             const SnapshotWish& wish, StagedDir& staged, Snapshot& facts) {
  using Clock = std::chrono::steady_clock;
  const Guest guest = TRY(guests.find(record.name));
  if (guest.status != GuestStatus::kRunning) {
    const bool paused = guest.status == GuestStatus::kPaused;
    return Error(Code::kState,
                 "guest " + quote(record.name) + (paused ? " is paused" : " does not run"))
        .hint((paused ? "vrun unpause " : "vrun start ") + record.name);
  }
  Fd dir = TRY(sys::open_dir(At::cwd(), guests.path_of(guest.record)));
  if (!sys::stat(dir, "kept", AT_SYMLINK_NOFOLLOW)) {
    return Error(Code::kUnsupported,
                 "guest " + quote(record.name) + " goes with the command that runs it (run --rm)");
  }
  const Fd upper = TRY(staged.make("upper"));
  const Fd machine = TRY(staged.make("machine"));
  if (::fchmod(machine.get(), 0700) != 0)
    return Error::system(errno, "protect the machine's files");
  const Clock::time_point begun = Clock::now();
  MachineStandstill still = TRY(MachineStandstill::begin(guests, guest.record, machine));
  const Fd from = TRY(sys::open_dir(dir, "upper"));
  add(TRY(copy_tree_exactly(from, upper)), facts);
  if (wish.volumes) TRY(copy_volumes(guests, guest.record, staged, facts));
  TRY(still.end());
  facts.guest = guest.record.name;
  facts.running = facts.machine = true;
  facts.standstill_us = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begun).count());
  facts.bytes += static_cast<std::uint64_t>(TRY(sys::stat(machine, "memory")).st_blocks) * 512;
  TRY(fs::replace_file(staged.dir(), "guest.json", to_json(guest.record)));
  return dir;
}

Error taken(const GuestRecord& record, const std::string& name) {
  return Error(Code::kExists, "guest " + quote(record.name) + " has a snapshot " + quote(name))
      .hint("choose another name, or remove it: vrun snapshot rm " + record.name + " " + name);
}

Result<void> check_free(const Guests& guests, const GuestRecord& record, const std::string& name) {
  if (name.empty()) return {};
  TRY(check_name(name));
  const std::string path = fs::join(guests.path_of(record), kSnapshots) + "/" + name;
  if (sys::stat(At::cwd(), path, AT_SYMLINK_NOFOLLOW)) return taken(record, name);
  return {};
}

}  // namespace

std::string to_json(const Snapshot& snapshot) {
  return json::write(snapshot, json::Style::kTabs) + "\n";
}

Result<Snapshot> parse_snapshot(std::string_view json, std::string_view name) {
  return json::read<Snapshot>(json, name);
}

GuestAt parse_guest_at(std::string_view word) {
  const std::size_t sign = std::min(word.find('@'), word.size());
  const std::string_view behind = sign < word.size() ? word.substr(sign + 1) : "";
  return {std::string(word.substr(0, sign)), std::string(behind)};
}

Result<Snapshot> create_snapshot(const Guests& guests, const GuestRecord& record,
                                 const SnapshotWish& wish) {
  TRY(refuse_for_disk(record.request, "snapshot"));
  TRY(check_free(guests, record, wish.name));
  TRY(enter_tenant(guests));
  const HeldSignals held;
  StagedDir staged = TRY(StagedDir::create(guests, "snapshot"));
  Snapshot facts;
  facts.comment = wish.comment;
  const Fd guest_dir = wish.machine ? TRY(fill_with_machine(guests, record, wish, staged, facts))
                                    : TRY(fill_picture(guests, record, wish, staged, facts));
  TRY(fs::remove_tree(staged.dir(), kDraft));
  facts.created = now_text();
  const Fd shelf = TRY(make_shelf(guest_dir));
  while (true) {
    facts.name = wish.name.empty() ? TRY(free_name(guest_dir)) : wish.name;
    TRY(fs::replace_file(staged.dir(), kFacts, to_json(facts)));
    Result<void> published = staged.publish(shelf, facts.name);
    if (published) break;
    if (published.error().code() != Code::kExists) return std::move(published).error();
    if (!wish.name.empty()) return taken(record, wish.name);  // somebody was faster
  }
  note_event(guests.places(), record, "snapshot", {{"snapshot", facts.name}});
  return facts;
}

Result<Picture> take_picture(const Guests& guests, const GuestRecord& record,
                             const SnapshotWish& wish) {
  TRY(refuse_for_disk(record.request, "snapshot"));
  const HeldSignals held;
  StagedDir staged = TRY(StagedDir::create(guests, "picture"));
  Snapshot facts;
  TRY(fill_picture(guests, record, wish, staged, facts));
  const std::string text = TRY(fs::read_file(staged.dir(), "guest.json", kRecordBytes));
  GuestRecord then = TRY(parse_guest_record(text, "guest.json"));
  return Picture{std::move(staged), std::move(facts), std::move(then)};
}

Result<std::vector<Snapshot>> list_snapshots(const Guests& guests, const GuestRecord& record) {
  const Fd dir = TRY(sys::open_dir(At::cwd(), guests.path_of(record)));
  return list_in(TRY(open_shelf(dir)));
}

Result<OpenSnapshot> open_snapshot(const Guests& guests, const GuestRecord& record,
                                   const std::string& name) {
  const Fd guest_dir = TRY(sys::open_dir(At::cwd(), guests.path_of(record)));
  const Fd shelf = TRY(open_shelf(guest_dir));
  const auto none = [&]() -> Result<OpenSnapshot> {
    return unknown(record, name, TRY(list_in(shelf)));
  };
  if (!shelf || !is_volume_name(name)) return none();
  OpenSnapshot open;
  Result<Fd> dir = sys::open(shelf, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir && dir.error().code() == Code::kNotFound) return none();
  open.dir = TRY(std::move(dir));
  TRY(sys::lock(open.dir.get(), LOCK_SH, "snapshot " + quote(name)));
  const Result<std::string> facts =
      fs::read_file(open.dir, kFacts, kFactsBytes, fs::Kind::kRegularOnly);
  if (!facts) return none();  // removed while we waited for the lock
  open.facts = TRY(parse_snapshot(*facts, "snapshot " + name));
  const std::string record_text =
      TRY(fs::read_file(open.dir, "guest.json", kRecordBytes, fs::Kind::kRegularOnly));
  open.record = TRY(parse_guest_record(record_text, "snapshot " + name));
  return open;
}

Result<void> remove_snapshot(const Guests& guests, const GuestRecord& record,
                             const std::string& name) {
  const Fd guest_dir = TRY(sys::open_dir(At::cwd(), guests.path_of(record)));
  const Fd shelf = TRY(open_shelf(guest_dir));
  const bool there =
      shelf && is_volume_name(name) && sys::stat(shelf, name, AT_SYMLINK_NOFOLLOW).has_value();
  if (!there) return unknown(record, name, TRY(list_in(shelf)));
  TRY(remove_aside(guests, shelf, name));
  note_event(guests.places(), record, "snapshot_rm", {{"snapshot", name}});
  return {};
}

}  // namespace vrun::engine
