#include "engine/guest_record.hpp"

#include <array>
#include <cerrno>

#include <sys/random.h>

#include "base/json_table.hpp"
#include "network/documents.hpp"

namespace vrun::engine {

constexpr std::array<std::string_view, 2> kDesiredNames{"stopped", "running"};

constexpr auto json_names(const Desired*) {
  return kDesiredNames;
}

constexpr auto json_fields(const HealthRequest*) {
  using json::field;
  return json::fields(
      field("cmd", &HealthRequest::cmd), field("interval", &HealthRequest::interval),
      field("timeout", &HealthRequest::timeout), field("startPeriod", &HealthRequest::start_period),
      field("retries", &HealthRequest::retries), field("onFailure", &HealthRequest::on_failure),
      field("disabled", &HealthRequest::disabled), field("exec", &HealthRequest::exec),
      field("initialDelay", &HealthRequest::initial_delay),
      field("successes", &HealthRequest::successes));
}

constexpr auto json_fields(const RunRequest*) {
  using json::field;
  using R = RunRequest;
  return json::fields(
      field("image", &R::image), field("args", &R::args), field("name", &R::name),
      field("hostname", &R::hostname), field("env", &R::env), field("envFiles", &R::env_files),
      field("workdir", &R::workdir), field("user", &R::user), field("groupAdd", &R::group_add),
      field("entrypoint", &R::entrypoint), field("tty", &R::tty),
      field("interactive", &R::interactive), field("detach", &R::detach),
      field("remove", &R::remove), field("memory", &R::memory),
      field("memoryReservation", &R::memory_reservation), field("memorySwap", &R::memory_swap),
      field("cpus", &R::cpus), field("cpuWeight", &R::cpu_weight),
      field("cpuShares", &R::cpu_shares), field("cpusetCpus", &R::cpuset_cpus),
      field("cpusetMems", &R::cpuset_mems), field("pidsLimit", &R::pids_limit),
      field("blkioWeight", &R::blkio_weight), field("shmSize", &R::shm_size),
      field("deviceReadBps", &R::device_read_bps), field("deviceWriteBps", &R::device_write_bps),
      field("deviceReadIops", &R::device_read_iops),
      field("deviceWriteIops", &R::device_write_iops), field("ulimits", &R::ulimits),
      field("readOnly", &R::read_only), field("volumes", &R::volumes), field("mounts", &R::mounts),
      field("tmpfs", &R::tmpfs), field("devices", &R::devices), field("contents", &R::contents),
      field("network", &R::network, {.always = true}), field("publish", &R::publish),
      field("moreNetworks", &R::more_networks), field("networkAliases", &R::network_aliases),
      field("addHosts", &R::add_hosts), field("dns", &R::dns), field("dnsSearch", &R::dns_search),
      field("dnsOptions", &R::dns_options), field("ip", &R::ip), field("ip6", &R::ip6),
      field("bandwidthIn", &R::bandwidth_in), field("bandwidthOut", &R::bandwidth_out),
      field("networkPps", &R::network_pps), field("privileged", &R::privileged),
      field("noNewPrivileges", &R::no_new_privileges), field("capAdd", &R::cap_add),
      field("capDrop", &R::cap_drop), field("securityOpts", &R::security_opts),
      field("sysctls", &R::sysctls), field("userns", &R::userns), field("pid", &R::pid),
      field("ipc", &R::ipc), field("uts", &R::uts), field("cgroupns", &R::cgroupns),
      field("restart", &R::restart), field("stopSignal", &R::stop_signal),
      field("stopTimeout", &R::stop_timeout), field("startAfter", &R::start_after),
      field("health", &R::health), field("readiness", &R::readiness), field("startup", &R::startup),
      field("postStart", &R::post_start), field("preStop", &R::pre_stop), field("init", &R::init),
      field("labels", &R::labels), field("logOpts", &R::log_opts),
      field("isolation", &R::isolation, {.always = true}), field("view", &R::view),
      field("pull", &R::pull), field("platform", &R::platform), field("disks", &R::disks),
      field("kernelParameters", &R::kernel_parameters), field("kernel", &R::kernel),
      field("initrd", &R::initrd), field("publishAll", &R::publish_all), field("quiet", &R::quiet),
      field("sigProxy", &R::sig_proxy, {.always = true}), field("expose", &R::expose),
      field("annotations", &R::annotations), field("labelFiles", &R::label_files),
      field("macAddress", &R::mac_address), field("domainname", &R::domainname),
      field("cidfile", &R::cidfile), field("logDriver", &R::log_driver),
      field("oomScoreAdj", &R::oom_score_adj), field("cpuQuota", &R::cpu_quota),
      field("cpuPeriod", &R::cpu_period));
}

constexpr auto json_fields(const LastExit*) {
  using json::field;
  return json::fields(field("started", &LastExit::started), field("finished", &LastExit::finished),
                      field("code", &LastExit::code), field("signal", &LastExit::signal),
                      field("rebooted", &LastExit::rebooted), field("oom", &LastExit::oom),
                      field("reason", &LastExit::reason), field("hint", &LastExit::hint));
}

constexpr auto json_fields(const VolumeUse*) {
  using json::field;
  using V = VolumeUse;
  return json::fields(field("name", &V::name, {.required = true, .non_empty = true}),
                      field("target", &V::target, {.required = true, .non_empty = true}),
                      field("anonymous", &V::anonymous), field("readOnly", &V::read_only),
                      field("noIdMap", &V::no_id_map), field("noCopy", &V::no_copy));
}

constexpr auto json_fields(const Checkpoint*) {
  return json::fields(json::field("created", &Checkpoint::created),
                      json::field("network", &Checkpoint::network));
}

constexpr auto json_fields(const GuestRecord*) {
  using json::field;
  using G = GuestRecord;
  return json::fields(
      field("version", &G::version, {.min = 1, .max = 1, .required = true}),
      field("id", &G::id, {.required = true, .non_empty = true}),
      field("name", &G::name, {.required = true, .non_empty = true}),
      field("tenant", &G::tenant, {.required = true}), field("image", &G::image),
      field("manifest", &G::manifest_digest), field("created", &G::created),
      field("request", &G::request), field("volumes", &G::volumes), field("firstId", &G::first_id),
      field("joinedId", &G::joined_id), field("desired", &G::desired, {.always = true}),
      field("restarts", &G::restarts), field("quickEnds", &G::quick_ends), field("last", &G::last),
      field("traffic", &G::traffic), field("checkpoint", &G::checkpoint));
}

std::string GuestRecord::label(std::string_view key) const {
  for (const std::string& one : request.labels) {
    const std::size_t sign = one.find('=');
    if (std::string_view(one).substr(0, sign) != key) continue;
    return sign == std::string::npos ? "" : one.substr(sign + 1);
  }
  return {};
}

std::string to_json(const GuestRecord& record) {
  return json::write(record, json::Style::kTabs) + "\n";
}

Result<GuestRecord> parse_guest_record(std::string_view json, std::string_view name) {
  return json::read<GuestRecord>(json, name);
}

std::string to_json(const LastExit& last) {
  return json::write(last, json::Style::kTabs) + "\n";
}

Result<LastExit> parse_last_exit(std::string_view json, std::string_view name) {
  return json::read<LastExit>(json, name);
}

std::string to_json(const RunRequest& request) {
  return json::write(request, json::Style::kTabs) + "\n";
}

Result<RunRequest> parse_request(std::string_view json, std::string_view name) {
  return json::read<RunRequest>(json, name);
}

std::string make_guest_id() {
  std::array<unsigned char, 32> bytes{};
  // Cannot fail for so few bytes once the system has booted (getrandom(2)); and a name in use is an
  // error where the directory is made.
  if (::getrandom(bytes.data(), bytes.size(), 0) < 0) bytes = {};
  std::string text;
  for (const unsigned char byte : bytes) {
    text += "0123456789abcdef"[byte >> 4U];
    text += "0123456789abcdef"[byte & 15U];
  }
  return text;
}

}  // namespace vrun::engine
