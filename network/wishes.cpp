#include "network/wishes.hpp"

#include <algorithm>

#include "base/id.hpp"
#include "base/text.hpp"

namespace vrun::network {
namespace {

constexpr std::string_view kPortForm = "write [ADDRESS:][HOST-PORT:]GUEST-PORT[/tcp|udp]";

Error bad(std::string_view flag, std::string_view text, const std::string& why) {
  return Error(Code::kInvalid, std::string(flag) + " " + quote(text) + ": " + why);
}

struct PortRange {
  std::uint16_t first, last;
};

std::optional<PortRange> parse_range(std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto first = parse_u64(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_u64(text.substr(dash + 1));
  if (!first || !last || *first == 0 || *last > 65535 || *first > *last) return std::nullopt;
  return PortRange{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)};
}

std::uint16_t count_of(PortRange range) {
  return static_cast<std::uint16_t>(range.last - range.first + 1);
}

// Takes "/udp" off the end.
Result<Protocol> take_protocol(std::string_view& rest, std::string_view whole) {
  const std::size_t slash = rest.rfind('/');
  if (slash == std::string_view::npos) return Protocol::kTcp;
  const std::string_view word = rest.substr(slash + 1);
  rest = rest.substr(0, slash);
  if (word == "tcp") return Protocol::kTcp;
  if (word == "udp") return Protocol::kUdp;
  return bad("--publish", whole, "no such protocol: " + quote(word)).hint("there are: tcp, udp");
}

// Takes "127.0.0.1:" or "[::1]:" off the front. A bare IPv6 address would be ambiguous.
Result<void> take_address(std::string_view& rest, std::string_view whole, Publish& port) {
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find("]:");
    if (end == std::string_view::npos) {
      return bad("--publish", whole, "no ']:' after the address").hint(kPortForm);
    }
    port.host6 = parse_ipv6(rest.substr(1, end - 1));
    if (!port.host6) return bad("--publish", whole, "not an IPv6 address").hint(kPortForm);
    rest.remove_prefix(end + 2);
    return {};
  }
  if (std::count(rest.begin(), rest.end(), ':') < 2) return {};
  const std::size_t colon = rest.find(':');
  const std::string_view address = rest.substr(0, colon);
  rest.remove_prefix(colon + 1);
  port.host4 = parse_ipv4(address);
  if (port.host4) return {};
  return bad("--publish", whole, quote(address) + " is not an address of the host")
      .hint("write an IPv6 address in brackets: [::1]:8080:80");
}

Result<void> set_option(Join& join, std::string_view key, std::string_view value,
                        std::string_view whole) {
  const auto wrong = [&](const std::string& what) {
    return bad("--network", whole, quote(value) + " is not " + what);
  };
  if (key == "ip") {
    if (const auto v6 = parse_ipv6(value)) {
      join.ipv6 = v6;
    } else if (!(join.ipv4 = parse_ipv4(value))) {
      return wrong("an address");
    }
  } else if (key == "ip6") {
    if (!(join.ipv6 = parse_ipv6(value))) return wrong("an IPv6 address");
  } else if (key == "mac") {
    join.mac = parse_mac(value);
    const bool usable = join.mac && (join.mac->bytes[0] & 1U) == 0;  // multicast
    if (!usable) return wrong("a hardware address of one host, as 02:00:00:00:00:01");
  } else if (key == "alias") {
    TRY(check_alias(std::string(value)));
    join.aliases.emplace_back(value);
  } else {
    return bad("--network", whole, "no such option: " + quote(key))
        .hint("there are: ip, ip6, mac, alias");
  }
  return {};
}

Result<void> check_network_word(const std::string& name, std::string_view whole) {
  const auto ok = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  const bool good = !name.empty() && name.size() <= 64 && name[0] != '.' && name[0] != '-' &&
                    std::all_of(name.begin(), name.end(), ok);
  if (good) return {};
  return bad("--network", whole, "not a network's name");
}

}  // namespace

const char* to_text(Protocol protocol) {
  return protocol == Protocol::kTcp ? "tcp" : "udp";
}

Result<Join> parse_join(std::string_view text) {
  Join join;
  const std::size_t colon = text.find(':');
  join.network = std::string(text.substr(0, colon));
  if (join.network == "bridge") join.network = "default";
  TRY(check_network_word(join.network, text));
  if (colon == std::string_view::npos) return join;
  for (const std::string_view option : split(text.substr(colon + 1), ',')) {
    const std::size_t equals = option.find('=');
    if (equals == std::string_view::npos) {
      return bad("--network", text, quote(option) + " has no value").hint("write ip=10.1.2.3");
    }
    TRY(set_option(join, option.substr(0, equals), option.substr(equals + 1), text));
  }
  return join;
}

Result<Mode> parse_mode(const std::vector<std::string>& flags) {
  Mode mode;
  if (flags.empty()) mode.joins.emplace_back();
  for (const std::string& flag : flags) {
    const bool alone = flag == "none" || flag == "host" || flag.starts_with("container:");
    if (!alone) {
      Join join = TRY(parse_join(flag));
      const bool twice = std::any_of(mode.joins.begin(), mode.joins.end(), [&](const Join& other) {
        return other.network == join.network;
      });
      if (twice) return bad("--network", flag, "given twice");
      mode.joins.push_back(std::move(join));
      continue;
    }
    if (flags.size() > 1) return bad("--network", flag, "cannot be joined with other networks");
    mode.kind = flag == "none"   ? Mode::Kind::kNone
                : flag == "host" ? Mode::Kind::kHost
                                 : Mode::Kind::kContainer;
    if (mode.kind != Mode::Kind::kContainer) continue;
    mode.container = flag.substr(std::string_view("container:").size());
    if (mode.container.empty()) return bad("--network", flag, "names no guest");
  }
  return mode;
}

Result<Publish> parse_publish(std::string_view text) {
  Publish port;
  std::string_view rest = text;
  port.protocol = TRY(take_protocol(rest, text));
  TRY(take_address(rest, text, port));
  const std::size_t colon = rest.find(':');
  const std::string_view guest = rest.substr(colon == std::string_view::npos ? 0 : colon + 1);
  const auto inside = parse_range(guest);
  if (!inside) {
    return bad("--publish", text, quote(guest) + " is not a port from 1 to 65535 or a range")
        .hint(kPortForm);
  }
  port.guest_port = inside->first;
  port.count = count_of(*inside);
  if (colon == std::string_view::npos || colon == 0) return port;
  if (rest.substr(0, colon) == "0") return port;  // a free one, as without any
  const auto outside = parse_range(rest.substr(0, colon));
  if (!outside) {
    return bad("--publish", text, quote(rest.substr(0, colon)) + " is not a port or a range")
        .hint(kPortForm);
  }
  if (count_of(*outside) != port.count) {
    return bad("--publish", text, "the ranges differ in length");
  }
  port.host_port = outside->first;
  return port;
}

std::string to_text(const Publish& port) {
  const auto range = [&](std::uint16_t first) {
    std::string text = std::to_string(first);
    if (port.count > 1) text += "-" + std::to_string(first + port.count - 1);
    return text;
  };
  std::string text = port.host4   ? to_text(*port.host4) + ":"
                     : port.host6 ? "[" + to_text(*port.host6) + "]:"
                                  : "";
  if (port.host_port != 0) text += range(port.host_port) + "->";
  return text + range(port.guest_port) + "/" + to_text(port.protocol);
}

Result<ExtraHost> parse_extra_host(std::string_view text) {
  // Docker takes '=' as well, which an IPv6 address needs no thought with.
  const std::size_t end = text.find_first_of(":=");
  if (end == std::string_view::npos) {
    return bad("--add-host", text, "no address").hint("write NAME:ADDRESS");
  }
  ExtraHost host{std::string(text.substr(0, end)), std::string(text.substr(end + 1))};
  if (host.address.starts_with('[') && host.address.ends_with(']')) {
    host.address = host.address.substr(1, host.address.size() - 2);
  }
  if (auto named = check_alias(host.name); !named) {
    return std::move(named).error().during("--add-host " + quote(text));
  }
  const bool good =
      host.address == "host-gateway" || parse_ipv4(host.address) || parse_ipv6(host.address);
  if (good) return host;
  return bad("--add-host", text, quote(host.address) + " is not an address")
      .hint("write an IPv4 or IPv6 address, or host-gateway for the host itself");
}

Result<std::uint64_t> parse_packets(std::string_view flag, std::string_view text) {
  constexpr std::uint64_t kMost = 100'000'000;
  const auto number = parse_u64(text);
  if (number && *number >= 1 && *number <= kMost) return *number;
  return bad(flag, text, "not from 1 to 100000000 packets a second").hint("such as 5000");
}

Result<std::uint64_t> parse_rate(std::string_view flag, std::string_view text) {
  constexpr std::uint64_t kLeast = 8000, kMost = 1'000'000'000'000;
  constexpr std::string_view kUnits = "kmg";
  std::uint64_t unit = 1;
  std::string_view digits = text;
  if (!text.empty()) {
    const char last = static_cast<char>(text.back() | 0x20);
    const std::size_t place = kUnits.find(last);
    if (place != std::string_view::npos) digits.remove_suffix(1);
    for (std::size_t i = 0; place != std::string_view::npos && i <= place; ++i)
      unit *= 1000;
  }
  const auto number = parse_u64(digits);
  if (number && *number <= kMost / unit && *number * unit >= kLeast) return *number * unit;
  return bad(flag, text, "not a rate from 8k to 1000G bits per second")
      .hint("100M is 100 megabits per second");
}

Result<void> check_alias(const std::string& alias) {
  const auto ok = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  const bool good = !alias.empty() && alias.size() <= 253 && alias[0] != '-' && alias[0] != '.' &&
                    std::all_of(alias.begin(), alias.end(), ok);
  if (good) return {};
  return Error(Code::kInvalid, "host name " + quote(alias) + ": not a host name")
      .hint("letters, digits, '-', '_' and '.', at most 253");
}

bool collide(const Publish& one, const Publish& other) {
  if (one.protocol != other.protocol || one.host_port == 0 || other.host_port == 0) return false;
  const auto ends = [](const Publish& port) { return std::uint32_t{port.host_port} + port.count; };
  if (one.host_port >= ends(other) || other.host_port >= ends(one)) return false;
  // 0.0.0.0 and :: are every address of their family.
  const bool v4 = one.on_ipv4() && other.on_ipv4();
  const bool v6 = one.on_ipv6() && other.on_ipv6();
  const auto same = [](const auto& a, const auto& b) { return !a || !b || *a == *b; };
  const auto any4 = [](std::optional<Ipv4> a) { return a && *a != Ipv4{} ? a : std::nullopt; };
  const auto any6 = [](std::optional<Ipv6> a) { return a && *a != Ipv6{} ? a : std::nullopt; };
  return (v4 && same(any4(one.host4), any4(other.host4))) ||
         (v6 && same(any6(one.host6), any6(other.host6)));
}

}  // namespace vrun::network
