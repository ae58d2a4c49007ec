#include "engine/guest_setup.hpp"

#include <algorithm>
#include <ctime>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/helper.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/group.hpp"
#include "engine/caller_files.hpp"
#include "engine/caller_rights.hpp"
#include "engine/disk.hpp"
#include "engine/environment.hpp"
#include "engine/guest_dir.hpp"
#include "engine/guest_exec.hpp"
#include "engine/guest_volumes.hpp"
#include "engine/rights.hpp"
#include "engine/seccomp_profile.hpp"
#include "engine/system_guest.hpp"
#include "engine/tenant_entry.hpp"
#include "engine/volumes.hpp"
#include "images/catalog.hpp"
#include "images/layers.hpp"
#include "images/overlay.hpp"
#include "images/pull.hpp"

namespace vrun::engine {
namespace {

constexpr std::size_t kAccountFileBytes = 4U << 20U;
constexpr std::size_t kEnvFileBytes = 16U << 20U;

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

std::string wanted_user(const oci::ImageConfig& config, const RunRequest& request) {
  if (!request.user.empty()) return request.user;
  return is_system(request) ? "0" : config.user;  // an init is root
}

bool wants_terminal(const RunRequest& request) {
  if (request.detach) return request.tty.value_or(false);
  const bool in = ::isatty(STDIN_FILENO) == 1;
  const bool out = ::isatty(STDOUT_FILENO) == 1;
  return request.tty.value_or(in && out && request.interactive.value_or(true));
}

// A terminal's end of input is typed: what comes from a pipe or file would never have one.
Result<void> settle_terminal(RunRequest& request) {
  const bool asked = request.tty.value_or(false) && !request.detach;
  request.tty = wants_terminal(request);
  if (!asked || ::isatty(STDIN_FILENO) == 1) return {};
  if (request.interactive.value_or(false)) return no_input_terminal();
  request.interactive = false;
  return {};
}

Result<void> settle_environment(RunRequest& request, const Host& host) {
  Environment environment(TRY(caller_environment(host)));
  for (const std::string& file : request.env_files) {
    Result<std::string> text = read_caller_file(host, file, kEnvFileBytes);
    if (!text) return std::move(text).error().during("--env-file");
    TRY(environment.add_file(*text, file));
  }
  for (const std::string& entry : request.env)
    TRY(environment.add(entry));
  request.env = environment.entries();
  request.env_files.clear();
  return {};
}

// Lines of "NAME=VALUE" or "NAME"; empty ones and comments are none.
Result<void> settle_labels(RunRequest& request, const Host& host) {
  std::vector<std::string> labels;
  for (const std::string& file : request.label_files) {
    const Result<std::string> text = read_caller_file(host, file, kEnvFileBytes);
    if (!text) return Error(text.error().code(), "--label-file: " + text.error().text());
    for (const std::string_view line : split(*text, '\n')) {
      const std::string_view label = trim(line);
      if (!label.empty() && label[0] != '#') labels.emplace_back(label);
    }
  }
  request.labels.insert(request.labels.begin(), labels.begin(), labels.end());
  request.label_files.clear();
  return {};
}

Error refuse_label(const std::string& label) {
  const bool enforced = sys::stat(At::cwd(), "/sys/fs/selinux/enforce").has_value();
  return Error(Code::kUnsupported,
               "--security-opt " + quote("label=" + label) +
                   (enforced ? ": guests get no SELinux labels" : ": this host has no SELinux"))
      .hint("leave it away, or say label=disable");
}

// A Secret or Config that vrun put there for the tenant (contents.hpp).
bool is_content_of(const Guests& guests, const std::string& path) {
  return path.starts_with(guests.places().run + "/contents/" + guests.tenant() + "/");
}

// What the host has to have for it.
Result<void> take_mount(const std::string& flag, Result<AskedMount> parsed, const Guests& guests,
                        GuestFacts& facts) {
  AskedMount asked = TRY(std::move(parsed));
  if (asked.is_volume) return {};  // volume_mounts() has it
  if (asked.mount.type == "bind") {
    // As whoever asked sees it: root's sight would tell an admin what lies where he may not look.
    std::optional<CallerRights> rights;
    if (!is_content_of(guests, asked.mount.source))
      rights.emplace(TRY(CallerRights::take(guests.host())));
    Result<struct stat> source = sys::stat(At::cwd(), asked.mount.source);
    if (!source) return std::move(source).error().during(flag).hint("create it first");
    // Whatever of the host is asked for, file systems that have no ids to map included.
    asked.mount.options.emplace_back("idmap-if-possible");
  }
  facts.volumes.push_back(std::move(asked.mount));
  return {};
}

// Of guests on a disk: their sandbox has nothing in it.
Result<Fd> empty_layer(const Fd& guest_dir) {
  Result<void> made = sys::make_dir(guest_dir, "lower", 0755);
  if (!made && made.error().code() != Code::kExists) return std::move(made).error();
  return sys::open(guest_dir, "lower", O_PATH | O_DIRECTORY | O_NOFOLLOW);
}

// A system on a disk has no image: its sandbox is empty, and what would run in there does not.
images::Image image_of_disk(const RunRequest& request) {
  images::Image image;
  image.name = fs::base_name(parse_disk(request.disks.front()).value_or(DiskWish{}).file);
  image.config = config_of_disk();
  return image;
}

Error cidfile_exists(const RunRequest& request) {
  return Error(Code::kExists, "--cidfile " + quote(request.cidfile) + ": the file exists")
      .hint("another guest's id may be in it: remove it, or name another file");
}

}  // namespace

Result<void> write_cidfile(const GuestRecord& record) {
  const std::string& path = record.request.cidfile;
  if (path.empty()) return {};
  Result<Fd> file = sys::open(At::cwd(), path, O_WRONLY | O_CREAT | O_EXCL, 0644);
  if (!file && file.error().code() == Code::kExists) return cidfile_exists(record.request);
  if (!file) return std::move(file).error().during("--cidfile");
  return sys::write_all(file->get(), record.id);
}

Result<void> settle_request(RunRequest& request, const Host& host) {
  if (host.nested() && request.userns == "host") {
    return Error(Code::kDenied, "--userns host: needs root")
        .hint("leave it away: without root the guest's root is you");
  }
  const std::string cwd = TRY(sys::read_link(At::cwd(), host.proc + "/self/cwd"));
  settle_disks(request, cwd);
  TRY(settle_terminal(request));
  if (is_system(request)) settle_system(request, ::isatty(STDIN_FILENO) == 1);
  // As Docker: who has the host's network answers by the host's name.
  if (request.network == "host" && request.hostname.empty() && request.uts != "host") {
    request.hostname = TRY(fs::read_file(At::cwd(), host.proc + "/sys/kernel/hostname", 256));
    request.hostname.erase(std::min(request.hostname.find('\n'), request.hostname.size()));
  }
  request.interactive = request.interactive.value_or(!request.detach);
  TRY(settle_environment(request, host));
  TRY(settle_labels(request, host));
  if (!request.cidfile.empty()) {
    if (!request.cidfile.starts_with('/')) {
      request.cidfile = fs::clean(fs::join(cwd, request.cidfile));
    }
    if (sys::stat(At::cwd(), request.cidfile, AT_SYMLINK_NOFOLLOW)) return cidfile_exists(request);
  }
  for (std::string& volume : request.volumes)
    volume = absolute_volume(volume, cwd);
  for (std::string& option : request.security_opts) {
    constexpr std::string_view kFile = "seccomp=";
    const std::string path = option.starts_with(kFile) ? option.substr(kFile.size()) : "";
    if (!path.empty() && path != "unconfined" && !path.starts_with('/')) {
      option = std::string(kFile) + fs::clean(fs::join(cwd, path));
    }
  }
  return {};
}

Result<GuestRecord> new_record(const images::Image& image, const Guests& guests,
                               RunRequest request) {
  GuestRecord record;
  record.id = make_guest_id();
  record.name = request.name.empty() ? make_guest_name(image.name) : request.name;
  record.tenant = guests.tenant();
  record.image = image.name;
  if (!image.digest.hex.empty()) record.manifest_digest = image.digest.str();
  record.created = now_text();
  record.request = std::move(request);
  TRY(settle_volumes(image.config, record));
  return record;
}

Result<images::Image> find_image(const RunRequest& request, const Guests& guests) {
  if (is_disk_guest(request)) return image_of_disk(request);
  const Places& places = guests.places();
  const images::Catalog catalog(places.images, places.data, guests.tenant());
  images::TransferRequest transfer;
  transfer.data_dir = places.data;
  transfer.shipped_dir = places.images;
  transfer.tenant = guests.tenant();
  transfer.images = {request.image};
  transfer.platform = request.platform;
  if (request.quiet) transfer.progress = images::ProgressStyle::kQuiet;
  // Only where something may be brought: measuring a disk takes its time.
  const bool brings = !request.platform.empty() || request.pull == "always" ||
                      (guests.tenant() != kDefaultTenant && !catalog.find(request.image));
  if (brings) transfer.image_limit = TRY(image_limit(places, guests.tenant(), guests.host()));
  Result<images::Image> image =
      images::obtain(catalog, TRY(images::parse_pull_policy(request.pull)), std::move(transfer),
                     TRY(helper_path("vrun-image")), guests.host());
  if (image && brings) TRY(settle_disk(guests));
  if (image) return image;
  // More likely a slip of the finger than an image of that name somewhere else.
  const Result<images::Image> here = catalog.find(request.image);
  if (here || !here.error().hint().starts_with("did you mean")) return image;
  return Error(image.error().code(), "no such image " + quote(request.image) +
                                         " here, and it cannot be fetched: " + image.error().text())
      .hint(here.error().hint());
}

Result<void> bring_layers(const images::Store& store, const images::Image& image,
                          const Host& host) {
  if (images::has_all_layers(store, image)) return {};
  const std::string importer = TRY(helper_path("vrun-image"));
  return images::ensure_layers(store, image, importer, host);
}

Result<GuestFacts> read_facts(const GuestRecord& record, const Guests& guests) {
  const RunRequest& request = record.request;
  GuestFacts facts;
  const std::string& tenant = guests.tenant();
  facts.name = record.name;
  // The group of another tenant's guests is known by its record: paths count from there.
  facts.cgroups_path =
      tenant == kDefaultTenant ? cgroups::guest_path(tenant, record.id, guests.host()) : record.id;
  facts.no_cgroup = guests.host().nested() && facts.cgroups_path.empty();
  facts.terminal = request.tty.value_or(false);
  facts.cwd = "/";
  facts.host_has_mqueue = request.ipc != "host" || sys::stat(At::cwd(), "/dev/mqueue").has_value();
  facts.volumes = volume_mounts(guests, record);
  for (const std::string& text : request.volumes)
    TRY(take_mount("--volume " + quote(text), parse_volume(text, facts.cwd), guests, facts));
  for (const std::string& text : request.mounts)
    TRY(take_mount("--mount " + quote(text), parse_mount(text), guests, facts));
  for (const std::string& text : request.devices) {
    std::vector<DeviceGrant> grants = TRY(parse_devices(text));
    if (grants.empty()) {
      return Error(Code::kInvalid, "--device " + quote(text) + ": no device is below it");
    }
    for (DeviceGrant& grant : grants) {
      facts.volumes.push_back(std::move(grant.mount));
      facts.device_rules.push_back(std::move(grant.rule));
    }
  }
  if (is_system(request)) {
    TRY(check_system_host(request, facts, guests.host()));
    facts.machine_id = machine_id_of(record.id);
    for (DeviceGrant& grant : system_devices(request)) {
      facts.volumes.push_back(std::move(grant.mount));
      facts.device_rules.push_back(std::move(grant.rule));
    }
  }
  // Without root the guest's ids are those that we have: its root is the user.
  for (oci::Mount& volume : facts.volumes) {
    if (guests.host().nested()) std::erase(volume.options, "ridmap");
  }
  const Security security = TRY(parse_security(request));
  if (!security.seccomp_file.empty()) {
    const std::vector<std::string> capabilities = TRY(capabilities_of(request));
    facts.seccomp = TRY(read_seccomp(security.seccomp_file, capabilities));
  }
  if (!security.label.empty()) return refuse_label(security.label);
  if (request.init) facts.init_program = TRY(helper_path("vrun-init"));
  for (const std::string& text : request.tmpfs)
    facts.tmpfs.push_back(TRY(parse_tmpfs(text)));
  return facts;
}

std::string ids_dir(const Places& places) {
  return fs::join(places.run, "ids");
}

IdSpace id_space() {
  constexpr std::size_t kMost = 1U << 20U;
  const auto read = [](const char* path) {
    return fs::read_file(At::cwd(), path, kMost).value_or("");
  };
  return IdSpace::from_subid(read("/etc/subuid"), read("/etc/subgid"));
}

std::vector<oci::IdMapping> layer_ids(const Host& host, const std::vector<oci::IdMapping>& guest) {
  return host.nested() ? std::vector<oci::IdMapping>() : guest;
}

std::vector<oci::IdMapping> mapping_of(const GuestRecord& record, const IdRange& ids) {
  if (!shares_user(record.request)) {
    if (record.joined_id == 0) return ids.mapping();
    return {{.container_id = 0, .host_id = record.joined_id, .size = kIdsPerGuest}};
  }
  return {{.container_id = 0, .host_id = 0, .size = 0xFFFFFFFFU}};
}

void warn_of(const RunRequest& request) {
  for (const std::string& warning : warnings_of(request))
    log::warning(warning);
}

Result<Fd> make_root(const images::Store& store, const RootRequest& request) {
  std::vector<Fd> layers;
  for (const oci::Digest& id : request.config.diff_ids) {
    Result<Fd> layer = store.open_layer(id);
    if (!layer) {
      return std::move(layer)
          .error()
          .during("image layer")
          .hint("a layer of the guest's image is gone: get the image again");
    }
    layers.push_back(*std::move(layer));
  }
  if (layers.empty()) layers.push_back(TRY(empty_layer(request.guest_dir)));
  return images::mount_overlay({.layers = std::move(layers),
                                .writable = request.guest_dir,
                                .uids = request.ids,
                                .gids = request.ids,
                                .keep_after_crash = request.keep_after_crash});
}

Result<Account> account_of(const Fd& root, const oci::ImageConfig& config,
                           const RunRequest& request) {
  Account account = TRY(account_in(root, wanted_user(config, request)));
  if (request.group_add.empty()) return account;
  const std::string group = TRY(read_inside(root, "etc/group"));
  TRY(add_groups(request.group_add, group, account));
  return account;
}

Result<Account> account_in(const Fd& root, const std::string& user) {
  const std::string passwd = TRY(read_inside(root, "etc/passwd"));
  const std::string group = TRY(read_inside(root, "etc/group"));
  return find_account(user, passwd, group);
}

Result<Account> planned_account(const oci::ImageConfig& config, const RunRequest& request,
                                const Places& places) {
  const std::string layers = places.data + "/images/layers/";
  for (auto id = config.diff_ids.rbegin(); id != config.diff_ids.rend(); ++id) {
    Result<Fd> layer = sys::open(At::cwd(), layers + id->hex, O_PATH | O_DIRECTORY);
    if (layer && sys::stat(*layer, "etc/passwd", AT_SYMLINK_NOFOLLOW)) {
      return account_of(*layer, config, request);
    }
  }
  return find_account(wanted_user(config, request), "", "");
}

}  // namespace vrun::engine
