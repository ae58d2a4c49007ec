#include <algorithm>
#include <functional>

#include <fcntl.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "network/names.hpp"
#include "network/session.hpp"

namespace vrun::network {
namespace {

// A guest owns its hosts file and may have filled it with anything.
constexpr std::size_t kMostHostsBytes = 1U << 20U;

std::vector<std::string> addresses_of(const Endpoint& endpoint) {
  std::vector<std::string> all{to_text(endpoint.ipv4)};
  if (endpoint.ipv6) all.push_back(to_text(*endpoint.ipv6));
  return all;
}

NamedMember member_of(const GuestRecord& record, const Endpoint& endpoint) {
  return {record.net.guest, endpoint.network, endpoint.aliases, addresses_of(endpoint)};
}

// Calls `each` with every other member's hosts file. What goes wrong with another guest's file (it
// is being removed, its disk is full) is that guest's trouble.
void for_others(Session& session, const GuestRecord& record, const Endpoint& endpoint,
                const std::function<void(At, const std::string&)>& each) {
  Result<Fd> dir = sys::open_dir(At::cwd(), session.records.members_dir(endpoint.bridge));
  if (!dir) return;
  Result<std::vector<std::string>> names = sys::list_dir(dir->get());
  if (!names) return;
  for (const std::string& name : *names) {
    if (name != record.net.guest) each(*dir, name);
  }
}

void take_lines_out(At dir, const std::string& name, const std::vector<std::string>& addresses) {
  Result<std::string> text = fs::read_file(dir, name, kMostHostsBytes, fs::Kind::kRegularOnly);
  if (text) static_cast<void>(write_in_place(dir, name, without_addresses(*text, addresses)));
}

}  // namespace

Result<void> write_own_hosts(Session& session, const GuestRecord& record) {
  if (record.hosts_file.empty()) return {};
  HostsFile file;
  file.hostname = record.hostname;
  file.extra = record.extra_hosts;
  for (const Endpoint& endpoint : record.net.endpoints) {
    if (file.gateway.empty()) file.gateway = to_text(endpoint.gateway4);
    file.own.push_back(member_of(record, endpoint));
    file.others.push_back(
        without_addresses(session.records.names(endpoint.bridge), addresses_of(endpoint)));
  }
  return write_in_place(At::cwd(), record.hosts_file, hosts_text(file));
}

Result<void> join_names(Session& session, const GuestRecord& record, const Endpoint& joined) {
  const std::string lines = member_lines(member_of(record, joined));
  for_others(session, record, joined, [&](At dir, const std::string& name) {
    static_cast<void>(append_in_place(dir, name, lines));
  });
  TRY(session.records.add_names(joined.bridge, lines));
  if (record.hosts_file.empty()) return {};
  return session.records.add_member(joined.bridge, record.net.guest, record.hosts_file);
}

Result<void> leave_names(Session& session, const GuestRecord& record, const Endpoint& left) {
  const std::vector<std::string> addresses = addresses_of(left);
  TRY(session.records.remove_member(left.bridge, record.net.guest));
  for_others(session, record, left,
             [&](At dir, const std::string& name) { take_lines_out(dir, name, addresses); });
  const std::string before = session.records.names(left.bridge);
  const std::string after = without_addresses(before, addresses);
  if (after == before) return {};
  return session.records.set_names(left.bridge, after);
}

}  // namespace vrun::network
