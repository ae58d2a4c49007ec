#include "runtime/criu/order.hpp"

#include <array>

#include "base/json_table.hpp"

namespace vrun::criu {
namespace {

constexpr std::array<std::string_view, 3> kActions{"dump", "pre-dump", "restore"};
constexpr std::array<std::string_view, 3> kEvents{"notify", "done", "failed"};

}  // namespace

constexpr std::span<const std::string_view> json_names(const Action*) {
  return kActions;
}
constexpr std::span<const std::string_view> json_names(const EventKind*) {
  return kEvents;
}

constexpr auto json_fields(const Pair*) {
  return json::fields(json::field("key", &Pair::key, {.required = true}),
                      json::field("value", &Pair::value, {.required = true}));
}

constexpr auto json_fields(const InheritedFd*) {
  return json::fields(json::field("key", &InheritedFd::key, {.required = true}),
                      json::field("fd", &InheritedFd::fd, {.required = true}));
}

constexpr auto json_fields(const TreeMount*) {
  return json::fields(json::field("destination", &TreeMount::destination, {.required = true}),
                      json::field("source", &TreeMount::source));
}

constexpr auto json_fields(const Order*) {
  return json::fields(
      json::field("action", &Order::action, {.required = true}),
      json::field("criu", &Order::criu, {.required = true}),
      json::field("imagesFd", &Order::images_fd, {.required = true}),
      json::field("workFd", &Order::work_fd),
      json::field("logFile", &Order::log_file, {.required = true}), json::field("pid", &Order::pid),
      json::field("leaveRunning", &Order::leave_running),
      json::field("extUnixSk", &Order::ext_unix_sk),
      json::field("tcpEstablished", &Order::tcp_established),
      json::field("shellJob", &Order::shell_job), json::field("fileLocks", &Order::file_locks),
      json::field("autoDedup", &Order::auto_dedup), json::field("lazyPages", &Order::lazy_pages),
      json::field("cgroupMode", &Order::cgroup_mode),
      json::field("emptyNamespaces", &Order::empty_namespaces),
      json::field("cgroupYard", &Order::cgroup_yard),
      json::field("cgroupTrees", &Order::cgroup_trees),
      json::field("freezeCgroup", &Order::freeze_cgroup),
      json::field("parentImages", &Order::parent_images),
      json::field("pageServerAddress", &Order::page_server_address),
      json::field("pageServerPort", &Order::page_server_port),
      json::field("lsmProfile", &Order::lsm_profile),
      json::field("lsmMountContext", &Order::lsm_mount_context),
      json::field("configFile", &Order::config_file),
      json::field("externalMounts", &Order::external_mounts),
      json::field("externals", &Order::externals), json::field("inherited", &Order::inherited),
      json::field("joinedNamespaces", &Order::joined_namespaces), json::field("root", &Order::root),
      json::field("mounts", &Order::mounts));
}

constexpr auto json_fields(const Event*) {
  return json::fields(json::field("kind", &Event::kind, {.required = true, .always = true}),
                      json::field("script", &Event::script), json::field("pid", &Event::pid),
                      json::field("message", &Event::message),
                      json::field("criuFailed", &Event::criu_failed));
}

std::string to_json(const Order& order) {
  return json::write(order);
}

Result<Order> parse_order(std::string_view json) {
  return json::read<Order>(json, "order", {.bytes = kMaxOrderBytes});
}

std::string to_json(const Event& event) {
  return json::write(event);
}

Result<Event> parse_event(std::string_view json) {
  return json::read<Event>(json, "event", {.bytes = kMaxEventBytes});
}

}  // namespace vrun::criu
