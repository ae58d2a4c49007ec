// The whole way into a container's tree, in real namespaces.
#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include "oci/documents.hpp"
#include "sandbox.hpp"

namespace vrun::rootfs {
namespace {

using testing::HasSubstr;

constexpr int kAll = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS;

oci::Spec default_without_cgroup() {
  oci::Spec spec = oci::default_spec({});
  spec.process->terminal = false;
  std::erase_if(spec.mounts, [](const oci::Mount& m) { return m.type == "cgroup"; });
  return spec;
}

TEST(Tree, default_spec_is_entered) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(in_sandbox(kAll,
                       [] {
                         Playground play;
                         play.write(play.image + "/marker", "in the image");
                         const std::string failed = play.enter(default_without_cgroup());
                         if (!failed.empty()) return failed;
                         std::string seen = play.read("/marker") + "; ";
                         seen += "proc " + mount_flags_at("/proc") + "; ";
                         seen += "dev " + mount_flags_at("/dev") + "; ";
                         seen += "sys " + mount_flags_at("/sys") + "; ";
                         seen += "root " + mount_flags_at("/") + "; ";
                         return seen;
                       }),
            "in the image; proc rw,relatime; dev rw,nosuid; sys ro,nosuid,nodev,noexec,relatime; "
            "root ro,relatime; ");
}

// What the guest sees, after one mount was added to a minimal tree.
std::string with_mount(const oci::Mount& mount, const std::function<void(Playground&)>& before,
                       const std::function<std::string(Playground&)>& after,
                       const std::function<void(oci::Spec&)>& change = {}) {
  return in_sandbox(kAll, [&] {
    Playground play;
    before(play);
    oci::Spec spec = spec_with(mount);
    spec.mounts.insert(spec.mounts.begin(), mount_of("/proc", "proc", "proc"));
    if (change) change(spec);
    const std::string failed = play.enter(spec);
    return failed.empty() ? after(play) : "failed: " + failed;
  });
}

void nothing(Playground&) {}

std::string flags_of_target(Playground&) {
  return mount_flags_at("/target");
}

std::string type_of(const std::string& path) {
  struct stat about {};
  if (::lstat(path.c_str(), &about) != 0) return "missing";
  switch (about.st_mode & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "link";
    case S_IFIFO:
      return "fifo";
    case S_IFCHR:
    case S_IFBLK:
      return "device " + std::to_string(major(about.st_rdev)) + ":" +
             std::to_string(minor(about.st_rdev));
    default:
      return "something";
  }
}

std::string mode_of(const std::string& path) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) return "missing";
  char text[16];
  std::snprintf(text, sizeof text, "%04o", static_cast<unsigned>(about.st_mode & 07777U));
  return text;
}

TEST(Tree, bind_of_a_directory_makes_its_target) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(with_mount(
                mount_of("/deep/in/target", "bind", "host", {"bind", "ro", "nosuid", "noexec"}),
                [](Playground& play) { play.write(play.host + "/file", "from the host"); },
                [](Playground& play) {
                  return play.read("/deep/in/target/file") + " " +
                         mount_flags_at("/deep/in/target");
                }),
            "from the host ro,nosuid,noexec,relatime");
}

TEST(Tree, bind_of_a_file_makes_a_file) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(with_mount(
                mount_of("/etc/hosts", "bind", "host/hosts", {"rbind", "rprivate"}),
                [](Playground& play) { play.write(play.host + "/hosts", "names"); },
                [](Playground& play) { return type_of("/etc/hosts") + play.read("/etc/hosts"); }),
            "filenames");
}

TEST(Tree, a_missing_bind_source_is_named) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(with_mount(mount_of("/target", "bind", "/no/such/source", {"bind"}), nothing,
                       flags_of_target),
            "failed: open mount '/no/such/source' (mounts[1].source): no such file or directory "
            "(ENOENT)");
}

TEST(Tree, a_directory_is_not_bound_on_a_file) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(
      with_mount(
          mount_of("/target", "bind", "host", {"bind"}),
          [](Playground& play) { play.write(play.image + "/target", "a file"); }, flags_of_target),
      "failed: bind /tmp/vrun-rootfs-test/host on /target private: ENOTDIR [a directory "
      "cannot be mounted on a file]");
}

TEST(Tree, recursive_attributes_reach_the_mounts_below) {
  SKIP_UNLESS_ROOT();
  const auto below = [](Playground& play) {
    ::mkdir((play.host + "/below").c_str(), 0755);
    ::mount("tmpfs", (play.host + "/below").c_str(), "tmpfs", 0, nullptr);
  };
  const auto both = [](Playground&) {
    return mount_flags_at("/target") + " " + mount_flags_at("/target/below");
  };
  EXPECT_EQ(with_mount(mount_of("/target", "bind", "host", {"rbind", "ro"}), below, both),
            "ro,relatime rw,relatime");
  EXPECT_EQ(
      with_mount(mount_of("/target", "bind", "host", {"rbind", "rro", "rnosuid"}), below, both),
      "ro,nosuid,relatime ro,nosuid,relatime");
  EXPECT_EQ(with_mount(mount_of("/target", "bind", "host", {"bind", "rro"}), below, both),
            "ro,relatime not a mount");
  EXPECT_EQ(
      with_mount(mount_of("/target", "bind", "host", {"rbind", "rnoatime", "noexec"}), below, both),
      "rw,noexec,noatime rw,noatime");
}

TEST(Tree, each_attribute_shows_on_the_mount) {
  SKIP_UNLESS_ROOT();
  const std::pair<const char*, const char*> cases[] = {{"ro", "ro,relatime"},
                                                       {"nosuid", "rw,nosuid,relatime"},
                                                       {"nodev", "rw,nodev,relatime"},
                                                       {"noexec", "rw,noexec,relatime"},
                                                       {"noatime", "rw,noatime"},
                                                       {"nodiratime", "rw,nodiratime,relatime"},
                                                       {"strictatime", "rw"},
                                                       {"relatime", "rw,relatime"},
                                                       {"nosymfollow", "rw,relatime,nosymfollow"}};
  for (const auto& [option, shown] : cases) {
    EXPECT_EQ(with_mount(mount_of("/target", "tmpfs", "tmpfs", {option}), nothing, flags_of_target),
              shown);
    EXPECT_EQ(
        with_mount(mount_of("/target", "bind", "host", {"bind", option}), nothing, flags_of_target),
        shown);
  }
}

TEST(Tree, remount_changes_only_what_it_names) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(
      with_mount(
          mount_of("/target", "tmpfs", "tmpfs", {"nosuid", "noexec"}), nothing, flags_of_target,
          [](oci::Spec& spec) {
            spec.mounts.push_back(mount_of("/target", "bind", "", {"remount", "bind", "ro"}));
          }),
      "ro,nosuid,noexec,relatime");
}

TEST(Tree, remount_reconfigures_a_filesystem) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(with_mount(
                mount_of("/target", "tmpfs", "tmpfs", {"size=4m"}), nothing,
                [](Playground& play) {
                  const std::string table = play.read("/proc/self/mountinfo");
                  return table.substr(table.find("size="), 10);
                },
                [](oci::Spec& spec) {
                  spec.mounts.push_back(mount_of("/target", "tmpfs", "", {"remount", "size=1m"}));
                }),
            "size=1024k");
}

TEST(Tree, remount_of_what_is_no_mount_fails) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(with_mount(
                mount_of("/target", "", "", {"remount", "bind", "ro"}),
                [](Playground& play) { play.make_dirs(play.image + "/target"); }, flags_of_target),
            "failed: remount /target ro: EINVAL [the target is not a mount]");
}

TEST(Tree, a_bad_option_comes_with_the_kernels_words) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(
      with_mount(mount_of("/target", "tmpfs", "tmpfs", {"size=lots"}), nothing, flags_of_target),
      "failed: mount tmpfs on /target size=lots: EINVAL [tmpfs: Bad value for 'size']");
  EXPECT_EQ(with_mount(mount_of("/target", "tmpfs", "tmpfs", {"rdonly"}), nothing, flags_of_target),
            "failed: mount tmpfs on /target rdonly: EINVAL [tmpfs: Unknown parameter 'rdonly']");
  EXPECT_EQ(with_mount(mount_of("/target", "nosuchfs", ""), nothing, flags_of_target),
            "failed: mount nosuchfs on /target: ENODEV [this kernel does not know the filesystem]");
}

TEST(Tree, tmpfs_takes_the_mode_of_the_directory_below_it) {
  SKIP_UNLESS_ROOT();
  const auto mode = [](Playground&) { return mode_of("/target"); };
  const auto odd = [](Playground& play) {
    ::mkdir((play.image + "/target").c_str(), 0755);
    ::chmod((play.image + "/target").c_str(), 01731);
  };
  EXPECT_EQ(with_mount(mount_of("/target", "tmpfs", "tmpfs"), odd, mode), "1731");
  EXPECT_EQ(with_mount(mount_of("/target", "tmpfs", "tmpfs", {"mode=0700"}), odd, mode), "0700");
  EXPECT_EQ(with_mount(mount_of("/target", "tmpfs", "tmpfs"), nothing, mode), "1777");
}

TEST(Tree, read_only_tmpfs_can_hold_later_targets) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(
      with_mount(
          mount_of("/target", "tmpfs", "tmpfs", {"ro"}), nothing,
          [](Playground& play) {
            return play.read("/target/file") + " " + mount_flags_at("/target");
          },
          [](oci::Spec& spec) {
            spec.mounts.push_back(mount_of("/target/file", "bind", "/etc/hostname", {"bind"}));
          }),
      fs::read_file(At::cwd(), "/etc/hostname", 4096).value_or("") + " ro,relatime");
}

TEST(Tree, tmpcopyup_copies_what_the_image_has) {
  SKIP_UNLESS_ROOT();
  const auto fill = [](Playground& play) {
    const std::string dir = play.image + "/target";
    play.write(dir + "/file", std::string(100000, 'x'));
    ::chmod((dir + "/file").c_str(), 04751);
    (void)!::chown((dir + "/file").c_str(), 5, 6);
    ::chmod((dir + "/file").c_str(), 04751);
    play.write(dir + "/sub/inner", "inner");
    ::chmod((dir + "/sub").c_str(), 02750);
    (void)!::symlink("file", (dir + "/link").c_str());
    ::mkfifo((dir + "/fifo").c_str(), 0640);
    const struct timespec times[2] = {{1000, 0}, {2000, 5}};
    ::utimensat(AT_FDCWD, (dir + "/file").c_str(), times, 0);
    ::chmod(dir.c_str(), 0711);
    (void)!::chown(dir.c_str(), 7, 8);
  };
  const auto look = [](Playground& play) {
    struct stat file {};
    ::stat("/target/file", &file);
    struct stat top {};
    ::stat("/target", &top);
    char link[16] = {};
    (void)!::readlink("/target/link", link, sizeof link - 1);
    ::mkdir("/target/new", 0755);  // it can be written
    return std::to_string(play.read("/target/file").size()) + " " + mode_of("/target/file") + " " +
           std::to_string(file.st_uid) + ":" + std::to_string(file.st_gid) + " " +
           std::to_string(file.st_mtim.tv_sec) + "." + std::to_string(file.st_mtim.tv_nsec) + " " +
           play.read("/target/sub/inner") + " " + mode_of("/target/sub") + " " + link + " " +
           type_of("/target/fifo") + " " + mode_of("/target") + " " + std::to_string(top.st_uid) +
           ":" + std::to_string(top.st_gid) + " " + type_of("/target/new");
  };
  EXPECT_EQ(with_mount(mount_of("/target", "tmpfs", "tmpfs", {"tmpcopyup"}), fill, look),
            "100000 4751 5:6 2000.5 inner 2750 file fifo 0711 7:8 directory");
}

TEST(Tree, overlay_options_longer_than_fsconfig_takes) {
  SKIP_UNLESS_ROOT();
  std::string lower;
  for (int i = 0; i < 30; ++i)
    lower +=
        (i == 0 ? "" : ":") + std::string("/tmp/vrun-rootfs-test/host/layer") + std::to_string(i);
  ASSERT_GT(lower.size(), 256U);
  EXPECT_EQ(with_mount(
                mount_of("/target", "overlay", "overlay", {"lowerdir=" + lower, "ro", "nosuid"}),
                [](Playground& play) {
                  for (int i = 0; i < 30; ++i)
                    play.write(play.host + "/layer" + std::to_string(i) + "/f" + std::to_string(i),
                               "x");
                },
                [](Playground& play) {
                  return play.read("/target/f0") + play.read("/target/f29") + " " +
                         mount_flags_at("/target");
                }),
            "xx ro,nosuid,relatime");
}

TEST(Tree, symlinks_are_copied_not_followed_or_mounted_over) {
  SKIP_UNLESS_ROOT();
  const auto link = [](Playground& play) {
    (void)!::symlink("/somewhere", (play.host + "/link").c_str());
    play.write(play.image + "/real", "real");
    (void)!::symlink("real", (play.image + "/alias").c_str());
    play.write(play.host + "/file", "file");
  };
  const auto look = [](Playground&) {
    char text[32] = {};
    (void)!::readlink("/target", text, sizeof text - 1);
    return type_of("/target") + " " + text;
  };
  EXPECT_EQ(
      with_mount(mount_of("/target", "bind", "host/link", {"bind", "copy-symlink"}), link, look),
      "link /somewhere");
  EXPECT_EQ(with_mount(
                mount_of("/target", "bind", "host/link", {"bind", "copy-symlink"}),
                [&](Playground& play) {
                  link(play);
                  (void)!::symlink("/elsewhere", (play.image + "/target").c_str());
                },
                look),
            "failed: bind /tmp/vrun-rootfs-test/host/link on /target private: EEXIST [something "
            "else is there already]");
  EXPECT_EQ(
      with_mount(mount_of("/target", "bind", "host/link", {"bind", "src-nofollow"}), link, look),
      "link /somewhere");
  EXPECT_EQ(with_mount(mount_of("/alias", "bind", "host/file", {"bind", "dest-nofollow"}), link,
                       [](Playground& play) { return play.read("/alias") + play.read("/real"); }),
            "filereal");
  EXPECT_EQ(with_mount(mount_of("/alias", "bind", "host/file", {"bind"}), link,
                       [](Playground& play) { return play.read("/alias") + play.read("/real"); }),
            "filefile");
}

#define SKIP_UNLESS_TMPFS_MAPS()                                \
  if (!is_kernel_at_least(6, 3)) {                              \
    GTEST_SKIP() << "tmpfs can be id-mapped from Linux 6.3 on"; \
  }                                                             \
  static_assert(true)

bool is_kernel_at_least(int major_wanted, int minor_wanted) {
  utsname about{};
  ::uname(&about);
  int numbers[2] = {0, 0};
  (void)std::sscanf(about.release, "%d.%d", &numbers[0], &numbers[1]);
  return std::pair(numbers[0], numbers[1]) >= std::pair(major_wanted, minor_wanted);
}

TEST(Tree, id_mapped_binds_show_mapped_owners) {
  SKIP_UNLESS_ROOT();
  SKIP_UNLESS_TMPFS_MAPS();
  const auto own = [](Playground& play) {
    play.write(play.host + "/mine", "x");
    (void)!::chown((play.host + "/mine").c_str(), 1000, 1001);
  };
  const auto owner = [](Playground&) {
    struct stat about {};
    ::stat("/target/mine", &about);
    return std::to_string(about.st_uid) + ":" + std::to_string(about.st_gid);
  };
  oci::Mount mount = mount_of("/target", "bind", "host", {"bind", "idmap"});
  mount.uid_mappings = {{1000, 70000, 10}};
  mount.gid_mappings = {{1001, 80000, 10}};
  EXPECT_EQ(with_mount(mount, own, owner), "70000:80000");
  mount.options = {"rbind", "ridmap"};
  EXPECT_EQ(with_mount(mount, own, owner), "70000:80000");
  mount.options = {"rbind"};  // mappings alone ask for it
  EXPECT_EQ(with_mount(mount, own, owner), "70000:80000");
}

TEST(Tree, id_mapping_falls_back_to_the_containers) {
  SKIP_UNLESS_ROOT();
  SKIP_UNLESS_TMPFS_MAPS();
  const oci::Mount mount = mount_of("/target", "bind", "host", {"bind", "idmap"});
  const auto owner = [](Playground&) {
    struct stat about {};
    ::stat("/target", &about);
    return std::to_string(about.st_uid);
  };
  EXPECT_EQ(with_mount(mount, nothing, owner,
                       [](oci::Spec& spec) {
                         spec.linux.uid_mappings = {{0, 90000, 10}};
                         spec.linux.gid_mappings = {{0, 90000, 10}};
                       }),
            "90000");
  EXPECT_EQ(with_mount(mount, nothing, owner),
            "failed: an id-mapped mount needs uidMappings and gidMappings (mounts[1])");
}

TEST(Tree, devices_are_what_they_claim) {
  SKIP_UNLESS_ROOT();
  const auto look = [](Playground&) {
    struct stat fuse {};
    ::stat("/dev/fuse", &fuse);
    return type_of("/dev/null") + " " + mode_of("/dev/null") + " " + type_of("/dev/tty") + " " +
           type_of("/dev/fuse") + " " + mode_of("/dev/fuse") + " " + std::to_string(fuse.st_uid) +
           ":" + std::to_string(fuse.st_gid) + " " + type_of("/dev/pipe") + " " +
           type_of("/dev/ptmx") + " " + type_of("/dev/fd");
  };
  const auto add = [](oci::Spec& spec) {
    spec.linux.devices = {
        {'c', "/dev/fuse", 10, 229, 0640U, Uid(3), Gid(4)},
        {'p', "/dev/pipe", 0, 0, 0600U, {}, {}},
    };
  };
  EXPECT_EQ(with_mount(mount_of("/dev", "tmpfs", "tmpfs", {"mode=755"}), nothing, look, add),
            "device 1:3 0666 device 5:0 device 10:229 0640 3:4 fifo link link");
}

TEST(Tree, a_device_of_the_image_must_be_the_right_one) {
  SKIP_UNLESS_ROOT();
  const auto wrong = [](Playground& play) {
    play.make_dirs(play.image + "/dev");
    ::mknod((play.image + "/dev/null").c_str(), S_IFCHR | 0666, makedev(1, 5));
  };
  EXPECT_EQ(with_mount(mount_of("/x", "tmpfs", "tmpfs"), wrong, flags_of_target),
            "failed: make device /dev/null char 1:3 mode 0666 owner 0:0: EEXIST [something else is "
            "there]");
  const auto right = [](Playground& play) {
    play.make_dirs(play.image + "/dev");
    ::mknod((play.image + "/dev/null").c_str(), S_IFCHR | 0600, makedev(1, 3));
  };
  EXPECT_EQ(with_mount(mount_of("/x", "tmpfs", "tmpfs"), right,
                       [](Playground&) { return mode_of("/dev/null"); }),
            "0666");
}

TEST(Tree, no_devices_in_a_dev_of_the_host) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(with_mount(mount_of("/dev", "bind", "host", {"rbind"}), nothing,
                       [](Playground&) { return type_of("/dev/null"); }),
            "missing");
}

TEST(Tree, masks_hide_files_and_directories) {
  SKIP_UNLESS_ROOT();
  const auto fill = [](Playground& play) {
    play.write(play.image + "/secret", "secret");
    play.write(play.image + "/other", "secret");
    play.write(play.image + "/folder/secret", "secret");
    play.write(play.image + "/folder2/secret", "secret");
    play.write(play.image + "/locked/file", "still readable");
  };
  const auto look = [](Playground& play) {
    const int fd = ::open("/locked/file", O_WRONLY);
    std::string seen = type_of("/secret") + " " + type_of("/other") + " " +
                       type_of("/folder/secret") + " " + type_of("/folder2/secret") + " " +
                       play.read("/locked/file") + " " + (fd < 0 ? std::strerror(errno) : "open");
    return seen + " " + mount_flags_at("/folder2");
  };
  EXPECT_EQ(with_mount(mount_of("/x", "tmpfs", "tmpfs"), fill, look,
                       [](oci::Spec& spec) {
                         spec.linux.masked_paths = {"/secret",  "/other",   "/folder",
                                                    "/folder2", "/missing", "/secret/below"};
                         spec.linux.readonly_paths = {"/locked", "/missing"};
                       }),
            "device 1:3 device 1:3 missing missing still readable Read-only file system "
            "ro,nosuid,nodev,noexec,relatime");
}

TEST(Tree, a_mask_is_the_hosts_null_whatever_the_image_has) {
  SKIP_UNLESS_ROOT();
  const auto fill = [](Playground& play) {
    play.write(play.image + "/secret", "secret");
    play.make_dirs(play.image + "/dev");
    (void)!::symlink("/etc/passwd", (play.image + "/dev/null").c_str());
  };
  // The wrong node is an error even before the mask is asked for.
  EXPECT_THAT(with_mount(mount_of("/x", "tmpfs", "tmpfs"), fill, flags_of_target),
              HasSubstr("make device /dev/null"));
  // With /dev from the host side nothing is checked there, and the mask is right all the same.
  EXPECT_EQ(with_mount(
                mount_of("/dev", "bind", "image/dev", {"bind"}), fill,
                [](Playground&) { return type_of("/secret"); },
                [](oci::Spec& spec) { spec.linux.masked_paths = {"/secret"}; }),
            "device 1:3");
}

TEST(Tree, sysctls_are_written) {
  SKIP_UNLESS_ROOT();
  const auto look = [](Playground& play) {
    return play.read("/proc/sys/kernel/shmmni") + play.read("/proc/sys/net/ipv4/ip_forward");
  };
  EXPECT_EQ(
      with_mount(mount_of("/x", "tmpfs", "tmpfs"), nothing, look,
                 [](oci::Spec& spec) {
                   spec.linux.sysctl = {{"kernel.shmmni", "1234"}, {"net/ipv4/ip_forward", "1"}};
                 }),
      "1234\n1\n");
  EXPECT_EQ(with_mount(mount_of("/x", "tmpfs", "tmpfs"), nothing, look,
                       [](oci::Spec& spec) {
                         spec.linux.sysctl = {{"kernel.nonsense", "1"}};
                       }),
            "failed: set sysctl kernel/nonsense = 1: ENOENT [this kernel does not have it]");
  EXPECT_EQ(with_mount(mount_of("/x", "tmpfs", "tmpfs"), nothing, look,
                       [](oci::Spec& spec) {
                         spec.linux.sysctl = {{"net/../../self/attr/exec", "1"}};
                       }),
            "failed: not the name of a kernel parameter (linux.sysctl.net/../../self/attr/exec)");
}

TEST(Tree, nothing_of_the_host_is_left) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(in_sandbox(kAll,
                       [] {
                         Playground play;
                         oci::Spec spec = empty_spec();
                         spec.mounts = {mount_of("/proc", "proc", "proc")};
                         const std::string failed = play.enter(spec);
                         if (!failed.empty()) return failed;
                         return play.read("/proc/self/mountinfo");
                       })
                .find("/etc"),
            std::string::npos);
}

TEST(Tree, no_pivot_moves_the_root) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(in_sandbox(kAll,
                       [] {
                         Playground play;
                         play.write(play.image + "/marker", "in the image");
                         const int old = ::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
                         Options options;
                         options.no_pivot = true;
                         const std::string failed = play.enter(default_without_cgroup(), options);
                         if (!failed.empty()) return failed;
                         // The kernel still has the host's mounts, but its procfs and sysfs are
                         // gone.
                         const bool seen = ::faccessat(old, "proc/version", F_OK, 0) == 0 ||
                                           ::faccessat(old, "sys/kernel", F_OK, 0) == 0;
                         return play.read("/marker") + " " + type_of("/proc/version") + " " +
                                (seen ? "left" : "gone");
                       }),
            "in the image file gone");
}

TEST(Tree, a_bound_device_must_be_the_one_that_was_asked_for) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(in_sandbox(kAll,
                       [] {
                         Playground play;
                         oci::Spec spec = empty_spec();
                         spec.linux.devices = {{'c', "/dev/zero", 1, 3, {}, {}, {}}};
                         Options options;
                         options.new_user_namespace = true;
                         return play.enter(spec, options);
                       }),
            "bind device /dev/zero char 1:3 mode 0666 owner 0:0: ENODEV [the host has another "
            "device under this name]");
}

TEST(Tree, a_user_namespace_binds_the_hosts_devices) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(in_sandbox(kAll | CLONE_NEWUSER,
                       [] {
                         Playground play;
                         oci::Spec spec = empty_spec();
                         spec.mounts = {mount_of("/dev", "tmpfs", "tmpfs", {"mode=755"}),
                                        mount_of("/sys", "sysfs", "sysfs", {"ro"})};
                         spec.linux.masked_paths = {"/sys/kernel", "/sys/kernel/uevent_seqnum"};
                         Options options;
                         options.new_user_namespace = true;
                         options.parent_opens_sources = false;
                         const std::string failed = play.enter(spec, options);
                         if (!failed.empty()) return failed;
                         return type_of("/dev/null") + " " + type_of("/dev/tty") + " " +
                                type_of("/dev/ptmx") + " " + type_of("/sys/kernel/mm");
                       }),
            "device 1:3 device 5:0 link missing");
}

// Plans as root of the host, performs inside a new user namespace: what a privileged parent and its
// stage do.
std::string across_user_namespace(const oci::Spec& asked,
                                  const std::function<void(Playground&)>& before,
                                  const std::function<std::string(Playground&)>& after) {
  return in_sandbox(kAll, [&] {
    Playground play;
    before(play);
    oci::Spec spec = asked;
    spec.root.path = play.image;
    Options options;
    const auto bundle = sys::open_dir(At::cwd(), play.top);
    options.bundle = &*bundle;
    options.bundle_path = play.top;
    options.new_user_namespace = true;
    auto builder = steps::Builder::create();
    auto planned = plan_mounts(spec, options, test_host(), *builder);
    if (planned) planned = plan_enter(spec, options, test_host(), *builder);
    if (!planned) return planned.error().text();
    return in_sandbox(
        CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET,
        [&] {
          const std::string failed = perform_all(play.context, *builder);
          return failed.empty() ? after(play) : "failed: " + failed;
        },
        false);
  });
}

TEST(Tree, a_privileged_parent_hands_mounts_into_a_user_namespace) {
  SKIP_UNLESS_ROOT();
  oci::Spec spec = empty_spec();
  spec.mounts = {mount_of("/dev", "tmpfs", "tmpfs", {"mode=755"}),
                 mount_of("/sys", "sysfs", "sysfs", {"ro", "nosuid"}),
                 mount_of("/data", "bind", "host", {"bind", "ro", "nosuid"}),
                 mount_of("/tree", "bind", "host", {"rbind", "rro"})};
  spec.linux.masked_paths = {"/data/secret", "/data/folder"};
  spec.root.readonly = true;
  EXPECT_EQ(across_user_namespace(
                spec,
                [](Playground& play) {
                  play.write(play.host + "/secret", "secret");
                  play.write(play.host + "/open", "open");
                  play.write(play.host + "/folder/file", "secret");
                  play.make_dirs(play.host + "/below");
                  ::mount("tmpfs", (play.host + "/below").c_str(), "tmpfs", 0, nullptr);
                  // Nobody but root of the host may come here.
                  ::chmod(play.host.c_str(), 0700);
                },
                [](Playground& play) {
                  return play.read("/data/open") + " " + type_of("/data/secret") + " " +
                         type_of("/data/folder/file") + " " + type_of("/dev/null") + " " +
                         type_of("/tree/below") + " " +
                         (::access("/tree/below", W_OK) == 0 ? "writable" : std::strerror(errno)) +
                         " " + (::mkdir("/x", 0700) == 0 ? "made" : std::strerror(errno));
                }),
            "open device 1:3 missing device 1:3 directory Read-only file system Read-only file "
            "system");
}

TEST(Tree, id_mapped_binds_reach_a_user_namespace) {
  SKIP_UNLESS_ROOT();
  SKIP_UNLESS_TMPFS_MAPS();
  oci::Mount mount = mount_of("/mapped", "bind", "host", {"bind", "idmap"});
  mount.uid_mappings = {{5, 0, 1}};
  mount.gid_mappings = {{5, 0, 1}};
  EXPECT_EQ(across_user_namespace(
                spec_with(mount),
                [](Playground& play) {
                  play.write(play.host + "/file", "x");
                  (void)!::chown((play.host + "/file").c_str(), 5, 5);
                },
                [](Playground&) {
                  struct stat about {};
                  ::stat("/mapped/file", &about);
                  return std::to_string(about.st_uid) + ":" + std::to_string(about.st_gid);
                }),
            "0:0");
}

TEST(Tree, an_unprivileged_user_can_make_a_container) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(
      in_sandbox(CLONE_NEWNS,
                 [] {
                   ::mount("tmpfs", "/mnt", "tmpfs", 0, "mode=755");
                   ::mkdir("/mnt/data", 0755);
                   if (::setresgid(1000, 1000, 1000) != 0 || ::setresuid(1000, 1000, 1000) != 0)
                     return std::string("cannot become a user");
                   ::prctl(PR_SET_DUMPABLE, 1);  // else /proc/self belongs to root
                   return in_sandbox(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC, [] {
                     Playground play;
                     oci::Spec spec = empty_spec();
                     spec.mounts = {mount_of("/dev", "tmpfs", "tmpfs", {"nosuid", "mode=755"}),
                                    mount_of("/dev/pts", "devpts", "devpts", {"newinstance"}),
                                    mount_of("/dev/mqueue", "mqueue", "mqueue", {"nosuid"}),
                                    mount_of("/sys", "none", "/sys",
                                             {"rbind", "nosuid", "noexec", "nodev", "ro"}),
                                    mount_of("/data", "bind", "/mnt/data", {"bind"})};
                     spec.linux.masked_paths = {"/sys/firmware"};
                     spec.linux.readonly_paths = {"/data"};
                     Options options;
                     options.new_user_namespace = true;
                     options.parent_opens_sources = false;
                     const std::string failed = play.enter(spec, options);
                     if (!failed.empty()) return failed;
                     return type_of("/dev/null") + " " + type_of("/dev/pts/ptmx") + " " +
                            type_of("/data");
                   });
                 }),
      "device 1:3 device 5:2 directory");
}

TEST(Tree, a_sysfs_without_a_network_namespace_is_refused) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(in_sandbox(CLONE_NEWUSER | CLONE_NEWNS,
                       [] {
                         Playground play;
                         oci::Spec spec = empty_spec();
                         spec.mounts = {mount_of("/sys", "sysfs", "sysfs")};
                         Options options = unprivileged_options();
                         options.new_user_namespace = true;
                         return play.prepare(spec, options);
                       }),
            "mount sysfs on /sys: EPERM");
}

TEST(Tree, cgroups_of_the_container_are_mounted) {
  SKIP_UNLESS_ROOT();
  FakeGroup group({{"", "/sys/fs/cgroup", "", true}});
  EXPECT_EQ(in_sandbox(kAll | CLONE_NEWCGROUP,
                       [&] {
                         Playground play;
                         oci::Spec spec = empty_spec();
                         spec.mounts = {mount_of("/proc", "proc", "proc"),
                                        mount_of("/sys/fs/cgroup", "cgroup", "cgroup", {"ro"})};
                         Options options;
                         options.cgroup = &group;
                         const std::string failed = play.enter(spec, options);
                         if (!failed.empty()) return failed;
                         return type_of("/sys/fs/cgroup/cgroup.procs") + " " +
                                mount_flags_at("/sys/fs/cgroup");
                       }),
            "file ro,relatime");
}

}  // namespace
}  // namespace vrun::rootfs
