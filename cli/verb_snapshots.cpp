#include "cli/verb_snapshots.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <fcntl.h>
#include <unistd.h>

#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/complain.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_images.hpp"
#include "engine/clone.hpp"
#include "engine/guest_archive.hpp"
#include "engine/guest_life.hpp"
#include "engine/guest_start.hpp"
#include "engine/policies.hpp"
#include "engine/rollback.hpp"
#include "engine/run.hpp"
#include "engine/snapshots.hpp"

namespace vrun::cli {
namespace {

using engine::Guest;
using engine::GuestAt;
using engine::Guests;
using engine::Snapshot;

Result<void> say(const std::string& line) {
  return sys::write_all(STDOUT_FILENO, line + "\n");
}

// "web@a b" and "web a b" are the same.
struct Named {
  std::string guest;
  std::vector<std::string> snapshots;
};
Result<Named> named_in(const EverydayCall& call) {
  const GuestAt first = engine::parse_guest_at(call.arguments.word(0));
  Named named{first.guest, {}};
  if (!first.snapshot.empty()) named.snapshots.push_back(first.snapshot);
  for (std::size_t i = 1; i < call.arguments.words().size(); ++i) {
    const GuestAt next = engine::parse_guest_at(call.arguments.word(i));
    if (next.snapshot.empty()) {
      named.snapshots.push_back(next.guest);
    } else if (next.guest == named.guest) {
      named.snapshots.push_back(next.snapshot);
    } else {
      return Error(Code::kInvalid,
                   "one guest at a time: " + quote(named.guest) + " and " + quote(next.guest));
    }
  }
  if (!named.snapshots.empty()) return named;
  return Error(Code::kInvalid, "no snapshot of " + quote(named.guest) + " is named")
      .hint("write " + named.guest + "@SNAPSHOT; `vrun snapshot ls " + named.guest +
            "` lists them");
}

Result<int> create(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  const GuestAt at = engine::parse_guest_at(call.arguments.word(0));
  engine::SnapshotWish wish;
  wish.name = call.arguments.words().size() > 1 ? call.arguments.word(1) : at.snapshot;
  wish.comment = call.arguments.text("comment");
  wish.volumes = call.arguments.on("volumes");
  const Guests guests = TRY(guests_of(call));
  const Guest guest = TRY(guests.find(at.guest));
  const Snapshot made = TRY(engine::create_snapshot(guests, guest.record, wish));
  TRY(say(made.name));
  return 0;
}

struct Row {
  std::string guest;
  Snapshot facts;
};

Result<std::vector<Row>> rows_of(const EverydayCall& call, const Guests& guests) {
  std::vector<engine::GuestRecord> records;
  for (const std::string_view word : call.arguments.words())
    records.push_back(TRY(guests.find(word)).record);
  if (records.empty()) {
    for (const Guest& guest : TRY(guests.list()))
      records.push_back(guest.record);
  }
  std::vector<Row> rows;
  for (const engine::GuestRecord& record : records) {
    Result<std::vector<Snapshot>> some = engine::list_snapshots(guests, record);
    if (!some && some.error().code() == Code::kNotFound) continue;  // removed meanwhile
    for (Snapshot& one : TRY(std::move(some)))
      rows.push_back({record.name, std::move(one)});
  }
  return rows;
}

std::string to_json(const std::vector<Row>& rows) {
  json::Writer w(json::Style::kSpaces);
  w.begin_array();
  for (const auto& [guest, facts] : rows) {
    w.begin_object().member("Guest", guest).member("Name", facts.name);
    w.member("CreatedAt", facts.created).member("Comment", facts.comment);
    w.member("Size", facts.bytes).member("Shared", facts.shared);
    w.member("Files", facts.entries).member("Running", facts.running);
    w.member("StandstillUs", facts.standstill_us);
    w.key("Volumes").begin_array();
    for (const engine::SnapshotVolume& volume : facts.volumes) {
      w.begin_object().member("Name", volume.name).member("Target", volume.target).end_object();
    }
    w.end_array().end_object();
  }
  w.end_array();
  return w.take();
}

std::string to_table(const std::vector<Row>& rows) {
  std::vector<std::vector<std::string>> cells{
      {"GUEST", "SNAPSHOT", "CREATED", "SIZE", "SHARED", "VOLUMES", "COMMENT"}};
  for (const auto& [guest, facts] : rows) {
    cells.push_back({guest, facts.name, facts.created.substr(0, 19), human_size(facts.bytes),
                     human_size(facts.shared), std::to_string(facts.volumes.size()),
                     facts.comment});
  }
  return table(cells);
}

Result<int> list(const EverydayCall& call) {
  const Form form = TRY(form_of(call.arguments));
  const Guests guests = TRY(guests_of(call));
  const std::vector<Row> rows = TRY(rows_of(call, guests));
  if (call.arguments.on("quiet")) {
    for (const auto& [guest, facts] : rows)
      TRY(say(guest + "@" + facts.name));
    return 0;
  }
  if (form == Form::kTable) return print_out(to_table(rows));
  return print_out(TRY(document(form, to_json(rows))));
}

Result<engine::StopWish> stop_wish(const EverydayCall& call) {
  engine::StopWish wish;
  const std::string time = call.arguments.text("time");
  if (time.empty()) return wish;
  engine::RunRequest request;
  request.stop_timeout = time;
  wish.timeout_ms = TRY(engine::stop_rules(request, {})).timeout_ms;
  return wish;
}

Result<int> rollback(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  const Named named = TRY(named_in(call));
  if (named.snapshots.size() > 1) return Error(Code::kInvalid, "one snapshot at a time");
  const Guests guests = TRY(guests_of(call));
  const Guest guest = TRY(guests.find(named.guest));
  const std::string& snapshot = named.snapshots.front();
  const engine::StopWish wish = TRY(stop_wish(call));
  // Before anything is stopped for it.
  TRY(engine::open_snapshot(guests, guest.record, snapshot));
  const bool restart = call.arguments.on("restart");
  const bool ran = guest.runs() || guest.status == engine::GuestStatus::kRestarting;
  if (restart && ran) {
    TRY(engine::stop_guest(guests, guest.record, wish, "vrun snapshot rollback"));
  }
  Result<void> done =
      engine::roll_back(guests, guest.record, snapshot, {.volumes = call.arguments.on("volumes")});
  // What was stopped for it goes on, as it was when the rollback failed.
  if (restart && ran) {
    Result<engine::LaunchedGuest> launched = engine::launch_guest(guests, guest.record, {});
    if (done && !launched) return std::move(launched).error().during("start it again");
  }
  TRY(std::move(done));
  TRY(say(guest.record.name));
  return 0;
}

Result<int> remove(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  const Named named = TRY(named_in(call));
  const Guests guests = TRY(guests_of(call));
  const Guest guest = TRY(guests.find(named.guest));
  int failed = 0;
  for (const std::string& name : named.snapshots) {
    Result<void> removed = engine::remove_snapshot(guests, guest.record, name);
    if (removed) {
      TRY(say(name));
      continue;
    }
    failed = 1;
    complain("vrun", std::move(removed).error().during("snapshot rm"));
  }
  return failed;
}

Result<int> clone(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  const GuestAt at = engine::parse_guest_at(call.arguments.word(0));
  engine::CloneWish wish;
  if (call.arguments.words().size() > 1) wish.name = call.arguments.word(1);
  wish.hostname = call.arguments.text("hostname");
  wish.ip = call.arguments.text("ip");
  wish.ip6 = call.arguments.text("ip6");
  wish.mac_address = call.arguments.text("mac-address");
  wish.publish = call.arguments.list("publish");
  wish.labels = call.arguments.list("label");
  wish.volumes = TRY(engine::parse_clone_volumes(call.arguments.text("volumes")));
  const Guests guests = TRY(guests_of(call));
  const Guest guest = TRY(guests.find(at.guest));
  const engine::GuestRecord made =
      TRY(engine::clone_guest(guests, guest.record, at.snapshot, std::move(wish)));
  TRY(say(made.name));
  return 0;
}

Result<int> export_whole(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  const std::string file = call.arguments.text("output");
  const bool to_stdout = file.empty() || file == "-";
  if (to_stdout && ::isatty(STDOUT_FILENO) == 1) {
    return Error(Code::kInvalid, "an archive is not for a terminal")
        .hint("write it into a pipe or a file: --output FILE");
  }
  const GuestAt at = engine::parse_guest_at(call.arguments.word(0));
  const Guests guests = TRY(guests_of(call));
  const Guest guest = TRY(guests.find(at.guest));
  const engine::GuestExport wish{at.snapshot, call.arguments.on("with-image")};
  if (to_stdout) {
    TRY(engine::export_guest(guests, guest.record, wish, STDOUT_FILENO));
    return 0;
  }
  // It has what the guest keeps to itself, passwords in its environment among it.
  const Fd out = TRY(sys::open(At::cwd(), file, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  Result<void> done = engine::export_guest(guests, guest.record, wish, out.get());
  if (!done) static_cast<void>(sys::unlink(At::cwd(), file));  // half an archive is none
  TRY(std::move(done));
  return 0;
}

Result<int> import_whole(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  const std::string file = call.arguments.text("input");
  const bool from_stdin = file.empty() || file == "-";
  if (from_stdin && ::isatty(STDIN_FILENO) == 1) {
    return Error(Code::kInvalid, "no archive to read").hint("name it with --input, or pipe it in");
  }
  engine::GuestImport wish;
  wish.name = call.arguments.text("name");
  wish.rename_volumes = call.arguments.on("rename-volumes");
  wish.trust = call.arguments.on("trust");
  const Fd in =
      from_stdin ? TRY(sys::duplicate(STDIN_FILENO)) : TRY(sys::open(At::cwd(), file, O_RDONLY));
  const Guests guests = TRY(guests_of(call));
  const engine::GuestRecord made = TRY(engine::import_guest(guests, wish, in.get()));
  TRY(say(made.name));
  return 0;
}

struct Function {
  std::string_view verb;
  Result<int> (*function)(const EverydayCall&);
};
constexpr std::array kFunctions{
    Function{"snapshot create", &create},
    Function{"snapshot ls", &list},
    Function{"snapshot rollback", &rollback},
    Function{"snapshot rm", &remove},
    Function{"clone", &clone},
    Function{"guest export", &export_whole},
    Function{"guest import", &import_whole},
};

const Function* find_function(std::string_view verb) {
  const auto found = std::find_if(kFunctions.begin(), kFunctions.end(),
                                  [&](const Function& one) { return one.verb == verb; });
  return found == kFunctions.end() ? nullptr : &*found;
}

}  // namespace

bool is_snapshot_verb(std::string_view verb) {
  return find_function(verb) != nullptr;
}

Result<int> everyday_snapshot(std::string_view verb, const EverydayCall& call) {
  return find_function(verb)->function(call);
}

}  // namespace vrun::cli
