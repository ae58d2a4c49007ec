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
                         "mounted. The modules of the kernel go in, /etc/resolv.conf becomes a "
                         "link to what vrun says; all else is as in the directory or the image. "
                         "The file has holes: only what is written takes room.",
                 .flag_set = EverydayFlags::kBuildDisk},

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
                 .text = "Guests that run go on with theirs.",
                 .least = 1,
                 .most = static_cast<std::size_t>(-1)},
};

}  // namespace vrun::cli
