// The one place where an error becomes words on a terminal or in a log.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vrun::cli {

// How every everyday verb ends that vrun itself could not carry out, wholly or for one of several
// guests, images, networks or volumes, as Podman: the codes of guests stay below. Declined
// questions and answers such as those of `doctor` and `diff` have codes of their own.
inline constexpr int kOwnFailure = 125;

enum class AlsoLog { kNo, kYes };

// stderr: "vrun: create web: mount proc on /proc: ... (EPERM)" and "  hint: ...". With kYes the log
// file gets the same in one line: engines show that one (containerd and Podman read its "msg").
void complain(std::string_view program, const Error& error, AlsoLog also_log = AlsoLog::kNo);

// The text for stderr, without control characters but for the ends of lines.
std::string complaint(std::string_view program, const Error& error);

}  // namespace vrun::cli
