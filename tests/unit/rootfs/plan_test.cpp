#include "rootfs/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oci/documents.hpp"
#include "planned.hpp"

namespace vrun::rootfs {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(RootfsPlan, default_spec) {
  oci::Spec spec = oci::default_spec({.cgroup_namespace = true});
  spec.root.path = "/";
  spec.process->terminal = false;
  FakeGroup group({{"", "/sys/fs/cgroup/x", "", true}});
  Options options = unprivileged_options();
  options.cgroup = &group;
  const auto planned = plan_both(spec, options);
  ASSERT_TRUE(planned) << planned.error().text();
  EXPECT_EQ(planned->mounts, R"(prepare the root rslave  (root.path)
mount proc on /proc  (mounts[0])
mount tmpfs on /dev nosuid,strictatime,mode=755,size=65536k  (mounts[1])
mount devpts on /dev/pts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5  (mounts[2])
mount tmpfs on /dev/shm nosuid,nodev,noexec,mode=1777,size=65536k  (mounts[3])
mount mqueue on /dev/mqueue nosuid,nodev,noexec  (mounts[4])
mount sysfs on /sys ro,nosuid,nodev,noexec  (mounts[5])
mount cgroup2 on /sys/fs/cgroup ro,nosuid,nodev,noexec  (mounts[6])
make device /dev/null char 1:3 mode 0666 owner 0:0
make device /dev/zero char 1:5 mode 0666 owner 0:0
make device /dev/full char 1:7 mode 0666 owner 0:0
make device /dev/random char 1:8 mode 0666 owner 0:0
make device /dev/urandom char 1:9 mode 0666 owner 0:0
make device /dev/tty char 5:0 mode 0666 owner 0:0
make link /dev/ptmx -> pts/ptmx
make link /dev/fd -> /proc/self/fd
make link /dev/stdin -> /proc/self/fd/0
make link /dev/stdout -> /proc/self/fd/1
make link /dev/stderr -> /proc/self/fd/2
)");
  EXPECT_EQ(planned->enter, R"(change the root  (root.path)
set root attributes ro  (root.readonly)
make read-only /proc/bus  (linux.readonlyPaths[0])
make read-only /proc/fs  (linux.readonlyPaths[1])
make read-only /proc/irq  (linux.readonlyPaths[2])
make read-only /proc/sys  (linux.readonlyPaths[3])
make read-only /proc/sysrq-trigger  (linux.readonlyPaths[4])
mask path /proc/acpi  (linux.maskedPaths[0])
mask path /proc/asound  (linux.maskedPaths[1])
mask path /proc/kcore  (linux.maskedPaths[2])
mask path /proc/keys  (linux.maskedPaths[3])
mask path /proc/latency_stats  (linux.maskedPaths[4])
mask path /proc/timer_list  (linux.maskedPaths[5])
mask path /proc/timer_stats  (linux.maskedPaths[6])
mask path /proc/sched_debug  (linux.maskedPaths[7])
mask path /sys/firmware  (linux.maskedPaths[8])
mask path /proc/scsi  (linux.maskedPaths[9])
)");
}

// Only the lines that are not of the default devices and links.
std::string enter_of(const std::function<void(oci::Spec&)>& change) {
  oci::Spec spec = empty_spec();
  change(spec);
  const auto planned = plan_both(spec, unprivileged_options());
  return planned ? planned->enter : "error: " + planned.error().text();
}

std::string root_line_of(const std::string& propagation) {
  oci::Spec spec = empty_spec();
  spec.linux.rootfs_propagation = propagation;
  const auto planned = plan_both(spec, unprivileged_options());
  if (!planned) return "error: " + planned.error().text();
  return planned->mounts.substr(0, planned->mounts.find("  (")) + " | " + planned->enter;
}

TEST(RootfsPlan, propagation_of_the_root) {
  const std::string change = "change the root  (root.path)\n";
  const std::string where = "  (linux.rootfsPropagation)\n";
  const std::pair<const char*, std::pair<const char*, std::string>> cases[] = {
      {"", {"rslave", change}},
      {"private", {"rprivate", change}},
      {"rprivate", {"rprivate", change + "set root attributes rprivate" + where}},
      {"slave", {"rslave", change + "set root attributes slave" + where}},
      {"rslave", {"rslave", change + "set root attributes rslave" + where}},
      {"shared", {"shared", change + "set root attributes shared" + where}},
      {"rshared", {"rshared", change + "set root attributes rshared" + where}},
      {"unbindable", {"rslave", change + "set root attributes unbindable" + where}},
      {"runbindable", {"rslave", change + "set root attributes runbindable" + where}}};
  for (const auto& [name, expected] : cases) {
    EXPECT_EQ(root_line_of(name),
              std::string("prepare the root ") + expected.first + " | " + expected.second);
  }
  EXPECT_EQ(root_line_of("public"),
            "error: unknown propagation 'public' (linux.rootfsPropagation)");
}

TEST(RootfsPlan, sysctl_names_become_paths) {
  const auto line = [](const std::string& key) {
    return enter_of([&](oci::Spec& spec) { spec.linux.sysctl = {{key, "1"}}; });
  };
  EXPECT_THAT(line("net.ipv4.ip_forward"), HasSubstr("set sysctl net/ipv4/ip_forward = 1"));
  EXPECT_THAT(line("net/ipv4/ip_forward"), HasSubstr("set sysctl net/ipv4/ip_forward = 1"));
  EXPECT_THAT(line("net.ipv4.conf.eth0/1.forwarding"),
              HasSubstr("set sysctl net/ipv4/conf/eth0.1/forwarding = 1"));
  EXPECT_THAT(line("net/ipv4/conf/eth0.1/forwarding"),
              HasSubstr("set sysctl net/ipv4/conf/eth0.1/forwarding = 1"));
}

TEST(RootfsPlan, read_only_comes_after_everything_was_made) {
  EXPECT_EQ(enter_of([](oci::Spec& spec) {
              spec.mounts = {mount_of("/run", "tmpfs", "tmpfs", {"ro", "nosuid"})};
              spec.root.readonly = true;
              spec.linux.rootfs_propagation = "rshared";
              spec.linux.sysctl = {{"kernel.shmmni", "1"}};
              spec.linux.readonly_paths = {"/proc/sys"};
              spec.linux.masked_paths = {"/proc/kcore"};
            }),
            R"(change the root  (root.path)
remount /run ro  (mounts[0])
set root attributes ro  (root.readonly)
set sysctl kernel/shmmni = 1  (linux.sysctl.kernel.shmmni)
make read-only /proc/sys  (linux.readonlyPaths[0])
mask path /proc/kcore  (linux.maskedPaths[0])
set root attributes rshared  (linux.rootfsPropagation)
)");
}

TEST(RootfsPlan, a_mount_namespace_is_needed) {
  oci::Spec spec = empty_spec();
  spec.linux.namespaces.clear();
  const auto planned = plan_both(spec, unprivileged_options());
  ASSERT_FALSE(planned);
  EXPECT_EQ(planned.error().code(), Code::kUnsupported);
  EXPECT_EQ(planned.error().where(), "linux.namespaces");
}

TEST(RootfsPlan, a_missing_root_is_named) {
  oci::Spec spec = empty_spec();
  spec.root.path = "/no/such/root";
  const auto planned = plan_both(spec, unprivileged_options());
  ASSERT_FALSE(planned);
  EXPECT_EQ(planned.error().text(),
            "open '/no/such/root' (root.path): no such file or directory (ENOENT)");
  EXPECT_EQ(planned.error().code(), Code::kNotFound);
}

std::string devices_of(const std::vector<oci::Device>& devices, bool user_namespace = false) {
  oci::Spec spec = empty_spec();
  spec.linux.devices = devices;
  Options options = unprivileged_options();
  options.new_user_namespace = user_namespace;
  const auto planned = plan_both(spec, options);
  return planned ? planned->mounts : "error: " + planned.error().text();
}

oci::Device device_at(std::string path, char type = 'c', std::int64_t major = 10,
                      std::int64_t minor = 200) {
  return {type, std::move(path), major, minor, {}, {}, {}};
}

TEST(RootfsPlan, devices_of_the_config_replace_default_ones) {
  const std::string plan = devices_of({{'c', "/dev/null", 1, 3, 0600U, Uid(1), Gid(2)}});
  EXPECT_THAT(plan, HasSubstr("make device /dev/null char 1:3 mode 0600 owner 1:2  "
                              "(linux.devices[0])"));
  EXPECT_THAT(plan, Not(HasSubstr("make device /dev/null char 1:3 mode 0666")));
  EXPECT_THAT(plan, HasSubstr("make device /dev/zero"));
}

TEST(RootfsPlan, device_kinds) {
  EXPECT_THAT(devices_of({device_at("/dev/a", 'b', 8, 1)}), HasSubstr("/dev/a block 8:1"));
  EXPECT_THAT(devices_of({device_at("/dev/a", 'u', 8, 1)}), HasSubstr("/dev/a char 8:1"));
  EXPECT_THAT(devices_of({device_at("/dev/a", 'p', 8, 1)}), HasSubstr("/dev/a fifo 0:0"));
  EXPECT_THAT(devices_of({device_at("/dev/net/tun")}), HasSubstr("/dev/net/tun char 10:200"));
}

TEST(RootfsPlan, user_namespaces_bind_devices_but_make_fifos) {
  const std::string plan = devices_of({device_at("/dev/fuse"), device_at("/dev/p", 'p')}, true);
  EXPECT_THAT(plan, HasSubstr("bind device /dev/null"));
  EXPECT_THAT(plan, HasSubstr("bind device /dev/fuse"));
  EXPECT_THAT(plan, HasSubstr("make device /dev/p fifo"));
}

TEST(RootfsPlan, ptmx_is_always_the_link) {
  EXPECT_THAT(devices_of({device_at("/dev/ptmx", 'c', 5, 2)}), Not(HasSubstr("device /dev/ptmx")));
}

TEST(RootfsPlan, devices_stay_below_dev) {
  for (const char* path : {"/etc/null", "/dev/../etc/null", "/dev", "/devil/x", "/dev/a/../../x"}) {
    EXPECT_EQ(devices_of({device_at(path)}), "error: device path '" + std::string(path) +
                                                 "' is not below /dev (linux.devices[0].path)");
  }
}

TEST(RootfsPlan, device_numbers_are_not_cut_off) {
  EXPECT_EQ(devices_of({device_at("/dev/a", 'c', 4096, 0)}),
            "error: device number 4096:0 does not exist (linux.devices[0].path)");
  EXPECT_EQ(devices_of({device_at("/dev/a", 'c', 1, 1 << 20)}),
            "error: device number 1:1048576 does not exist (linux.devices[0].path)");
  EXPECT_EQ(devices_of({device_at("/dev/a", 'b', -1, 0)}),
            "error: device number -1:0 does not exist (linux.devices[0].path)");
}

TEST(RootfsPlan, a_terminal_comes_last_with_its_size) {
  oci::Spec spec = empty_spec();
  spec.process.emplace();
  spec.process->terminal = true;
  spec.process->console_size = oci::ConsoleSize{24, 80};
  spec.process->user.uid = Uid(1000);
  const auto planned = plan_both(spec, unprivileged_options());
  ASSERT_TRUE(planned);
  EXPECT_THAT(planned->mounts, HasSubstr("(process.terminal)\n"));
  EXPECT_TRUE(planned->mounts.ends_with("(process.terminal)\n"));
}

TEST(RootfsPlan, hints_name_the_way_out) {
  auto builder = steps::Builder::create();
  ASSERT_TRUE(builder);
  const oci::Spec spec = spec_with(mount_of("/sys", "sysfs", "sysfs"));
  ASSERT_TRUE(plan_mounts(spec, unprivileged_options(), test_host(), *builder));
  EXPECT_THAT(hint_for(builder->steps()[1], EPERM), HasSubstr("\"source\": \"/sys\""));
  EXPECT_EQ(hint_for(builder->steps()[1], EIO), "");
  EXPECT_THAT(hint_for(builder->steps()[0], EACCES), HasSubstr("searchable"));
}

}  // namespace
}  // namespace vrun::rootfs
