// The rows of the verbs for micro-VMs; everyday_verbs.cpp joins them to its own.
#pragma once

#include <array>

#include "cli/everyday_verbs.hpp"

namespace vrun::cli {

inline constexpr std::array kKernelAdd{
    Flag{"name", "", Kind::kText, "NAME", "by what it goes here; default: the file's own name"},
    Flag{"modules", "", Kind::kText, "DIR",
         "its modules; default: /lib/modules/NAME, if there is such a directory"},
};

inline constexpr std::array kCheckpoint{
    Flag{"drop", "", Kind::kSwitch, "",
         "give up the checkpoint instead, and what ran: the next start boots the guest"},
    Flag{"leave-running",
         "R",
         Kind::kSwitch,
         "",
         "refused: the files would change behind what is kept; `vrun vm snapshot` keeps both",
         {},
         Shown::kDeprecated},
};

inline constexpr std::array kMachineClone{
    Flag{"label", "l", Kind::kList, "NAME=VALUE", "a further note for people and scripts"},
    Flag{"volumes", "", Kind::kText, "HOW",
         "copy: volumes of its own with the same content; share: those with a name", "copy"},
};

inline constexpr std::array kBuildDisk{
    Flag{"from", "", Kind::kText, "DIR|IMAGE",
         "a directory (with a slash: ./debian), as debootstrap makes it, or an image"},
    Flag{"output", "o", Kind::kText, "FILE", "the new disk image; default: its name and .raw"},
    Flag{"size", "", Kind::kText, "SIZE",
         "of the disk: 4g; default: what is in it, a quarter more and 1 GiB"},
    Flag{"kernel", "", Kind::kText, "NAME",
         "whose modules go in, if they are not there: a kernel of `vm kernel ls`"},
    Flag{"autologin", "", Kind::kSwitch, "",
         "systemd logs root in on the console, without a password"},
};

inline constexpr std::array kMicroVmVerbs{
    EverydayVerb{.name = "image build-disk",
                 .arguments = "",
                 .summary = "make a disk image that `run --isolation vm --disk` boots",
                 .text = "A raw image with one ext4 file system and no partitions. Nothing is "
                         "mounted. The modules of the kernel and vrun's agent (for exec, shell, "
                         "health checks) go in, /etc/resolv.conf becomes a link to what vrun says; "
                         "all else is as in the directory or the image. "
                         "The file has holes: only what is written takes room.",
                 .flag_set = EverydayFlags::kBuildDisk},
    EverydayVerb{.name = "checkpoint",
                 .arguments = "GUEST...",
                 .summary = "end running micro-VMs; `restore` lets them go on from there",
                 .text = "Memory, processors and devices are kept beside the guest's files, which "
                         "stay as they are; then the guest ends, with the exit code 137. `vrun "
                         "restore GUEST` goes on from there, once, in the same guest: with its "
                         "addresses, ports, volumes and logs. It outlives a boot of the host.\n\n"
                         "Until then the guest can be removed, and neither started nor changed; "
                         "--drop gives up what ran. `vrun vm snapshot` keeps memory and files of "
                         "a guest that goes on.\n\nFor guests with the engine kvm.",
                 .flag_set = EverydayFlags::kCheckpoint,
                 .least = 1,
                 .most = static_cast<std::size_t>(-1)},
    EverydayVerb{.name = "vm snapshot",
                 .arguments = "GUEST [SNAPSHOT]",
                 .summary = "keep a running micro-VM with all that runs in it",
                 .text = "Memory, processors, devices and files, as they are at one moment; it "
                         "stands still meanwhile and goes on. `vrun vm clone` makes running guests "
                         "from it. It is a snapshot like others: `vrun snapshot ls` and `rm` have "
                         "it, and `vrun clone` and `snapshot rollback` take its files.\n\nFor "
                         "guests with the engine kvm.",
                 .flag_set = EverydayFlags::kSnapshotCreate,
                 .least = 1,
                 .most = 2},
    EverydayVerb{.name = "vm clone",
                 .arguments = "GUEST@SNAPSHOT [NEW...]",
                 .summary = "start micro-VMs that go on from a snapshot",
                 .text = "Each goes on where `vrun vm snapshot` left the guest, with all that ran, "
                         "and shares the memory that it does not write. Its files, host name, "
                         "clock and random numbers are its own. What had a connection to the host "
                         "then (exec) has lost it. A later start of a clone boots it.",
                 .flag_set = EverydayFlags::kMachineClone,
                 .least = 1,
                 .most = static_cast<std::size_t>(-1)},
    EverydayVerb{.name = "vm kernel ls",
                 .arguments = "",
                 .summary = "list the kernels that micro-VMs can have",
                 .text = "Those of this host, and those that were added. The marked one is what "
                         "guests get.",
                 .flag_set = EverydayFlags::kImageFormat},
    EverydayVerb{.name = "vm kernel add",
                 .arguments = "FILE",
                 .summary = "add a kernel for micro-VMs",
                 .text = "A vmlinuz as distributions ship it, or an ELF file. It is copied. Added "
                         "kernels come before those of the host.",
                 .flag_set = EverydayFlags::kKernelAdd,
                 .least = 1,
                 .most = 1},
    EverydayVerb{.name = "vm kernel rm",
                 .arguments = "NAME...",
                 .summary = "remove added kernels",
                 .text = "Guests that run go on with theirs. What was unpacked of it goes, too.",
                 .least = 1,
                 .most = static_cast<std::size_t>(-1)},
};

}  // namespace vrun::cli
