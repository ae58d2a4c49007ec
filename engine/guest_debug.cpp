#include "engine/guest_debug.hpp"

#include <algorithm>
#include <array>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/guest_dir.hpp"
#include "engine/guest_life.hpp"
#include "engine/guest_setup.hpp"
#include "engine/guest_spec.hpp"
#include "engine/micro_vm.hpp"
#include "engine/rootless.hpp"
#include "images/store.hpp"
#include "runtime/container.hpp"

namespace vrun::engine {
namespace {

RunRequest tool_request(const GuestRecord& guest, Pid pid, const DebugRequest& request) {
  RunRequest tools;
  tools.image = request.image;
  tools.args = request.command;
  tools.user = "0";
  tools.tty = request.tty;
  tools.remove = true;
  tools.privileged = guest.request.privileged;
  tools.cap_add = guest.request.cap_add;
  tools.cap_add.emplace_back("SYS_PTRACE");
  tools.userns = guest.request.userns;
  // What the guest shares with the host cannot be mounted anew (proc, sysfs, mqueue).
  for (std::string RunRequest::*member :
       {&RunRequest::pid, &RunRequest::ipc, &RunRequest::uts, &RunRequest::network}) {
    if (guest.request.*member == "host") tools.*member = "host";
  }
  const std::string init = guest.request.pid == "host" ? std::to_string(pid.value) : "1";
  tools.env.push_back("GUEST_ROOT=/proc/" + init + "/root");
  tools.labels.push_back(std::string(kDebugLabel) + "=" + guest.name);
  return tools;
}

GuestRecord tool_record(const Guests& guests, const GuestRecord& guest, const images::Image& image,
                        RunRequest request) {
  GuestRecord record;
  record.id = make_guest_id();
  record.name = make_guest_name(guest.name.substr(0, 40) + "-debug");
  record.tenant = guests.tenant();
  record.image = image.name;
  record.manifest_digest = image.digest.str();
  record.created = record.last.started = now_text();
  record.first_id = guest.first_id;
  record.request = std::move(request);
  return record;
}

bool is_own_namespace(const std::string& path, const char* name) {
  const Result<struct stat> theirs = sys::stat(At::cwd(), path);
  const Result<struct stat> ours = sys::stat(At::cwd(), std::string("/proc/self/ns/") + name);
  return theirs && ours && theirs->st_ino == ours->st_ino && theirs->st_dev == ours->st_dev;
}

// Everything but the mounts is the guest's, and the view of its own group: from the guest's cgroup
// namespace a process outside of it cannot be moved in (nsdelegate, cgroup-v2).
void join(const Guest& guest, oci::Spec& spec) {
  struct Row {
    oci::NamespaceType type;
    const char* name;
  };
  constexpr std::array<Row, 5> kJoined{{{oci::NamespaceType::kUser, "user"},
                                        {oci::NamespaceType::kPid, "pid"},
                                        {oci::NamespaceType::kNetwork, "net"},
                                        {oci::NamespaceType::kIpc, "ipc"},
                                        {oci::NamespaceType::kUts, "uts"}}};
  spec.linux.namespaces.clear();
  spec.linux.namespaces.push_back({oci::NamespaceType::kMount, ""});
  spec.linux.namespaces.push_back({oci::NamespaceType::kCgroup, ""});
  for (const Row& row : kJoined) {
    const std::string path = "/proc/" + std::to_string(guest.pid.value) + "/ns/" + row.name;
    if (!is_own_namespace(path, row.name)) spec.linux.namespaces.push_back({row.type, path});
  }
  spec.linux.uid_mappings.clear();
  spec.linux.gid_mappings.clear();
  spec.linux.sysctl.clear();  // those of its namespaces are the guest's to set
  spec.hostname.clear();
}

// The group is inside the guest's: what limits the guest limits this.
std::string group_inside(const Guests& guests, const Guest& guest, const std::string& id) {
  const std::string name = guest.record.id + "/debug-" + id.substr(0, 12);
  if (guests.tenant() != kDefaultTenant) return name;
  return cgroups::guest_path(guests.tenant(), name, guests.host());
}

struct Tools {
  images::Image image;
  GuestRecord record;
  GuestFacts facts;
};

Result<Tools> prepare(const Guests& guests, const Guest& guest, const DebugRequest& request) {
  RunRequest wanted = tool_request(guest.record, guest.pid, request);
  images::Image image = TRY(find_image(wanted, guests));
  if (wanted.args.empty() && image.config.entrypoint.empty() && image.config.cmd.empty()) {
    wanted.args = {"sh"};
  }
  GuestRecord record = tool_record(guests, guest.record, image, std::move(wanted));
  GuestFacts facts = TRY(read_facts(record, guests));
  facts.cgroups_path = group_inside(guests, guest, record.id);
  facts.files_dir = fs::join(guests.path_of(guest.record), "files");
  facts.terminal = request.tty;
  return Tools{std::move(image), std::move(record), std::move(facts)};
}

Result<int> run(const Guests& guests, const Guest& guest, Tools& tools) {
  const images::Store store = TRY(images::Store::open(guests.places().data));
  TRY(bring_layers(store, tools.image, guests.host()));
  GuestDir dir = TRY(GuestDir::create(guests.places().guests(guests.tenant()), tools.record));
  GuestFacts& facts = tools.facts;
  facts.uids = {{.container_id = 0, .host_id = guest.record.outside_root(), .size = kIdsPerGuest}};
  if (guest.record.request.userns == "host") facts.uids[0] = {0, 0, 0xFFFFFFFFU};
  const Host& host = guests.host();
  if (host.nested()) facts.uids = namespace_ids(host);
  facts.gids = facts.uids;
  Fd root =
      TRY(make_root(store, {tools.image.config, dir.dir(), layer_ids(host, facts.uids), false}));
  facts.account = TRY(account_of(root, tools.image.config, tools.record.request));
  oci::Spec spec = TRY(build_spec(tools.image.config, tools.record.request, facts));
  join(guest, spec);
  runtime::RunOptions options;
  options.create.id = tools.record.id;
  options.create.bundle = dir.path();
  options.create.spec = &spec;
  options.create.overlay_root = &root;
  Result<int> code = runtime::run(guests.context(), options);
  root.reset();  // the last reference to the overlay, before its upper directory goes
  if (!code && runtime::state(guests.context(), tools.record.id)) {
    dir.keep();
    return code;
  }
  Result<void> removed = dir.remove();
  if (code && !removed) return std::move(removed).error();
  return code;
}

}  // namespace

Result<int> debug_guest(const Guests& guests, const GuestRecord& record,
                        const DebugRequest& request) {
  TRY(refuse_for_micro_vm(record.request, "debug"));
  const Guest guest = TRY(guests.find(record.name));
  if (guest.status != GuestStatus::kRunning) {
    return Error(Code::kState, "guest " + quote(record.name) + " is not running (" +
                                   std::string(to_text(guest.status)) + ")")
        .hint(guest.status == GuestStatus::kPaused ? "vrun unpause " + record.name
                                                   : "vrun start " + record.name);
  }
  Tools tools = TRY(prepare(guests, guest, request));
  // The pid is still the guest's: its namespaces are taken by number.
  const Fd init = TRY(runtime::open_init(guests.context(), record.id));
  return run(guests, guest, tools);
}

}  // namespace vrun::engine
