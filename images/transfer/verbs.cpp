#include "images/transfer/verbs.hpp"

#include <algorithm>
#include <array>
#include <map>

#include <fcntl.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/host.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "images/catalog.hpp"
#include "images/names.hpp"
#include "images/platform.hpp"
#include "images/store.hpp"
#include "images/transfer/allowance.hpp"
#include "images/transfer/credentials.hpp"
#include "images/transfer/login.hpp"
#include "images/transfer/new_image.hpp"
#include "images/transfer/pull.hpp"
#include "images/transfer/push.hpp"
#include "images/transfer/tell.hpp"

namespace vrun::images {
namespace {

constexpr int kOwnFailure = 125;

// What every verb needs.
struct Call {
  const TransferRequest& request;
  Host host;
  Interrupts interrupts;
};

void print_warnings(const std::vector<std::string>& warnings, const TransferRequest& request) {
  if (request.progress == ProgressStyle::kQuiet) return;
  for (const std::string& warning : warnings) {
    static_cast<void>(sys::write_all(STDERR_FILENO, "vrun: warning: " + printable(warning) + "\n"));
  }
}

Result<Desk> open_desk(Call& call, const oci::Reference& image, unsigned parallel) {
  const Registries registries = TRY(Registries::load(call.host));
  const AuthFiles files = AuthFiles::of(call.host);
  const Network network = TRY(plan_network(
      registries, image, [&](const oci::Reference& there) { return files.find(there); }));
  return Desk(TRY(Courier::start(network, parallel)), call.interrupts);
}

Result<void> pull_one(Call& call, const Store& store, const std::string& name, Meter* meter) {
  PullOrder order;
  order.image = TRY(oci::Reference::parse(name));
  order.platform = machine_platform();
  if (!call.request.platform.empty()) {
    order.platform = TRY(parse_platform(call.request.platform));
    order.platform_chosen = true;
  }
  order.extract.privileged = call.host.euid.value == 0;
  order.extract.meter = meter;
  Progress progress(call.request.progress, STDERR_FILENO, "pull");
  progress.message("pulling " + order.image.str());
  Desk desk = TRY(open_desk(call, order.image, order.parallel));
  const Holdings holdings = TRY(Holdings::of(store, call.request.tenant));
  const Pulled pulled = TRY(pull(store, holdings, order, desk, progress));
  Names names = TRY(Names::open(store, call.request.tenant));
  TRY(names.set(order.image, pulled.manifest));
  names.note("pull", order.image, pulled.manifest.digest);
  progress.message("digest: " + pulled.manifest.digest.str());
  print_warnings(pulled.warnings, call.request);
  return sys::write_all(STDOUT_FILENO, order.image.str() + "\n");
}

Result<void> pull_each(Call& call, const Store& store, Meter* meter) {
  Result<void> all;
  for (const std::string& name : call.request.images) {
    Result<void> done = pull_one(call, store, name, meter);
    if (done) continue;
    const bool interrupted = done.error().code() == Code::kState;
    if (interrupted) return std::move(done).error().during(quote(name));
    // The others come all the same; the last fault is the answer, those before are told here.
    if (!all) tell(std::move(all).error().during("pull"));
    all = std::move(done).error().during(quote(name));
  }
  return all;
}

Result<void> pull_all(Call& call) {
  const TransferRequest& request = call.request;
  const Store store = TRY(Store::open(request.data_dir));
  TRY(store.sweep());
  // In use until the names are set: nothing is collected.
  Fd in_use = TRY(store.use());
  Allowance allowance = TRY(Allowance::open(store, std::move(in_use), request.tenant,
                                            request.image_limit, request.shipped_dir));
  Result<void> done = pull_each(call, store, allowance.meter());
  allowance.close();
  if (!done) return done;
  collect_by_policy(call.request.data_dir, call.request.shipped_dir, call.request.tenant);
  return {};
}

// Which repositories of a registry have which blobs, as far as our own names tell.
Result<std::map<oci::Digest, std::string>> seen_blobs(const Names& names, const Store& store,
                                                      const oci::Reference& target) {
  std::map<oci::Digest, std::string> seen;
  for (const Named& named : TRY(names.list())) {
    const oci::Reference& other = named.reference;
    if (other.domain != target.domain || other.path == target.path) continue;
    const Result<std::string> bytes =
        store.read_blob(named.manifest.digest, oci::kMaxManifestBytes);
    if (!bytes) continue;  // a damaged one cannot help; pushing it would say so
    const Result<oci::Manifest> manifest = oci::parse_manifest(*bytes, "manifest");
    if (!manifest) continue;
    seen.emplace(manifest->config.digest, other.path);
    for (const oci::Descriptor& layer : manifest->layers)
      seen.emplace(layer.digest, other.path);
  }
  return seen;
}

Result<void> push_image(Call& call) {
  const std::vector<std::string>& words = call.request.images;
  const Store store = TRY(Store::open(call.request.data_dir));
  const Fd in_use = TRY(store.use());
  PushOrder order;
  const Catalog catalog(call.request.shipped_dir, call.request.data_dir, call.request.tenant);
  order.image = TRY(catalog.find(words.front()));
  order.target = TRY(oci::Reference::parse(words.back()));
  const Names names = TRY(Names::open(store, call.request.tenant));
  const auto seen = TRY(seen_blobs(names, store, order.target));
  order.seen_in = [&seen](const oci::Digest& blob) {
    const auto found = seen.find(blob);
    return found == seen.end() ? std::string() : found->second;
  };
  Progress progress(call.request.progress, STDERR_FILENO, "push");
  progress.message("pushing to " + order.target.str());
  Desk desk = TRY(open_desk(call, order.target, order.parallel));
  Result<void> done = push(order, desk, progress);
  if (!done) return std::move(done).error().during(quote(words.back()));
  names.note("push", order.target, order.image.digest);
  progress.message("digest: " + order.image.digest.str());
  return sys::write_all(STDOUT_FILENO, order.target.str() + "\n");
}

Result<void> login(Call& call) {
  const std::string host = TRY(registry_host(call.request.registry));
  const Credentials credentials = TRY(ask_credentials(call.request, host, call.interrupts));
  oci::Reference any;
  any.domain = host;
  Registries registries = TRY(Registries::load(call.host));
  // The registry itself decides, not a mirror of it.
  for (RegistryRule& rule : registries.rules)
    rule.mirrors.clear();
  const Network network = TRY(plan_network(
      registries, any, [&](const oci::Reference&) { return Result<Credentials>(credentials); }));
  Desk desk(TRY(Courier::start(network, 1)), call.interrupts);
  const Fd none = TRY(sys::open(At::cwd(), "/dev/null", O_RDWR));
  const CourierAnswer answer = TRY(desk.ask({}, none));
  TRY(answer.result());
  const std::string where = TRY(AuthFiles::of(call.host).keep(host, credentials));
  return sys::write_all(STDOUT_FILENO,
                        "logged in at " + host + " (kept in " + printable(where) + ")\n");
}

Result<void> logout(Call& call) {
  const std::string host = TRY(registry_host(call.request.registry));
  const std::vector<std::string> from = TRY(AuthFiles::of(call.host).forget(host));
  if (from.empty()) {
    return Error(Code::kNotFound, "not logged in at " + host);
  }
  return sys::write_all(STDOUT_FILENO, "logged out from " + host + " (removed from " +
                                           printable(join(from, ", ")) + ")\n");
}

using Function = Result<void> (*)(Call&);
struct Verb {
  std::string_view name;
  Function function;
};
constexpr std::array kVerbs{Verb{"pull", &pull_all}, Verb{"push", &push_image},
                            Verb{"login", &login}, Verb{"logout", &logout}};

const Verb* find_verb(std::string_view name) {
  const auto found = std::find_if(kVerbs.begin(), kVerbs.end(),
                                  [&](const Verb& verb) { return verb.name == name; });
  return found == kVerbs.end() ? nullptr : &*found;
}

void tell(const Error& error, std::int64_t report_fd) {
  if (report_fd >= 0) {
    static_cast<void>(sys::write_all(static_cast<int>(report_fd), error_to_json(error)));
    return;
  }
  std::string text;
  const std::string words = error.text();
  for (const std::string_view line : split(words, '\n'))
    text += (text.empty() ? "vrun: " : "  ") + printable(line) + "\n";
  if (!error.hint().empty()) text += "  hint: " + printable(error.hint()) + "\n";
  static_cast<void>(sys::write_all(STDERR_FILENO, text));
}

}  // namespace

bool is_network_verb(std::string_view verb) {
  return find_verb(verb) != nullptr;
}

int run_network_verb(std::string_view name, std::string_view request_json) {
  const Verb* verb = find_verb(name);
  Result<TransferRequest> request = parse_transfer_request(request_json);
  if (verb == nullptr || !request) {
    tell(request ? Error(Code::kInternal, "no such verb") : std::move(request).error(), -1);
    return kOwnFailure;
  }
  Result<Interrupts> interrupts = Interrupts::create();
  if (!interrupts) {
    tell(interrupts.error(), request->report_fd);
    return kOwnFailure;
  }
  Call call{*request, Host::current(), *std::move(interrupts)};
  Result<void> done = verb->function(call);
  if (done) return 0;
  tell(std::move(done).error().during(name), request->report_fd);
  return call.interrupts.signal() == 0 ? kOwnFailure : 128 + call.interrupts.signal();
}

}  // namespace vrun::images
