// cp, diff, export, commit: the guest's tree is opened here, the work is vrun-image's.
#include <array>
#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include "base/helper.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"
#include "cli/disk_copy.hpp"
#include "cli/guest_path.hpp"
#include "cli/verb_apply.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_tools.hpp"
#include "engine/caller_files.hpp"
#include "engine/disk.hpp"
#include "engine/guest_life.hpp"
#include "engine/guest_tree.hpp"
#include "engine/guest_volumes.hpp"
#include "engine/run.hpp"
#include "engine/standstill.hpp"
#include "engine/tenant_entry.hpp"
#include "images/tree_request.hpp"

namespace vrun::cli {
namespace {

using engine::Guest;
using engine::Guests;
using images::TreeRequest;

TreeRequest request_for(const EverydayCall& call, const Guests& guests) {
  TreeRequest request;
  request.data_dir = call.places.data;
  request.tenant = guests.tenant();
  return request;
}

std::vector<images::IdShift> to_shifts(const std::vector<oci::IdMapping>& ids) {
  std::vector<images::IdShift> shifts;
  for (const oci::IdMapping& one : ids)
    shifts.push_back({one.container_id, one.host_id, one.size});
  return shifts;
}

constexpr std::array kEndingSignals{SIGINT, SIGTERM, SIGHUP};

sigset_t ending_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : kEndingSignals)
    ::sigaddset(&set, signal);
  return set;
}

// With our stdin, stdout and stderr; it has said everything when it ends. `out`: its stdout, -1:
// ours.
Result<int> run_helper(const char* verb, const TreeRequest& request, int out = -1) {
  const std::string helper = TRY(helper_path("vrun-image"));
  std::string json = to_json(request);
  std::string name = verb;
  std::string program = "vrun-image";
  std::array<char*, 4> argv{program.data(), name.data(), json.data(), nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  const Undo destroy([&] { ::posix_spawn_file_actions_destroy(&actions); });
  if (out >= 0) ::posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  const Undo forget([&] { ::posix_spawnattr_destroy(&attributes); });
  // Ctrl-C ends the helper also where we ignore it (ignore_ending_signals).
  const sigset_t ends = ending_signals();
  ::posix_spawnattr_setsigdefault(&attributes, &ends);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  const int error =
      ::posix_spawn(&pid, helper.c_str(), &actions, &attributes, argv.data(), environ);
  if (error != 0) return Error::system(error, "run " + quote(helper));
  const Fd process = TRY(sys::pidfd_open(Pid(pid)));
  return TRY(sys::wait(process.get())).code();
}

Result<engine::GuestTree> open_tree(const Guests& guests, const std::string& word,
                                    TreeRequest& request) {
  const Guest guest = TRY(guests.find(word));
  engine::GuestTree tree = TRY(engine::open_guest_tree(guests, guest.record));
  TRY(sys::set_inheritable(tree.root.get(), true));
  request.root = tree.root.get();
  request.ids = to_shifts(tree.ids);
  return tree;
}

Error not_for_a_terminal() {
  return Error(Code::kInvalid, "an archive is not for a terminal")
      .hint("write it into a pipe or a file");
}

// What would end us while a guest stands still: the helper ends of it, and we go on to its end.
void ignore_ending_signals() {
  for (const int signal : kEndingSignals)
    std::signal(signal, SIG_IGN);
}

// Verbs that take no guest with another flag.
Result<void> check_one_guest(const EverydayCall& call) {
  if (call.arguments.words().size() == 1) return {};
  return Error(Code::kInvalid, "needs the name of one guest");
}

}  // namespace

GuestPath parse_guest_path(const std::string& word) {
  const std::size_t colon = word.find(':');
  // "./a:b" and "/a:b" are files of the host.
  if (colon == std::string::npos || colon == 0 || word[0] == '/' || word[0] == '.') {
    return {"", word};
  }
  return {word.substr(0, colon), word.substr(colon + 1)};
}

Result<int> everyday_cp(const EverydayCall& call) {
  const GuestPath from = parse_guest_path(call.arguments.word(0));
  const GuestPath to = parse_guest_path(call.arguments.word(1));
  if (from.guest.empty() == to.guest.empty()) {
    return Error(Code::kInvalid,
                 from.guest.empty() ? "neither path is in a guest" : "both paths are in guests")
        .hint("vrun cp GUEST:PATH PATH, or vrun cp PATH GUEST:PATH");
  }
  TRY(engine::need_root(call.host));
  const bool out = !from.guest.empty();
  const GuestPath& inside = out ? from : to;
  if (inside.path.empty()) return Error(Code::kInvalid, "no path in guest " + quote(inside.guest));
  if (out && to.path == "-" && ::isatty(STDOUT_FILENO) == 1) return not_for_a_terminal();
  const Guests guests = TRY(guests_of(call));
  TreeRequest request = request_for(call, guests);
  request.path = inside.path;
  request.file = out ? to.path : from.path;
  request.keep_owners = call.arguments.on("archive");
  request.follow_link = call.arguments.on("follow-link");
  const tenants::CallerFiles sent = TRY(engine::caller_files(call.host));
  const Guest guest = TRY(guests.find(inside.guest));
  if (engine::is_disk_guest(guest.record.request) && sent.copies.empty())
    return copy_by_agent(guests, guest.record, request, out ? CopyWay::kOut : CopyWay::kIn);
  const engine::GuestTree tree = TRY(open_tree(guests, inside.guest, request));
  for (const tenants::CallerCopy& copy : sent.copies) {
    request.named = true;
    request.called = copy.name;
    request.directory = copy.directory;
  }
  return run_helper(out ? "copy-out" : "copy-in", request);
}

Result<int> everyday_export(const EverydayCall& call) {
  if (call.arguments.on("manifest")) return everyday_manifest_export(call);
  TRY(check_one_guest(call));
  TRY(engine::need_root(call.host));
  const std::string file = call.arguments.text("output");
  if (file.empty() && ::isatty(STDOUT_FILENO) == 1) return not_for_a_terminal();
  const Guests guests = TRY(guests_of(call));
  TreeRequest request = request_for(call, guests);
  const engine::GuestTree tree = TRY(open_tree(guests, call.arguments.word(0), request));
  if (file.empty()) return run_helper("export", request);
  const Fd out = TRY(sys::open(At::cwd(), file, O_WRONLY | O_CREAT | O_TRUNC, 0644));
  const int code = TRY(run_helper("export", request, out.get()));
  if (code != 0) static_cast<void>(sys::unlink(At::cwd(), file));  // half an archive is none
  return code;
}

Result<int> everyday_diff(const EverydayCall& call) {
  if (call.arguments.has("file")) return everyday_manifest_diff(call);
  TRY(check_one_guest(call));
  const std::string format = call.arguments.text("format");
  if (format != "table" && format != "json") {
    return Error(Code::kInvalid, "--format " + quote(format) + ": unknown")
        .hint("there are: table, json");
  }
  TRY(engine::need_root(call.host));
  const Guests guests = TRY(guests_of(call));
  const Guest guest = TRY(guests.find(call.arguments.word(0)));
  TreeRequest request = request_for(call, guests);
  const Fd upper = TRY(engine::open_upper(guests, guest.record));
  TRY(sys::set_inheritable(upper.get(), true));
  request.upper = upper.get();
  request.manifest = guest.record.manifest_digest;
  request.json = format == "json";
  request.mount_points = engine::mount_points(guest.record);
  return run_helper("diff", request);
}

Result<int> everyday_commit(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  const Guests guests = TRY(guests_of(call));
  engine::repair(guests);
  const Guest guest = TRY(guests.find(call.arguments.word(0)));
  TreeRequest request = request_for(call, guests);
  const Fd upper = TRY(engine::open_upper(guests, guest.record));
  TRY(sys::set_inheritable(upper.get(), true));
  request.upper = upper.get();
  request.manifest = guest.record.manifest_digest;
  request.name = call.arguments.word(1);
  request.author = call.arguments.text("author");
  request.message = call.arguments.text("message");
  request.changes = call.arguments.list("change");
  request.mount_points = engine::mount_points(guest.record);
  ignore_ending_signals();
  const bool pause = !call.arguments.has("pause") || call.arguments.on("pause");
  std::optional<engine::Standstill> still;
  if (pause) still.emplace(TRY(engine::Standstill::begin(guests, guest)));
  request.shipped = call.places.images;
  request.image_limit = TRY(engine::image_limit(call.places, guests.tenant(), call.host));
  return run_helper("commit", request);
}

}  // namespace vrun::cli
