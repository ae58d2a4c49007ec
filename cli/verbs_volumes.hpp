// The rows of the verbs for volumes; everyday_verbs.cpp joins them to its own.
#pragma once

#include <array>

#include "cli/everyday_verbs.hpp"

namespace vrun::cli {

inline constexpr std::array kVolumeCreate{
    Flag{"label", "", Kind::kList, "NAME=VALUE", "a note for people and scripts"},
    Flag{"driver", "d", Kind::kText, "DRIVER", "local: a directory of this host", "local"},
};
inline constexpr std::array kVolumeList{
    Flag{"quiet", "q", Kind::kSwitch, "", "print only the names"},
    Flag{"filter", "f", Kind::kList, "NAME=VALUE", "name=TEXT, label=NAME[=VALUE], dangling=true"},
    Flag{"format", "", Kind::kText, "FORM", "table, json or yaml", "table"},
};
inline constexpr std::array kVolumeInspect{
    Flag{"format", "f", Kind::kText, "FORM", "json, yaml, or a member such as Mountpoint"},
};
inline constexpr std::array kVolumeRemove{
    Flag{"force", "f", Kind::kSwitch, "", "a volume that is not there is no fault"},
};
inline constexpr std::array kVolumePrune{
    Flag{"all", "a", Kind::kSwitch, "", "also those with a name"},
    Flag{"filter", "", Kind::kList, "label=NAME", "only those that have the label"},
    Flag{"force", "f", Kind::kSwitch, "", "do not ask"},
};

inline constexpr std::array kVolumeVerbs{
    EverydayVerb{.name = "volume create",
                 .arguments = "[NAME]",
                 .summary = "make a volume: files that outlive guests",
                 .text = "`run --volume NAME:/path` makes one as well. Without NAME one is made "
                         "up. It is filled at its first use with what the image has at that path.",
                 .flag_set = EverydayFlags::kVolumeCreate,
                 .most = 1},
    EverydayVerb{.name = "volume ls",
                 .arguments = "",
                 .summary = "list volumes and the guests that have them",
                 .text = "",
                 .flag_set = EverydayFlags::kVolumeList},
    EverydayVerb{.name = "volume inspect",
                 .arguments = "VOLUME...",
                 .summary = "all that is known of volumes, as JSON",
                 .text = "",
                 .flag_set = EverydayFlags::kVolumeInspect,
                 .least = 1,
                 .most = static_cast<std::size_t>(-1)},
    EverydayVerb{.name = "volume rm",
                 .arguments = "VOLUME...",
                 .summary = "remove volumes with all that is in them",
                 .text = "Not while a guest has them, running or not.",
                 .flag_set = EverydayFlags::kVolumeRemove,
                 .least = 1,
                 .most = static_cast<std::size_t>(-1)},
    EverydayVerb{.name = "volume prune",
                 .arguments = "",
                 .summary = "remove volumes that no guest has",
                 .text = "Those without a name of their own; with --all also the named ones.",
                 .flag_set = EverydayFlags::kVolumePrune},
};

}  // namespace vrun::cli
