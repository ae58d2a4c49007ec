// What a user asked for with `vrun run` or `vrun create`, word for word; nothing is checked yet.
//
// It is kept whole in the guest's record (guest_record.hpp), so that start, restart and inspect can
// build the specification again. Every member is the flag of the same name.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace vrun::engine {

// --health-*, and the three probes of manifests: empty members take the image's value (liveness
// alone has one there), else Docker's default.
struct HealthRequest {
  std::string cmd;                // a shell line, or tcp://:PORT, or http://:PORT/PATH
  std::vector<std::string> exec;  // of manifests: the program and its arguments, instead of `cmd`
  std::string interval, timeout, start_period, retries;
  std::string initial_delay, successes;
  std::string on_failure;  // none, kill, restart, stop
  bool disabled = false;   // --no-healthcheck
  bool operator==(const HealthRequest&) const = default;
};

struct RunRequest {
  std::string image;
  std::vector<std::string> args;  // empty: the image's own command

  std::string name;      // empty: made from the image's name
  std::string hostname;  // empty: the guest's name
  std::vector<std::string> env, env_files;
  std::string workdir, user;
  std::vector<std::string> group_add;
  std::optional<std::string> entrypoint;  // "" clears the image's
  std::optional<bool> tty, interactive;   // absent: as the caller's own stdin and stdout are
  bool detach = false;
  bool remove = false;  // --rm

  // Limits: empty is none.
  std::string memory, memory_reservation, memory_swap, cpus, cpu_weight, cpu_shares, cpuset_cpus,
      cpuset_mems;
  std::string pids_limit, blkio_weight, shm_size;
  std::vector<std::string> device_read_bps, device_write_bps, device_read_iops, device_write_iops;
  std::vector<std::string> ulimits;

  // What it sees.
  bool read_only = false;
  std::vector<std::string> volumes, mounts, tmpfs, devices;
  std::vector<std::string> contents;       // of manifests: secret:NAME:TARGET, config:NAME:TARGET
  std::string network = "default";         // none, host, container:NAME, or a network
  std::vector<std::string> more_networks;  // --network again, and `network connect`
  std::vector<std::string> publish, network_aliases, add_hosts, dns, dns_search, dns_options;
  std::string ip, ip6;
  std::string bandwidth_in, bandwidth_out;  // "100M"
  std::string network_pps;                  // packets a second, each way

  // What it may do.
  bool privileged = false;
  bool no_new_privileges = false;
  std::vector<std::string> cap_add, cap_drop, security_opts, sysctls;
  std::string userns, pid, ipc, uts, cgroupns;  // empty: its own

  // Its life.
  std::string restart;  // no, on-failure[:N], always, unless-stopped; empty: no
  std::string stop_signal, stop_timeout;
  std::vector<std::string> start_after;  // guests that `restore` starts before this one
  HealthRequest health;                  // is it alive?
  HealthRequest readiness, startup;      // of manifests; `startup` holds the other two back
  // Commands inside, as programs with their arguments: after each start, before each stop signal.
  std::vector<std::string> post_start, pre_stop;
  bool init = false;
  std::vector<std::string> labels;  // "NAME=VALUE"
  std::vector<std::string> log_opts;

  // Where it comes from.
  std::string isolation = "container";  // or "system": system_guest.hpp
  std::string view;                     // limits, host; empty: limits for system guests
  std::string pull, platform;

  // Of micro-VMs. `kernel`: a name of `vm kernel ls` or a path; disks: FILE[:OPTION,...].
  std::vector<std::string> disks, kernel_parameters;
  std::string kernel, initrd;

  // Docker's and Podman's further flags.
  bool publish_all = false, quiet = false, sig_proxy = true;
  std::vector<std::string> expose, annotations, label_files;
  std::string mac_address, domainname, cidfile, log_driver;
  std::string oom_score_adj, cpu_quota, cpu_period;
  bool operator==(const RunRequest&) const = default;
};

}  // namespace vrun::engine
