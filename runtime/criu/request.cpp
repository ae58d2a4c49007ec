#include "runtime/criu/request.hpp"

#include "base/text.hpp"

namespace vrun::criu {
namespace {

constexpr int kLogEverything = 4;

rpc::Kind kind_of(Action action) {
  switch (action) {
    case Action::kDump:
      return rpc::DUMP;
    case Action::kPreDump:
      return rpc::PRE_DUMP;
    case Action::kRestore:
      break;
  }
  return rpc::RESTORE;
}

void set_cgroup_mode(const std::string& mode, rpc::Options& options) {
  options.set_manage_cgroups(true);
  if (mode == "ignore") options.set_manage_cgroups_mode(rpc::IGNORE);
  if (mode == "soft") options.set_manage_cgroups_mode(rpc::SOFT);
  if (mode == "full") options.set_manage_cgroups_mode(rpc::FULL);
  if (mode == "strict") options.set_manage_cgroups_mode(rpc::STRICT);
}

// "3:cpu,cpuacct:/a/b" (cgroups(7)): one root for each controller of the line.
void set_cgroup_roots(std::string_view cgroups, rpc::Options& options) {
  for (const std::string_view line : split(cgroups, '\n')) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string path(line.substr(second + 1));
    for (const std::string_view controller :
         split(line.substr(first + 1, second - first - 1), ',')) {
      rpc::CgroupRoot& root = *options.add_cgroup_roots();
      root.set_controller(std::string(controller));
      root.set_path(path);
    }
  }
}

void set_switches(const Order& order, rpc::Options& options) {
  options.set_leave_running(order.leave_running);
  options.set_ext_unix_sk(order.ext_unix_sk);
  options.set_tcp_established(order.tcp_established);
  options.set_shell_job(order.shell_job);
  options.set_file_locks(order.file_locks);
  options.set_auto_dedup(order.auto_dedup);
  options.set_lazy_pages(order.lazy_pages);
  // Device nodes may have been replaced: what they are counts, not where they stand.
  options.set_evasive_devices(true);
  options.set_notify_scripts(true);
  options.set_orphan_pts_master(true);
}

void set_texts(const Order& order, rpc::Options& options) {
  if (!order.cgroup_yard.empty()) options.set_cgroup_yard(order.cgroup_yard);
  if (!order.freeze_cgroup.empty()) options.set_freeze_cgroup(order.freeze_cgroup);
  if (!order.lsm_profile.empty()) options.set_lsm_profile(order.lsm_profile);
  if (!order.lsm_mount_context.empty()) options.set_lsm_mount_context(order.lsm_mount_context);
  if (!order.config_file.empty()) options.set_config_file(order.config_file);
  if (!order.page_server_address.empty()) {
    options.mutable_page_server()->set_address(order.page_server_address);
    options.mutable_page_server()->set_port(order.page_server_port);
  }
  if (!order.parent_images.empty()) options.set_parent_img(order.parent_images);
  // Dirty pages have to be tracked from the first image of a chain on.
  if (order.action == Action::kPreDump || !order.parent_images.empty()) options.set_track_mem(true);
}

void set_lists(const Order& order, rpc::Options& options) {
  for (const Pair& mount : order.external_mounts) {
    rpc::KeyValue& entry = *options.add_external_mounts();
    entry.set_key(mount.key);
    entry.set_value(mount.value);
  }
  for (const std::string& external : order.externals)
    options.add_external(external);
  for (const InheritedFd& inherited : order.inherited) {
    rpc::InheritedFd& entry = *options.add_inherit_fds();
    entry.set_key(inherited.key);
    entry.set_fd(inherited.fd);
  }
  for (const Pair& joined : order.joined_namespaces) {
    rpc::JoinedNamespace& entry = *options.add_join_namespaces();
    entry.set_type(joined.key);
    entry.set_file(joined.value);
  }
}

}  // namespace

rpc::Request to_request(const Order& order, const std::string& root, std::string_view cgroups) {
  rpc::Request request;
  request.set_kind(kind_of(order.action));
  rpc::Options& options = *request.mutable_options();
  options.set_images_dir_fd(order.images_fd);
  if (order.work_fd >= 0) options.set_work_dir_fd(order.work_fd);
  options.set_log_level(kLogEverything);
  options.set_log_file(order.log_file);
  options.set_empty_namespaces(order.empty_namespaces);
  set_switches(order, options);
  set_texts(order, options);
  set_lists(order, options);
  set_cgroup_mode(order.cgroup_mode, options);
  if (order.action != Action::kRestore) {
    options.set_pid(order.pid);
    return request;
  }
  options.set_rst_sibling(true);
  options.set_root(root);
  set_cgroup_roots(cgroups, options);
  return request;
}

}  // namespace vrun::criu
