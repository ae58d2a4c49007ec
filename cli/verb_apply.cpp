#include "cli/verb_apply.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <optional>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/json.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/complain.hpp"
#include "cli/verb_guests.hpp"
#include "engine/apply.hpp"
#include "engine/apply_tenant.hpp"
#include "engine/caller_files.hpp"
#include "engine/contents.hpp"
#include "engine/export_manifest.hpp"
#include "engine/guest_life.hpp"
#include "engine/manifest_call.hpp"
#include "engine/run.hpp"
#include "engine/tenant_entry.hpp"
#include "engine/volume_store.hpp"
#include "network/networks.hpp"
#include "tenants/store.hpp"

namespace vrun::cli {
namespace {

constexpr int kFaulty = 1;

Result<std::vector<std::string>> files_of(const EverydayCall& call) {
  std::vector<std::string> files = call.arguments.list("file");
  if (!files.empty()) return files;
  return Error(Code::kInvalid, "no manifest is named").hint("-f FILE, -f DIRECTORY or -f -");
}

Result<std::string> name_of(const EverydayCall& call) {
  std::string name = call.arguments.text("manifest");
  if (name.empty()) {
    const std::vector<std::string> files = TRY(files_of(call));
    name = TRY(name_of_manifest(files.front()));
  }
  const bool good = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
  if (good) return name;
  return Error(Code::kInvalid, quote(name) + " is no name of a manifest")
      .hint("--manifest NAME, of letters, digits, '-', '_' and '.'");
}

// What is there and may be referred to without being described.
Result<std::vector<std::string>> known_objects(const engine::Guests& guests) {
  std::vector<std::string> known;
  network::Networks networks = TRY(network::Networks::open(
      {guests.places().data, guests.places().run}, guests.tenant(), guests.host()));
  for (const network::Network& network : TRY(networks.list()))
    known.push_back("Network/" + network.name);
  for (const std::string& name : TRY(engine::content_names(guests, engine::ContentKind::kSecret)))
    known.push_back("Secret/" + name);
  for (const std::string& name : TRY(engine::content_names(guests, engine::ContentKind::kConfig)))
    known.push_back("Config/" + name);
  for (const engine::Volume& volume : TRY(engine::list_volumes(guests)))
    known.push_back("Volume/" + volume.name);
  for (const engine::Guest& guest : TRY(guests.list()))
    known.push_back("Guest/" + guest.record.name);
  return known;
}

// Files that root's vrun would open for whoever asks, wherever in the object they are named.
const char* file_of_host(const json::Value& value) {
  if (value.kind() == json::Kind::kArray) {
    for (const json::Value& element : value.elements())
      if (const char* field = file_of_host(element)) return field;
  }
  if (value.kind() != json::Kind::kObject) return nullptr;
  for (const char* field : {"disks", "initrd"})
    if (value.find(field) != nullptr) return field;
  const json::Value* kernel = value.find("kernel");
  if (kernel != nullptr && kernel->as_text().find('/') != std::string_view::npos) return "kernel";
  for (const char* inner : {"job", "init", "guests"}) {
    const json::Value* found = value.find(inner);
    const char* field = found == nullptr ? nullptr : file_of_host(*found);
    if (field != nullptr) return field;
  }
  return nullptr;
}

Result<void> check_brokered_files(const manifest::WireObject& object) {
  const json::Document spec = TRY(json::Document::parse(object.spec, object.name));
  const char* const field = file_of_host(spec.root());
  if (field == nullptr) return {};
  return Error(Code::kDenied, printable(object.place) + ": " + object.kind + " " + object.name +
                                  ": " + field + " names a file, which root would open for you")
      .hint("root may: sudo vrun apply ...");
}

// What no admin of a tenant may ask for by flags (broker_rules.cpp), neither may a manifest of
// theirs.
Result<void> check_brokered_objects(const std::vector<manifest::WireObject>& objects) {
  const auto refused = [](const manifest::WireObject& object, const char* why) {
    return Error(Code::kDenied,
                 printable(object.place) + ": " + object.kind + " " + object.name + ": " + why)
        .hint("root may: sudo vrun apply ...");
  };
  for (const manifest::WireObject& object : objects) {
    if (object.kind == "Tenant") return refused(object, "tenants are made and changed by root");
    TRY(check_brokered_files(object));
    if (object.kind != "Network") continue;
    const json::Document spec = TRY(json::Document::parse(object.spec, object.name));
    for (const char* field : {"subnets", "gateways"}) {
      if (spec.root().find(field) != nullptr)
        return refused(object, "addresses are chosen by vrun or root");
    }
  }
  return {};
}

// Without root there is one tenant, which nobody makes.
Result<void> check_rootless_objects(const std::vector<manifest::WireObject>& objects) {
  for (const manifest::WireObject& object : objects) {
    if (object.kind != "Tenant") continue;
    return Error(Code::kDenied, printable(object.place) + ": Tenant " + object.name +
                                    ": tenants are made and changed by root")
        .hint("root applies it: sudo vrun apply ...; without a Tenant, its guests are your own");
  }
  return {};
}

// What one command works on: the texts, read once, and the tenant that they are for.
struct Subject {
  std::string manifest;
  manifest::WireRequest request;
  std::optional<engine::WantedTenant> tenant;  // its own Tenant
  engine::Guests guests;
};

// The tenant of the manifest: its own; that of the call where it has none.
Result<std::string> tenant_for(const EverydayCall& call, const std::string& manifest,
                               const std::optional<engine::WantedTenant>& own) {
  const auto before = TRY(engine::tenant_of_manifest(call.places, manifest));
  if (own && call.tenant != engine::kDefaultTenant && call.tenant != own->name) {
    return Error(Code::kInvalid,
                 "the manifest is for its own tenant " + own->name + ", not for " + call.tenant)
        .hint("leave --tenant (VRUN_TENANT) away");
  }
  if (before && (!own || own->name != *before)) {
    return Error(Code::kState, "manifest " + quote(manifest) + " made tenant " + *before +
                                   " before, and does not name it any more")
        .hint("vrun delete --manifest " + manifest + " takes away what it made");
  }
  return own ? own->name : call.tenant;
}

// `name`: empty where nothing is to be made.
Result<Subject> open_subject(const EverydayCall& call, const std::string& name) {
  manifest::WireRequest request;
  const std::vector<std::string> files = TRY(files_of(call));
  request.files = TRY(engine::read_manifest_files(files, call.host));
  request.settings = call.arguments.list("set");
  const manifest::WireAnswer objects = TRY(engine::ask_manifest("objects", request, call.host));
  if (engine::is_brokered(call.host)) TRY(check_brokered_objects(objects.objects));
  if (call.host.nested() && !name.empty()) TRY(check_rootless_objects(objects.objects));
  auto own = TRY(engine::find_tenant(name, objects.objects));
  const std::string tenant = name.empty() ? call.tenant : TRY(tenant_for(call, name, own));
  const bool is_new = own && !tenants::Store(call.places.data).find(tenant);
  // A tenant that is still to be made has nothing in it.
  engine::Guests guests = is_new ? TRY(engine::Guests::open(call.places, tenant, call.host))
                                 : TRY(engine::open_tenant(call.places, tenant, call.host));
  return Subject{name, std::move(request), std::move(own), std::move(guests)};
}

Result<void> say_faults(const std::vector<std::string>& faults) {
  std::string text;
  for (const std::string& fault : faults)
    text += printable(fault) + "\n";
  return sys::write_all(STDERR_FILENO, text);
}

// Prints faults as they are; empty: they are printed.
Result<std::optional<manifest::WireAnswer>> read(const EverydayCall& call, Subject& subject) {
  subject.request.known = TRY(known_objects(subject.guests));
  manifest::WireAnswer answer = TRY(engine::ask_manifest("read", subject.request, call.host));
  if (answer.faults.empty()) return std::optional(std::move(answer));
  TRY(say_faults(answer.faults));
  return std::optional<manifest::WireAnswer>();
}

Result<int> validate(const EverydayCall& call) {
  Subject subject = TRY(open_subject(call, ""));
  const auto answer = TRY(read(call, subject));
  if (!answer) return kFaulty;
  const engine::Wanted wanted = engine::to_wanted("", answer->objects);
  if (!wanted.faults.empty()) {
    TRY(say_faults(wanted.faults));
    return kFaulty;
  }
  const std::size_t count = answer->objects.size();
  TRY(sys::write_all(STDOUT_FILENO, std::to_string(count) + (count == 1 ? " object" : " objects") +
                                        ", no faults\n"));
  return 0;
}

Result<bool> wants_json(const EverydayCall& call) {
  const std::string format = call.arguments.text("format");
  if (format == "json") return true;
  if (format == "table") return false;
  return Error(Code::kInvalid, "--format " + quote(format) + ": unknown")
      .hint("there are: table, json");
}

Result<void> show(const engine::Plan& plan, bool json) {
  return sys::write_all(STDOUT_FILENO, json ? engine::plan_json(plan) : engine::plan_text(plan));
}

// One apply of a tenant at a time: two would meet in the middle.
Result<Fd> lock_applies(const engine::Guests& guests) {
  const std::string dir = guests.places().run + "/apply";
  TRY(fs::make_dirs(At::cwd(), dir, 0700));
  Fd lock = TRY(sys::open(At::cwd(), dir + "/" + guests.tenant(), O_RDWR | O_CREAT, 0600));
  TRY(sys::lock(lock.get(), LOCK_EX, "the applies of " + guests.tenant()));
  return lock;
}

Result<int> carry_out(const EverydayCall& call, const engine::Guests& guests,
                      const engine::Wanted& wanted, const engine::Plan& plan) {
  engine::ApplyOptions options;
  options.wait = call.arguments.has("wait") && call.arguments.on("wait");
  options.timeout_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(call.arguments.duration("timeout"))
          .count();
  const bool json = TRY(wants_json(call));
  const auto said = [&](const std::string& what) {
    if (!json) static_cast<void>(sys::write_all(STDOUT_FILENO, "done " + printable(what) + "\n"));
  };
  TRY(engine::carry_out(guests, wanted, plan, options, said));
  return 0;
}

struct Prepared {
  engine::Wanted wanted;
  engine::Plan plan;  // the tenant's step first, where it has one
};
Result<std::optional<Prepared>> prepare(const EverydayCall& call, Subject& subject) {
  const auto answer = TRY(read(call, subject));
  if (!answer) return std::optional<Prepared>();
  Prepared prepared;
  prepared.wanted = engine::to_wanted(subject.manifest, answer->objects);
  if (!prepared.wanted.faults.empty()) {
    TRY(say_faults(prepared.wanted.faults));
    return std::optional<Prepared>();
  }
  const engine::PruneRule rule{.prune = call.arguments.on("prune"),
                               .volumes = call.arguments.on("volumes")};
  std::vector<engine::PlanStep> steps;
  if (subject.tenant) steps.push_back(TRY(engine::plan_tenant(call.places, *subject.tenant)));
  engine::Plan inside = TRY(engine::make_plan(subject.guests, prepared.wanted, rule));
  std::move(inside.steps.begin(), inside.steps.end(), std::back_inserter(steps));
  prepared.plan.steps = std::move(steps);
  return std::optional(std::move(prepared));
}

// The tenant comes before what is in it, and is not a step of the others'.
Result<void> act_on_tenant(const EverydayCall& call, Subject& subject, engine::Plan& plan) {
  if (!subject.tenant) return {};
  const engine::PlanStep step = plan.steps.front();
  plan.steps.erase(plan.steps.begin());
  TRY(engine::apply_tenant(call.places, *subject.tenant, step, call.host));
  if (step.act != engine::Act::kNone && !TRY(wants_json(call)))
    TRY(sys::write_all(STDOUT_FILENO, "done Tenant " + printable(step.name) + "\n"));
  subject.guests = TRY(engine::open_tenant(call.places, subject.tenant->name, call.host));
  return {};
}

Result<int> apply(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  const bool json = TRY(wants_json(call));
  if (call.arguments.on("volumes") && !call.arguments.on("prune"))
    return Error(Code::kInvalid, "--volumes says what --prune may take, which is not there");
  const std::string name = TRY(name_of(call));
  Subject subject = TRY(open_subject(call, name));
  const Fd lock = TRY(lock_applies(subject.guests));
  engine::repair(subject.guests);  // before the plan: what a killed apply left is not there
  auto prepared = TRY(prepare(call, subject));
  if (!prepared) return kFaulty;
  TRY(show(prepared->plan, json));
  if (call.arguments.on("dry-run")) return 0;
  TRY(act_on_tenant(call, subject, prepared->plan));
  return carry_out(call, subject.guests, prepared->wanted, prepared->plan);
}

// A tenant goes when nothing is left in it that somebody could miss.
Result<int> remove_emptied_tenant(const EverydayCall& call, const std::string& tenant, bool json) {
  const Result<void> removed = engine::remove_tenant(call.places, tenant, false, call.host);
  if (!removed && removed.error().code() != Code::kState)
    return Error(removed.error().code(), removed.error().text());
  const std::string words = removed
                                ? "done Tenant " + tenant + "\n"
                                : "kept Tenant " + tenant + ": " + removed.error().text() + "\n";
  if (!json) TRY(sys::write_all(STDOUT_FILENO, words));
  return 0;
}

Result<int> remove(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  const bool json = TRY(wants_json(call));
  engine::Wanted wanted;
  wanted.manifest = TRY(name_of(call));
  const auto own = TRY(engine::tenant_of_manifest(call.places, wanted.manifest));
  if (own && engine::is_brokered(call.host))
    return Error(Code::kDenied, "the manifest made tenant " + *own + ", which is root's to remove");
  const engine::Guests guests =
      TRY(engine::open_tenant(call.places, own.value_or(call.tenant), call.host));
  {
    const Fd lock = TRY(lock_applies(guests));
    engine::repair(guests);
    const engine::Plan plan =
        TRY(engine::plan_delete(guests, wanted, call.arguments.on("volumes")));
    TRY(show(plan, json));
    if (own && !json)
      TRY(sys::write_all(STDOUT_FILENO, "delete Tenant " + *own + ", if it is empty then\n"));
    if (call.arguments.on("dry-run")) return 0;
    TRY(carry_out(call, guests, wanted, plan));
  }
  return own ? remove_emptied_tenant(call, *own, json) : Result<int>(0);
}

Result<int> convert(const EverydayCall& call) {
  manifest::WireRequest request;
  const std::vector<std::string> files = TRY(files_of(call));
  request.files = TRY(engine::read_manifest_files(files, call.host));
  const manifest::WireAnswer answer = TRY(engine::ask_manifest("convert", request, call.host));
  std::string words;
  for (const std::string& fault : answer.faults)
    words += printable(fault) + "\n";
  for (const std::string& note : answer.notes)
    words += "not carried over: " + printable(note) + "\n";
  TRY(sys::write_all(STDERR_FILENO, words));
  if (!answer.faults.empty()) return kFaulty;
  const std::string file = call.arguments.text("output");
  if (file.empty()) {
    TRY(sys::write_all(STDOUT_FILENO, answer.text));
    return 0;
  }
  const Fd dir = TRY(sys::open_dir(At::cwd(), std::string(fs::dir_name(file))));
  TRY(fs::replace_file(dir, std::string(fs::base_name(file)), answer.text));
  return 0;
}

struct Row {
  std::string_view name;
  Result<int> (*run)(const EverydayCall&);
};
constexpr std::array kRows{Row{"apply", apply}, Row{"validate", validate}, Row{"delete", remove},
                           Row{"convert", convert}};

const Row* find_row(std::string_view verb) {
  const auto found =
      std::find_if(kRows.begin(), kRows.end(), [&](const Row& row) { return row.name == verb; });
  return found == kRows.end() ? nullptr : &*found;
}

}  // namespace

Result<std::string> name_of_manifest(const std::string& file) {
  if (file == "-")
    return Error(Code::kInvalid, "a manifest from stdin has no name").hint("--manifest NAME");
  const std::unique_ptr<char, decltype(&::free)> whole(::realpath(file.c_str(), nullptr), ::free);
  if (!whole) return Error::system(errno, "read " + quote(file));
  std::string name(fs::base_name(whole.get()));
  const std::size_t dot = name.rfind('.');
  if (dot != std::string::npos && dot > 0) name.resize(dot);
  return name;
}

bool is_manifest_verb(std::string_view verb) {
  return find_row(verb) != nullptr;
}

Result<int> everyday_manifest(std::string_view verb, const EverydayCall& call) {
  return find_row(verb)->run(call);
}

Result<int> everyday_manifest_diff(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  const bool json = TRY(wants_json(call));
  const std::string name = TRY(name_of(call));
  Subject subject = TRY(open_subject(call, name));
  const auto prepared = TRY(prepare(call, subject));
  if (!prepared) return 2;
  TRY(show(prepared->plan, json));
  return prepared->plan.changes() ? 1 : 0;
}

Result<int> everyday_manifest_export(const EverydayCall& call) {
  const engine::Guests guests = TRY(guests_of(call));
  std::vector<std::string> names;
  for (std::size_t i = 0; i < call.arguments.words().size(); ++i)
    names.push_back(call.arguments.word(i));
  return print_manifest(TRY(engine::export_manifest(guests, names)), call.arguments.text("output"));
}

Result<int> print_manifest(const engine::ExportedManifest& made, const std::string& file) {
  for (const std::string& note : made.notes)
    TRY(sys::write_all(STDERR_FILENO, "not carried over: " + printable(note) + "\n"));
  if (file.empty()) {
    TRY(sys::write_all(STDOUT_FILENO, made.text));
    return 0;
  }
  const Fd dir = TRY(sys::open_dir(At::cwd(), std::string(fs::dir_name(file))));
  TRY(fs::replace_file(dir, std::string(fs::base_name(file)), made.text));
  return 0;
}

}  // namespace vrun::cli
