// The rows of the verbs that came with system guests; everyday_verbs.cpp joins them to its own.
#pragma once

#include <array>

#include "cli/everyday_verbs.hpp"

namespace vrun::cli {

inline constexpr std::array kShell{
    Flag{"user", "u", Kind::kText, "USER", "whose shell; default: root"},
};

inline constexpr std::array kSystemVerbs{
    EverydayVerb{.name = "shell",
                 .arguments = "GUEST [COMMAND [ARGUMENT...]]",
                 .summary = "a login shell in a running guest",
                 .text = "The user's own shell of the guest's /etc/passwd, in their home, with the "
                         "environment of a login. With a terminal where stdin and stdout are one. "
                         "With COMMAND the shell runs that and ends.",
                 .flag_set = EverydayFlags::kShell,
                 .least = 1,
                 .most = static_cast<std::size_t>(-1),
                 .flags_anywhere = false},
    EverydayVerb{.name = "machine-id",
                 .arguments = "GUEST",
                 .summary = "print the machine id of a system guest",
                 .text = "What /etc/machine-id holds inside. No two guests have the same, and a "
                         "guest keeps its own for as long as there is the guest.",
                 .least = 1,
                 .most = 1},
};

}  // namespace vrun::cli
