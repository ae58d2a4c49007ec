// The rows of the verbs for images on this machine; everyday_verbs.cpp joins them to its own.
#pragma once

#include <array>

#include "cli/everyday_verbs.hpp"

namespace vrun::cli {

inline constexpr std::array kImageInspect{
    Flag{"format", "f", Kind::kText, "FORM",
         "json, yaml, a member's path such as Config.Cmd, or a template: '{{.Id}}'"},
};
inline constexpr std::array kImages{
    Flag{"all", "a", Kind::kSwitch, "", "the same: there are no images in between here"},
    Flag{"quiet", "q", Kind::kSwitch, "", "print only the ids"},
    Flag{"digests", "", Kind::kSwitch, "", "show the digests of the manifests"},
    Flag{"no-trunc", "", Kind::kSwitch, "", "whole ids"},
    Flag{"filter", "f", Kind::kList, "KEY=VALUE",
         "only those with reference=PATTERN, label=KEY[=VALUE], id=DIGITS or dangling=false"},
    Flag{"format", "", Kind::kText, "FORM",
         "table, json, names: one a line, or a template: '{{.Repository}}:{{.Tag}}'", "table"},
};
inline constexpr std::array kImageFormat{
    Flag{"format", "", Kind::kText, "FORM", "table or json", "table"},
};
inline constexpr std::array kDiskUse{
    Flag{"format", "", Kind::kText, "FORM", "table or json", "table"},
    Flag{"verbose", "v", Kind::kSwitch, "", "also each image and each guest"},
};
inline constexpr std::array kRmi{
    Flag{"force", "f", Kind::kSwitch, "",
         "take the name away although a guest needs the image; it stays for that guest"},
};
inline constexpr std::array kPrune{
    Flag{"all", "a", Kind::kSwitch, "", "also the names of images that no guest uses"},
    Flag{"force", "f", Kind::kSwitch, "", "do not ask"},
    Flag{"dry-run", "", Kind::kSwitch, "", "say what would go; change nothing"},
};
inline constexpr std::array kSystemPrune{
    Flag{"all", "a", Kind::kSwitch, "", "also the names of images that no guest uses"},
    Flag{"volumes", "", Kind::kSwitch, "", "also volumes that no guest has"},
    Flag{"force", "f", Kind::kSwitch, "", "do not ask"},
    Flag{"dry-run", "", Kind::kSwitch, "", "say what would go; change nothing"},
};
inline constexpr std::array kFsck{
    Flag{"repair", "", Kind::kSwitch, "",
         "unpack damaged layers again, take away what cannot be mended"},
    Flag{"quick", "", Kind::kSwitch, "", "documents and sizes only, no content of layers"},
    Flag{"format", "", Kind::kText, "FORM", "table or json", "table"},
};
inline constexpr std::array kSave{
    Flag{"output", "o", Kind::kText, "FILE", "write to FILE; default: stdout"},
    Flag{"format", "", Kind::kText, "FORM", "docker-archive, oci-archive, or oci-dir: a folder",
         "docker-archive"},
};
inline constexpr std::array kLoad{
    Flag{"input", "i", Kind::kText, "FILE",
         "read FILE, or the OCI layout in a folder; default: stdin"},
    Flag{"quiet", "q", Kind::kSwitch, "", "print only the names"},
};
inline constexpr std::array kImport{
    Flag{"change", "c", Kind::kList, "LINE",
         "a line of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, "
         "WORKDIR"},
    Flag{"message", "m", Kind::kText, "TEXT", "for the image's history"},
};

inline constexpr std::array kImageVerbs{
    EverydayVerb{.name = "rmi",
                 .arguments = "IMAGE [IMAGE...]",
                 .summary = "remove images from this machine",
                 .text = "A name goes; with the last name of an image goes all that only it "
                         "needed. An id stands for every name of the image.",
                 .flag_set = EverydayFlags::kRmi,
                 .least = 1,
                 .most = 1000},
    EverydayVerb{.name = "tag",
                 .arguments = "IMAGE NAME",
                 .summary = "give an image one more name",
                 .text = "",
                 .least = 2,
                 .most = 2},
    EverydayVerb{.name = "save",
                 .arguments = "IMAGE [IMAGE...]",
                 .summary = "write images to an archive",
                 .text = "The archive is one that docker, podman and skopeo read. oci-archive and "
                         "oci-dir keep the layers' digests.",
                 .flag_set = EverydayFlags::kSave,
                 .least = 1,
                 .most = 1000},
    EverydayVerb{.name = "load",
                 .arguments = "",
                 .summary = "read images from an archive",
                 .text = "Reads what docker save, podman save and skopeo write: docker-archive and "
                         "oci-archive, also compressed by gzip or zstd, and OCI layout folders. "
                         "Everything is checked by digest before it can be seen.",
                 .flag_set = EverydayFlags::kLoad},
    EverydayVerb{.name = "import",
                 .arguments = "FILE|- [NAME]",
                 .summary = "make an image from a tar of a root file system",
                 .text = "",
                 .flag_set = EverydayFlags::kImport,
                 .least = 1,
                 .most = 2},
    EverydayVerb{.name = "image ls",
                 .arguments = "[NAME]",
                 .summary = "the same as `vrun images`",
                 .text = "",
                 .flag_set = EverydayFlags::kImages,
                 .most = 1},
    EverydayVerb{.name = "image inspect",
                 .arguments = "IMAGE [IMAGE...]",
                 .summary = "all that is known of images, as JSON",
                 .text = "",
                 .flag_set = EverydayFlags::kImageInspect,
                 .least = 1,
                 .most = 1000},
    EverydayVerb{.name = "history",
                 .arguments = "IMAGE",
                 .summary = "how an image was built, the newest step first",
                 .text = "",
                 .flag_set = EverydayFlags::kImageFormat,
                 .least = 1,
                 .most = 1},
    EverydayVerb{.name = "image history",
                 .arguments = "IMAGE",
                 .summary = "the same as `vrun history`",
                 .text = "",
                 .flag_set = EverydayFlags::kImageFormat,
                 .least = 1,
                 .most = 1},
    EverydayVerb{.name = "image tag",
                 .arguments = "IMAGE NAME",
                 .summary = "the same as `vrun tag`",
                 .text = "",
                 .least = 2,
                 .most = 2},
    EverydayVerb{.name = "image rm",
                 .arguments = "IMAGE [IMAGE...]",
                 .summary = "the same as `vrun rmi`",
                 .text = "",
                 .flag_set = EverydayFlags::kRmi,
                 .least = 1,
                 .most = 1000},
    EverydayVerb{.name = "image prune",
                 .arguments = "",
                 .summary = "remove what no name and no guest needs",
                 .text = "Commands that change images do the same by themselves, at most once a "
                         "day, with what nobody has needed for a day.",
                 .flag_set = EverydayFlags::kPrune},
    EverydayVerb{.name = "image fsck",
                 .arguments = "",
                 .summary = "find and name damage in the image store",
                 .text = "Every blob is compared with its digest, and every layer with its blob, "
                         "which is unpacked once more for that. Ends with 1 when something is "
                         "damaged.",
                 .flag_set = EverydayFlags::kFsck},
    EverydayVerb{.name = "system df",
                 .arguments = "",
                 .summary = "how much disk images, layers, guests, volumes and kernels take",
                 .text = "",
                 .flag_set = EverydayFlags::kDiskUse},
    EverydayVerb{.name = "system prune",
                 .arguments = "",
                 .summary = "remove what nothing needs",
                 .text = "Content of images that no name and no guest needs, unpacked kernels that "
                         "no micro-VM would boot; with --volumes also "
                         "volumes without a name that no guest has, with --all the named ones.",
                 .flag_set = EverydayFlags::kSystemPrune},
};

}  // namespace vrun::cli
