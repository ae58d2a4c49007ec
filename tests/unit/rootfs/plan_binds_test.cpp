// Entries of `mounts` as steps, and the errors of those that cannot be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planned.hpp"

namespace vrun::rootfs {
namespace {

using testing::HasSubstr;

TEST(MountPlan, binds_are_private_unless_asked) {
  EXPECT_EQ(planned_mount(mount_of("/a", "bind", "/x", {"bind"})),
            "bind /x on /a private  (mounts[0])");
  EXPECT_EQ(planned_mount(mount_of("/a", "bind", "/x", {"rbind"})),
            "rbind /x on /a rprivate  (mounts[0])");
  EXPECT_EQ(planned_mount(mount_of("/a", "bind", "/x", {"rbind", "rslave"})),
            "rbind /x on /a rslave  (mounts[0])");
  EXPECT_EQ(planned_mount(mount_of("/a", "bind", "/x", {"rbind", "shared"})),
            "rbind /x on /a shared  (mounts[0])");
}

TEST(MountPlan, what_makes_a_bind) {
  EXPECT_EQ(planned_mount(mount_of("/a", "none", "/x", {"rbind", "ro"})),
            "rbind /x on /a ro,rprivate  (mounts[0])");
  EXPECT_EQ(planned_mount(mount_of("/a", "bind", "/x")), "bind /x on /a private  (mounts[0])");
  EXPECT_EQ(planned_mount(mount_of("/a", "", "/x", {"bind"})),
            "bind /x on /a private  (mounts[0])");
}

TEST(MountPlan, sources_count_from_the_bundle) {
  EXPECT_EQ(planned_mount(mount_of("/a", "bind", "data", {"bind"})),
            "bind /bundle/data on /a private  (mounts[0])");
}

TEST(MountPlan, destinations_are_cleaned) {
  EXPECT_EQ(planned_mount(mount_of("a//b/./c/", "tmpfs", "")),
            "mount tmpfs on /a/b/c  (mounts[0])");
  EXPECT_EQ(planned_mount(mount_of("/../../a", "tmpfs", "")), "mount tmpfs on /a  (mounts[0])");
}

TEST(MountPlan, attributes_and_their_recursive_forms) {
  EXPECT_EQ(planned_mount(mount_of("/a", "bind", "/x",
                                   {"rbind", "ro", "nosuid", "rnodev", "rnoexec", "rprivate"})),
            "rbind /x on /a ro,nosuid,rnodev,rnoexec,rprivate  (mounts[0])");
  EXPECT_EQ(planned_mount(mount_of("/a", "bind", "/x", {"bind", "rw", "dev", "exec"})),
            "bind /x on /a -ro,-nodev,-noexec,private  (mounts[0])");
}

TEST(MountPlan, words_that_a_bind_cannot_keep_are_errors) {
  EXPECT_EQ(planned_mount(mount_of("/a", "bind", "/x", {"bind", "size=1m"})),
            "error: unknown option 'size' for a bind mount (mounts[0])");
  EXPECT_EQ(planned_mount(mount_of("/a", "bind", "/x", {"bind", "sync"})),
            "error: option 'sync' does not apply to a bind mount (mounts[0])");
  EXPECT_EQ(planned_mount(mount_of("/a", "bind", "/x", {"bind", "tmpcopyup"})),
            "error: option 'tmpcopyup' applies to tmpfs, not to a bind mount (mounts[0])");
  const auto near = plan_both(spec_with(mount_of("/a", "bind", "/x", {"bind", "nosiud"})),
                              unprivileged_options());
  ASSERT_FALSE(near);
  EXPECT_EQ(near.error().hint(), "did you mean 'nosuid'?");
}

TEST(MountPlan, words_of_the_engines_command_lines_pass) {
  EXPECT_EQ(planned_mount(mount_of("/a", "bind", "/x", {"bind", "nocopy", "z", "async"})),
            "bind /x on /a private  (mounts[0])");
}

TEST(MountPlan, a_bind_needs_a_source) {
  EXPECT_EQ(planned_mount(mount_of("/a", "bind", "", {"bind"})),
            "error: a bind mount needs a source (mounts[0].source)");
}

TEST(MountPlan, a_filesystem_needs_a_type) {
  EXPECT_EQ(planned_mount(mount_of("/a", "", "/x")), "error: type is missing (mounts[0])");
  EXPECT_EQ(planned_mount(mount_of("/a", "none", "", {"rshared"})),
            "remount /a rshared  (mounts[0])");
}

TEST(MountPlan, filesystems_get_words_flags_and_data) {
  EXPECT_EQ(planned_mount(mount_of("/a", "ext4", "/dev/sda1", {"ro", "sync", "errors=remount-ro"})),
            "mount ext4 on /a ro,sync,ro,errors=remount-ro  (mounts[0])");
  EXPECT_EQ(planned_mount(mount_of("/a", "proc", "proc", {"ro", "hidepid=2"})),
            "mount proc on /a ro,hidepid=2  (mounts[0])");
}

TEST(MountPlan, read_only_tmpfs_starts_writable) {
  EXPECT_EQ(planned_mount(mount_of("/a", "tmpfs", "tmpfs", {"ro", "nodev"})),
            "mount tmpfs on /a nodev  (mounts[0])");
}

TEST(MountPlan, copy_up_is_for_tmpfs) {
  EXPECT_THAT(planned_mount(mount_of("/a", "tmpfs", "tmpfs", {"tmpcopyup", "size=1m"})),
              HasSubstr("/a"));
  EXPECT_EQ(planned_mount(mount_of("/a", "ramfs", "ramfs", {"tmpcopyup"})),
            "error: option 'tmpcopyup' applies to tmpfs, not to ramfs (mounts[0])");
}

TEST(MountPlan, remounts) {
  EXPECT_EQ(planned_mount(mount_of("/a", "", "", {"remount", "bind", "ro", "size=1m"})),
            "remount /a ro  (mounts[0])");
  EXPECT_EQ(planned_mount(mount_of("/a", "tmpfs", "", {"remount", "size=1m"})),
            "remount /a size=1m  (mounts[0])");
}

TEST(MountPlan, nothing_hides_the_root) {
  for (const char* target : {"/", "", "/..", "/./"}) {
    EXPECT_EQ(planned_mount(mount_of(target, "tmpfs", "tmpfs")),
              "error: a mount on / would hide the root; use root.path instead (mounts[0])");
  }
}

TEST(MountPlan, proc_is_only_proc) {
  EXPECT_EQ(planned_mount(mount_of("/proc", "tmpfs", "tmpfs")),
            "error: only a procfs may be mounted on /proc (mounts[0])");
  EXPECT_EQ(planned_mount(mount_of("/proc", "bind", "/proc", {"rbind"})),
            "rbind /proc on /proc rprivate  (mounts[0])");
  for (const char* target : {"/proc/self", "/proc/sys", "/proc/1/attr", "/proc/self/attr/exec",
                             "/proc/cpuinfo/x", "/proc//sys", "/a/../proc/sysrq-trigger"}) {
    EXPECT_THAT(planned_mount(mount_of(target, "bind", "/x", {"bind"})),
                HasSubstr("error: nothing may be mounted on '/proc/"))
        << target;
  }
  for (const char* target :
       {"/proc/cpuinfo", "/proc/diskstats", "/proc/loadavg", "/proc/meminfo", "/proc/net/dev",
        "/proc/slabinfo", "/proc/stat", "/proc/swaps", "/proc/sys/crypto/fips_enabled",
        "/proc/sys/kernel/ns_last_pid", "/proc/uptime", "/process"}) {
    EXPECT_EQ(planned_mount(mount_of(target, "bind", "/x", {"bind"})),
              "bind /x on " + std::string(target) + " private  (mounts[0])");
  }
}

TEST(MountPlan, id_maps_need_root_and_a_bind) {
  EXPECT_EQ(planned_mount(mount_of("/a", "bind", "/x", {"bind", "idmap"})),
            "error: an id-mapped mount needs root on the host (mounts[0])");
  EXPECT_EQ(planned_mount(mount_of("/a", "tmpfs", "tmpfs", {"idmap"})),
            "error: only bind mounts can be id-mapped (mounts[0])");
}

TEST(MountPlan, a_label_needs_selinux) {
  if (::access("/sys/fs/selinux/enforce", F_OK) == 0) GTEST_SKIP() << "this host has SELinux";
  oci::Spec spec = spec_with(mount_of("/a", "tmpfs", "tmpfs"));
  spec.linux.mount_label = "system_u:object_r:container_file_t:s0";
  const auto planned = plan_both(spec, unprivileged_options());
  ASSERT_FALSE(planned);
  EXPECT_EQ(planned.error().text(),
            "a mount label needs SELinux, which is off on this host (linux.mountLabel)");
}

std::string planned_cgroup(const std::vector<cgroups::Group::MountPart>& parts, bool own_namespace,
                           const std::vector<std::string>& mount_options = {"ro", "nosuid"}) {
  const FakeGroup group(parts);
  Options options = unprivileged_options();
  options.cgroup = &group;
  options.cgroup_namespace = own_namespace;
  const auto planned =
      plan_both(spec_with(mount_of("/sys/fs/cgroup", "cgroup", "cgroup", mount_options)), options);
  if (!planned) return "error: " + planned.error().text();
  std::string all = planned->mounts;
  const std::size_t start = all.find('\n') + 1;
  return all.substr(start, all.find("make device") - start);
}

TEST(MountPlan, one_cgroup_hierarchy) {
  EXPECT_EQ(planned_cgroup({{"", "/sys/fs/cgroup/c", "", true}}, true),
            "mount cgroup2 on /sys/fs/cgroup ro,nosuid  (mounts[0])\n");
  EXPECT_EQ(planned_cgroup({{"", "/sys/fs/cgroup/c", "", true}}, false),
            "bind /sys/fs/cgroup/c on /sys/fs/cgroup ro,nosuid,private  (mounts[0])\n");
}

TEST(MountPlan, many_cgroup_hierarchies) {
  const std::vector<cgroups::Group::MountPart> parts = {
      {"memory", "/h/memory/c", "memory", false},
      {"cpu,cpuacct", "/h/cpu/c", "cpu,cpuacct", false},
      {"joined", "/h/joined/c", "", true}};
  EXPECT_EQ(planned_cgroup(parts, true),
            R"(mount tmpfs on /sys/fs/cgroup nosuid,nodev,noexec,mode=755  (mounts[0])
mount cgroup on /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,memory  (mounts[0])
mount cgroup on /sys/fs/cgroup/cpu,cpuacct ro,nosuid,nodev,noexec,cpu,cpuacct  (mounts[0])
make link /sys/fs/cgroup/cpu -> cpu,cpuacct  (mounts[0])
make link /sys/fs/cgroup/cpuacct -> cpu,cpuacct  (mounts[0])
mount cgroup2 on /sys/fs/cgroup/joined ro,nosuid,nodev,noexec  (mounts[0])
remount /sys/fs/cgroup ro  (mounts[0])
)");
  EXPECT_THAT(planned_cgroup(parts, false, {}),
              HasSubstr("bind /h/memory/c on /sys/fs/cgroup/memory nosuid,nodev,noexec,private"));
  EXPECT_THAT(planned_cgroup(parts, false, {}), testing::Not(HasSubstr("remount")));
}

TEST(MountPlan, a_cgroup_mount_needs_a_cgroup) {
  EXPECT_EQ(planned_mount(mount_of("/sys/fs/cgroup", "cgroup", "cgroup")),
            "error: a mount of type cgroup needs a cgroup of the container (mounts[0])");
}

}  // namespace
}  // namespace vrun::rootfs
