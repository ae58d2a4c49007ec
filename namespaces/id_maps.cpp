#include "namespaces/id_maps.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/spawn.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::namespaces {
namespace {

// The one mapping that user_namespaces(7) lets an unprivileged process write: its own id.
bool is_own_id_only(const std::vector<oci::IdMapping>& mappings, std::uint32_t own) {
  return mappings.size() == 1 && mappings[0].size == 1 && mappings[0].host_id == own;
}

Result<void> run_map_helper(const std::string& program, Pid pid,
                            const std::vector<oci::IdMapping>& mappings, const Host& host,
                            const char* where) {
  Command command;
  command.path = program;
  command.argv = {program, std::to_string(pid.value)};
  for (const oci::IdMapping& m : mappings) {
    command.argv.push_back(std::to_string(m.container_id));
    command.argv.push_back(std::to_string(m.host_id));
    command.argv.push_back(std::to_string(m.size));
  }
  command.env = host.env;
  command.timeout = std::chrono::seconds(10);
  Result<Finished> finished = run(command);
  if (!finished) {
    return std::move(finished).error().at(where).hint(
        "mapping more than your own id needs newuidmap and newgidmap: install the package uidmap");
  }
  if (finished->exit.code() == 0) return {};
  return Error(Code::kDenied, program + ": " + printable(trim(finished->output)))
      .at(where)
      .hint("the ranges must be yours in /etc/subuid and /etc/subgid");
}

Result<void> write_map(Pid pid, const char* file, const std::vector<oci::IdMapping>& mappings,
                       const char* where) {
  const std::string path = "/proc/" + std::to_string(pid.value) + "/" + file;
  Result<void> written = fs::write_value(At::cwd(), path, to_map_text(mappings));
  if (written) return {};
  return std::move(written).error().at(where).hint(
      "a map may not overlap, and may name only ids that exist in our own user namespace");
}

}  // namespace

std::string to_map_text(const std::vector<oci::IdMapping>& mappings) {
  std::string text;
  for (const oci::IdMapping& m : mappings) {
    text += std::to_string(m.container_id) + " " + std::to_string(m.host_id) + " " +
            std::to_string(m.size) + "\n";
  }
  return text;
}

bool denies_setgroups(const std::vector<oci::IdMapping>& gids, const Host& host) {
  if (host.nested()) {
    // Denied once, it is denied in every user namespace below (user_namespaces(7)).
    const auto word = fs::read_file(At::cwd(), host.proc + "/self/setgroups", 64);
    return word && trim(*word) == "deny";
  }
  return host.rootless() && is_own_id_only(gids, host.egid.value);
}

Result<void> write_id_maps(Pid pid, const std::vector<oci::IdMapping>& uids,
                           const std::vector<oci::IdMapping>& gids, const Host& host) {
  constexpr const char* kUids = "linux.uidMappings";
  constexpr const char* kGids = "linux.gidMappings";
  const bool own_uid = !host.rootless() || is_own_id_only(uids, host.euid.value);
  const bool own_gid = !host.rootless() || is_own_id_only(gids, host.egid.value);
  if (denies_setgroups(gids, host)) {
    // Needed before an unprivileged gid_map (user_namespaces(7), since Linux 3.19).
    TRY(fs::write_value(At::cwd(), "/proc/" + std::to_string(pid.value) + "/setgroups", "deny"));
  }
  TRY(own_uid ? write_map(pid, "uid_map", uids, kUids)
              : run_map_helper("newuidmap", pid, uids, host, kUids));
  return own_gid ? write_map(pid, "gid_map", gids, kGids)
                 : run_map_helper("newgidmap", pid, gids, host, kGids);
}

}  // namespace vrun::namespaces
