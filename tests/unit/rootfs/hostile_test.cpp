// Images and volumes made to mislead the runtime; each case is the class of a published hole.
#include <array>
#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#include "base/text.hpp"
#include "sandbox.hpp"

namespace vrun::rootfs {
namespace {

using testing::HasSubstr;

constexpr int kAll = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS;

std::string entered(const std::vector<oci::Mount>& mounts,
                    const std::function<void(Playground&)>& before,
                    const std::function<std::string(Playground&)>& after = {},
                    const std::function<void(oci::Spec&)>& change = {}) {
  return in_sandbox(kAll, [&] {
    Playground play;
    before(play);
    oci::Spec spec = empty_spec();
    spec.mounts = mounts;
    if (change) change(spec);
    const std::string failed = play.enter(spec);
    if (!failed.empty()) return "failed: " + failed;
    return after ? after(play) : std::string("entered");
  });
}

void link(Playground& play, const std::string& target, const std::string& path) {
  play.make_dirs(std::string(fs::dir_name(play.image + path)));
  (void)!::symlink(target.c_str(), (play.image + path).c_str());
}

const oci::Mount kProc = mount_of("/proc", "proc", "proc");

TEST(Hostile, proc_or_sys_as_a_link_is_refused) {  // CVE-2019-19921, CVE-2023-27561, CVE-2023-28642
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(entered({kProc}, [](Playground& play) { link(play, "volume", "/proc"); }),
            "failed: mount proc on /proc: ELOOP [a symbolic link is on the way]");
  EXPECT_EQ(entered({mount_of("/sys", "sysfs", "sysfs")},
                    [](Playground& play) { link(play, "/volume/sys", "/sys"); }),
            "failed: mount sysfs on /sys: ELOOP [a symbolic link is on the way]");
  EXPECT_EQ(entered({mount_of("/a/proc", "proc", "proc")},
                    [](Playground& play) { link(play, "/volume", "/a"); }),
            "failed: mount proc on /a/proc: ELOOP [a symbolic link is on the way]");
  EXPECT_EQ(entered({mount_of("/proc", "bind", "/proc", {"rbind"})},
                    [](Playground& play) { link(play, "/volume", "/proc"); }),
            "failed: rbind /proc on /proc rprivate: ELOOP [a symbolic link is on the way]");
}

TEST(Hostile, links_into_proc_are_no_targets) {  // CVE-2019-16884
  SKIP_UNLESS_ROOT();
  const auto to_proc = [](Playground& play) {
    link(play, "/proc/self/attr", "/attr");
    link(play, "../proc/sys/kernel", "/deep/kernel");
    link(play, "/proc", "/alias");
    play.write(play.host + "/file", "x");
  };
  EXPECT_EQ(entered({kProc, mount_of("/attr", "bind", "host", {"bind"})}, to_proc),
            "failed: bind /tmp/vrun-rootfs-test/host on /attr private: EPERM [the target lies in a "
            "procfs]");
  EXPECT_EQ(entered({kProc, mount_of("/deep/kernel/core_pattern", "bind", "host/file", {"bind"})},
                    to_proc),
            "failed: bind /tmp/vrun-rootfs-test/host/file on /deep/kernel/core_pattern private: "
            "EPERM [the target lies in a procfs]");
  EXPECT_EQ(entered({kProc, mount_of("/alias", "tmpfs", "tmpfs")}, to_proc),
            "failed: mount tmpfs on /alias: EPERM [the target lies in a procfs]");
}

TEST(Hostile, only_a_procfs_stands_at_proc) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(entered({mount_of("/proc", "bind", "host", {"bind"})}, [](Playground&) {}),
            "failed: bind /tmp/vrun-rootfs-test/host on /proc private: EPERM [only a procfs may be "
            "mounted on /proc]");
  EXPECT_EQ(entered({kProc, mount_of("/proc", "bind", "/proc", {"rbind"})}, [](Playground&) {}),
            "entered");
}

TEST(Hostile, allowed_files_of_proc_can_be_replaced) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(entered(
                {kProc, mount_of("/proc/uptime", "bind", "host/uptime", {"bind"})},
                [](Playground& play) { play.write(play.host + "/uptime", "1.0 1.0"); },
                [](Playground& play) { return play.read("/proc/uptime"); }),
            "1.0 1.0");
}

TEST(Hostile, a_link_to_the_root_is_no_target) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(entered({mount_of("/alias", "tmpfs", "tmpfs")},
                    [](Playground& play) { link(play, "/..", "/alias"); }),
            "failed: mount tmpfs on /alias: EINVAL [the target is the root itself]");
}

TEST(Hostile, targets_through_links_stay_in_the_image) {  // CVE-2021-30465 and its kin
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(entered(
                {mount_of("/volume/x", "tmpfs", "tmpfs", {"mode=0700"})},
                [](Playground& play) {
                  link(play, "../../../../../tmp/vrun-rootfs-test/host", "/volume");
                },
                [](Playground&) { return mount_flags_at("/tmp/vrun-rootfs-test/host/x"); },
                [](oci::Spec& spec) { spec.mounts.push_back(kProc); }),
            "rw,relatime");
}

TEST(Hostile, a_mask_follows_no_link_out_and_covers_what_it_points_at) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(entered(
                {},
                [](Playground& play) {
                  link(play, "../../../secret", "/a/alias");
                  play.write(play.image + "/secret", "secret");
                },
                [](Playground&) {
                  struct stat about {};
                  ::stat("/secret", &about);
                  return std::string(about.st_rdev == makedev(1, 3) ? "masked" : "open");
                },
                [](oci::Spec& spec) { spec.linux.masked_paths = {"/a/alias"}; }),
            "masked");
}

TEST(Hostile, sysctls_ignore_what_the_image_put_over_proc) {  // CVE-2025-52881
  SKIP_UNLESS_ROOT();
  // The image's /proc/sys is a plain file tree; the write must reach the kernel all the same.
  EXPECT_EQ(in_sandbox(kAll,
                       [] {
                         Playground play;
                         play.write(play.image + "/proc/sys/kernel/shmmni", "fake");
                         oci::Spec spec = empty_spec();
                         spec.linux.sysctl = {{"kernel.shmmni", "4321"}};
                         const std::string failed = play.enter(spec);
                         if (!failed.empty()) return failed;
                         ::mount("proc", "/proc", "proc", 0, nullptr);
                         return play.read("/proc/sys/kernel/shmmni");
                       }),
            "4321\n");
}

TEST(Hostile, a_sysctl_stays_below_proc_sys) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(in_sandbox(kAll,
                       [] {
                         steps::Context context{};
                         const long up = sysctl(context, {"../self/comm", "x"});
                         const long absolute = sysctl(context, {"/proc/self/comm", "x"});
                         return std::string(::strerrorname_np(static_cast<int>(-up))) + " " +
                                ::strerrorname_np(static_cast<int>(-absolute));
                       }),
            "EXDEV EXDEV");
}

// ---- terminals ----

std::string with_terminal(const std::function<void(Playground&)>& before,
                          const std::function<std::string(Playground&, int master)>& look,
                          std::vector<oci::Mount> mounts) {
  return in_sandbox(kAll, [&] {
    Playground play;
    before(play);
    ::signal(SIGHUP, SIG_IGN);  // closing the master hangs up on us, its session leader
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return std::string("?");
    oci::Spec spec = empty_spec();
    spec.mounts = std::move(mounts);
    spec.process.emplace();
    spec.process->terminal = true;
    spec.process->console_size = oci::ConsoleSize{24, 80};
    spec.process->user.uid = Uid(1000);
    Options options;
    options.console_socket = ends[1];
    const std::string failed = play.enter(spec, options);
    if (!failed.empty()) return "failed: " + failed;
    std::array<char, 256> name{};
    auto received = sys::receive(ends[0], name);
    if (!received || !received->fd) return std::string("nothing received");
    return std::string(name.data(), received->bytes) + " " + look(play, received->fd.get());
  });
}

const std::vector<oci::Mount> kTerminalMounts = {
    mount_of("/dev", "tmpfs", "tmpfs", {"mode=755"}),
    mount_of("/dev/pts", "devpts", "devpts",
             {"newinstance", "ptmxmode=0666", "mode=0620", "gid=5"})};

TEST(Hostile, a_terminal_is_made_from_the_containers_devpts) {
  SKIP_UNLESS_ROOT();
  const auto look = [](Playground&, int master) {
    struct winsize size {};
    ::ioctl(master, TIOCGWINSZ, &size);
    struct stat console {};
    ::stat("/dev/console", &console);
    struct stat in {};
    ::fstat(0, &in);
    const bool same = console.st_rdev == in.st_rdev && ::isatty(0) == 1 && ::isatty(2) == 1;
    (void)!::write(1, "hello", 5);
    char text[16] = {};
    (void)!::read(master, text, sizeof text - 1);
    return std::to_string(size.ws_row) + "x" + std::to_string(size.ws_col) + " " +
           (same ? "same" : "different") + " " + std::to_string(in.st_uid) + ":" +
           std::to_string(in.st_gid) + " " + text + " " +
           (::tcgetpgrp(0) == ::getpgrp() ? "controlling" : "not controlling");
  };
  EXPECT_EQ(with_terminal([](Playground&) {}, look, kTerminalMounts),
            "/dev/ptmx 24x80 same 1000:5 hello controlling");
}

TEST(Hostile, a_false_devpts_gives_no_terminal) {  // CVE-2025-52565
  SKIP_UNLESS_ROOT();
  const auto look = [](Playground&, int) { return std::string("a terminal"); };
  EXPECT_THAT(with_terminal([](Playground&) {}, look, {}), HasSubstr("ENOENT [a terminal needs"));
  EXPECT_THAT(
      with_terminal([](Playground& play) { play.write(play.image + "/dev/pts/ptmx", "fake"); },
                    look, {}),
      HasSubstr("ENODEV [/dev/pts/ptmx is not the multiplexer of a devpts]"));
  EXPECT_THAT(with_terminal(
                  [](Playground& play) {
                    play.make_dirs(play.image + "/dev/pts");
                    ::mknod((play.image + "/dev/pts/ptmx").c_str(), S_IFCHR | 0666, makedev(5, 2));
                  },
                  look, {}),
              testing::StartsWith("failed: "));
  EXPECT_THAT(with_terminal(
                  [](Playground& play) {
                    play.make_dirs(play.image + "/dev");
                    (void)!::symlink("/proc/self/fd", (play.image + "/dev/pts").c_str());
                  },
                  look, {}),
              HasSubstr("ELOOP"));
}

TEST(Hostile, a_multiplexer_outside_a_devpts_gives_no_terminal) {  // CVE-2025-52565
  SKIP_UNLESS_ROOT();
  const auto look = [](Playground&, int) { return std::string("a terminal"); };
  // The kernel would take the devpts beside such a node.
  EXPECT_THAT(with_terminal(
                  [](Playground& play) {
                    play.make_dirs(play.image + "/dev/pts/pts");
                    ::mknod((play.image + "/dev/pts/ptmx").c_str(), S_IFCHR | 0666, makedev(5, 2));
                  },
                  look, {mount_of("/dev/pts/pts", "devpts", "devpts", {"newinstance"})}),
              HasSubstr("ENODEV [/dev/pts/ptmx is not the multiplexer of a devpts]"));
}

TEST(Hostile, another_terminal_in_its_place_gives_no_terminal) {
  SKIP_UNLESS_ROOT();
  const auto look = [](Playground&, int) { return std::string("a terminal"); };
  const int other = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(other, 0);
  ASSERT_EQ(::unlockpt(other), 0);
  EXPECT_THAT(with_terminal([](Playground&) {}, look,
                            {kTerminalMounts[0], kTerminalMounts[1],
                             mount_of("/dev/pts/ptmx", "bind", ::ptsname(other), {"bind"})}),
              HasSubstr("ENODEV [/dev/pts/ptmx is not the multiplexer of a devpts]"));
  ::close(other);
}

TEST(Hostile, dev_console_as_a_link_is_refused) {  // CVE-2025-52565
  SKIP_UNLESS_ROOT();
  const auto look = [](Playground&, int) { return std::string("a terminal"); };
  EXPECT_THAT(with_terminal(
                  [](Playground& play) {
                    play.make_dirs(play.image + "/dev/pts");
                    (void)!::symlink("/proc/sysrq-trigger", (play.image + "/dev/console").c_str());
                  },
                  look, {kTerminalMounts[1]}),
              HasSubstr("ELOOP"));
}

// ---- propagation ----

std::string propagation_of_target(const std::vector<std::string>& options,
                                  const std::string& rootfs_propagation) {
  return in_sandbox(kAll, [&] {
    const std::string shared = "/mnt";
    ::mount("tmpfs", shared.c_str(), "tmpfs", 0, nullptr);
    ::mount(nullptr, shared.c_str(), nullptr, MS_SHARED, nullptr);
    const std::string answer = in_sandbox(
        CLONE_NEWNS,
        [&] {
          Playground play;
          oci::Spec spec = empty_spec();
          spec.mounts = {kProc, mount_of("/target", "bind", shared, options)};
          spec.linux.rootfs_propagation = rootfs_propagation;
          const std::string failed = play.enter(spec);
          return failed.empty() ? propagation_at("/target") + ", root " + propagation_at("/")
                                : failed;
        },
        false);
    return answer;
  });
}

TEST(Propagation, nothing_spreads_unless_asked) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(propagation_of_target({"bind"}, ""), "private, root private");
  EXPECT_EQ(propagation_of_target({"rbind"}, ""), "private, root private");
  EXPECT_EQ(propagation_of_target({"rbind", "rprivate"}, ""), "private, root private");
  EXPECT_EQ(propagation_of_target({"rbind"}, "private"), "private, root private");
}

TEST(Propagation, slaves_follow_the_host) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(propagation_of_target({"rbind", "rslave"}, ""), "master, root private");
  EXPECT_EQ(propagation_of_target({"bind", "slave"}, "rslave"), "master, root private");
}

TEST(Propagation, shared_reaches_the_host_only_with_a_shared_root) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(propagation_of_target({"rbind", "rshared"}, ""), "shared master, root private");
  EXPECT_EQ(propagation_of_target({"rbind", "rshared"}, "rshared"), "shared, root shared");
  EXPECT_EQ(propagation_of_target({"rbind", "rshared"}, "rprivate"), "private, root private");
}

TEST(Propagation, a_root_can_be_unbindable) {
  SKIP_UNLESS_ROOT();
  EXPECT_EQ(propagation_of_target({"bind"}, "unbindable"), "private, root unbindable");
  EXPECT_EQ(propagation_of_target({"bind"}, "runbindable"), "unbindable, root unbindable");
}

}  // namespace
}  // namespace vrun::rootfs
