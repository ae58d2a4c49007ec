// Checkpoint and restore by CRIU, through its RPC in the helper executable vrun-criu.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "runtime/container.hpp"

namespace vrun::runtime {

struct CriuOptions {
  std::string criu;  // program; empty: "criu" in PATH
  std::string image_path = "checkpoint";
  std::string work_path;
  bool tcp_established = false;
  bool ext_unix_sk = false;
  bool shell_job = false;
  bool file_locks = false;
  bool auto_dedup = false;
  bool lazy_pages = false;
  std::string manage_cgroups_mode;  // "", soft, full, strict, ignore
  std::vector<std::string> empty_ns;
};

struct CheckpointOptions {
  std::string id;
  CriuOptions criu;
  std::string parent_path;
  bool leave_running = false;
  bool pre_dump = false;
  int status_fd = -1;
  std::string page_server;  // "address:port"
};

struct RestoreOptions {
  CreateOptions create;
  CriuOptions criu;
  bool detach = false;
  bool keep = false;
  std::string lsm_profile, lsm_mount_context;
};

// The container is gone afterwards unless leave_running or pre_dump.
Result<void> checkpoint(const Context& context, const CheckpointOptions& options);
// The exit code of the restored process; 0 at once with detach.
Result<int> restore(const Context& context, const RestoreOptions& options);

}  // namespace vrun::runtime
