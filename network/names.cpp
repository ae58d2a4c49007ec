#include "network/names.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "network/address.hpp"

namespace vrun::network {
namespace {

constexpr std::string_view kLocal =
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n";

std::string names_of(const NamedMember& member) {
  std::string names = member.guest + " " + member.guest + "." + member.network;
  for (const std::string& alias : member.aliases)
    names += " " + alias;
  return names;
}

bool is_loopback(std::string_view server) {
  const std::string_view address = server.substr(0, server.find('%'));
  if (const auto v4 = parse_ipv4(address)) return v4->bits >> 24U == 127 || v4->bits == 0;
  const auto v6 = parse_ipv6(address);
  if (!v6) return false;
  const bool low = std::all_of(v6->bytes.begin(), v6->bytes.end() - 1,
                               [](std::uint8_t byte) { return byte == 0; });
  return low && v6->bytes[15] <= 1;
}

// fe80::1%eth0 names an interface of the host.
bool is_host_only(std::string_view server) {
  return server.find('%') != std::string_view::npos || is_loopback(server);
}

struct Parsed {
  std::vector<std::string> servers, search, options;
  bool had_servers = false;
};

Parsed parse(std::string_view text) {
  Parsed parsed;
  for (std::string_view line : split(text, '\n')) {
    line = trim(line.substr(0, line.find_first_of("#;")));
    const std::size_t blank = line.find_first_of(" \t");
    if (blank == std::string_view::npos) continue;
    const std::string_view key = line.substr(0, blank);
    const std::string value(trim(line.substr(blank)));
    if (key == "nameserver") {
      parsed.had_servers = true;
      if (!is_host_only(value)) parsed.servers.push_back(value);
    }
    // The last one counts (resolv.conf(5)).
    if (key == "search" || key == "domain") parsed.search = {value};
    if (key == "options") parsed.options.push_back(value);
  }
  return parsed;
}

Result<void> write_at(int fd, std::string_view text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n =
        ::pwrite(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::system(errno, "write");
    done += static_cast<std::size_t>(n);
  }
  return {};
}

}  // namespace

std::string member_lines(const NamedMember& member) {
  std::string text;
  for (const std::string& address : member.addresses)
    text += address + "\t" + names_of(member) + "\n";
  return text;
}

std::string hosts_text(const HostsFile& file) {
  std::string text(kLocal);
  for (const ExtraHost& extra : file.extra) {
    const bool gateway = extra.address == "host-gateway";
    if (gateway && file.gateway.empty()) continue;
    text += (gateway ? file.gateway : extra.address) + "\t" + extra.name + "\n";
  }
  for (const NamedMember& member : file.own) {
    const std::string first = file.hostname == member.guest ? "" : file.hostname + " ";
    for (const std::string& address : member.addresses)
      text += address + "\t" + first + names_of(member) + "\n";
  }
  for (const std::string& lines : file.others)
    text += lines;
  return text;
}

std::string without_addresses(std::string_view text, std::span<const std::string> addresses) {
  std::string kept;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end);
    const bool gone =
        std::any_of(addresses.begin(), addresses.end(), [&](const std::string& address) {
          return line.size() > address.size() && line.starts_with(address) &&
                 line[address.size()] == '\t';
        });
    if (!gone) kept += line;
  }
  return kept;
}

Resolver resolver_text(std::string_view host, std::string_view behind,
                       const ResolverWishes& wishes) {
  Resolver out;
  Parsed parsed = parse(host);
  if (parsed.servers.empty()) {
    Parsed other = parse(behind);
    if (!other.servers.empty()) parsed.servers = std::move(other.servers);
    if (parsed.search.empty()) parsed.search = std::move(other.search);
  }
  if (!wishes.servers.empty()) parsed.servers = wishes.servers;
  if (!wishes.search.empty()) parsed.search = {join(wishes.search, " ")};
  if (!wishes.options.empty()) parsed.options = wishes.options;
  for (const std::string& server : parsed.servers)
    out.text += "nameserver " + server + "\n";
  // "--dns-search ." means none.
  for (const std::string& search : parsed.search) {
    if (search != ".") out.text += "search " + search + "\n";
  }
  for (const std::string& option : parsed.options)
    out.text += "options " + option + "\n";
  if (!parsed.servers.empty()) return out;
  out.text = "# no name server of the host can be reached from here; --dns names one\n" + out.text;
  out.warning = parsed.had_servers
                    ? "the host's name servers listen on its loopback only, which guests cannot "
                      "reach; --dns ADDRESS names another"
                    : "the host has no name server; --dns ADDRESS names one";
  return out;
}

Result<void> write_in_place(At at, const std::string& path, std::string_view text) {
  const Fd file = TRY(sys::open(at, path, O_WRONLY | O_CREAT, 0644));
  auto written = write_at(file.get(), text);
  if (!written) return std::move(written).error().during(quote(path));
  if (::ftruncate(file.get(), static_cast<off_t>(text.size())) == 0) return {};
  return Error::system(errno, "cut " + quote(path));
}

Result<void> append_in_place(At at, const std::string& path, std::string_view text) {
  const Fd file = TRY(sys::open(at, path, O_WRONLY | O_APPEND));
  auto written = sys::write_all(file.get(), text);
  if (!written) return std::move(written).error().during(quote(path));
  return {};
}

}  // namespace vrun::network
