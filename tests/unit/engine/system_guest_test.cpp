// What system guests have more of, what they cannot have, and how their end is read.
#include "engine/system_guest.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "base/fs.hpp"
#include "base/sys.hpp"

namespace vrun::engine {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

RunRequest system_request() {
  RunRequest request;
  request.isolation = "system";
  return request;
}

oci::Spec spec_of(const RunRequest& request) {
  oci::ImageConfig image;
  GuestFacts facts;
  facts.name = "g";
  facts.terminal = true;
  facts.uids = facts.gids = {{.container_id = 0, .host_id = 100000, .size = 65536}};
  facts.machine_id = machine_id_of(std::string(64, 'a'));
  const Result<oci::Spec> spec = build_spec(image, request, facts);
  EXPECT_TRUE(spec) << spec.error().text();
  return *spec;
}

const oci::Mount* mount_at(const oci::Spec& spec, std::string_view path) {
  for (const oci::Mount& one : spec.mounts) {
    if (one.destination == path) return &one;
  }
  return nullptr;
}

TEST(SystemGuest, its_capabilities_are_those_of_its_own_namespaces) {
  const std::vector<std::string> names = system_capabilities();
  EXPECT_THAT(names, IsSupersetOf({"CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_BOOT"}));
  for (const char* name : {"CAP_SYS_MODULE", "CAP_SYS_TIME", "CAP_SYSLOG", "CAP_BPF",
                           "CAP_SYS_RAWIO", "CAP_MAC_ADMIN", "CAP_PERFMON"})
    EXPECT_THAT(names, Not(Contains(name)));
}

TEST(SystemGuest, has_an_init_its_words_and_its_tree) {
  const oci::Spec spec = spec_of(system_request());
  EXPECT_EQ(spec.process->args, std::vector<std::string>{"/sbin/init"});
  EXPECT_THAT(spec.process->env, Contains("container=vrun"));
  EXPECT_THAT(spec.process->env, Contains("container_uuid=aaaaaaaa-aaaa-4aaa-9aaa-aaaaaaaaaaaa"));
  const oci::Mount* tree = mount_at(spec, "/sys/fs/cgroup");
  ASSERT_NE(tree, nullptr);
  EXPECT_EQ(tree->type, "cgroup2");
  EXPECT_THAT(tree->options, Not(Contains("ro")));
  for (const char* path : {"/run", "/run/lock", "/tmp"})
    EXPECT_EQ(mount_at(spec, path)->type, "tmpfs") << path;
  // What is masked stays so, but for the knobs of its own namespaces.
  EXPECT_THAT(spec.linux.masked_paths, Contains("/proc/kcore"));
  EXPECT_THAT(spec.linux.readonly_paths, Not(Contains("/proc/sys")));
  EXPECT_THAT(spec.linux.readonly_paths, Contains("/proc/sysrq-trigger"));
}

TEST(SystemGuest, other_guests_have_none_of_it) {
  RunRequest request;
  request.args = {"true"};
  const oci::Spec spec = spec_of(request);
  EXPECT_EQ(mount_at(spec, "/dev/.vrun/proc"), nullptr);
  EXPECT_EQ(mount_at(spec, "/run"), nullptr);
  EXPECT_THAT(mount_at(spec, "/sys/fs/cgroup")->options, Contains("ro"));
  EXPECT_THAT(spec.process->env, Each(Not(HasSubstr("container"))));
}

TEST(SystemGuest, its_filter_has_namespaces_and_keyrings_and_nothing_of_the_machine) {
  std::vector<std::string> allowed;
  const oci::Spec spec = spec_of(system_request());
  for (const oci::SyscallRule& rule : spec.linux.seccomp->syscalls) {
    if (rule.action == "SCMP_ACT_ALLOW" && rule.args.empty())
      allowed.insert(allowed.end(), rule.names.begin(), rule.names.end());
  }
  EXPECT_THAT(allowed, IsSupersetOf({"mount", "unshare", "clone3", "setns", "pivot_root", "keyctl",
                                     "reboot"}));
  for (const char* name :
       {"bpf", "perf_event_open", "swapon", "syslog", "init_module", "kexec_load",
        "open_by_handle_at", "request_key", "settimeofday", "io_uring_setup"})
    EXPECT_THAT(allowed, Not(Contains(name)));
}

TEST(SystemGuest, what_its_init_cannot_have_is_refused) {
  EXPECT_TRUE(check_system(system_request()));
  for (std::string RunRequest::*flag :
       {&RunRequest::userns, &RunRequest::pid, &RunRequest::uts, &RunRequest::cgroupns}) {
    RunRequest request = system_request();
    request.*flag = "host";
    EXPECT_THAT(check_system(request).error().text(), HasSubstr("namespaces of its own"));
    request.*flag = "private";
    EXPECT_TRUE(check_system(request));
  }
  RunRequest request = system_request();
  request.user = "33";
  EXPECT_EQ(check_system(request).error().text(), "--user 33 and --system: an init is root");
}

TEST(SystemGuest, its_machine_id_is_a_uuid_made_of_its_id) {
  const std::string id = "0123456789abcdef0123456789abcdefffff";
  EXPECT_EQ(machine_id_of(id), "0123456789ab4def8123456789abcdef");
  EXPECT_EQ(machine_id_of("short"), "");
}

TEST(SystemGuest, the_machine_id_takes_the_place_of_whatever_is_there) {
  std::string work = testing::TempDir() + "machine-id-XXXXXX";
  ASSERT_NE(::mkdtemp(work.data()), nullptr);
  const Fd root = *sys::open_dir(At::cwd(), work);
  ASSERT_TRUE(write_machine_id(root, "first", ::geteuid()));
  EXPECT_EQ(*fs::read_file(root, "etc/machine-id", 64), "first\n");
  ASSERT_EQ(::unlinkat(root.get(), "etc/machine-id", 0), 0);
  ASSERT_EQ(::symlinkat("/tmp/elsewhere", root.get(), "etc/machine-id"), 0);
  ASSERT_TRUE(write_machine_id(root, "second", ::geteuid()));
  EXPECT_EQ(*fs::read_file(root, "etc/machine-id", 64), "second\n");
  EXPECT_FALSE(sys::stat(At::cwd(), "/tmp/elsewhere"));
  EXPECT_TRUE(fs::remove_tree(At::cwd(), work));
}

TEST(SystemGuest, each_init_is_stopped_in_its_own_way) {
  EXPECT_EQ(stop_signal_of_init("/usr/lib/systemd/systemd"), SIGRTMIN + 3);
  EXPECT_EQ(stop_signal_of_init("/bin/busybox"), SIGUSR2);
  EXPECT_EQ(stop_signal_of_init("/sbin/init"), SIGPWR);
  EXPECT_EQ(stop_signal_of_init(""), SIGRTMIN + 3);
}

TEST(SystemGuest, only_a_system_guest_reboots_and_powers_off) {
  const RunRequest plain, system = system_request();
  EXPECT_EQ(power_down_of(system, SIGHUP), PowerDown::kReboot);
  EXPECT_EQ(power_down_of(system, SIGINT), PowerDown::kOff);
  EXPECT_EQ(power_down_of(system, SIGKILL), std::nullopt);
  EXPECT_EQ(power_down_of(system, 1 << 8), std::nullopt);
  EXPECT_EQ(power_down_of(system, std::nullopt), std::nullopt);
  EXPECT_EQ(power_down_of(plain, SIGHUP), std::nullopt);
}

TEST(SystemGuest, its_console_is_always_there) {
  RunRequest request = system_request();
  request.detach = true;
  settle_system(request, false);
  EXPECT_EQ(request.tty, true);
  EXPECT_EQ(request.interactive, true);
  request.detach = false;
  settle_system(request, false);
  EXPECT_EQ(request.interactive, false);
}

}  // namespace
}  // namespace vrun::engine
