#include "oci/sysctl.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace vrun::oci {
namespace {

// ipc_namespaces(7); the rest of kernel/ is global.
constexpr std::string_view kIpc[] = {
    "kernel/auto_msgmni",     "kernel/msg_next_id", "kernel/msgmax",      "kernel/msgmnb",
    "kernel/msgmni",          "kernel/sem",         "kernel/sem_next_id", "kernel/shm_next_id",
    "kernel/shm_rmid_forced", "kernel/shmall",      "kernel/shmmax",      "kernel/shmmni"};

}  // namespace

std::string sysctl_path(std::string_view name) {
  std::string path(name);
  const std::size_t first = name.find_first_of("./");
  if (first == std::string_view::npos || name[first] == '.') {
    for (char& c : path) {
      if (c == '.' || c == '/') c = c == '.' ? '/' : '.';
    }
  }
  for (const std::string_view part : split(path, '/')) {
    if (part.empty() || part == "." || part == "..") return {};
  }
  return path;
}

std::optional<NamespaceType> sysctl_namespace(std::string_view path) {
  if (path.starts_with("net/")) return NamespaceType::kNetwork;
  if (path.starts_with("fs/mqueue/")) return NamespaceType::kIpc;
  if (path.starts_with("user/")) return NamespaceType::kUser;  // user/max_*: namespaces(7)
  if (path == "kernel/hostname" || path == "kernel/domainname") return NamespaceType::kUts;
  if (std::find(std::begin(kIpc), std::end(kIpc), path) != std::end(kIpc))
    return NamespaceType::kIpc;
  return std::nullopt;
}

}  // namespace vrun::oci
