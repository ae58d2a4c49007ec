// What the kernel's command line says to whoever mounts the root file system: pure.
//
//   root=/dev/vda [rootfstype=ext4] [rootflags=...] [ro|rw] [init=/sbin/init]   as the kernel's own
//   ifname=eth0:02:..:01 ip=10.0.0.2::10.0.0.1:255.255.255.0:name:eth0:off     as dracut.cmdline(7)
//   ip=[fd00::2]::[fd00::1]:64:name:eth0:off nameserver=10.0.0.1
//   systemd.hostname=name
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "vm/guest/request.hpp"

namespace vrun::vm {

struct BootWords {
  std::string root, type = "ext4", flags, init, hostname;
  bool read_only = true;
  std::vector<NetworkRequest> cards;
  std::vector<std::string> name_servers;
};

// Nothing without root=. kInvalid names the word.
Result<std::optional<BootWords>> parse_boot_words(std::string_view command_line);

// What systemd-networkd finds in /run/systemd/network for a card.
std::string network_unit_of(const NetworkRequest& card,
                            const std::vector<std::string>& name_servers);

}  // namespace vrun::vm
