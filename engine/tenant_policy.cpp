#include "engine/tenant_policy.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <linux/openat2.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/helper.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/caller_rights.hpp"
#include "engine/guest_network.hpp"
#include "engine/guest_spec.hpp"
#include "engine/host_mounts.hpp"
#include "engine/limits.hpp"
#include "engine/rights.hpp"
#include "engine/system_guest.hpp"
#include "engine/tenant_entry.hpp"
#include "engine/volumes.hpp"
#include "images/catalog.hpp"
#include "network/wishes.hpp"
#include "oci/image.hpp"
#include "tenants/policy.hpp"

namespace vrun::engine {
namespace {

using tenants::Policy;
using tenants::Refusal;
using tenants::Tenant;

Result<void> verdict(const Tenant& tenant, const std::vector<Refusal>& refusals) {
  if (refusals.empty()) return {};
  return tenants::to_error(tenant.name, refusals);
}

// The part of `path` behind `prefix`, if it is below it.
std::string_view below(std::string_view path, const std::string& prefix) {
  if (!path.starts_with(prefix + "/")) return {};
  return path.substr(prefix.size() + 1);
}

// What guest_spec mounts for a guest that shares a network: read-only with all that lies below.
bool is_shared_sysfs(const oci::Mount& mount) {
  const auto& options = mount.options;
  return mount.source == "/sys" && mount.destination == "/sys" &&
         std::find(options.begin(), options.end(), "rro") != options.end();
}

bool has_option(const oci::Mount& mount, const char* option) {
  return std::find(mount.options.begin(), mount.options.end(), option) != mount.options.end();
}

// vrun's own, as vrun adds them and not otherwise, since whoever asks may write any mount: the
// three files below /etc, the program of --init, each Secret and Config that the guest has (its
// whole folder, read-only: nobody but root puts anything there), and volumes of the tenant (their
// whole directory: below it, what the guests put there would choose).
class OwnMounts {
 public:
  OwnMounts(const Guests& guests, const RunRequest& request)
      : guests_(guests.places().guests(guests.tenant())),
        volumes_(guests.places().data + "/volumes/" + guests.tenant()),
        contents_(guests.places().run + "/contents/" + guests.tenant()),
        init_(request.init ? helper_path("vrun-init").value_or("") : ""),
        uses_(request.contents),
        system_(is_system(request)),
        shares_network_(shares_network(request)) {}

  bool operator()(const oci::Mount& mount) const {
    if (mount.destination == "/dev/.vrun-init")
      return !init_.empty() && mount.source == init_ && has_option(mount, "ro");
    if (is_system_device(mount)) return system_;
    if (is_shared_sysfs(mount)) return shares_network_;
    if (const auto parts = split(below(mount.source, volumes_), '/'); parts.size() == 2) {
      return is_name(parts[0]) && parts[1] == "data";
    }
    if (!below(mount.source, contents_).empty()) return is_content(mount);
    const auto parts = split(below(mount.source, guests_), '/');
    if (parts.size() != 3 || !is_name(parts[0]) || parts[1] != "files") return false;
    return mount.destination == "/etc/" + std::string(parts[2]) &&
           (parts[2] == "hosts" || parts[2] == "hostname" || parts[2] == "resolv.conf");
  }

 private:
  static bool is_name(std::string_view text) { return ContainerId::parse(text).has_value(); }
  bool is_content(const oci::Mount& mount) const {
    const auto parts = split(below(mount.source, contents_), '/');
    if (parts.size() != 2 || !is_name(parts[0]) || !has_option(mount, "rro")) return false;
    return std::any_of(uses_.begin(), uses_.end(), [&](const std::string& text) {
      const auto use = split(text, ':');  // KIND:NAME:TARGET
      return use.size() == 3 && use[2] == mount.destination &&
             parts[1] == std::string(use[0]) + "-" + std::string(use[1]);
    });
  }

  std::string guests_, volumes_, contents_, init_;
  std::vector<std::string> uses_;
  bool system_, shares_network_;
};

bool is_bind(const oci::Mount& mount) {
  const auto has = [&](const char* option) {
    return std::find(mount.options.begin(), mount.options.end(), option) != mount.options.end();
  };
  return mount.type == "bind" || has("bind") || has("rbind");
}

// The host's directory or device, fixed: RESOLVE_BENEATH keeps ".." in, and no link is taken, so
// that a tenant who may write below the allowed path cannot lead us elsewhere.
Result<Fd> pin(const std::string& prefix, const std::string& path) {
  constexpr std::uint64_t kNoTricks = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const Fd allowed = TRY(sys::open(At::cwd(), prefix, O_PATH));
  if (path == prefix) return sys::open(At::cwd(), path, O_PATH);
  Result<Fd> opened = sys::open2(allowed, path.substr(prefix == "/" ? 1 : prefix.size() + 1),
                                 O_PATH | O_CLOEXEC, kNoTricks);
  if (opened) return opened;
  const bool link = opened.error().sys_errno() == ELOOP;
  Error error = std::move(opened).error().during("mount " + quote(path));
  if (!link) return error;
  return std::move(error).hint("links below an allowed path are not followed: name the real path");
}

// O_PATH asks for no right to what is opened.
Result<void> check_access(const Fd& pinned, const oci::Mount& mount) {
  const bool writes =
      std::find(mount.options.begin(), mount.options.end(), "ro") == mount.options.end();
  const int wanted = R_OK | (writes ? W_OK : 0);
  if (::faccessat(pinned.get(), "", wanted, AT_EACCESS | AT_EMPTY_PATH) == 0) return {};
  return Error::system(errno, "open " + quote(mount.source))
      .hint(writes ? "you may not write there yourself: mount it with :ro" : "");
}

Result<std::vector<Fd>> pin_mounts(const Tenant& tenant, const OwnMounts& is_own, const Host& host,
                                   oci::Spec& spec) {
  const CallerRights rights = TRY(CallerRights::take(host));
  std::vector<Fd> pins;
  for (oci::Mount& mount : spec.mounts) {
    if (!is_bind(mount) || is_own(mount)) continue;
    const std::string* prefix = tenants::covering_prefix(tenant.policy, mount.source);
    if (prefix == nullptr) continue;  // a device, allowed by its whole name
    pins.push_back(TRY(pin(*prefix, mount.source)));
    if (rights.are_less()) TRY(check_access(pins.back(), mount));
    TRY(keep_owners(tenant, pins.back(), spec, mount));
    mount.source = "/proc/self/fd/" + std::to_string(pins.back().get());
  }
  return pins;
}

// What a system guest has more of than others it has in a user namespace of its own, where no
// capability reaches the machine: without one it is held to what every guest may do.
std::vector<std::string> usual_capabilities(const RunRequest& request, const oci::Spec& spec) {
  const oci::Namespace* user = oci::find_namespace(spec.linux, oci::NamespaceType::kUser);
  const bool own_user = user != nullptr && user->path.empty();
  if (is_system(request) && own_user) return system_capabilities();
  return capabilities_of(RunRequest()).value_or({});
}

std::vector<std::string> networks_of(const RunRequest& request) {
  std::vector<std::string> names;
  const Result<network::Mode> mode = network::parse_mode({request.network});
  if (!mode || mode->kind != network::Mode::Kind::kNetworks) return names;
  for (const network::Join& join : mode->joins)
    names.push_back(join.network);
  return names;
}

// What of the host is asked for, as it is written. Texts that say nothing are faults of their own.
std::vector<oci::Mount> asked_of_host(const Policy& policy, const RunRequest& request) {
  std::vector<oci::Mount> asked;
  const auto add = [&](Result<AskedMount> mount) {
    if (mount && !mount->is_volume && is_bind(mount->mount)) asked.push_back(mount->mount);
  };
  for (const std::string& text : request.volumes)
    add(parse_volume(text, "/"));
  for (const std::string& text : request.mounts)
    add(parse_mount(text));
  for (const std::string& text : request.devices) {
    const std::string path(split(text, ':')[0]);
    const auto is_folder_of = [&](const std::string& one) { return one.starts_with(path + "/"); };
    if (std::any_of(policy.devices.begin(), policy.devices.end(), is_folder_of)) continue;
    oci::Mount node;
    node.type = "bind";
    node.source = node.destination = path;
    asked.push_back(std::move(node));
  }
  // Files of the host that a micro-VM boots from: the same rules as for directories.
  std::vector<std::string> files{request.initrd};
  if (request.kernel.starts_with('/')) files.push_back(request.kernel);
  for (const std::string& text : request.disks)
    files.push_back(text.substr(0, text.find(':')));
  for (const std::string& file : files) {
    if (file.empty()) continue;
    oci::Mount mount;
    mount.type = "bind";
    mount.source = mount.destination = file;
    asked.push_back(std::move(mount));
  }
  return asked;
}

// Before the host is asked whether there is such a path: whoever may not have it does not learn
// that either. With all else that is refused, as far as it is known without the image.
Result<void> check_paths(const Guests& guests, const Tenant& tenant, const RunRequest& request) {
  const OwnMounts is_own(guests, request);
  const std::vector<oci::Mount> asked = asked_of_host(tenant.policy, request);
  const std::vector<Refusal> refusals =
      constrain_mounts(tenant.policy, asked, {is_own, usual_capabilities(request, oci::Spec())});
  if (refusals.empty()) return {};
  oci::ImageConfig image;
  image.cmd = {"unknown"};
  Result<oci::Spec> spec = build_spec(image, request, GuestFacts());
  if (!spec) return verdict(tenant, refusals);
  spec->mounts.insert(spec->mounts.end(), asked.begin(), asked.end());
  return verdict(tenant,
                 constrain(tenant.policy, *spec, {is_own, usual_capabilities(request, *spec)}));
}

// What is no port is said by who opens it.
std::vector<tenants::Wishes::Port> ports_of(std::span<const std::string> published) {
  std::vector<tenants::Wishes::Port> ports;
  for (const std::string& text : published) {
    const Result<network::Publish> port = network::parse_publish(text);
    if (!port) continue;
    std::string address;
    if (port->host4) address = network::to_text(*port->host4);
    if (port->host6) address = network::to_text(*port->host6);
    ports.push_back({port->host_port, port->count, address});
  }
  return ports;
}

// Empty: the image is here and nothing is fetched.
std::string registry_of(const std::string& image) {
  const Result<oci::Reference> reference = oci::Reference::parse(image);
  return reference ? reference->domain : "";
}

}  // namespace

Result<void> check_wishes(const Guests& guests, const RunRequest& request) {
  if (guests.tenant() == kDefaultTenant) return {};
  const Tenant tenant = TRY(tenant_store(guests.places()).find(guests.tenant()));
  tenants::Wishes wishes;
  const images::Catalog catalog(guests.places().images, guests.places().data, guests.tenant());
  if (request.disks.empty() && (request.pull == "always" || !catalog.find(request.image))) {
    wishes.registry = registry_of(request.image);
  }
  wishes.networks = networks_of(request);
  wishes.isolation = request.isolation;
  wishes.ports = ports_of(request.publish);
  wishes.privileged = request.privileged;
  if (const Result<Security> security = parse_security(request)) {
    wishes.own_filter = security->unconfined || !security->seccomp_file.empty();
  }
  TRY(verdict(tenant, constrain(tenant.policy, wishes)));
  return check_paths(guests, tenant, request);
}

Result<void> check_registries(const Places& places, const std::string& tenant,
                              std::span<const std::string> images) {
  if (tenant == kDefaultTenant) return {};
  const Tenant found = TRY(tenant_store(places).find(tenant));
  for (const std::string& image : images) {
    tenants::Wishes wishes;
    wishes.registry = registry_of(image);
    wishes.isolation = "vm";  // not asked here
    TRY(verdict(found, constrain(found.policy, wishes)));
  }
  return {};
}

Result<void> check_networks(const Places& places, const std::string& tenant,
                            std::span<const std::string> networks) {
  if (tenant == kDefaultTenant) return {};
  const Tenant found = TRY(tenant_store(places).find(tenant));
  tenants::Wishes wishes;
  wishes.networks.assign(networks.begin(), networks.end());
  wishes.isolation = "vm";
  return verdict(found, constrain(found.policy, wishes));
}

Result<void> check_ports(const Guests& guests, std::span<const std::string> published) {
  if (guests.tenant() == kDefaultTenant) return {};
  const Tenant tenant = TRY(tenant_store(guests.places()).find(guests.tenant()));
  tenants::Wishes wishes;
  wishes.ports = ports_of(published);
  wishes.isolation = "vm";
  return verdict(tenant, constrain(tenant.policy, wishes));
}

Result<void> check_exec(const Guests& guests, bool privileged) {
  if (guests.tenant() == kDefaultTenant || !privileged) return {};
  const Tenant tenant = TRY(tenant_store(guests.places()).find(guests.tenant()));
  tenants::Wishes wishes;
  wishes.privileged = true;
  wishes.isolation = "vm";
  return verdict(tenant, constrain(tenant.policy, wishes));
}

Result<void> check_guest(const Guests& guests, const oci::ImageConfig& image,
                         const RunRequest& request, const GuestFacts& facts) {
  if (guests.tenant() == kDefaultTenant) return {};
  const Tenant tenant = TRY(tenant_store(guests.places()).find(guests.tenant()));
  const oci::Spec spec = TRY(build_spec(image, request, facts));
  return verdict(tenant,
                 constrain(tenant.policy, spec,
                           {OwnMounts(guests, request), usual_capabilities(request, spec)}));
}

Result<std::vector<Fd>> fit_to_tenant(const Guests& guests, const RunRequest& request,
                                      oci::Spec& spec) {
  if (guests.tenant() == kDefaultTenant) return std::vector<Fd>();
  const Tenant tenant = TRY(tenant_store(guests.places()).find(guests.tenant()));
  const OwnMounts is_own(guests, request);
  TRY(verdict(tenant, constrain(tenant.policy, spec, {is_own, usual_capabilities(request, spec)})));
  // Its monitors share the tenant's memory. Without a difference a guest that uses it up by what is
  // no process's own (descriptors, caches) gets them killed in its place.
  constexpr int kBeforeMonitors = 100;
  if (spec.process && !spec.process->oom_score_adj) spec.process->oom_score_adj = kBeforeMonitors;
  if (spec.linux.resources) {
    fit_quota(*spec.linux.resources, enforced_budget(tenant).cpu_milli, guests.host());
  }
  return pin_mounts(tenant, is_own, guests.host(), spec);
}

Result<void> fit_update(const Guests& guests, oci::Resources& changes, const RunRequest& wanted) {
  if (guests.tenant() == kDefaultTenant) return {};
  const Tenant tenant = TRY(tenant_store(guests.places()).find(guests.tenant()));
  const oci::Resources all = TRY(to_resources(wanted));
  TRY(verdict(tenant, constrain_limits(tenant.policy, all)));
  fit_quota(changes, enforced_budget(tenant).cpu_milli, guests.host());
  return {};
}

}  // namespace vrun::engine
