// The rows of the verbs that talk to registries; everyday_verbs.cpp joins them to its own.
#pragma once

#include <array>

#include "cli/everyday_verbs.hpp"

namespace vrun::cli {

inline constexpr std::array kPull{
    Flag{"platform", "", Kind::kText, "OS/ARCH",
         "which of an image's platforms, such as linux/arm64; default: this machine's"},
    Flag{"progress", "", Kind::kText, "STYLE",
         "auto: bars on a terminal, else plain lines; json: an object a line; quiet", "auto"},
    Flag{"quiet", "q", Kind::kSwitch, "", "print only the image's name"},
};

inline constexpr std::array kPush{
    Flag{"progress", "", Kind::kText, "STYLE",
         "auto: bars on a terminal, else plain lines; json: an object a line; quiet", "auto"},
    Flag{"quiet", "q", Kind::kSwitch, "", "print only the image's name"},
};

inline constexpr std::array kLogin{
    Flag{"username", "u", Kind::kText, "NAME", "user name; default: asked for"},
    Flag{"password", "p", Kind::kText, "PASSWORD",
         "password; others on this machine can see it: better --password-stdin"},
    Flag{"password-stdin", "", Kind::kSwitch, "", "read the password from stdin"},
};

inline constexpr std::array kRegistryVerbs{
    EverydayVerb{
        .name = "pull",
        .arguments = "IMAGE [IMAGE...]",
        .summary = "fetch images from registries",
        .text =
            "Names are Docker's: alpine is docker.io/library/alpine:latest. Layers that are here "
            "are not fetched again. Mirrors, authorities and insecure registries stand in "
            "/etc/vrun/registries.yaml, passwords in the files of Docker and Podman.\n\n"
            "Progress goes to stderr, the image's whole name to stdout.",
        .flag_set = EverydayFlags::kPull,
        .least = 1,
        .most = 1000},
    EverydayVerb{
        .name = "push",
        .arguments = "IMAGE [DESTINATION]",
        .summary = "send an image to a registry",
        .text =
            "Without DESTINATION it goes where its name says. Blobs that the registry has are not "
            "sent; layers keep the digests they came with.",
        .flag_set = EverydayFlags::kPush,
        .least = 1,
        .most = 2},
    EverydayVerb{
        .name = "login",
        .arguments = "[REGISTRY]",
        .summary = "check and keep a password for a registry",
        .text =
            "REGISTRY is the host as in image names; without it docker.io. The password is kept by "
            "the credential helper that Docker's configuration names, else in "
            "~/.docker/config.json, unencrypted ($DOCKER_CONFIG and $REGISTRY_AUTH_FILE move it).",
        .flag_set = EverydayFlags::kLogin,
        .most = 1},
    EverydayVerb{.name = "logout",
                 .arguments = "[REGISTRY]",
                 .summary = "forget the password for a registry",
                 .text = "",
                 .most = 1},
};

}  // namespace vrun::cli
