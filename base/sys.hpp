// System calls, each once, typed, answering Result. Descriptors are born close-on-exec.
//
// EINTR: reads, writes, opens, waits and locks are retried; close(2) never is. Messages name the
// thing that was touched: "open '/x': no such file or directory (ENOENT)".
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <linux/mount.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/fd.hpp"
#include "base/id.hpp"
#include "base/result.hpp"

namespace vrun::sys {

// ---- files ----
Result<Fd> open(At at, const std::string& path, int flags, mode_t mode = 0);
// Resolves with openat2(2) `resolve` flags (RESOLVE_*).
Result<Fd> open2(At at, const std::string& path, std::uint64_t flags, std::uint64_t resolve,
                 mode_t mode = 0);
Result<Fd> open_dir(At at, const std::string& path);  // O_DIRECTORY | O_RDONLY
Result<Fd> duplicate(int fd);
// Opens again what `fd` (often O_PATH) refers to, through /proc/self/fd.
Result<Fd> reopen(int fd, int flags);
Result<std::size_t> read(int fd, std::span<char> buffer);
Result<void> write_all(int fd, std::string_view bytes);
Result<struct stat> stat(At at, const std::string& path, int flags = 0);  // AT_SYMLINK_NOFOLLOW ...
Result<struct stat> stat(int fd);
Result<void> make_dir(At at, const std::string& path, mode_t mode);
Result<void> unlink(At at, const std::string& path);
Result<void> remove_dir(At at, const std::string& path);
Result<void> rename(At from_at, const std::string& from, At to_at, const std::string& to);
// The same, but what is there already stays: false then.
Result<bool> rename_new(At from_at, const std::string& from, At to_at, const std::string& to);
Result<void> make_symlink(const std::string& text, At at, const std::string& path);
Result<std::string> read_link(At at, const std::string& path);
Result<void> chown(At at, const std::string& path, Uid uid, Gid gid);
Result<void> chmod(int fd, mode_t mode);
Result<std::vector<std::string>> list_dir(
    int fd);                     // names without . and ..; the fd's offset is reset
std::uint64_t fs_magic(int fd);  // statfs f_type, 0 if unknown
Result<void> lock(int fd, int operation, std::string_view what);  // flock(2)
Result<Fd> memfd(const char* name);                               // sealable
Result<void> seal(int fd);  // no write, grow, shrink, more seals
Result<void> set_inheritable(int fd, bool inheritable);

// ---- processes ----
Pid self();
Result<Fd> pidfd_open(Pid pid);
Result<Fd> pidfd_getfd(int pidfd, int fd);
Result<void> pidfd_signal(int pidfd, int signal);
// Signal 0 by pid: does the process exist?
bool exists(Pid pid);

struct Exit {
  bool signaled = false;
  int value = 0;  // exit status, or the signal's number
  // What a shell would say: the status, or 128 + signal.
  int code() const { return signaled ? 128 + value : value; }
};
Result<Exit> wait(int pidfd);
// Without blocking: empty while it runs.
Result<std::optional<Exit>> try_wait(int pidfd);
// Of a process that is not our child and has been reaped, where the kernel keeps it (Linux 6.15).
std::optional<Exit> kept_exit(int pidfd);

Result<void> set_namespace(int fd, std::uint64_t type);
Result<void> unshare(std::uint64_t flags);

// Clones a child that does nothing but execve `executable` (a descriptor) with `argv` and `envp`.
// CLONE_VM|CLONE_VFORK unless `share_memory` is false (needed with a time namespace): the parent
// goes on when the exec has happened. All signals are blocked meanwhile; the child starts with all
// blocked.
struct CloneExec {
  std::uint64_t flags = 0;  // CLONE_NEW*
  int cgroup_fd = -1;       // CLONE_INTO_CGROUP when >= 0
  bool share_memory = true;
  int executable = -1;
  char* const* argv = nullptr;
  char* const* envp = nullptr;
};
struct Child {
  Pid pid;
  Fd pidfd;
};
Result<Child> clone_exec(const CloneExec& request);

// ---- sockets ----
struct SocketPair {
  Fd mine, theirs;
};
Result<SocketPair> packet_pair();  // SOCK_SEQPACKET
// Packets (SOCK_SEQPACKET) by name inside a directory: no 108-byte limit on the whole path.
Result<Fd> listen_packets(At dir, const std::string& name);
Result<Fd> connect_packets(At dir, const std::string& name);
Result<Fd> connect_stream(const std::string& path);  // SOCK_STREAM; any length
Result<Fd> accept(int listener);
// One datagram or stretch of bytes, with at most one descriptor.
Result<void> send(int socket, std::span<const char> bytes, int fd = -1);
struct Received {
  std::size_t bytes = 0;  // 0: end of file
  Fd fd;
};
Result<Received> receive(int socket, std::span<char> buffer);
// How many descriptors are ready; timeout_ms < 0 waits for ever.
Result<int> poll(std::span<pollfd> fds, int timeout_ms);

// ---- mounts (see mount_setattr(2), move_mount(2)) ----
Result<Fd> open_tree(At at, const std::string& path, unsigned flags);  // OPEN_TREE_*, AT_*
Result<void> mount_setattr(int mount, const mount_attr& attr, unsigned flags,
                           std::string_view what);
Result<void> move_mount(int mount, At to, const std::string& path, unsigned flags);
// A detached mount of `type` with options ("key=value" or "flag"); the kernel's own words on a bad
// option.
Result<Fd> make_mount(const std::string& type,
                      std::span<const std::pair<std::string, std::string>> options,
                      std::uint64_t attributes);
Result<void> umount(const std::string& path, int flags);

}  // namespace vrun::sys
