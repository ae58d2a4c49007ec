#include "engine/export_manifest.hpp"

#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "engine/apply_wanted.hpp"
#include "engine/export_runners.hpp"
#include "engine/export_storage.hpp"
#include "engine/manifest_lines.hpp"
#include "network/networks.hpp"

namespace vrun::engine {
namespace {

Lines limits_of(const RunRequest& request) {
  Lines lines("  ");
  lines.text("memory", request.memory);
  lines.text("memoryReservation", request.memory_reservation);
  lines.text("memorySwap", request.memory_swap);
  // ".5" is no number in YAML.
  lines.text("cpus", request.cpus.starts_with('.') ? "0" + request.cpus : request.cpus);
  lines.number("cpuWeight", request.cpu_weight);
  lines.number("cpuShares", request.cpu_shares);
  lines.number("cpuPeriod", request.cpu_period);
  lines.number("cpuQuota", request.cpu_quota);
  lines.text("cpusetCpus", request.cpuset_cpus);
  lines.text("cpusetMems", request.cpuset_mems);
  lines.number("pids", request.pids_limit);
  lines.number("ioWeight", request.blkio_weight);
  lines.list("deviceReadBps", request.device_read_bps);
  lines.list("deviceWriteBps", request.device_write_bps);
  lines.list("deviceReadIops", request.device_read_iops);
  lines.list("deviceWriteIops", request.device_write_iops);
  lines.text("shmSize", request.shm_size);
  lines.list("ulimits", request.ulimits);
  lines.number("oomScoreAdj", request.oom_score_adj);
  return lines;
}

Lines security_of(const RunRequest& request) {
  Lines lines("  ");
  lines.on("privileged", request.privileged);
  lines.on("noNewPrivileges", request.no_new_privileges);
  lines.list("capAdd", request.cap_add);
  lines.list("capDrop", request.cap_drop);
  lines.list("options", request.security_opts);
  lines.pairs("sysctls", request.sysctls);
  lines.text("userns", request.userns);
  lines.text("pid", request.pid);
  lines.text("ipc", request.ipc);
  lines.text("uts", request.uts);
  lines.text("cgroupns", request.cgroupns);
  return lines;
}

void add_contents(const RunRequest& request, const std::string& kind, Lines& lines) {
  std::string out;
  for (const std::string& use : request.contents) {
    const auto parts = split(use, ':');
    if (parts.size() != 3 || parts[0] != kind) continue;
    out += "  - {name: " + quoted(std::string(parts[1])) +
           ", target: " + quoted(std::string(parts[2])) + "}\n";
  }
  if (!out.empty()) lines.block(kind + "s:\n" + out);
}

void add_probe(const char* name, const HealthRequest& health, Lines& probes) {
  if (health.cmd.empty() && health.exec.empty()) return;
  Lines probe("    ");
  probe.list("exec", health.exec.empty() ? std::vector<std::string>{"/bin/sh", "-c", health.cmd}
                                         : health.exec);
  for (const auto& [scheme, way] : {std::pair("tcp://:", "tcp"), std::pair("http://:", "http")}) {
    if (!health.cmd.starts_with(scheme)) continue;
    const std::string rest = health.cmd.substr(std::string_view(scheme).size());
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    probe = Lines("    ");
    Lines place("      ");
    place.number("port", rest.substr(0, slash));
    place.text("path", rest.substr(slash));
    probe.group(way, place);
  }
  probe.text("initialDelay", health.initial_delay);
  probe.text("interval", health.interval);
  probe.text("timeout", health.timeout);
  probe.number("retries", health.retries);
  probe.number("successes", health.successes);
  probe.text("startPeriod", health.start_period);
  probe.text("action", health.on_failure);
  probes.group(name, probe);
}

void add_probes(const RunRequest& request, Lines& lines) {
  Lines probes("  "), lifecycle("  ");
  add_probe("startup", request.startup, probes);
  add_probe("readiness", request.readiness, probes);
  add_probe("liveness", request.health, probes);
  if (request.health.disabled) probes.raw("ofImage", "false");
  lines.group("probes", probes);
  lifecycle.list("postStart", request.post_start);
  lifecycle.list("preStop", request.pre_stop);
  lines.group("lifecycle", lifecycle);
}

}  // namespace

std::vector<std::string> own_labels(std::vector<std::string> labels) {
  std::erase_if(labels, [](const std::string& label) {
    const std::string key = label.substr(0, label.find('='));
    return key == kManifestLabel || key == kObjectLabel || key == kAppliedLabel ||
           key == kContentsLabel || key == kMemberLabel;
  });
  return labels;
}

namespace {

std::string network_text(const network::Network& network) {
  Lines lines = document("Network", network.name);
  std::vector<std::string> subnets{network::to_text(network.subnet4)};
  if (network.subnet6) subnets.push_back(network::to_text(*network.subnet6));
  lines.list("subnets", subnets);
  if (!network.subnet6) lines.raw("ipv6", "false");
  lines.on("internal", network.internal);
  if (network.mtu != 0) lines.raw("mtu", std::to_string(network.mtu));
  return lines.take();
}

// Without the one that every tenant has.
Result<std::vector<network::Network>> networks_of(const Guests& guests) {
  network::Networks networks = TRY(network::Networks::open(
      {guests.places().data, guests.places().run}, guests.tenant(), guests.host()));
  std::vector<network::Network> found = TRY(networks.list());
  std::erase_if(found, [](const auto& one) { return one.name == network::kDefaultNetwork; });
  return found;
}

}  // namespace

Lines program_lines(const RunRequest& request) {
  Lines lines;
  if (request.isolation != "container") lines.text("isolation", request.isolation);
  if (request.disks.empty()) lines.text("image", request.image);
  lines.list("disks", request.disks);
  if (request.entrypoint) {
    std::vector<std::string> command;
    if (!request.entrypoint->empty()) command.push_back(*request.entrypoint);
    command.insert(command.end(), request.args.begin(), request.args.end());
    lines.list("command", command);
  } else {
    lines.list("args", request.args);
  }
  lines.pairs("env", request.env);
  lines.list("envFiles", request.env_files);
  lines.text("workdir", request.workdir);
  lines.text("user", request.user);
  lines.list("groupAdd", request.group_add);
  lines.text("hostname", request.hostname);
  lines.text("domainname", request.domainname);
  lines.on("tty", request.tty.value_or(false));
  lines.on("stdin", request.interactive.value_or(false));
  lines.on("init", request.init);
  lines.pairs("labels", own_labels(request.labels));
  lines.pairs("annotations", request.annotations);
  lines.group("limits", limits_of(request));
  lines.group("security", security_of(request));
  lines.list("volumes", request.volumes);
  lines.list("mounts", request.mounts);
  lines.list("tmpfs", request.tmpfs);
  lines.list("devices", request.devices);
  add_contents(request, "secret", lines);
  add_contents(request, "config", lines);
  lines.on("readOnly", request.read_only);
  lines.list("addHosts", request.add_hosts);
  lines.list("dns", request.dns);
  lines.list("dnsSearch", request.dns_search);
  lines.list("dnsOptions", request.dns_options);
  lines.text("stopSignal", request.stop_signal);
  lines.text("stopTimeout", request.stop_timeout);
  lines.list("startAfter", request.start_after);
  lines.text("logDriver", request.log_driver);
  lines.pairs("logOptions", request.log_opts);
  lines.text("view", request.view);
  lines.text("pull", request.pull);
  lines.text("platform", request.platform);
  lines.text("kernel", request.kernel);
  lines.text("initrd", request.initrd);
  lines.list("kernelParameters", request.kernel_parameters);
  return lines;
}

Lines network_lines(const RunRequest& request) {
  Lines lines;
  if (request.network != "default") lines.text("network", request.network);
  lines.list("networks", request.more_networks);
  lines.list("networkAliases", request.network_aliases);
  lines.list("ports", request.publish);
  lines.on("publishAll", request.publish_all);
  lines.list("expose", request.expose);
  lines.text("macAddress", request.mac_address);
  lines.text("bandwidthIn", request.bandwidth_in);
  lines.text("bandwidthOut", request.bandwidth_out);
  lines.number("networkPps", request.network_pps);
  lines.text("ip", request.ip);
  lines.text("ip6", request.ip6);
  return lines;
}

Lines life_lines(const RunRequest& request) {
  Lines lines;
  lines.text("restart", request.restart);
  add_probes(request, lines);
  return lines;
}

Result<std::string> networks_text(const Guests& guests) {
  std::string text;
  for (const network::Network& network : TRY(networks_of(guests)))
    text += network_text(network);
  return text;
}

Result<ExportedManifest> export_manifest(const Guests& guests,
                                         const std::vector<std::string>& names) {
  const std::vector<CronJob> all_jobs = TRY(list_cron_jobs(guests));
  std::vector<GuestRecord> records;
  std::vector<CronJob> jobs;
  for (const std::string& name : names) {
    const auto job = std::find_if(all_jobs.begin(), all_jobs.end(),
                                  [&](const CronJob& one) { return one.name == name; });
    if (job == all_jobs.end()) {
      records.push_back(TRY(guests.find(name)).record);
    } else {
      jobs.push_back(*job);
    }
  }
  if (names.empty()) {
    jobs = all_jobs;
    for (const Guest& guest : TRY(guests.list()))
      records.push_back(guest.record);
  }
  ExportedManifest made;
  std::set<std::string> wanted;
  for (const RunRequest* request : requests_of(records, jobs)) {
    std::vector<std::string> texts = request->more_networks;
    texts.push_back(request->network);
    for (const std::string& text : texts)
      wanted.insert(text.substr(0, text.find(':')));
  }
  for (const network::Network& network : TRY(networks_of(guests)))
    if (wanted.contains(network.name)) made.text += network_text(network);
  TRY(export_storage(guests, used_storage(requests_of(records, jobs)), made));
  export_runners(records, jobs, made);
  return made;
}

}  // namespace vrun::engine
