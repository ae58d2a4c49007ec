// The rows of snapshots, clones and whole guests; everyday_verbs.cpp joins them to its own.
#pragma once

#include <array>

#include "cli/everyday_verbs.hpp"

namespace vrun::cli {

inline constexpr std::array kSnapshotCreate{
    Flag{"comment", "m", Kind::kText, "TEXT", "a note for people"},
    Flag{"volumes", "", Kind::kSwitch, "", "with the content of the guest's volumes"},
};
inline constexpr std::array kSnapshotList{
    Flag{"quiet", "q", Kind::kSwitch, "", "print only the names: GUEST@SNAPSHOT"},
    Flag{"format", "", Kind::kText, "FORM", "table, json or yaml", "table"},
};
inline constexpr std::array kSnapshotRollback{
    Flag{"restart", "", Kind::kSwitch, "", "stop the guest first, and start it again if it ran"},
    Flag{"volumes", "", Kind::kSwitch, "", "the volumes of the snapshot, too"},
    Flag{"time", "t", Kind::kText, "SECONDS",
         "with --restart: how long to wait before it is killed"},
};
inline constexpr std::array kClone{
    Flag{"hostname", "", Kind::kText, "NAME", "its host name; default: its name"},
    Flag{"label", "l", Kind::kList, "NAME=VALUE", "a further note for people and scripts"},
    Flag{"publish", "p", Kind::kList, "PORTS", "its ports; those of the host are not copied"},
    Flag{"ip", "", Kind::kText, "ADDRESS", "its IPv4 address; not copied"},
    Flag{"ip6", "", Kind::kText, "ADDRESS", "its IPv6 address; not copied"},
    Flag{"mac-address", "", Kind::kText, "ADDRESS", "its MAC address; not copied"},
    Flag{"volumes", "", Kind::kText, "HOW",
         "copy: volumes of its own with the same content; share: those with a name; empty", "copy"},
};

inline constexpr std::array kGuestExport{
    Flag{"output", "o", Kind::kText, "FILE", "write to a file instead of stdout"},
    Flag{"with-image", "", Kind::kSwitch, "", "the layers of its image, too"},
};
inline constexpr std::array kGuestImport{
    Flag{"input", "i", Kind::kText, "FILE", "read from a file instead of stdin"},
    Flag{"name", "", Kind::kText, "NAME", "its name here; default: as it was called"},
    Flag{"rename-volumes", "", Kind::kSwitch, "", "its volumes with a name become NAME-VOLUME"},
    Flag{"trust", "", Kind::kSwitch, "",
         "grant what its configuration asks of this host: directories, devices, capabilities"},
};

inline constexpr std::array kSnapshotVerbs{
    EverydayVerb{.name = "snapshot create",
                 .arguments = "GUEST [SNAPSHOT]",
                 .summary = "keep a picture of a guest's files and configuration",
                 .text = "Of a running guest, too: it stands still for as long as the copy of its "
                         "writable layer takes, which is next to nothing where the file system "
                         "shares blocks (btrfs, xfs). Without SNAPSHOT the name is snap1, snap2 "
                         "and so on.\n\nSnapshots belong to the guest: `vrun rm` removes them with "
                         "it, and they count against the disk budget of its tenant.",
                 .flag_set = EverydayFlags::kSnapshotCreate,
                 .least = 1,
                 .most = 2},
    EverydayVerb{.name = "snapshot ls",
                 .arguments = "[GUEST...]",
                 .summary = "list the snapshots of guests",
                 .text = "Without GUEST those of all guests. SIZE is what a snapshot would take "
                         "alone; SHARED of it was shared with the guest when it was made.",
                 .flag_set = EverydayFlags::kSnapshotList,
                 .most = static_cast<std::size_t>(-1)},
    EverydayVerb{.name = "snapshot rollback",
                 .arguments = "GUEST@SNAPSHOT | GUEST SNAPSHOT",
                 .summary = "make a guest what it was at a snapshot",
                 .text = "Files and configuration, all at once or not at all. What the guest has "
                         "written since is gone; a further snapshot keeps it. Its name, its id and "
                         "its snapshots stay.",
                 .flag_set = EverydayFlags::kSnapshotRollback,
                 .least = 1,
                 .most = 2},
    EverydayVerb{.name = "snapshot rm",
                 .arguments = "GUEST@SNAPSHOT... | GUEST SNAPSHOT...",
                 .summary = "remove snapshots",
                 .text = "",
                 .least = 1,
                 .most = static_cast<std::size_t>(-1)},
    EverydayVerb{.name = "clone",
                 .arguments = "GUEST[@SNAPSHOT] [NEW]",
                 .summary = "make a new guest from a guest or its snapshot",
                 .text = "The clone has the files and the configuration, but an id, a name, ids "
                         "outside, a host name and a machine-id of its own. Ports of the host and "
                         "fixed addresses are left out and named in a warning. It is not started.",
                 .flag_set = EverydayFlags::kClone,
                 .least = 1,
                 .most = 2},
    EverydayVerb{.name = "guest export",
                 .arguments = "GUEST[@SNAPSHOT]",
                 .summary = "write a whole guest as one archive, for another host",
                 .text = "The writable layer, the volumes and the configuration; of the image only "
                         "its digest, unless --with-image. Secrets, logs and snapshots stay. "
                         "`vrun export` writes the root file system as a plain tar instead.",
                 .flag_set = EverydayFlags::kGuestExport,
                 .least = 1,
                 .most = 1},
    EverydayVerb{.name = "guest import",
                 .arguments = "",
                 .summary = "make a guest from an archive of `vrun guest export`",
                 .text = "The archive is held to what an image's layers may have, its "
                         "configuration to what a new guest may ask for; what it asks of the host "
                         "is refused without --trust. All of it arrives or nothing. The guest is "
                         "not started.",
                 .flag_set = EverydayFlags::kGuestImport},
};

}  // namespace vrun::cli
