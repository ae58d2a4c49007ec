#include "tenants/policy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::tenants {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// As vrun makes it for a guest without special flags.
oci::Spec ordinary() {
  oci::Spec spec;
  spec.process.emplace();
  spec.process->capabilities.emplace();
  spec.process->capabilities->bounding = {"CAP_CHOWN"};
  using enum oci::NamespaceType;
  for (const auto type : {kUser, kPid, kMount, kIpc, kUts, kCgroup, kNetwork})
    spec.linux.namespaces.push_back({type, ""});
  spec.linux.seccomp.emplace();
  spec.linux.masked_paths = {"/proc/kcore"};
  spec.linux.readonly_paths = {"/proc/sys"};
  spec.linux.sysctl = {{"net.ipv4.ping_group_range", "0 65535"}};
  spec.linux.resources.emplace();
  oci::DeviceRule none;
  spec.linux.resources->devices = {none};
  oci::Mount proc;
  proc.type = "proc";
  proc.destination = "/proc";
  spec.mounts = {proc};
  return spec;
}

oci::Mount bind(const std::string& source, const std::string& destination = "/x") {
  oci::Mount mount;
  mount.type = "bind";
  mount.source = source;
  mount.destination = destination;
  return mount;
}

HostFacts facts() {
  return {[](const oci::Mount& mount) { return mount.source == "/own"; }, {"CAP_CHOWN"}};
}

std::vector<std::string> rules(const Policy& policy, const oci::Spec& spec) {
  std::vector<std::string> names;
  for (const Refusal& one : constrain(policy, spec, facts()))
    names.push_back(one.rule + ": " + one.text);
  return names;
}

Policy with(std::vector<FlagText> given) {
  Policy policy;
  json::Faults faults("tenant 'a'");
  read_policy(given, policy, faults);
  EXPECT_TRUE(faults.empty()) << faults.error().text();
  return policy;
}

TEST(PolicyTest, an_ordinary_guest_passes_the_strict_one) {
  EXPECT_THAT(rules({}, ordinary()), IsEmpty());
}

TEST(PolicyTest, unknown_capabilities_are_told_with_the_nearest) {
  Policy policy;
  json::Faults faults("tenant");
  read_policy(std::vector<FlagText>{{"allow-cap", "sys_tine"}, {"allow-cap", "net_admin"}}, policy,
              faults);
  EXPECT_THAT(policy.capabilities, ElementsAre("CAP_NET_ADMIN"));
  EXPECT_THAT(faults.error().text(), HasSubstr("did you mean 'CAP_SYS_TIME'?"));
}

TEST(PolicyTest, all_that_is_beyond_it_is_said_at_once) {
  oci::Spec spec = ordinary();
  spec.process->capabilities->bounding.push_back("CAP_SYS_ADMIN");
  spec.mounts.push_back(bind("/etc"));
  spec.mounts.push_back(bind("/dev/kvm"));
  spec.linux.namespaces.pop_back();
  spec.linux.sysctl.emplace_back("kernel.shmmax", "1");
  spec.linux.seccomp.reset();
  const std::vector<Refusal> all = constrain({}, spec, facts());
  std::vector<std::string> names, flags;
  for (const Refusal& one : all) {
    names.push_back(one.rule);
    flags.push_back(one.flag);
  }
  EXPECT_THAT(names,
              ElementsAre("capabilities", "mounts", "devices", "namespaces", "sysctls", "unsafe"));
  EXPECT_THAT(flags, ElementsAre("--allow-cap CAP_SYS_ADMIN", "--allow-mount /etc",
                                 "--allow-device /dev/kvm", "--allow-host network",
                                 "--allow-sysctl kernel.shmmax", "--allow-unsafe seccomp"));
  const Error error = to_error("acme", all);
  EXPECT_EQ(error.code(), Code::kDenied);
  EXPECT_THAT(error.text(), HasSubstr("rule mounts: '/etc' of the host"));
  EXPECT_THAT(error.hint(),
              HasSubstr("ask root of this host, as only root may change a policy: vrun tenant "
                        "update acme --allow-cap CAP_SYS_ADMIN --allow-mount /etc"));
}

TEST(PolicyTest, what_the_hint_says_makes_it_pass) {
  oci::Spec spec = ordinary();
  spec.process->capabilities->effective.push_back("CAP_SYS_ADMIN");
  spec.mounts.push_back(bind("/srv/a/b"));
  spec.mounts.push_back(bind("/dev/kvm"));
  spec.linux.namespaces.pop_back();
  spec.linux.sysctl.emplace_back("net.core.somaxconn", "1");
  spec.linux.seccomp.reset();
  EXPECT_THAT(rules(with({{"allow-cap", "sys_admin"},
                          {"allow-mount", "/srv/a"},
                          {"allow-device", "/dev/kvm"},
                          {"allow-host", "network"},
                          {"allow-sysctl", "net.core.*"},
                          {"allow-unsafe", "seccomp"}}),
                    spec),
              IsEmpty());
}

std::vector<std::string> refused_ports(const Policy& policy, Wishes::Port port) {
  Wishes wishes;
  wishes.ports = {std::move(port)};
  std::vector<std::string> flags;
  for (const Refusal& one : constrain(policy, wishes))
    flags.push_back(one.rule + " " + one.flag);
  return flags;
}

TEST(PolicyTest, ports_below_1024_need_leave) {
  EXPECT_THAT(refused_ports({}, {1024, 60000, ""}), IsEmpty());
  EXPECT_THAT(refused_ports({}, {0, 1, ""}), IsEmpty());
  EXPECT_THAT(refused_ports({}, {80, 1, ""}), ElementsAre("ports --allow-port 80"));
  EXPECT_THAT(refused_ports({}, {1023, 2, ""}), ElementsAre("ports --allow-port 1023"));
  const Policy some = with({{"allow-port", "80"}, {"allow-port", "90-100"}});
  EXPECT_THAT(refused_ports(some, {80, 1, ""}), IsEmpty());
  EXPECT_THAT(refused_ports(some, {90, 11, ""}), IsEmpty());
  EXPECT_THAT(refused_ports(some, {90, 12, ""}), ElementsAre("ports --allow-port 101"));
}

TEST(PolicyTest, addresses_to_publish_on_may_be_named) {
  const Policy policy = with({{"only-address", "192.0.2.1"}, {"only-address", "FD00:0::1"}});
  EXPECT_THAT(refused_ports(policy, {8080, 1, "192.0.2.1"}), IsEmpty());
  EXPECT_THAT(refused_ports(policy, {8080, 1, "fd00::1"}), IsEmpty());
  EXPECT_THAT(refused_ports(policy, {8080, 1, ""}), ElementsAre("addresses --only-address none"));
  EXPECT_THAT(refused_ports(policy, {8080, 1, "127.0.0.1"}),
              ElementsAre("addresses --only-address 127.0.0.1"));
}

TEST(PolicyTest, what_is_no_port_or_address_is_said) {
  for (const char* text : {"0", "1024", "80-1024", "90-80", "http", "80-", "-80"}) {
    Policy policy;
    json::Faults faults("x");
    read_policy(std::vector<FlagText>{{"allow-port", text}}, policy, faults);
    EXPECT_FALSE(faults.empty()) << text;
  }
  Policy policy;
  json::Faults faults("x");
  read_policy(std::vector<FlagText>{{"only-address", "host"}}, policy, faults);
  EXPECT_FALSE(faults.empty());
}

TEST(PolicyTest, a_path_is_below_a_whole_component_only) {
  const Policy policy = with({{"allow-mount", "/srv/a"}});
  for (const char* good : {"/srv/a", "/srv/a/b", "/own"}) {
    oci::Spec spec = ordinary();
    spec.mounts.push_back(bind(good));
    EXPECT_THAT(rules(policy, spec), IsEmpty()) << good;
  }
  for (const char* bad : {"/srv/ab", "/srv", "/", "/srv/a/../b", "/srv//a", "/srv/a/", "srv/a", "",
                          "/srv/a/./b", "/dev/sda", "/dev"}) {
    oci::Spec spec = ordinary();
    spec.mounts.push_back(bind(bad));
    EXPECT_FALSE(rules(policy, spec).empty()) << bad;
  }
}

TEST(PolicyTest, allowing_the_root_directory_allows_no_device) {
  oci::Spec spec = ordinary();
  spec.mounts.push_back(bind("/dev/sda"));
  EXPECT_THAT(rules(with({{"allow-mount", "/"}}), spec),
              ElementsAre(HasSubstr("devices: '/dev/sda'")));
}

TEST(PolicyTest, mounts_are_refused_as_they_are_written_before_anybody_looks) {
  Policy policy;
  policy.mounts = {"/srv"};
  const auto refused = constrain_mounts(
      policy, {bind("/srv/a"), bind("/own"), bind("/not/there"), bind("/dev/x")}, facts());
  ASSERT_EQ(refused.size(), 2U);
  EXPECT_EQ(refused[0].rule, "mounts");
  EXPECT_EQ(refused[1].rule, "devices");
}

TEST(PolicyTest, a_bind_by_option_and_foreign_file_systems_are_mounts_too) {
  oci::Spec spec = ordinary();
  oci::Mount hidden = bind("/etc");
  hidden.type = "none";
  hidden.options = {"rbind"};
  spec.mounts.push_back(hidden);
  oci::Mount disk = bind("/dev/sda");
  disk.type = "ext4";
  spec.mounts.push_back(disk);
  EXPECT_THAT(rules({}, spec), ElementsAre(HasSubstr("'/etc'"), HasSubstr("'ext4'")));
}

TEST(PolicyTest, a_privileged_guest_is_refused_whatever_else_is_allowed) {
  oci::Spec spec = ordinary();
  spec.linux.seccomp.reset();
  spec.linux.masked_paths.clear();
  spec.linux.readonly_paths.clear();
  spec.linux.resources->devices[0].allow = true;
  EXPECT_EQ(rules(with({{"allow-unsafe", "seccomp"}}), spec).size(), 2U);
  EXPECT_THAT(rules(with({{"allow-unsafe", "privileged"}}), spec), IsEmpty());
}

TEST(PolicyTest, hooks_run_on_the_host_and_are_never_allowed) {
  oci::Spec spec = ordinary();
  spec.hooks.prestart.emplace_back();
  EXPECT_EQ(rules(with({{"allow-unsafe", "privileged"}}), spec).size(), 1U);
}

TEST(PolicyTest, limits_of_a_guest_have_to_be_given_and_fit) {
  const Policy policy =
      with({{"guest-memory", "64M"}, {"guest-cpus", "0.5"}, {"guest-pids", "10"}});
  oci::Spec spec = ordinary();
  EXPECT_EQ(rules(policy, spec).size(), 3U);
  spec.linux.resources->memory.emplace().limit = 64 << 20;
  spec.linux.resources->pids_limit = 10;
  spec.linux.resources->cpu.emplace().quota = 50'000;
  spec.linux.resources->cpu->period = 100'000;
  EXPECT_THAT(rules(policy, spec), IsEmpty());
  spec.linux.resources->memory->limit = -1;
  spec.linux.resources->pids_limit = 11;
  spec.linux.resources->cpu->quota = 50'100;
  EXPECT_EQ(rules(policy, spec).size(), 3U);
}

TEST(PolicyTest, limits_of_a_guest_are_said_as_root_wrote_them) {
  Policy policy;
  policy.guest_memory = 512U << 20U;
  policy.guest_cpu_milli = 1500;
  policy.guest_pids = 100;
  oci::Spec spec = ordinary();
  spec.linux.resources.reset();
  const Error error = to_error("acme", constrain(policy, spec, facts()));
  EXPECT_THAT(error.text(), HasSubstr("--memory has to be given, at most 512MiB"));
  EXPECT_THAT(error.text(), HasSubstr("--pids-limit has to be given, at most 100"));
  EXPECT_THAT(error.text(), HasSubstr("--cpus has to be given, at most 1.5"));
  EXPECT_THAT(error.hint(),
              HasSubstr("acme --guest-memory SIZE --guest-pids NUMBER --guest-cpus NUMBER"));
}

TEST(PolicyTest, wishes_are_checked_by_registry_network_isolation_and_filter) {
  const Policy policy =
      with({{"only-registry", "a.example"}, {"only-network", "web"}, {"require-vm", "true"}});
  Wishes wishes;
  wishes.registry = "b.example";
  wishes.networks = {"web", "default"};
  wishes.isolation = "container";
  wishes.own_filter = wishes.privileged = true;
  std::vector<std::string> names;
  for (const Refusal& one : constrain(policy, wishes))
    names.push_back(one.rule);
  EXPECT_THAT(names, ElementsAre("registries", "networks", "unsafe", "unsafe", "isolation"));
  Wishes fine;
  fine.registry = "a.example";
  fine.networks = {"web"};
  fine.isolation = "vm";
  EXPECT_THAT(constrain(policy, fine), IsEmpty());
  fine.registry = "";  // nothing is fetched
  EXPECT_THAT(constrain(policy, fine), IsEmpty());
}

TEST(PolicyTest, system_guests_are_allowed_until_root_forbids_them) {
  Wishes wishes;
  wishes.isolation = "system";
  EXPECT_THAT(constrain(Policy(), wishes), IsEmpty());
  const std::vector<Refusal> refused = constrain(with({{"forbid-system", "true"}}), wishes);
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].rule, "isolation");
  EXPECT_EQ(refused[0].flag, "--forbid-system=false");
  wishes.isolation = "container";
  EXPECT_THAT(constrain(with({{"forbid-system", "true"}}), wishes), IsEmpty());
}

TEST(PolicyTest, all_faults_of_flags_are_said_with_the_nearest_word) {
  Policy policy;
  json::Faults faults("tenant 'a'");
  const std::vector<FlagText> given{{"allow-mount", "srv"},     {"allow-mount", "/a/../b"},
                                    {"allow-device", "/etc/x"}, {"allow-host", "netwrok"},
                                    {"allow-unsafe", "all"},    {"guest-memory", "1X"},
                                    {"require-vm", "yes"}};
  read_policy(given, policy, faults);
  EXPECT_EQ(faults.count(), 7U);
  EXPECT_THAT(faults.error().text(), HasSubstr("did you mean 'network'?"));
  EXPECT_THAT(faults.error().text(), HasSubstr("--guest-memory: '1X' is not a size"));
  EXPECT_EQ(policy, Policy());
}

TEST(PolicyTest, none_makes_it_strict_again) {
  const Policy policy = with({{"allow-cap", "ALL"}, {"allow-cap", "none"}, {"allow-mount", "/a"}});
  EXPECT_TRUE(policy.capabilities.empty());
  EXPECT_THAT(policy.mounts, ElementsAre("/a"));
}

}  // namespace
}  // namespace vrun::tenants
