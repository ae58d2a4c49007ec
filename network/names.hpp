// The texts by which guests find names: hosts(5) and resolv.conf(5).
//
// There is no name server. A guest's hosts file holds its own names, the names given by --add-host,
// and the lines of everybody on its networks; when somebody joins or leaves, lines are added or
// removed in place (same inode), because the file is bind-mounted inside.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "network/wishes.hpp"

namespace vrun::network {

// One guest in one network, as the others find it.
struct NamedMember {
  std::string guest, network;
  std::vector<std::string> aliases;
  std::vector<std::string> addresses;  // IPv4 and IPv6 as text
};

// A line for each address: "10.160.0.2\tweb web.front db\n".
std::string member_lines(const NamedMember& member);

struct HostsFile {
  std::string hostname;
  std::vector<NamedMember> own;  // the guest itself
  std::vector<ExtraHost> extra;
  std::string gateway;  // what "host-gateway" stands for; empty: such lines are left out
  std::vector<std::string> others;  // lines of each network's other members
};
std::string hosts_text(const HostsFile& file);

// `text` without the lines of these addresses.
std::string without_addresses(std::string_view text, std::span<const std::string> addresses);

struct Resolver {
  std::string text;
  std::string warning;  // empty, or why the guest cannot resolve names
};
// What a guest gets of the host's resolv.conf. A resolver on the host's loopback is nothing for a
// guest: with only such ones the text of systemd-resolved's own list (`behind`) is used, if any.
struct ResolverWishes {
  std::vector<std::string> servers, search, options;  // each replaces the host's
};
Resolver resolver_text(std::string_view host, std::string_view behind,
                       const ResolverWishes& wishes);

// In place, so that bind mounts see it: no other inode, no moment with an empty file for readers of
// one read(2) (written over first, then cut).
Result<void> write_in_place(At at, const std::string& path, std::string_view text);
Result<void> append_in_place(At at, const std::string& path, std::string_view text);

}  // namespace vrun::network
