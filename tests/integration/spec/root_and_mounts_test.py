"""config.json: root and every option of mounts, seen from inside the guest."""
import os
import subprocess
from pathlib import Path

import pytest

from harness import host, runtime


def _options(rt, bundle, where):
    """The flags of the mount at `where`, and the fields of its mountinfo line."""
    r = rt.run(bundle.args("cat", "/proc/self/mountinfo")).ok()
    lines = [l.split() for l in r.out.splitlines() if l.split()[4] == where]
    assert lines, f"nothing is mounted on {where}: {r.out}"
    return set(lines[-1][5].split(",")), lines[-1]


def root_readonly_refuses_writes(rt, bundle):
    bundle.spec["root"]["readonly"] = True
    rt.run(bundle.sh("touch /new")).fails("Read-only file system")
    assert not (bundle.rootfs / "new").exists()


def root_is_writable_by_default(rt, bundle):
    rt.run(bundle.sh("echo x > /new")).ok()
    assert (bundle.rootfs / "new").read_text() == "x\n"


def root_path_may_be_absolute(rt, bundle, work):
    bundle.rootfs.rename(work / "elsewhere")
    bundle.spec["root"]["path"] = str(work / "elsewhere")
    assert rt.run(bundle.args("echo", "ok")).ok().out == "ok\n"


def root_path_may_go_through_a_link(rt, bundle):
    (bundle.path / "link").symlink_to("rootfs")
    bundle.spec["root"]["path"] = "link"
    assert rt.run(bundle.args("echo", "ok")).ok().out == "ok\n"


def nothing_of_the_host_is_visible(rt, bundle):
    seen = rt.run(bundle.sh("ls /; cat /proc/mounts")).ok().out
    assert "boot" not in seen.split() and str(bundle.path) not in seen


@pytest.mark.parametrize("propagation, inside", [("private", ""), ("rprivate", ""), ("slave", ""), ("rslave", ""),
                                                 ("shared", "shared:"), ("rshared", "shared:"), ("unbindable", "unbindable"),
                                                 ("runbindable", "unbindable")])
def rootfsPropagation_is_that_of_the_root(rt, bundle, propagation, inside):
    subprocess.run(["mount", "--bind", bundle.rootfs, bundle.rootfs], check=True)
    subprocess.run(["mount", "--make-shared", bundle.rootfs], check=True)
    try:
        bundle.linux["rootfsPropagation"] = propagation
        _, line = _options(rt, bundle, "/")
        optional = line[6:line.index("-")]
        # A slave of a root that is cut off from the host is private, which is as good: never shared.
        assert any(o.startswith(inside) for o in optional) if inside else not any(o.startswith("shared") for o in optional)
    finally:
        subprocess.run(["umount", "-l", bundle.rootfs], check=True)


def a_bind_mount_shows_a_folder_of_the_host(rt, bundle, work):
    (work / "data").mkdir()
    (work / "data/file").write_text("hello\n")
    bundle.mount("/mnt", "bind", work / "data", "rbind", "rw")
    assert rt.run(bundle.sh("cat /mnt/file; echo back > /mnt/new")).ok().out == "hello\n"
    assert (work / "data/new").read_text() == "back\n"


def a_bind_mount_of_a_file_makes_its_target(rt, bundle, work):
    (work / "file").write_text("hello\n")
    bundle.mount("/etc/made/file", "bind", work / "file", "bind", "ro")
    r = rt.run(bundle.sh("cat /etc/made/file; echo x > /etc/made/file"))
    assert r.out == "hello\n" and "Read-only" in r.err


def a_bind_source_may_be_relative_to_the_bundle(rt, bundle):
    (bundle.path / "data").mkdir()
    (bundle.path / "data/file").write_text("near\n")
    bundle.mount("/mnt", "bind", "data", "bind")
    assert rt.run(bundle.args("cat", "/mnt/file")).ok().out == "near\n"


def a_bind_mount_without_type_is_known_by_its_option(rt, bundle, work):
    (work / "data").mkdir()
    bundle.spec["mounts"].append({"destination": "/mnt", "source": str(work / "data"), "options": ["rbind", "ro"]})
    assert "ro" in _options(rt, bundle, "/mnt")[0]


def a_missing_bind_source_is_named(rt, bundle, work):
    bundle.mount("/mnt", "bind", work / "nosuch", "bind")
    rt.run(bundle).fails(str(work / "nosuch"), "no such file or directory")


@pytest.mark.parametrize("option", ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "nosymfollow"])
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def flags_are_set_on_the_mount(rt, bundle, work, option, kind):
    (work / "data").mkdir()
    bundle.mount("/mnt", kind, work / "data" if kind == "bind" else "tmpfs", *(["bind"] if kind == "bind" else []), option)
    assert option in _options(rt, bundle, "/mnt")[0]


@pytest.mark.parametrize("option, gone", [("rw", "ro"), ("suid", "nosuid"), ("dev", "nodev"), ("exec", "noexec"),
                                          ("strictatime", "relatime"), ("atime", "noatime"), ("symfollow", "nosymfollow")])
def the_opposite_option_clears_the_flag(rt, bundle, option, gone):
    assert gone not in _options(rt, bundle.mount("/mnt", "tmpfs", "tmpfs", gone, option), "/mnt")[0]


@pytest.mark.parametrize("option", ["rro", "rnosuid", "rnodev", "rnoexec", "rnoatime", "rnodiratime", "rnosymfollow"])
def recursive_flags_reach_the_mounts_below(rt, bundle, work, option):
    (work / "data/sub").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", work / "data/sub"], check=True)
    try:
        bundle.mount("/mnt", "bind", work / "data", "rbind", option)
        assert option[1:] in _options(rt, bundle, "/mnt/sub")[0]
        assert option[1:] in _options(rt, bundle, "/mnt")[0]
    finally:
        subprocess.run(["umount", work / "data/sub"], check=True)


def ro_does_not_reach_the_mounts_below(rt, bundle, work):
    (work / "data/sub").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", work / "data/sub"], check=True)
    try:
        bundle.mount("/mnt", "bind", work / "data", "rbind", "ro")
        assert "rw" in _options(rt, bundle, "/mnt/sub")[0] and "ro" in _options(rt, bundle, "/mnt")[0]
    finally:
        subprocess.run(["umount", work / "data/sub"], check=True)


def bind_alone_leaves_the_mounts_below_out(rt, bundle, work):
    (work / "data/sub").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", work / "data/sub"], check=True)
    try:
        (work / "data/sub/file").write_text("x")
        bundle.mount("/mnt", "bind", work / "data", "bind")
        assert rt.run(bundle.args("ls", "/mnt/sub")).ok().out == ""
    finally:
        subprocess.run(["umount", work / "data/sub"], check=True)


@pytest.mark.parametrize("option, optional", [("shared", "shared:"), ("rshared", "shared:"), ("slave", "master:"), ("rslave", "master:"),
                                              ("private", ""), ("rprivate", ""), ("unbindable", "unbindable"), ("runbindable", "unbindable")])
def propagation_options_are_applied(rt, bundle, work, option, optional):
    (work / "data").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", work / "data"], check=True)
    subprocess.run(["mount", "--make-shared", work / "data"], check=True)
    try:
        # The root's own propagation must let a mount below have a peer at all.
        bundle.linux["rootfsPropagation"] = "rshared" if optional == "shared:" else "rslave"
        bundle.mount("/mnt", "bind", work / "data", "bind", option)
        _, line = _options(rt, bundle, "/mnt")
        fields = line[6:line.index("-")]
        assert any(f.startswith(optional) for f in fields) if optional else fields == []
    finally:
        subprocess.run(["umount", "-l", work / "data"], check=True)


def data_options_reach_the_filesystem(rt, bundle):
    _, line = _options(rt, bundle.mount("/mnt", "tmpfs", "tmpfs", "size=1m", "nr_inodes=10", "mode=0751"), "/mnt")
    assert {"size=1024k", "nr_inodes=10", "mode=751"} <= set(line[-1].split(","))


def an_unknown_option_of_a_filesystem_is_refused(rt, bundle):
    rt.run(bundle.mount("/mnt", "tmpfs", "tmpfs", "bogus=1")).fails("/mnt")


def an_unknown_flag_of_a_bind_mount_is_refused(rt, bundle, work):
    """runc and crun drop data options of bind mounts without a word."""
    (work / "data").mkdir()
    rt.run(bundle.mount("/mnt", "bind", work / "data", "bind", "bogus")).fails("bogus")


def an_unknown_filesystem_is_refused(rt, bundle):
    rt.run(bundle.mount("/mnt", "bogusfs", "none")).fails("bogusfs")


def a_label_for_a_filesystem_is_not_dropped(rt, bundle):
    host.need("no SELinux")
    rt.run(bundle.mount("/mnt", "tmpfs", "tmpfs", 'context="system_u:object_r:x_t:s0"')).fails()


def tmpcopyup_fills_the_tmpfs_from_the_image(rt, bundle):
    (bundle.rootfs / "seed/sub").mkdir(parents=True)
    (bundle.rootfs / "seed/sub/file").write_text("kept\n")
    (bundle.rootfs / "seed/sub/file").chmod(0o640)
    (bundle.rootfs / "seed/link").symlink_to("sub/file")
    bundle.mount("/seed", "tmpfs", "tmpfs", "tmpcopyup")
    r = rt.run(bundle.sh("cat /seed/link; stat -c %a /seed/sub/file; echo new > /seed/sub/file")).ok()
    assert r.out == "kept\n640\n"
    assert (bundle.rootfs / "seed/sub/file").read_text() == "kept\n"


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def idmap_shifts_the_owners_of_a_bind_mount(rt, bundle, work, option):
    host.need("idmapped tmpfs")
    (work / "data").mkdir()
    (work / "data/file").write_text("")
    os.chown(work / "data/file", 1000, 2000)
    maps = {"uidMappings": [{"containerID": 1000, "hostID": 5000, "size": 1}],
            "gidMappings": [{"containerID": 2000, "hostID": 6000, "size": 1}]}
    bundle.mount("/mnt", "bind", work / "data", "rbind", option, **maps)
    assert rt.run(bundle.args("stat", "-c", "%u:%g", "/mnt/file")).ok().out == "5000:6000\n"


def mount_mappings_work_without_the_option(rt, bundle, work):
    host.need("idmapped tmpfs")
    (work / "data").mkdir()
    (work / "data/file").write_text("")
    os.chown(work / "data/file", 1000, 1000)
    one = [{"containerID": 1000, "hostID": 7000, "size": 1}]
    bundle.mount("/mnt", "bind", work / "data", "bind", uidMappings=one, gidMappings=one)
    assert rt.run(bundle.args("stat", "-c", "%u:%g", "/mnt/file")).ok().out == "7000:7000\n"


def idmap_without_mappings_takes_those_of_the_user_namespace(rt, bundle, work):
    host.need("idmapped tmpfs")
    bundle.user_namespace()
    (work / "data").mkdir()
    (work / "data/file").write_text("")
    os.chown(work / "data/file", 5, 6)
    bundle.mount("/mnt", "bind", work / "data", "bind", "idmap")
    assert rt.run(bundle.args("stat", "-c", "%u:%g", "/mnt/file")).ok().out == "5:6\n"


def idmap_of_a_host_mount_is_not_changed(rt, bundle, work):
    host.need("idmapped tmpfs")
    (work / "data").mkdir()
    before = Path("/proc/self/mountinfo").read_text()
    one = [{"containerID": 0, "hostID": 5000, "size": 1}]
    rt.run(bundle.mount("/mnt", "bind", work / "data", "bind", "idmap", uidMappings=one, gidMappings=one)).ok()
    assert Path("/proc/self/mountinfo").read_text() == before


def copy_symlink_puts_the_link_itself_into_the_guest(rt, bundle, work):
    (work / "link").symlink_to("/some/where")
    bundle.mount("/etc/link", "bind", work / "link", "bind", "copy-symlink")
    assert rt.run(bundle.args("readlink", "/etc/link")).ok().out == "/some/where\n"


def src_nofollow_mounts_the_link_itself(rt, bundle, work):
    (work / "file").write_text("target\n")
    (work / "link").symlink_to("file")
    (bundle.rootfs / "etc/target").symlink_to("/nowhere")
    bundle.mount("/etc/target", "bind", work / "link", "bind", "src-nofollow", "dest-nofollow")
    assert rt.run(bundle.args("readlink", "/etc/target")).ok().out == "file\n"


def dest_nofollow_mounts_over_the_link(rt, bundle, work):
    (work / "file").write_text("over\n")
    (work / "link").symlink_to("elsewhere")
    (bundle.rootfs / "etc/spot").symlink_to("/etc/passwd")
    bundle.mount("/etc/spot", "bind", work / "link", "bind", "dest-nofollow", "src-nofollow")
    r = rt.run(bundle.sh("readlink /etc/spot; cat /etc/passwd")).ok()
    assert r.out.startswith("elsewhere\nroot:")


def a_link_in_the_target_stays_below_the_root(rt, bundle, work):
    (bundle.rootfs / "jump").symlink_to("/tmp")
    marker = f"marker-{os.getpid()}"
    bundle.mount(f"/jump/{marker}", "tmpfs", "tmpfs")
    assert rt.run(bundle.sh("ls /tmp")).ok().out.strip() == marker
    assert not Path("/tmp", marker).exists()


def mounts_are_made_in_their_order(rt, bundle, work):
    (work / "a").mkdir()
    (work / "a/file").write_text("first\n")
    bundle.mount("/mnt", "tmpfs", "tmpfs").mount("/mnt/sub", "bind", work / "a", "bind")
    assert rt.run(bundle.args("cat", "/mnt/sub/file")).ok().out == "first\n"


def a_relative_destination_is_refused_or_taken_from_the_root(rt, bundle):
    """The specification wants absolute paths; runc takes others as absolute with a warning."""
    r = rt.run(bundle.mount("mnt", "tmpfs", "tmpfs").args("grep", "/mnt", "/proc/mounts"))
    assert r.rc != 0 and "destination" in r.err or " /mnt " in r.out


def maskedPaths_are_empty(rt, bundle):
    (bundle.rootfs / "secret").mkdir()
    (bundle.rootfs / "secret/file").write_text("x")
    (bundle.rootfs / "private").write_text("x")
    bundle.linux["maskedPaths"] += ["/secret", "/private", "/not/there"]
    r = rt.run(bundle.sh("ls -A /secret; cat /private; echo end; touch /secret/new")).fails("Read-only")
    assert r.out == "end\n"


def readonlyPaths_refuse_writes_at_every_depth(rt, bundle):
    (bundle.rootfs / "fixed").mkdir()
    bundle.linux["readonlyPaths"] += ["/fixed", "/not/there"]
    rt.run(bundle.sh("touch /fixed/new")).fails("Read-only")


def devices_are_made_with_owner_and_mode(rt, bundle):
    bundle.linux["devices"] = [
        {"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o644, "uid": 11, "gid": 12},
        {"path": "/dev/deep/er/pipe", "type": "p", "fileMode": 0o600},
        {"path": "/dev/disk9", "type": "b", "major": 7, "minor": 99}]
    bundle.resources["devices"] = [{"allow": True, "access": "rwm"}]
    r = rt.run(bundle.sh("stat -c '%F %a %u:%g %t,%T' /dev/mine; stat -c '%F %a' /dev/deep/er/pipe; stat -c '%F %t,%T' /dev/disk9;"
                         "head -c 3 /dev/mine | od -An -tx1")).ok()
    assert r.out.splitlines() == ["character special file 644 11:12 1,5", "fifo 600", "block special file 7,63", " 00 00 00"]


def the_default_devices_are_there_and_work(rt, bundle):
    r = rt.run(bundle.sh("for d in null zero full random urandom tty; do stat -c '%n %t,%T %a' /dev/$d; done;"
                         "for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; echo x > /dev/null; head -c1 /dev/zero | od -An -tx1")).ok()
    assert r.out.splitlines() == [
        "/dev/null 1,3 666", "/dev/zero 1,5 666", "/dev/full 1,7 666", "/dev/random 1,8 666", "/dev/urandom 1,9 666",
        "/dev/tty 5,0 666", "/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "pts/ptmx", " 00"]


def a_device_of_a_user_namespace_is_that_of_the_host(rt, bundle):
    bundle.user_namespace()
    assert rt.run(bundle.sh("stat -c %t,%T /dev/null; echo x > /dev/null && echo ok")).ok().out == "1,3\nok\n"


def sysctl_is_set_in_the_namespaces_of_the_guest(rt, bundle):
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1", "kernel.msgmax": "9000",
                              "fs.mqueue.msg_max": "11"}
    files = "/proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/msg_max"
    assert rt.run(bundle.args("cat", *files.split())).ok().out.split() == ["1", "1", "9000", "11"]


@pytest.mark.parametrize("key", ["kernel.panic", "vm.swappiness", "kernel.core_pattern", "fs.file-max"])
def a_sysctl_of_the_whole_machine_is_refused(rt, bundle, key):
    bundle.linux["sysctl"] = {key: "1"}
    rt.run(bundle).fails(key)


def a_network_sysctl_without_network_namespace_is_refused(rt, bundle):
    bundle.without_namespace("network").linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    rt.run(bundle).fails("net.ipv4.ip_forward")


def a_cgroup_mount_shows_the_group_of_the_guest(rt, bundle):
    host.need("v2 hierarchy")
    bundle.namespace("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "ro", "relatime")
    r = rt.run(bundle.sh("cat /sys/fs/cgroup/cgroup.procs; touch /sys/fs/cgroup/new; mkdir /sys/fs/cgroup/x"))
    assert "1" in r.out.split() and "Read-only" in r.err


def a_cgroup_mount_is_read_only_without_a_cgroup_namespace_too(rt, bundle):
    host.need("v2 hierarchy")
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "ro", "relatime")
    assert "Read-only" in rt.run(bundle.sh("mkdir /sys/fs/cgroup/x")).fails().err


def a_cgroup_mount_works_on_a_host_with_version_1(rt, bundle):
    if not host.is_v2():
        bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "ro", "relatime")
        r = rt.run(bundle.sh("cat /sys/fs/cgroup/*/tasks /sys/fs/cgroup/cgroup.procs 2>/dev/null | sort -u")).ok()
        assert "1" in r.out.split()
