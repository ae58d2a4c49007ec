// What vrun and its helper vrun-criu say to each other.
//
// vrun-criu [SOCKET] [ORDER]: two descriptors by number. ORDER is a memory file with an Order as
// JSON; SOCKET carries packets: the helper starts when it gets kGoOn, then it sends an Event as
// JSON (with at most one descriptor), vrun answers each notification with kGoOn or kRefused. The
// last event is kDone or kFailed. Either side sees the other's end as end of file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vrun::criu {

inline constexpr std::size_t kMaxOrderBytes = 8U << 20U;
inline constexpr std::size_t kMaxEventBytes = 32U << 10U;
inline constexpr char kGoOn = '+';
inline constexpr char kRefused = '-';

enum class Action { kDump, kPreDump, kRestore };

struct Pair {
  std::string key, value;
  bool operator==(const Pair&) const = default;
};

struct InheritedFd {
  std::string key;
  int fd = -1;  // of the helper
  bool operator==(const InheritedFd&) const = default;
};

// A mount of the config, whose mount point has to be there before a restore.
struct TreeMount {
  std::string destination;  // as in the config
  std::string source;       // of a bind mount; empty: a file system of its own
  bool operator==(const TreeMount&) const = default;
};

struct Order {
  Action action = Action::kDump;
  std::string criu;  // path of the program
  int images_fd = -1;
  int work_fd = -1;      // where the log goes; -1: to the images
  std::string log_file;  // a name without folder
  int pid = 0;           // of the process tree to dump
  bool leave_running = false;
  bool ext_unix_sk = false;
  bool tcp_established = false;
  bool shell_job = false;
  bool file_locks = false;
  bool auto_dedup = false;
  bool lazy_pages = false;
  std::string cgroup_mode;  // "": CRIU's own choice
  std::uint32_t empty_namespaces = 0;
  // A folder with an entry for each cgroup hierarchy (key: CRIU's name, value: its mount). Empty:
  // CRIU mounts them anew, which takes nsdelegate and memory_recursiveprot away from the host's
  // own mount (cgroup v2 has one set of options).
  std::string cgroup_yard;
  std::vector<Pair> cgroup_trees;
  std::string freeze_cgroup, parent_images, page_server_address;
  int page_server_port = 0;
  std::string lsm_profile, lsm_mount_context, config_file;
  std::vector<Pair> external_mounts;
  std::vector<std::string> externals;
  std::vector<InheritedFd> inherited;
  std::vector<Pair> joined_namespaces;  // type ("ipc") and the file to join at restore
  std::string root;                     // restore: the container's root file system
  std::vector<TreeMount> mounts;        // restore
  bool operator==(const Order&) const = default;
};

std::string to_json(const Order& order);
Result<Order> parse_order(std::string_view json);

enum class EventKind { kNotify, kDone, kFailed };

struct Event {
  EventKind kind = EventKind::kNotify;
  std::string script;        // kNotify: CRIU's name for the moment, "post-restore"
  int pid = 0;               // of the restored process, where CRIU says it
  std::string message;       // kFailed
  bool criu_failed = false;  // kFailed: by CRIU itself, so its log tells more
};

std::string to_json(const Event& event);
Result<Event> parse_event(std::string_view json);

}  // namespace vrun::criu
