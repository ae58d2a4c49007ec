// Can a Guest of a manifest say all that `run` can?
#include <algorithm>
#include <iterator>
#include <set>

#include <gtest/gtest.h>

#include "base/text.hpp"
#include "engine/apply_wanted.hpp"
#include "engine/export_runners.hpp"
#include "manifest/reader.hpp"

namespace vrun::engine {
namespace {

HealthRequest sample_health(const char* action) {
  HealthRequest health;
  health.exec = {"test", "-e", "/up"};
  health.interval = "2s";
  health.timeout = "3s";
  health.start_period = "4s";
  health.retries = "5";
  health.initial_delay = "6s";
  health.successes = "7";
  health.on_failure = action;
  return health;
}

struct Row {
  const char *member, *field;
  void (*fill)(RunRequest&);
};
#define VRUN_ROW(member, field, ...)                                           \
  Row {                                                                        \
#member, field, [](RunRequest & request) { request.member = __VA_ARGS__; } \
  }
constexpr Row kRows[] = {
    VRUN_ROW(image, "image", "base"),
    VRUN_ROW(args, "args", std::vector<std::string>{"a", "b c"}),
    VRUN_ROW(hostname, "hostname", "h"),
    VRUN_ROW(env, "env", std::vector<std::string>{"A=1 2", "B="}),
    VRUN_ROW(env_files, "envFiles", std::vector<std::string>{"/f"}),
    VRUN_ROW(workdir, "workdir", "/w"),
    VRUN_ROW(user, "user", "1:2"),
    VRUN_ROW(group_add, "groupAdd", std::vector<std::string>{"3"}),
    VRUN_ROW(entrypoint, "command", "/bin/x"),
    VRUN_ROW(tty, "tty", true),
    VRUN_ROW(interactive, "stdin", true),
    VRUN_ROW(memory, "limits.memory", "64m"),
    VRUN_ROW(memory_reservation, "limits.memoryReservation", "32m"),
    VRUN_ROW(memory_swap, "limits.memorySwap", "-1"),
    VRUN_ROW(cpus, "limits.cpus", "0.5"),
    VRUN_ROW(cpu_weight, "limits.cpuWeight", "200"),
    VRUN_ROW(cpu_shares, "limits.cpuShares", "512"),
    VRUN_ROW(cpuset_cpus, "limits.cpusetCpus", "0"),
    VRUN_ROW(cpuset_mems, "limits.cpusetMems", "0"),
    VRUN_ROW(pids_limit, "limits.pids", "50"),
    VRUN_ROW(blkio_weight, "limits.ioWeight", "20"),
    VRUN_ROW(shm_size, "limits.shmSize", "1m"),
    VRUN_ROW(device_read_bps, "limits.deviceReadBps", std::vector<std::string>{"/dev/sda:1m"}),
    VRUN_ROW(device_write_bps, "limits.deviceWriteBps", std::vector<std::string>{"/dev/sda:2m"}),
    VRUN_ROW(device_read_iops, "limits.deviceReadIops", std::vector<std::string>{"/dev/sda:3"}),
    VRUN_ROW(device_write_iops, "limits.deviceWriteIops", std::vector<std::string>{"/dev/sda:4"}),
    VRUN_ROW(ulimits, "limits.ulimits", std::vector<std::string>{"nofile=10:20"}),
    VRUN_ROW(read_only, "readOnly", true),
    VRUN_ROW(volumes, "volumes", std::vector<std::string>{"/a:/b:ro", "notes:/n"}),
    VRUN_ROW(mounts, "mounts", std::vector<std::string>{"type=bind,source=/s,target=/t"}),
    VRUN_ROW(tmpfs, "tmpfs", std::vector<std::string>{"/c:size=1m"}),
    VRUN_ROW(devices, "devices", std::vector<std::string>{"/dev/fuse"}),
    VRUN_ROW(contents, "secrets", std::vector<std::string>{"secret:s:/x"}),
    VRUN_ROW(network, "network", "container:other"),
    VRUN_ROW(more_networks, "networks", std::vector<std::string>{"lan:ip=10.1.0.2"}),
    VRUN_ROW(publish, "ports", std::vector<std::string>{"127.0.0.1:80:80/udp"}),
    VRUN_ROW(network_aliases, "networkAliases", std::vector<std::string>{"n"}),
    VRUN_ROW(add_hosts, "addHosts", std::vector<std::string>{"n:10.0.0.1"}),
    VRUN_ROW(dns, "dns", std::vector<std::string>{"10.0.0.1"}),
    VRUN_ROW(dns_search, "dnsSearch", std::vector<std::string>{"lan"}),
    VRUN_ROW(dns_options, "dnsOptions", std::vector<std::string>{"ndots:1"}),
    VRUN_ROW(ip, "ip", "10.1.0.2"),
    VRUN_ROW(ip6, "ip6", "fd00::2"),
    VRUN_ROW(bandwidth_in, "bandwidthIn", "1M"),
    VRUN_ROW(bandwidth_out, "bandwidthOut", "2M"),
    VRUN_ROW(network_pps, "networkPps", "3000"),
    VRUN_ROW(privileged, "security.privileged", true),
    VRUN_ROW(no_new_privileges, "security.noNewPrivileges", true),
    VRUN_ROW(cap_add, "security.capAdd", std::vector<std::string>{"SYS_TIME"}),
    VRUN_ROW(cap_drop, "security.capDrop", std::vector<std::string>{"ALL"}),
    VRUN_ROW(security_opts, "security.options", std::vector<std::string>{"seccomp=unconfined"}),
    VRUN_ROW(sysctls, "security.sysctls", std::vector<std::string>{"net.core.somaxconn=9"}),
    VRUN_ROW(userns, "security.userns", "host"),
    VRUN_ROW(pid, "security.pid", "container:other"),
    VRUN_ROW(ipc, "security.ipc", "container:other"),
    VRUN_ROW(uts, "security.uts", "host"),
    VRUN_ROW(cgroupns, "security.cgroupns", "host"),
    VRUN_ROW(restart, "restart", "on-failure:3"),
    VRUN_ROW(stop_signal, "stopSignal", "INT"),
    VRUN_ROW(stop_timeout, "stopTimeout", "-1"),
    VRUN_ROW(start_after, "startAfter", std::vector<std::string>{"other"}),
    VRUN_ROW(health, "probes.liveness", sample_health("kill")),
    VRUN_ROW(readiness, "probes.readiness", sample_health("")),
    VRUN_ROW(startup, "probes.startup", sample_health("")),
    VRUN_ROW(post_start, "lifecycle.postStart", std::vector<std::string>{"x", "y"}),
    VRUN_ROW(pre_stop, "lifecycle.preStop", std::vector<std::string>{"z"}),
    VRUN_ROW(init, "init", true),
    VRUN_ROW(labels, "labels", std::vector<std::string>{"a=b"}),
    VRUN_ROW(log_opts, "logOptions", std::vector<std::string>{"max-file=3"}),
    VRUN_ROW(isolation, "isolation", "system"),
    VRUN_ROW(view, "view", "host"),
    VRUN_ROW(pull, "pull", "never"),
    VRUN_ROW(platform, "platform", "linux/arm64"),
    VRUN_ROW(kernel_parameters, "kernelParameters", std::vector<std::string>{"loglevel=7"}),
    VRUN_ROW(kernel, "kernel", "6.1.0-1-amd64"),
    VRUN_ROW(disks, "disks", std::vector<std::string>{"/a.raw", "/b.raw:ro"}),
    VRUN_ROW(initrd, "initrd", "/initrd.img"),
    VRUN_ROW(publish_all, "publishAll", true),
    VRUN_ROW(expose, "expose", std::vector<std::string>{"80/tcp"}),
    VRUN_ROW(annotations, "annotations", std::vector<std::string>{"a=b"}),
    VRUN_ROW(mac_address, "macAddress", "02:00:00:00:00:01"),
    VRUN_ROW(domainname, "domainname", "d"),
    VRUN_ROW(log_driver, "logDriver", "none"),
    VRUN_ROW(oom_score_adj, "limits.oomScoreAdj", "-5"),
    VRUN_ROW(cpu_quota, "limits.cpuQuota", "-1"),
    VRUN_ROW(cpu_period, "limits.cpuPeriod", "2000"),
};

struct Exception {
  const char *member, *why;
};
#define VRUN_EXCEPTION(member, why)                        \
  Exception {                                              \
    (static_cast<void>(&RunRequest::member), #member), why \
  }
constexpr Exception kExceptions[] = {
    VRUN_EXCEPTION(name, "the document's own name"),
    VRUN_EXCEPTION(detach, "apply always leaves guests running in the background"),
    VRUN_EXCEPTION(remove, "what a manifest describes is there until it is no longer described"),
    VRUN_EXCEPTION(quiet, "is about what run prints"),
    VRUN_EXCEPTION(sig_proxy, "is about a run that stays attached"),
    VRUN_EXCEPTION(label_files, "are read when the guest is made and kept as labels"),
    VRUN_EXCEPTION(cidfile, "is a file that run writes for scripts"),
};

// Does not compile when RunRequest has more or fewer members: say here, and in a row above, how
// manifests say the new one, or why not.
constexpr std::size_t count_members(RunRequest* request) {
  if (request == nullptr) return 93;
  auto& [image, args, name, hostname, env, env_files, workdir, user, group_add, entrypoint, tty,
         interactive, detach, remove, memory, memory_reservation, memory_swap, cpus, cpu_weight,
         cpu_shares, cpuset_cpus, cpuset_mems, pids_limit, blkio_weight, shm_size, device_read_bps,
         device_write_bps, device_read_iops, device_write_iops, ulimits, read_only, volumes, mounts,
         tmpfs, devices, contents, network, more_networks, publish, network_aliases, add_hosts, dns,
         dns_search, dns_options, ip, ip6, bandwidth_in, bandwidth_out, network_pps, privileged,
         no_new_privileges, cap_add, cap_drop, security_opts, sysctls, userns, pid, ipc, uts,
         cgroupns, restart, stop_signal, stop_timeout, start_after, health, readiness, startup,
         post_start, pre_stop, init, labels, log_opts, isolation, view, pull, platform, disks,
         kernel_parameters, kernel, initrd, publish_all, quiet, sig_proxy, expose, annotations,
         label_files, mac_address, domainname, cidfile, log_driver, oom_score_adj, cpu_quota,
         cpu_period] = *request;
  static_cast<void>(image);
  return 0;
}
static_assert(std::size(kRows) + std::size(kExceptions) == count_members(nullptr));

std::string export_text(const RunRequest& request) {
  GuestRecord record;
  record.name = "web";
  record.request = request;
  ExportedManifest made;
  export_runners({record}, {}, made);
  // What it joins is not there: only that is said.
  std::erase_if(made.notes, [](const std::string& note) {
    return note == "web: joins guest other, which has to be there before";
  });
  EXPECT_TRUE(made.notes.empty()) << join(made.notes, ", ");
  return made.text;
}

// As apply would ask for what export has written, without what apply adds.
RunRequest apply_text(const std::string& text) {
  const std::vector<manifest::Source> sources{{"web.yaml", text}};
  const std::vector<std::string> known{"Guest/other", "Network/lan", "Volume/notes", "Secret/s"};
  const manifest::Manifest read = manifest::read_manifest(sources, {}, known);
  for (const manifest::Fault& fault : read.faults)
    ADD_FAILURE() << fault.line();
  if (read.objects.empty() || !read.faults.empty()) return {};
  const manifest::Object& object = read.objects[0];
  const Wanted wanted =
      to_wanted("shop", {{object.kind, object.name, object.place.file, object.spec, {}}});
  RunRequest request = wanted.guests.at(0).request;
  std::erase_if(request.labels, [](const std::string& l) { return l.starts_with("vrun."); });
  request.name.clear();
  request.detach = false;
  // Off is what `run` calls "as its own stdin and stdout are".
  if (!request.tty.value_or(false)) request.tty.reset();
  if (!request.interactive.value_or(false)) request.interactive.reset();
  return request;
}

const manifest::Field* find_path(const std::string& path) {
  std::span<const manifest::Field> fields = manifest::find_kind("Guest")->fields;
  const manifest::Field* field = nullptr;
  for (const std::string_view word : split(path, '.')) {
    field = manifest::find_field(fields, word);
    if (field == nullptr) return nullptr;
    fields = field->fields;
  }
  return field;
}

TEST(ManifestFields, each_flag_of_run_has_one_or_a_reason) {
  std::set<std::string> seen;
  for (const Row& row : kRows) {
    EXPECT_TRUE(seen.insert(row.member).second) << row.member;
    EXPECT_NE(find_path(row.field), nullptr) << row.field;
  }
  for (const Exception& exception : kExceptions) {
    EXPECT_TRUE(seen.insert(exception.member).second) << exception.member;
    EXPECT_FALSE(std::string(exception.why).empty());
  }
}

TEST(ManifestFields, what_export_writes_of_a_guest_apply_asks_for) {
  for (const Row& row : kRows) {
    RunRequest request;
    request.image = "base";
    const std::string before = to_json(request);
    row.fill(request);
    if (!request.disks.empty()) request.image.clear();
    EXPECT_TRUE(std::string(row.member) == "image" || to_json(request) != before) << row.member;
    EXPECT_EQ(to_json(apply_text(export_text(request))), to_json(request)) << row.member;
  }
}

TEST(ManifestFields, an_image_without_its_health_check_stays_so) {
  RunRequest request;
  request.image = "base";
  request.health.disabled = true;
  EXPECT_EQ(to_json(apply_text(export_text(request))), to_json(request));
}

TEST(ManifestFields, of_all_at_once_nothing_is_lost) {
  RunRequest request;
  for (const Row& row : kRows)
    row.fill(request);
  request.disks.clear();  // there is an image
  RunRequest read = apply_text(export_text(request));
  // The one list of words that a manifest has for both.
  EXPECT_EQ(read.args, request.args);
  EXPECT_EQ(to_json(read), to_json(request));
}

TEST(ManifestFields, dependencies_and_joined_guests_come_first_at_a_boot_too) {
  const Wanted wanted = to_wanted(
      "shop",
      {{"Guest", "db", "f", R"({"image":"base"})", {}},
       {"Guest",
        "web",
        "f",
        R"({"image":"base","restart":"always","dependsOn":{"db":"started"}})",
        {}},
       {"Guest", "look", "f", R"({"image":"base","security":{"pid":"container:db"}})", {}}});
  ASSERT_EQ(wanted.faults, std::vector<std::string>());
  EXPECT_EQ(wanted.guests[1].request.start_after, std::vector<std::string>{"db"});
  ASSERT_EQ(wanted.guests[2].after.size(), 1U);
  EXPECT_EQ(wanted.guests[2].after[0].guest, "db");
  EXPECT_TRUE(wanted.guests[2].request.start_after.empty()) << "nothing starts it at a boot";
}

}  // namespace
}  // namespace vrun::engine
