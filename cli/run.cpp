#include "cli/run.hpp"

#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/verb_guests.hpp"
#include "engine/attach.hpp"
#include "engine/run.hpp"

namespace vrun::cli {
namespace {

std::optional<bool> tristate(const Arguments& arguments, std::string_view flag) {
  if (!arguments.has(flag)) return std::nullopt;
  return arguments.on(flag);
}

Result<int> print_text(std::string_view text) {
  TRY(sys::write_all(STDOUT_FILENO, text));
  return 0;
}

void set_life(const Arguments& arguments, engine::RunRequest& request) {
  request.detach = arguments.on("detach");
  request.remove = arguments.on("rm");
  if (arguments.text("restart") != "no") request.restart = arguments.text("restart");
  request.stop_signal = arguments.text("stop-signal");
  request.stop_timeout = arguments.text("stop-timeout");
  request.start_after = arguments.list("start-after");
  request.init = arguments.on("init");
  request.labels = arguments.list("label");
  request.log_opts = arguments.list("log-opt");
  engine::HealthRequest& health = request.health;
  health.cmd = arguments.text("health-cmd");
  health.interval = arguments.text("health-interval");
  health.timeout = arguments.text("health-timeout");
  health.retries = arguments.text("health-retries");
  health.start_period = arguments.text("health-start-period");
  if (arguments.text("health-on-failure") != "none") {
    health.on_failure = arguments.text("health-on-failure");
  }
  health.disabled = arguments.on("no-healthcheck");
  const auto line = [&](const char* flag) {
    const std::string text = arguments.text(flag);
    return text.empty() ? std::vector<std::string>()
                        : std::vector<std::string>{"/bin/sh", "-c", text};
  };
  request.post_start = line("post-start");
  request.pre_stop = line("pre-stop");
}

void set_limits(const Arguments& arguments, engine::RunRequest& request) {
  request.memory = arguments.text("memory");
  request.memory_reservation = arguments.text("memory-reservation");
  request.memory_swap = arguments.text("memory-swap");
  request.cpus = arguments.text("cpus");
  request.cpu_weight = arguments.text("cpu-weight");
  request.cpu_shares = arguments.text("cpu-shares");
  request.cpuset_cpus = arguments.text("cpuset-cpus");
  request.cpuset_mems = arguments.text("cpuset-mems");
  request.pids_limit = arguments.text("pids-limit");
  request.blkio_weight = arguments.text("blkio-weight");
  request.device_read_bps = arguments.list("device-read-bps");
  request.device_write_bps = arguments.list("device-write-bps");
  request.device_read_iops = arguments.list("device-read-iops");
  request.device_write_iops = arguments.list("device-write-iops");
  request.ulimits = arguments.list("ulimit");
  request.shm_size = arguments.text("shm-size");
}

void set_sight(const Arguments& arguments, engine::RunRequest& request) {
  request.read_only = arguments.on("read-only");
  request.volumes = arguments.list("volume");
  request.mounts = arguments.list("mount");
  request.tmpfs = arguments.list("tmpfs");
  request.devices = arguments.list("device");
  std::vector<std::string> networks;
  for (const std::string& text : arguments.list("network")) {
    // Podman's a,b; behind a colon commas separate options: NAME:ip=...,alias=...
    const bool is_list = text.find(':') == std::string::npos;
    const auto names = is_list ? split(text, ',') : std::vector<std::string_view>{text};
    networks.insert(networks.end(), names.begin(), names.end());
  }
  if (!networks.empty()) {
    request.network = networks[0];
    request.more_networks.assign(networks.begin() + 1, networks.end());
  }
  const auto bandwidth = [&](std::string_view flag) {
    return arguments.text(arguments.has(flag) ? flag : "bandwidth");
  };
  request.bandwidth_in = bandwidth("bandwidth-in");
  request.bandwidth_out = bandwidth("bandwidth-out");
  request.network_pps = arguments.text("network-pps");
  request.network_aliases = arguments.list("network-alias");
  request.publish = arguments.list("publish");
  request.ip = arguments.text("ip");
  request.ip6 = arguments.text("ip6");
  request.add_hosts = arguments.list("add-host");
  request.dns = arguments.list("dns");
  request.dns_search = arguments.list("dns-search");
  request.dns_options = arguments.list("dns-option");
}

void set_rights(const Arguments& arguments, engine::RunRequest& request) {
  request.privileged = arguments.on("privileged");
  request.no_new_privileges = arguments.on("no-new-privs");
  request.cap_add = arguments.list("cap-add");
  request.cap_drop = arguments.list("cap-drop");
  request.security_opts = arguments.list("security-opt");
  request.sysctls = arguments.list("sysctl");
  request.userns = arguments.text("userns");
  request.pid = arguments.text("pid");
  request.ipc = arguments.text("ipc");
  request.uts = arguments.text("uts");
  request.cgroupns = arguments.text("cgroupns");
}

void set_more(const Arguments& arguments, engine::RunRequest& request) {
  request.publish_all = arguments.on("publish-all");
  request.quiet = arguments.on("quiet");
  request.sig_proxy = !arguments.has("sig-proxy") || arguments.on("sig-proxy");
  request.expose = arguments.list("expose");
  request.annotations = arguments.list("annotation");
  request.label_files = arguments.list("label-file");
  request.mac_address = arguments.text("mac-address");
  request.domainname = arguments.text("domainname");
  request.cidfile = arguments.text("cidfile");
  request.log_driver = arguments.text("log-driver");
  request.oom_score_adj = arguments.text("oom-score-adj");
  request.cpu_quota = arguments.text("cpu-quota");
  request.cpu_period = arguments.text("cpu-period");
}

}  // namespace

Result<engine::RunRequest> to_request(const Arguments& arguments) {
  engine::RunRequest request;
  request.image = arguments.word(0);
  for (std::size_t i = 1; i < arguments.words().size(); ++i)
    request.args.push_back(arguments.word(i));
  request.name = arguments.text("name");
  request.hostname = arguments.text("hostname");
  request.env = arguments.list("env");
  request.env_files = arguments.list("env-file");
  request.workdir = arguments.text("workdir");
  request.user = arguments.text("user");
  request.group_add = arguments.list("group-add");
  if (arguments.has("entrypoint")) request.entrypoint = arguments.text("entrypoint");
  request.tty = tristate(arguments, "tty");
  request.interactive = tristate(arguments, "interactive");
  set_life(arguments, request);
  set_limits(arguments, request);
  set_sight(arguments, request);
  set_rights(arguments, request);
  set_more(arguments, request);
  request.isolation = arguments.text("isolation");
  if (arguments.on("system")) {
    if (arguments.has("isolation") && request.isolation != "system") {
      return Error(Code::kInvalid, "--system and --isolation " + request.isolation +
                                       ": a guest is the one or the other")
          .hint("a whole system with a kernel of its own: --isolation vm --disk FILE");
    }
    request.isolation = "system";
  }
  request.disks = arguments.list("disk");
  request.kernel = arguments.text("kernel");
  request.initrd = arguments.text("initrd");
  request.kernel_parameters = arguments.list("kernel-parameter");
  request.view = arguments.text("view");
  request.pull = arguments.text("pull");
  request.platform = arguments.text("platform");
  return request;
}

Result<int> everyday_run(const EverydayCall& call) {
  const std::string keys = TRY(engine::parse_detach_keys(call.arguments.text("detach-keys")));
  const engine::Guests guests = TRY(guests_of(call));
  const engine::RunRequest request = TRY(to_request(call.arguments));
  return engine::run_guest(request, guests, keys);
}

Result<int> everyday_plan(const EverydayCall& call) {
  const engine::Guests guests = TRY(guests_of(call));
  const engine::RunRequest request = TRY(to_request(call.arguments));
  return print_text(TRY(engine::plan_guest(request, guests)));
}

}  // namespace vrun::cli
