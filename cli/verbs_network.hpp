// The rows of the verbs for networks; everyday_verbs.cpp joins them to its own.
#pragma once

#include <array>

#include "cli/everyday_verbs.hpp"

namespace vrun::cli {

inline constexpr std::array kNetworkCreate{
    Flag{"driver", "d", Kind::kText, "DRIVER", "bridge: there is no other kind", "bridge"},
    Flag{"subnet", "", Kind::kList, "SUBNET",
         "addresses of its guests: 10.7.0.0/24, fd07::/64 or both; default: free ones"},
    Flag{"gateway", "", Kind::kList, "ADDRESS",
         "the host's address on it; default: the first of the subnet"},
    Flag{"ipv6", "", Kind::kSwitch, "", "with IPv6 addresses; --ipv6=false: without", "true"},
    Flag{"internal", "", Kind::kSwitch, "", "no way out, no published ports"},
    Flag{"mtu", "", Kind::kNumber, "BYTES", "largest packet; default: the uplink's"},
    Flag{"label", "", Kind::kList, "KEY=VALUE", "a note for people and scripts"},
};
inline constexpr std::array kNetworkList{
    Flag{"quiet", "q", Kind::kSwitch, "", "print only the names"},
    Flag{"filter", "f", Kind::kList, "KEY=VALUE", "only those with name=TEXT or label=KEY[=VALUE]"},
    Flag{"format", "", Kind::kText, "FORM", "table or json", "table"},
};
inline constexpr std::array kNetworkInspect{
    Flag{"format", "", Kind::kText, "FORM", "json", "json"},
};
inline constexpr std::array kNetworkRemove{
    Flag{"force", "f", Kind::kSwitch, "", "a network that is not there is no failure"},
};
inline constexpr std::array kNetworkConnect{
    Flag{"ip", "", Kind::kText, "ADDRESS", "the guest's IPv4 address there; default: a free one"},
    Flag{"ip6", "", Kind::kText, "ADDRESS", "the guest's IPv6 address there"},
    Flag{"mac-address", "", Kind::kText, "MAC", "default: made from the IPv4 address"},
    Flag{"alias", "", Kind::kList, "NAME", "one more name by which others there find the guest"},
};
inline constexpr std::array kNetworkDisconnect{
    Flag{"force", "f", Kind::kSwitch, "", "a guest that is not on it is no failure"},
};
inline constexpr std::array kNetworkPrune{
    Flag{"force", "f", Kind::kSwitch, "", "accepted for scripts; nothing is asked anyway"},
};

inline constexpr std::size_t kAnyCount = static_cast<std::size_t>(-1);

inline constexpr std::array kNetworkVerbs{
    EverydayVerb{
        .name = "network create",
        .arguments = "NAME",
        .summary = "make a network",
        .text = "Guests on it reach each other by name and address, the outside by the host's "
                "address, and no guests of other networks. The bridge comes with the first guest.",
        .flag_set = EverydayFlags::kNetworkCreate,
        .least = 1,
        .most = 1},
    EverydayVerb{.name = "network ls",
                 .arguments = "",
                 .summary = "list networks",
                 .text = "",
                 .flag_set = EverydayFlags::kNetworkList},
    EverydayVerb{.name = "network inspect",
                 .arguments = "NAME...",
                 .summary = "show networks and who is on them, as JSON",
                 .text = "",
                 .flag_set = EverydayFlags::kNetworkInspect,
                 .least = 1,
                 .most = kAnyCount},
    EverydayVerb{
        .name = "network rm",
        .arguments = "NAME...",
        .summary = "remove networks without guests",
        .text = "The network `default` may be removed too; the next guest that wants it makes it "
                "anew.",
        .flag_set = EverydayFlags::kNetworkRemove,
        .least = 1,
        .most = kAnyCount},
    EverydayVerb{.name = "network connect",
                 .arguments = "NETWORK GUEST",
                 .summary = "put a guest on one more network",
                 .text = "At once when it runs, and kept for its next starts.",
                 .flag_set = EverydayFlags::kNetworkConnect,
                 .least = 2,
                 .most = 2},
    EverydayVerb{.name = "network disconnect",
                 .arguments = "NETWORK GUEST",
                 .summary = "take a guest off a network",
                 .text = "Published ports move to the guest's next network that leads outside.",
                 .flag_set = EverydayFlags::kNetworkDisconnect,
                 .least = 2,
                 .most = 2},
    EverydayVerb{.name = "network prune",
                 .arguments = "",
                 .summary = "remove all networks without guests, but for the default one",
                 .text = "What killed commands left of guests' interfaces, addresses and ports is "
                         "taken back as well.",
                 .flag_set = EverydayFlags::kNetworkPrune},
};

}  // namespace vrun::cli
