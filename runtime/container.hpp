// The container life cycle: what the OCI verbs and the everyday engine call.
//
// Every function opens the container afresh from its state folder, takes the folder's lock where it
// changes something, and leaves nothing behind when it fails. Nothing here prints.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/host.hpp"
#include "base/id.hpp"
#include "base/result.hpp"
#include "base/sys.hpp"
#include "cgroups/group.hpp"
#include "oci/spec.hpp"

namespace vrun::runtime {

// Puts another process into a container's place (a virtual machine's monitor): changes the
// specification, and answers the descriptors that the process gets under their numbers. `folder`:
// the container's state folder, for what lives as long as it does. An empty answer: a container.
using Lowering = std::function<Result<std::vector<Fd>>(const Fd& folder, oci::Spec& spec)>;

struct Context {
  std::string root;  // --root: one folder a container below it
  bool systemd_cgroup = false;
  Host host;
  std::string rootless = "auto";  // --rootless: true, false, auto
  // linux.cgroupsPath of new containers counts from this group (the one of all guests of a tenant).
  std::optional<cgroups::Location> parent_group;
  Lowering lower = nullptr;  // of specifications from bundles

  // Go on where cgroups may not be written and nothing is asked of them.
  bool rootless_cgroups() const {
    return rootless == "auto" ? host.rootless() : rootless == "true";
  }
};

// Everything that is the same for create and run.
struct CreateOptions {
  std::string id;
  std::string bundle =
      ".";  // folder with config.json; for `spec` set: what relative paths start at
  std::string console_socket;  // process.terminal with create or detach: where the pty master goes
  std::string pidfd_socket;    // gets the pidfd of the container process
  std::string pid_file;
  bool no_pivot = false;
  bool no_new_keyring = false;
  unsigned preserve_fds = 0;  // descriptors 3 .. 3+n-1, those of LISTEN_FDS included
  unsigned listen_fds =
      0;  // the first of them are systemd's: the process gets LISTEN_FDS, LISTEN_PID=1
  // For callers without a bundle (vrun run): the spec itself and, optionally, a detached mount as
  // the root.
  const oci::Spec* spec = nullptr;
  Fd* overlay_root = nullptr;
  // What the process gets as stdin, stdout and stderr; -1: what the caller has. Not with a
  // terminal.
  std::array<int, 3> stdio{-1, -1, -1};
  // Descriptors of the caller that the process gets under the same numbers, beside all others.
  std::vector<int> handed;
};

struct RunOptions {
  CreateOptions create;
  bool detach = false;
  bool keep = false;  // leave the stopped container for `delete`
  // A person waits for it: see Foreground::Ending::kByUser. Else signals are only handed on.
  bool ends_by_user = false;
  // For a caller that stays the parent of a detached container: its process, and the pty master if
  // the process has a terminal (no console socket is needed then).
  sys::Child* child = nullptr;
  Fd* console = nullptr;
  // Called when the process of a run in the foreground has ended, while its group still counts what
  // it used; with how it ended and the number it had.
  std::function<void(const sys::Exit&, Pid)> at_end = nullptr;
  // Called when everything is made and the program has not begun, with the process's pid.
  std::function<Result<void>(Pid)> before_start = nullptr;
};

struct ExecOptions {
  std::string id;
  std::optional<oci::Process>
      process;  // --process FILE; else the snapshot's process with the changes below
  std::vector<std::string> args;
  std::string cwd;
  std::vector<std::string> env;  // added
  bool terminal = false;
  std::optional<oci::ConsoleSize> console_size;  // of a terminal, before the process begins
  std::optional<Uid> uid;  // --user UID[:GID]: what is absent stays as it was
  std::optional<Gid> gid;
  std::vector<Gid> additional_gids;
  std::string process_label, apparmor;
  bool no_new_privs = false;
  std::vector<std::string> capabilities;  // --cap
  std::string cgroup;                     // --cgroup: below the container's cgroup ("" its own)
  bool ignore_paused = false;
  bool detach = false;
  unsigned preserve_fds = 0;
  std::string console_socket, pidfd_socket, pid_file;
  std::array<int, 3> stdio{-1, -1, -1};  // as in CreateOptions
  // As in RunOptions: for a caller that stays the parent of a detached process.
  sys::Child* child = nullptr;
  Fd* console = nullptr;
};

enum class Status { kCreating, kCreated, kRunning, kPaused, kStopped };
const char* to_text(Status status);

// What the state folder and the kernel say about a container.
struct Info {
  std::string id;
  Status status = Status::kStopped;
  Pid pid;  // 0 when stopped
  std::string bundle;
  std::string rootfs;
  std::string created;  // RFC 3339 with nanoseconds, UTC
  Uid owner;            // of the state folder
  std::map<std::string, std::string> annotations;
};

Result<void> create(const Context& context, const CreateOptions& options);
Result<void> start(const Context& context, const std::string& id);
// The exit code of the container process; 0 at once with detach.
Result<int> run(const Context& context, const RunOptions& options);
Result<int> exec(const Context& context, const ExecOptions& options);

Result<Info> state(const Context& context, const std::string& id);
oci::State to_state(const Info& info);
// Folders that hold no container are passed over; a damaged one is listed as stopped.
Result<std::vector<Info>> list(const Context& context);
Result<std::vector<Pid>> processes(const Context& context, const std::string& id);

Result<void> kill(const Context& context, const std::string& id, int signal, bool all);
Result<void> remove(const Context& context, const std::string& id, bool force);
Result<void> pause(const Context& context, const std::string& id);
Result<void> resume(const Context& context, const std::string& id);
Result<void> update(const Context& context, const std::string& id, const oci::Resources& resources);
// l3CacheSchema / memBwSchema of `update`.
Result<void> update_intel_rdt(const Context& context, const std::string& id,
                              const oci::IntelRdt& rdt);

Result<cgroups::Stats> stats(const Context& context, const std::string& id);
// The same also when its processes have ended: what the group counted until then.
Result<cgroups::Stats> final_stats(const Context& context, const std::string& id);
// The number that the container process has, or had.
Result<Pid> init_number(const Context& context, const std::string& id);
// A pidfd of the container process; Code::kState when it has ended.
Result<Fd> open_init(const Context& context, const std::string& id);
// Calls `on_oom` after each OOM kill and `on_tick` every `interval_ms` until the container ends (or
// a callback answers false).
struct Watch {
  int interval_ms = 5000;
  std::function<bool(const cgroups::Stats&)> on_stats;
  std::function<bool()> on_oom;
};
Result<void> watch(const Context& context, const std::string& id, const Watch& watch);

// `vrun plan`: the steps of `create` in words, one a line. Touches nothing.
Result<std::string> plan_text(const Context& context, const CreateOptions& options);

}  // namespace vrun::runtime
