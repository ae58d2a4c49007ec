#include "engine/run.hpp"

#include <ctime>
#include <optional>

#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/helper.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/group.hpp"
#include "engine/guest_dir.hpp"
#include "engine/guest_spec.hpp"
#include "engine/id_ranges.hpp"
#include "engine/volumes.hpp"
#include "images/catalog.hpp"
#include "images/layers.hpp"
#include "images/overlay.hpp"
#include "images/store.hpp"
#include "oci/documents.hpp"
#include "runtime/container.hpp"
#include "steps/builder.hpp"

namespace vrun::engine {
namespace {

constexpr const char* kTenant = "default";
constexpr std::size_t kAccountFileBytes = 4U << 20U;

std::string now_text() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  ::gmtime_r(&now.tv_sec, &utc);
  std::string text(32, '\0');
  text.resize(::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc));
  return text;
}

// A file of the image for us to read: no link leads out of the tree, nothing but a regular file is
// opened. Absent is empty.
Result<std::string> read_inside(const Fd& root, const std::string& path) {
  constexpr std::uint64_t kInside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  Result<Fd> file = sys::open2(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, kInside);
  if (!file) {
    if (file.error().code() == Code::kNotFound) return std::string();
    return std::move(file).error().during("image");
  }
  const struct stat st = TRY(sys::stat(file->get()));
  if (!S_ISREG(st.st_mode)) {
    return Error(Code::kInvalid, "image: " + quote(path) + " is not a regular file");
  }
  std::string text;
  std::size_t used = 0;
  while (used <= kAccountFileBytes) {
    if (used == text.size()) text.resize(used * 4 + 4096);
    const std::size_t n = TRY(sys::read(file->get(), std::span(text).subspan(used)));
    if (n == 0) break;
    used += n;
  }
  if (used > kAccountFileBytes) {
    return Error(Code::kInvalid, "image: " + quote(path) + " is larger than 4 MiB");
  }
  text.resize(used);
  return text;
}

std::string wanted_user(const images::Image& image, const RunRequest& request) {
  return request.user.empty() ? image.config.user : request.user;
}

Result<Account> account_of(const Fd& root, const images::Image& image, const RunRequest& request) {
  const std::string passwd = TRY(read_inside(root, "etc/passwd"));
  const std::string group = TRY(read_inside(root, "etc/group"));
  return find_account(wanted_user(image, request), passwd, group);
}

// For a dry run there is no overlay: the topmost layer that has a passwd file speaks. Before the
// image was unpacked nothing is known, and only numbers can be users.
Result<Account> planned_account(const images::Image& image, const RunRequest& request,
                                const Places& places) {
  const std::string layers = places.data + "/images/layers/";
  for (auto id = image.config.diff_ids.rbegin(); id != image.config.diff_ids.rend(); ++id) {
    Result<Fd> layer = sys::open(At::cwd(), layers + id->hex, O_PATH | O_DIRECTORY);
    if (layer && sys::stat(*layer, "etc/passwd", AT_SYMLINK_NOFOLLOW)) {
      return account_of(*layer, image, request);
    }
  }
  return find_account(wanted_user(image, request), "", "");
}

bool wants_terminal(const RunRequest& request) {
  const bool in = ::isatty(STDIN_FILENO) == 1;
  const bool out = ::isatty(STDOUT_FILENO) == 1;
  return request.tty.value_or(in && out && request.interactive.value_or(true));
}

// What the flags say about the guest that needs the host's files, but changes nothing.
Result<GuestFacts> read_facts(const RunRequest& request, const std::string& name,
                              const Host& host) {
  constexpr std::size_t kEnvFileBytes = 16U << 20U;
  GuestFacts facts;
  facts.name = name;
  facts.cgroups_path = cgroups::guest_path(kTenant, name, host);
  facts.terminal = wants_terminal(request);
  facts.cwd = TRY(sys::read_link(At::cwd(), host.proc + "/self/cwd"));
  facts.env = host.env;
  for (const std::string& file : request.env_files) {
    Result<std::string> text =
        fs::read_file(At::cwd(), file, kEnvFileBytes, fs::Kind::kRegularOnly);
    if (!text) return std::move(text).error().during("--env-file");
    facts.env_files.emplace_back(file, *std::move(text));
  }
  for (const std::string& text : request.volumes) {
    oci::Mount volume = TRY(parse_volume(text, facts.cwd));
    Result<struct stat> source = sys::stat(At::cwd(), volume.source);
    if (!source) {
      return std::move(source).error().during("--volume " + quote(text)).hint("create it first");
    }
    facts.volumes.push_back(std::move(volume));
  }
  for (const std::string& text : request.tmpfs)
    facts.tmpfs.push_back(TRY(parse_tmpfs(text)));
  return facts;
}

runtime::Context context_of(const Places& places, const Host& host) {
  runtime::Context context;
  context.root = places.states(kTenant);
  context.host = host;
  return context;
}

std::string ids_dir(const Places& places) {
  return fs::join(places.run, "ids");
}

// /etc/subuid and /etc/subgid say which ids belong to others.
IdSpace id_space() {
  constexpr std::size_t kMost = 1U << 20U;
  const auto read = [](const char* path) {
    return fs::read_file(At::cwd(), path, kMost).value_or("");
  };
  return IdSpace::from_subid(read("/etc/subuid"), read("/etc/subgid"));
}

// Ends what is left of a guest whose command died. False: it still runs, let it.
Result<bool> end_guest(const runtime::Context& context, const std::string& name) {
  Result<runtime::Info> info = runtime::state(context, name);
  if (!info && info.error().code() == Code::kNotFound) return true;
  const bool runs = info && (info->status == runtime::Status::kRunning ||
                             info->status == runtime::Status::kPaused);
  if (runs) return false;
  Result<void> removed = runtime::remove(context, name, true);
  if (!removed && removed.error().code() != Code::kNotFound) return std::move(removed).error();
  return true;
}

// What killed commands left behind is worth a warning, never this command's failure.
void clean_up_after_the_dead(const Places& places, const runtime::Context& context) {
  Result<void> swept = sweep_guests(
      places.guests(kTenant), [&](const std::string& name) { return end_guest(context, name); });
  if (swept) swept = release_orphaned_ranges(ids_dir(places));
  if (!swept) log::warning("cleaning up after a killed command: " + swept.error().text());
}

Result<void> need_root(const Host& host) {
  if (!host.rootless()) return {};
  return Error(Code::kDenied, "guests need root in this version").hint("run it with sudo");
}

// Without -i the guest reads what we would; with --interactive=false it reads nothing.
Result<void> close_stdin() {
  const Fd null = TRY(sys::open(At::cwd(), "/dev/null", O_RDONLY));
  if (::dup2(null.get(), STDIN_FILENO) < 0) return Error::system(errno, "close stdin");
  return {};
}

struct Prepared {
  images::Image image;
  GuestFacts facts;
};

Result<Prepared> prepare(const RunRequest& request, const Places& places, const Host& host) {
  TRY(check_request(request));
  images::Image image = TRY(images::Catalog(places.images).find(request.image));
  if (!request.name.empty()) TRY(check_guest_name(request.name));
  const std::string name = request.name.empty() ? make_guest_name(image.name) : request.name;
  GuestFacts facts = TRY(read_facts(request, name, host));
  // What is wrong with the flags is said before anything is made.
  TRY(check_flags(image.config, request));
  return Prepared{std::move(image), std::move(facts)};
}

Result<std::vector<Fd>> open_layers(const images::Store& store, const images::Image& image) {
  std::vector<Fd> layers;
  for (const oci::Digest& id : image.config.diff_ids)
    layers.push_back(TRY(store.open_layer(id)));
  return layers;
}

Result<Fd> make_root(const images::Store& store, const images::Image& image, const GuestDir& guest,
                     const IdRange& ids) {
  std::vector<Fd> layers = TRY(open_layers(store, image));
  images::OverlayRequest overlay{.layers = std::move(layers),
                                 .writable = guest.dir(),
                                 .uids = ids.mapping(),
                                 .gids = ids.mapping(),
                                 .keep_after_crash = false};
  return images::mount_overlay(overlay);
}

GuestRecord record_of(const images::Image& image, const std::string& name) {
  GuestRecord record;
  record.id = make_guest_id();
  record.name = name;
  record.tenant = kTenant;
  record.image = image.name;
  record.manifest_digest = image.digest.str();
  record.created = now_text();
  return record;
}

Result<int> run_prepared(const RunRequest& request, Prepared& prepared, const images::Store& store,
                         const runtime::Context& context, const Places& places) {
  GuestFacts& facts = prepared.facts;
  // Made in this order and undone in the other one: directory, ids, mount, container.
  GuestDir guest =
      TRY(GuestDir::create(places.guests(kTenant), record_of(prepared.image, facts.name)));
  IdRange ids = TRY(IdRange::allocate(ids_dir(places), id_space(), guest.path()));
  facts.uids = facts.gids = ids.mapping();
  Fd root = TRY(make_root(store, prepared.image, guest, ids));
  facts.account = TRY(account_of(root, prepared.image, request));
  const std::string hostname = request.hostname.empty() ? facts.name : request.hostname;
  TRY(write_guest_files(guest, {.hostname = hostname,
                                .root_uid = ids.start(),
                                .root_gid = ids.start(),
                                .host_network = request.network == "host"}));
  facts.files_dir = fs::join(guest.path(), "files");
  const oci::Spec spec = TRY(build_spec(prepared.image.config, request, facts));
  if (!request.interactive.value_or(true)) TRY(close_stdin());

  runtime::RunOptions options;
  options.create.id = facts.name;
  options.create.bundle = guest.path();
  options.create.spec = &spec;
  options.create.overlay_root = &root;
  Result<int> code = runtime::run(context, options);
  root.reset();  // the last reference to the overlay, before its upper directory goes
  if (!code && runtime::state(context, facts.name)) {
    // It could not be removed: its processes may live, and nobody else may have their ids.
    ids.keep();
    guest.keep();
    return code;
  }
  ids.release();
  Result<void> removed = guest.remove();
  if (code && !removed) return std::move(removed).error().during("remove guest " + facts.name);
  return code;
}

}  // namespace

Result<int> run_guest(const RunRequest& request, const Places& places, const Host& host) {
  Prepared prepared = TRY(prepare(request, places, host));
  TRY(need_root(host));
  const images::Store store = TRY(images::Store::open(places.data));
  TRY(images::check_can_carry_guests(store.layers(), places.data));
  const runtime::Context context = context_of(places, host);
  clean_up_after_the_dead(places, context);
  if (!images::has_all_layers(store, prepared.image)) {
    const std::string importer = TRY(helper_path("vrun-image"));
    TRY(images::ensure_layers(store, prepared.image, importer, host));
  }
  Result<int> code = run_prepared(request, prepared, store, context, places);
  if (!code) return std::move(code).error().during("run " + prepared.facts.name);
  return code;
}

Result<std::string> plan_guest(const RunRequest& request, const Places& places, const Host& host) {
  Prepared prepared = TRY(prepare(request, places, host));
  TRY(need_root(host));
  GuestFacts& facts = prepared.facts;
  const std::uint32_t start = TRY(IdRange::next_free(ids_dir(places), id_space()));
  facts.uids = facts.gids = {{.container_id = 0, .host_id = start, .size = kIdsPerGuest}};
  facts.files_dir = "";  // made only when the guest is
  facts.account = TRY(planned_account(prepared.image, request, places));
  const oci::Spec spec = TRY(build_spec(prepared.image.config, request, facts));

  std::string text = "guest " + facts.name + "\n";
  text += "image " + prepared.image.name + " " + prepared.image.digest.str() + "\n";
  for (const oci::Digest& id : prepared.image.config.diff_ids)
    text += "layer " + id.str() + "\n";
  text += "ids " + std::to_string(start) + " to " + std::to_string(start + kIdsPerGuest - 1) + "\n";
  text += "root overlay of the layers, writable below " + places.guests(kTenant) + "/" +
          facts.name + "\n";
  text += "\nspecification:\n" + oci::to_json(spec, true) + "\n";

  runtime::CreateOptions options;
  options.id = facts.name;
  options.bundle = "/";
  options.spec = &spec;
  const std::string steps = TRY(runtime::plan_text(context_of(places, host), options));
  return text + "\nsteps:\n" + steps;
}

int exit_code_of(const Error& error) {
  const bool at_program = error.step() == steps::name_of(steps::Op::kFindProgram) ||
                          error.step() == steps::name_of(steps::Op::kExec);
  if (!at_program) return 125;
  return error.code() == Code::kNotFound ? 127 : 126;
}

}  // namespace vrun::engine
