// The agent as a service of a system that has an init of its own: where it is, and what starts it.
#pragma once

#include <string_view>

namespace vrun::vm {

inline constexpr const char* kServiceDirectory = "/usr/lib/vrun";
inline constexpr const char* kServiceProgram = "/usr/lib/vrun/vrun-guest";

// For systemd: /etc/systemd/system/vrun-guest.service. Early, so that a system whose boot hangs can
// be entered; what it starts is no concern of its limits. On a machine without a host to speak to
// it ends, and that is no failure of the system.
inline constexpr std::string_view kServiceUnit =
    "[Unit]\n"
    "Description=Agent of vrun: exec, processes and health checks from the host\n"
    "DefaultDependencies=no\n"
    "ConditionVirtualization=vm\n"
    "After=systemd-remount-fs.service systemd-modules-load.service\n"
    "Conflicts=shutdown.target\n"
    "Before=shutdown.target\n"
    "\n"
    "[Service]\n"
    "ExecStart=/usr/lib/vrun/vrun-guest --system\n"
    "Restart=on-failure\n"
    "OOMPolicy=continue\n"
    "TasksMax=infinity\n"
    "\n"
    "[Install]\n"
    "WantedBy=sysinit.target\n";

// For busybox's init: a line of /etc/inittab.
inline constexpr std::string_view kServiceLine = "::respawn:/usr/lib/vrun/vrun-guest --system\n";

// The volume name of a file system in which build-disk has put it: an answer is worth waiting for.
inline constexpr std::string_view kServiceLabel = "vrun-agent";

}  // namespace vrun::vm
