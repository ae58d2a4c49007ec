// What a user asked for with `vrun run`, word for word; nothing is checked yet.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace vrun::engine {

struct RunRequest {
  std::string image;
  std::vector<std::string> args;  // empty: the image's own command

  std::string name;      // empty: made from the image's name
  std::string hostname;  // empty: the guest's name
  std::vector<std::string> env, env_files;
  std::string workdir, user;
  std::optional<std::string> entrypoint;  // "" clears the image's
  std::optional<bool> tty, interactive;   // absent: as the caller's own stdin and stdout are
  std::string memory, cpus, pids_limit;   // empty: no limit
  bool keep = false;                      // --rm=false: not in this version
  bool read_only = false;
  bool no_new_privileges = false;
  std::vector<std::string> cap_add, cap_drop;
  std::vector<std::string> volumes, tmpfs;
  std::string network = "none";
  std::string isolation = "container";
  std::string pull;
};

}  // namespace vrun::engine
