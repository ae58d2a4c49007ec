#include "vm/guest/boot_words.hpp"

#include <algorithm>
#include <bit>

#include "base/text.hpp"
#include "network/address.hpp"

namespace vrun::vm {
namespace {

// "[fd00::2]::64" at its colons, but not at those in brackets.
std::vector<std::string> fields_of(std::string_view text) {
  std::vector<std::string> fields(1);
  bool inside = false;
  for (const char c : text) {
    if (c == '[' || c == ']') {
      inside = c == '[';
    } else if (c == ':' && !inside) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

// "255.255.255.0" or "24".
std::optional<unsigned> prefix_of(const std::string& mask) {
  if (const auto number = parse_u64(mask); number && *number <= 128)
    return static_cast<unsigned>(*number);
  const auto bits = network::parse_ipv4(mask);
  if (!bits) return std::nullopt;
  const unsigned ones = static_cast<unsigned>(std::countl_one(bits->bits));
  const bool whole = std::popcount(bits->bits) == static_cast<int>(ones);
  return whole ? std::optional(ones) : std::nullopt;
}

NetworkRequest& card_named(std::vector<NetworkRequest>& cards, const std::string& name) {
  for (NetworkRequest& card : cards)
    if (card.name == name) return card;
  cards.emplace_back().name = name;
  return cards.back();
}

Result<void> take_address(std::string_view value, BootWords& words) {
  const std::vector<std::string> fields = fields_of(value);
  const auto field = [&](std::size_t i) { return i < fields.size() ? fields[i] : std::string(); };
  const std::optional<unsigned> prefix = prefix_of(field(3));
  if (field(0).empty() || !prefix || field(5).empty())
    return Error(Code::kInvalid, "ip=" + std::string(value) +
                                     ": ADDRESS::GATEWAY:NETMASK:NAME:INTERFACE:off is wanted");
  NetworkRequest& card = card_named(words.cards, field(5));
  card.addresses.push_back(field(0) + "/" + std::to_string(*prefix));
  if (!field(2).empty()) card.gateways.push_back(field(2));
  return {};
}

Result<void> take(std::string_view name, const std::string& value, BootWords& words) {
  if (name == "root") words.root = value;
  if (name == "rootfstype") words.type = value;
  if (name == "rootflags") words.flags = value;
  if (name == "init") words.init = value;
  if (name == "ro") words.read_only = true;
  if (name == "rw") words.read_only = false;
  if (name == "systemd.hostname") words.hostname = value;
  if (name == "nameserver") words.name_servers.push_back(value);
  if (name == "ifname") {
    const std::size_t colon = std::min(value.find(':'), value.size() - 1);
    card_named(words.cards, value.substr(0, colon)).mac = value.substr(colon + 1);
  }
  if (name == "ip") return take_address(value, words);
  return {};
}

}  // namespace

Result<std::optional<BootWords>> parse_boot_words(std::string_view command_line) {
  BootWords words;
  for (const std::string_view word : split(trim(command_line), ' ')) {
    const std::size_t sign = word.find('=');
    const std::string value(sign == word.npos ? std::string_view() : word.substr(sign + 1));
    if (sign != word.npos && value.empty()) continue;
    TRY(take(word.substr(0, sign), value, words));
  }
  if (words.root.empty()) return std::optional<BootWords>();
  if (!words.root.starts_with("/dev/"))
    return Error(Code::kInvalid, "root=" + words.root + ": only /dev/NAME is known here")
        .hint("an initramfs of the system's own (--initrd) may know labels");
  return std::optional(std::move(words));
}

std::string network_unit_of(const NetworkRequest& card,
                            const std::vector<std::string>& name_servers) {
  std::string text = "[Match]\nName=" + card.name + "\n\n[Network]\n";
  for (const std::string& address : card.addresses)
    text += "Address=" + address + "\n";
  for (const std::string& gateway : card.gateways)
    text += "Gateway=" + gateway + "\n";
  for (const std::string& server : name_servers)
    text += "DNS=" + server + "\n";
  return text;
}

}  // namespace vrun::vm
