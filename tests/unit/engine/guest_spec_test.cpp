// What a guest's specification says, without a kernel.
#include "engine/guest_spec.hpp"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "engine/guest_network.hpp"
#include "engine/guest_setup.hpp"

namespace vrun::engine {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

oci::ImageConfig image() {
  oci::ImageConfig config;
  config.entrypoint = {"/entry"};
  config.cmd = {"default", "words"};
  config.env = {"PATH=/image/bin", "FROM=image", "LEAK"};
  config.working_dir = "/srv";
  return config;
}

GuestFacts facts() {
  GuestFacts facts;
  facts.name = "web";
  facts.cgroups_path = "/vrun/default/web";
  facts.uids = facts.gids = {{.container_id = 0, .host_id = 524288, .size = 65536}};
  facts.files_dir = "/var/lib/vrun/guests/default/web/files";
  facts.account.home = "/root";
  return facts;
}

oci::Spec spec_of(const RunRequest& request, const GuestFacts& with = facts()) {
  Result<oci::Spec> spec = build_spec(image(), request, with);
  EXPECT_TRUE(spec) << spec.error().text();
  return spec ? *std::move(spec) : oci::Spec{};
}

bool has_namespace(const oci::Spec& spec, oci::NamespaceType type) {
  return oci::find_namespace(spec.linux, type) != nullptr;
}

const oci::Mount* mount_at(const oci::Spec& spec, const std::string& target) {
  const auto found = std::find_if(spec.mounts.begin(), spec.mounts.end(),
                                  [&](const oci::Mount& one) { return one.destination == target; });
  return found == spec.mounts.end() ? nullptr : &*found;
}

TEST(GuestSpec, defaults_are_the_safe_ones) {
  const oci::Spec spec = spec_of({});
  using enum oci::NamespaceType;
  for (const auto type : {kUser, kPid, kMount, kIpc, kUts, kCgroup, kNetwork})
    EXPECT_TRUE(has_namespace(spec, type));
  EXPECT_EQ(spec.linux.uid_mappings, facts().uids);
  EXPECT_EQ(spec.hostname, "web");
  EXPECT_EQ(spec.linux.cgroups_path, "/vrun/default/web");
  ASSERT_TRUE(spec.linux.seccomp);
  EXPECT_FALSE(spec.linux.seccomp->syscalls.empty());
  EXPECT_THAT(spec.linux.masked_paths, Contains("/proc/kcore"));
  EXPECT_THAT(spec.linux.readonly_paths, Contains("/proc/sys"));
  ASSERT_EQ(spec.linux.resources->devices.size(), 1U);
  EXPECT_FALSE(spec.linux.resources->devices[0].allow);
  const oci::Capabilities& caps = *spec.process->capabilities;
  EXPECT_EQ(caps.bounding.size(), 12U);
  EXPECT_EQ(caps.effective, caps.bounding);
  EXPECT_THAT(caps.inheritable, IsEmpty());
  EXPECT_THAT(caps.ambient, IsEmpty());
  EXPECT_THAT(caps.bounding, Not(Contains("CAP_SYS_ADMIN")));
  EXPECT_FALSE(spec.root.readonly);
  EXPECT_FALSE(spec.process->no_new_privileges);
}

TEST(GuestSpec, environment_is_image_then_files_then_flags) {
  GuestFacts with = facts();
  const std::string file = ::testing::TempDir() + "vrun_env_file";
  ASSERT_TRUE(fs::replace_file(*sys::open_dir(At::cwd(), ::testing::TempDir()), "vrun_env_file",
                               "FROM=file\nA=file\n"));
  Host caller = Host::current();
  caller.env = {"LEAK=secret of the caller", "TOKEN=abc"};
  RunRequest request;
  request.env_files = {file};
  request.env = {"A=flag", "TOKEN"};
  ASSERT_TRUE(settle_request(request, caller));
  const auto env = spec_of(request, with).process->env;
  EXPECT_THAT(env, Contains("FROM=file"));
  EXPECT_THAT(env, Contains("A=flag"));
  EXPECT_THAT(env, Contains("TOKEN=abc"));
  EXPECT_THAT(env, Contains("PATH=/image/bin"));
  EXPECT_THAT(env, Contains("HOME=/root"));
  EXPECT_THAT(env, Contains("HOSTNAME=web"));
  EXPECT_THAT(env, Not(Contains(HasSubstr("LEAK"))))
      << "an image must not read the caller's variables";
  EXPECT_THAT(env, Not(Contains(HasSubstr("TERM=")))) << "no terminal";
}

TEST(GuestSpec, command_by_dockers_rules) {
  RunRequest request;
  EXPECT_THAT(*command_of(image(), request), ElementsAre("/entry", "default", "words"));
  request.args = {"mine"};
  EXPECT_THAT(*command_of(image(), request), ElementsAre("/entry", "mine"));
  request.entrypoint = "/other";
  EXPECT_THAT(*command_of(image(), request), ElementsAre("/other", "mine"));
  request.args.clear();
  EXPECT_THAT(*command_of(image(), request), ElementsAre("/other"));
  request.entrypoint = "";
  EXPECT_THAT(command_of(image(), request).error().text(), HasSubstr("no command"));
}

TEST(GuestSpec, capabilities_are_added_and_dropped_by_any_spelling) {
  RunRequest request;
  request.cap_add = {"net_admin"};
  request.cap_drop = {"CAP_CHOWN", "kill"};
  const auto set = *capabilities_of(request);
  EXPECT_THAT(set, Contains("CAP_NET_ADMIN"));
  EXPECT_THAT(set, Not(Contains("CAP_CHOWN")));
  EXPECT_THAT(set, Not(Contains("CAP_KILL")));
  request.cap_add = {"SETUID"};
  request.cap_drop = {"all"};
  EXPECT_THAT(*capabilities_of(request), ElementsAre("CAP_SETUID"));
  request.cap_add = {"ALL"};
  request.cap_drop = {"SYS_ADMIN"};
  EXPECT_THAT(*capabilities_of(request), Not(Contains("CAP_SYS_ADMIN")));
  EXPECT_GT(capabilities_of(request)->size(), 30U);
  request.cap_add = {"NET_ADMON"};
  const auto wrong = capabilities_of(request);
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().hint(), HasSubstr("CAP_NET_ADMIN"));
}

TEST(GuestSpec, another_user_starts_without_capabilities) {
  GuestFacts with = facts();
  with.account.user.uid = Uid(33);
  const oci::Capabilities caps = *spec_of({}, with).process->capabilities;
  EXPECT_THAT(caps.effective, IsEmpty());
  EXPECT_THAT(caps.permitted, IsEmpty());
  EXPECT_EQ(caps.bounding.size(), 12U);
}

TEST(GuestSpec, host_network_has_no_namespace_and_no_fresh_sysfs) {
  RunRequest request;
  request.network = "host";
  const oci::Spec spec = spec_of(request);
  EXPECT_FALSE(has_namespace(spec, oci::NamespaceType::kNetwork));
  EXPECT_EQ(mount_at(spec, "/sys")->type, "bind");
  EXPECT_THAT(mount_at(spec, "/sys")->options, Contains("rro"));
  EXPECT_THAT(spec.linux.sysctl, IsEmpty()) << "the host's knobs are not ours";
}

TEST(GuestSpec, volumes_come_after_our_own_mounts) {
  GuestFacts with = facts();
  oci::Mount volume;
  volume.destination = "/etc/hosts";
  volume.source = "/mine";
  with.volumes = {volume};
  const oci::Spec spec = spec_of({}, with);
  EXPECT_EQ(spec.mounts.back().source, "/mine");
}

TEST(GuestSpec, flags_reach_the_specification) {
  RunRequest request;
  request.hostname = "inner";
  request.workdir = "sub/../work";
  request.read_only = true;
  request.no_new_privileges = true;
  request.memory = "64m";
  GuestFacts with = facts();
  with.terminal = true;
  const oci::Spec spec = spec_of(request, with);
  EXPECT_EQ(spec.hostname, "inner");
  EXPECT_EQ(spec.process->cwd, "/work");
  EXPECT_TRUE(spec.root.readonly);
  EXPECT_TRUE(spec.process->no_new_privileges);
  EXPECT_TRUE(spec.process->terminal);
  EXPECT_EQ(spec.linux.resources->memory->limit, 64 << 20);
  EXPECT_THAT(spec.process->env, Contains("TERM=xterm"));
  EXPECT_THAT(spec.process->env, Contains("HOSTNAME=inner"));
}

TEST(GuestSpec, what_comes_later_says_so) {
  RunRequest request;
  EXPECT_TRUE(check_request(request));
  request.isolation = "vm";
  EXPECT_TRUE(check_request(request));
  request.isolation = "jail";
  EXPECT_EQ(check_request(request).error().hint(), "there are: container, system, vm");
  request = {};
  request.pull = "sometimes";
  EXPECT_EQ(check_request(request).error().code(), Code::kInvalid);
  request = {};
  request.network = "none";
  request.publish = {"80:80"};
  EXPECT_THAT(check_network(request).error().hint(), HasSubstr("--network"));
  request = {};
  request.hostname = "a\nb";
  EXPECT_EQ(check_request(request).error().code(), Code::kInvalid);
  request = {};
  request.isolation = "zone";
  EXPECT_EQ(check_request(request).error().code(), Code::kInvalid);
  request = {};
  request.hostname = std::string(65, 'h');
  EXPECT_FALSE(check_request(request));
}

}  // namespace
}  // namespace vrun::engine
