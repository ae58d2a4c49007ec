#include "network/records.hpp"

#include <algorithm>
#include <array>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "network/documents.hpp"
#include "network/names.hpp"
#include "network/pools.hpp"

namespace vrun::network {
namespace {

constexpr std::size_t kMostBytes = 1U << 20U;
constexpr std::string_view kSuffix = ".json";

bool is_missing(const Error& error) {
  return error.code() == Code::kNotFound;
}

Result<void> absent_is_fine(Result<void> done) {
  if (!done && is_missing(done.error())) return {};
  return done;
}

// The temporary names of fs::replace_file().
bool is_draft(std::string_view name) {
  return name.starts_with('.') && name.ends_with(".tmp");
}

Result<std::vector<std::string>> entries(const std::string& path) {
  Result<Fd> dir = sys::open_dir(At::cwd(), path);
  if (!dir && is_missing(dir.error())) return std::vector<std::string>();
  if (!dir) return std::move(dir).error();
  std::vector<std::string> names = TRY(sys::list_dir(dir->get()));
  std::sort(names.begin(), names.end());
  return names;
}

template <typename T>
Result<std::optional<T>> load(const std::string& path) {
  Result<std::string> text = fs::read_file(At::cwd(), path, kMostBytes, fs::Kind::kRegularOnly);
  if (!text && is_missing(text.error())) return std::optional<T>();
  if (!text) return std::move(text).error();
  return std::optional<T>(TRY(json::read<T>(*text, path)));
}

// Without the suffix of networks, whose names it cannot meet so.
constexpr const char* kBandwidth = "bandwidth";

template <typename T>
Result<std::vector<T>> load_all(const std::string& dir) {
  std::vector<T> all;
  for (const std::string& name : TRY(entries(dir))) {
    if (name.starts_with('.') || !name.ends_with(kSuffix)) continue;
    std::optional<T> one = TRY(load<T>(fs::join(dir, name)));
    if (one) all.push_back(*std::move(one));  // else: gone since it was listed
  }
  return all;
}

template <typename T>
Result<std::vector<T>> load_all_tenants(const std::string& dir) {
  std::vector<T> all;
  for (const std::string& tenant : TRY(entries(dir))) {
    if (tenant == "ula" || tenant.starts_with('.')) continue;
    std::vector<T> some = TRY(load_all<T>(fs::join(dir, tenant)));
    std::move(some.begin(), some.end(), std::back_inserter(all));
  }
  return all;
}

Result<void> store(const std::string& dir, const std::string& name, std::string_view text) {
  Result<Fd> at = sys::open_dir(At::cwd(), dir);
  if (!at && is_missing(at.error())) {
    TRY(fs::make_dirs(At::cwd(), dir, 0700));
    at = sys::open_dir(At::cwd(), dir);
  }
  if (!at) return std::move(at).error();
  return fs::replace_file(*at, name, text);
}

// A new file, or Code::kExists.
Result<void> claim(const std::string& dir, const std::string& name, const std::string& owner) {
  const std::string path = fs::join(dir, name);
  constexpr int kNew = O_WRONLY | O_CREAT | O_EXCL;
  Result<Fd> file = sys::open(At::cwd(), path, kNew, 0600);
  if (!file && is_missing(file.error())) {
    TRY(fs::make_dirs(At::cwd(), dir, 0700));
    file = sys::open(At::cwd(), path, kNew, 0600);
  }
  if (!file) return std::move(file).error();
  auto written = sys::write_all(file->get(), owner);
  if (!written) static_cast<void>(sys::unlink(At::cwd(), path));
  return written;
}

std::string port_name(const Records::PortLease& lease) {
  return std::string(to_text(lease.protocol)) + "-" + std::to_string(lease.port) + "-" +
         lease.address;
}

std::optional<Records::PortLease> parse_port_name(const std::string& name) {
  const auto parts = split(name, '-');
  if (parts.size() != 3) return std::nullopt;
  const auto port = parse_u64(parts[1]);
  if (!port || *port > 65535 || (parts[0] != "tcp" && parts[0] != "udp")) return std::nullopt;
  return Records::PortLease{parts[0] == "tcp" ? Protocol::kTcp : Protocol::kUdp,
                            static_cast<std::uint16_t>(*port), std::string(parts[2]), ""};
}

}  // namespace

Records::Records(const NetworkPlaces& places)
    : data_(fs::join(places.data, "networks")), run_(fs::join(places.run, "net")) {}

Result<Fd> Records::lock() const {
  Result<Fd> dir = sys::open_dir(At::cwd(), run_);
  if (!dir && is_missing(dir.error())) {
    TRY(fs::make_dirs(At::cwd(), run_, 0700));
    dir = sys::open_dir(At::cwd(), run_);
  }
  if (!dir) return std::move(dir).error();
  TRY(sys::lock(dir->get(), LOCK_EX, "networks"));
  return dir;
}

Result<void> Records::save(const Network& network) const {
  return store(fs::join(data_, network.tenant), network.name + std::string(kSuffix),
               json::write(network, json::Style::kSpaces) + "\n");
}

Result<std::optional<Network>> Records::network(const std::string& tenant,
                                                const std::string& name) const {
  return load<Network>(fs::join(fs::join(data_, tenant), name + std::string(kSuffix)));
}

Result<std::vector<Network>> Records::networks(const std::string& tenant) const {
  return load_all<Network>(fs::join(data_, tenant));
}

Result<std::vector<Network>> Records::all_networks() const {
  return load_all_tenants<Network>(data_);
}

Result<void> Records::remove(const Network& network) const {
  const std::string dir = fs::join(data_, network.tenant);
  return absent_is_fine(sys::unlink(At::cwd(), fs::join(dir, network.name + std::string(kSuffix))));
}

Result<std::uint64_t> Records::bandwidth(const std::string& tenant) const {
  const std::string path = fs::join(fs::join(data_, tenant), kBandwidth);
  const Result<std::string> text = fs::read_file(At::cwd(), path, 64);
  if (!text && is_missing(text.error())) return std::uint64_t{0};
  if (!text) return Error(text.error().code(), text.error().text());
  if (const auto bits = parse_u64(trim(*text))) return *bits;
  return Error(Code::kInvalid, "read " + quote(path) + ": not a number");
}

Result<void> Records::save_bandwidth(const std::string& tenant, std::uint64_t bits) const {
  const std::string dir = fs::join(data_, tenant);
  if (bits == 0) return absent_is_fine(sys::unlink(At::cwd(), fs::join(dir, kBandwidth)));
  return store(dir, kBandwidth, std::to_string(bits) + "\n");
}

Result<Ipv6> Records::ula() const {
  Result<std::string> text = fs::read_file(At::cwd(), fs::join(data_, "ula"), 64);
  if (text) {
    if (const auto prefix = parse_ipv6(trim(*text))) return *prefix;
    return Error(Code::kInvalid, "read " + quote(fs::join(data_, "ula")) + ": not an address");
  }
  if (!is_missing(text.error())) return std::move(text).error();
  std::array<std::uint8_t, 5> random{};
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    return Error::system(errno, "get random bytes");
  }
  const Ipv6 prefix = make_ula(random);
  TRY(store(data_, "ula", to_text(prefix) + "\n"));
  return prefix;
}

Result<void> Records::save(const GuestRecord& record) const {
  return store(fs::join(fs::join(run_, "guests"), record.net.tenant),
               record.net.guest + std::string(kSuffix), json::write(record));
}

Result<std::optional<GuestRecord>> Records::guest(const std::string& tenant,
                                                  const std::string& name) const {
  const std::string dir = fs::join(fs::join(run_, "guests"), tenant);
  return load<GuestRecord>(fs::join(dir, name + std::string(kSuffix)));
}

Result<std::vector<GuestRecord>> Records::guests(const std::string& tenant) const {
  return load_all<GuestRecord>(fs::join(fs::join(run_, "guests"), tenant));
}

Result<std::vector<GuestRecord>> Records::all_guests() const {
  return load_all_tenants<GuestRecord>(fs::join(run_, "guests"));
}

Result<void> Records::remove_guest(const std::string& tenant, const std::string& name) const {
  const std::string dir = fs::join(fs::join(run_, "guests"), tenant);
  return absent_is_fine(sys::unlink(At::cwd(), fs::join(dir, name + std::string(kSuffix))));
}

Result<std::set<std::string>> Records::leases(const std::string& bridge) const {
  const auto names = TRY(entries(fs::join(fs::join(run_, "leases"), bridge)));
  return std::set<std::string>(names.begin(), names.end());
}

Result<void> Records::lease(const std::string& bridge, const std::string& address,
                            const std::string& owner) const {
  return claim(fs::join(fs::join(run_, "leases"), bridge), address, owner);
}

Result<void> Records::release(const std::string& bridge, const std::string& address) const {
  const std::string dir = fs::join(fs::join(run_, "leases"), bridge);
  return absent_is_fine(sys::unlink(At::cwd(), fs::join(dir, address)));
}

Result<void> Records::set_owner(const std::string& bridge, const std::string& address,
                                const std::string& owner) const {
  return store(fs::join(fs::join(run_, "leases"), bridge), address, owner);
}

Result<std::string> Records::owner(const std::string& bridge, const std::string& address) const {
  const std::string dir = fs::join(fs::join(run_, "leases"), bridge);
  return fs::read_file(At::cwd(), fs::join(dir, address), kMostBytes);
}

std::uint32_t Records::last_number(const std::string& bridge) const {
  const std::string dir = fs::join(fs::join(run_, "leases"), bridge);
  const auto number = parse_u64(fs::read_file(At::cwd(), fs::join(dir, ".last"), 32).value_or(""));
  return number && *number <= 0xFFFFFFFFU ? static_cast<std::uint32_t>(*number) : 0;
}

// Written over, not replaced: a half-written number is only a worse place to begin at.
Result<void> Records::set_last_number(const std::string& bridge, std::uint32_t number) const {
  const std::string dir = fs::join(fs::join(run_, "leases"), bridge);
  return write_in_place(At::cwd(), fs::join(dir, ".last"), std::to_string(number));
}

Result<std::vector<Records::PortLease>> Records::port_leases() const {
  std::vector<PortLease> leases;
  for (const std::string& name : TRY(entries(fs::join(run_, "ports")))) {
    if (auto lease = parse_port_name(name)) leases.push_back(*std::move(lease));
  }
  return leases;
}

Result<std::string> Records::port_owner(const PortLease& lease) const {
  const std::string dir = fs::join(run_, "ports");
  return fs::read_file(At::cwd(), fs::join(dir, port_name(lease)), kMostBytes);
}

Result<void> Records::lease_port(const PortLease& lease) const {
  return claim(fs::join(run_, "ports"), port_name(lease), lease.owner);
}

Result<void> Records::release_port(const PortLease& lease) const {
  return absent_is_fine(
      sys::unlink(At::cwd(), fs::join(fs::join(run_, "ports"), port_name(lease))));
}

Result<void> Records::set_port_owner(const PortLease& lease) const {
  return store(fs::join(run_, "ports"), port_name(lease), lease.owner);
}

std::string Records::names(const std::string& bridge) const {
  return fs::read_file(At::cwd(), fs::join(fs::join(run_, "names"), bridge), kMostBytes)
      .value_or("");
}

Result<void> Records::add_names(const std::string& bridge, const std::string& lines) const {
  const std::string dir = fs::join(run_, "names");
  Result<void> added = append_in_place(At::cwd(), fs::join(dir, bridge), lines);
  if (added || !is_missing(added.error())) return added;
  return store(dir, bridge, lines);
}

Result<void> Records::set_names(const std::string& bridge, const std::string& text) const {
  return store(fs::join(run_, "names"), bridge, text);
}

std::string Records::members_dir(const std::string& bridge) const {
  return fs::join(fs::join(run_, "members"), bridge);
}

Result<void> Records::add_member(const std::string& bridge, const std::string& guest,
                                 const std::string& hosts_file) const {
  const std::string dir = members_dir(bridge);
  Result<void> made = sys::make_symlink(hosts_file, At::cwd(), fs::join(dir, guest));
  if (made || !is_missing(made.error())) return made;
  TRY(fs::make_dirs(At::cwd(), dir, 0700));
  return sys::make_symlink(hosts_file, At::cwd(), fs::join(dir, guest));
}

Result<void> Records::remove_member(const std::string& bridge, const std::string& guest) const {
  return absent_is_fine(sys::unlink(At::cwd(), fs::join(members_dir(bridge), guest)));
}

Result<void> Records::remove_drafts() const {
  std::vector<std::string> dirs{data_, fs::join(run_, "names"), fs::join(run_, "ports")};
  for (const std::string& above : {data_, fs::join(run_, "guests"), fs::join(run_, "leases")}) {
    for (const std::string& name : TRY(entries(above))) {
      if (name != "ula" && !is_draft(name)) dirs.push_back(fs::join(above, name));
    }
  }
  for (const std::string& dir : dirs) {
    for (const std::string& name : TRY(entries(dir))) {
      if (is_draft(name)) TRY(absent_is_fine(sys::unlink(At::cwd(), fs::join(dir, name))));
    }
  }
  return {};
}

Result<void> Records::forget_bridge(const std::string& bridge) const {
  const Fd run = TRY(sys::open_dir(At::cwd(), run_));
  for (const char* what : {"leases/", "names/", "members/"}) {
    TRY(fs::remove_tree(run, what + bridge));
  }
  return {};
}

}  // namespace vrun::network
