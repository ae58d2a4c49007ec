"""Failing conditions: a full disk, no inodes, read-only folders, limits of the caller. A clear error,
and nothing left behind (the fixture counts)."""
import os
import resource
import subprocess
from pathlib import Path

import pytest

from harness import host, leaks, runtime


@pytest.fixture
def small(rt, work):
    """Mounts a tmpfs with these options as the state root."""
    mounted = []

    def mount(options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", rt.root], check=True)
        mounted.append(rt.root)
    before = Path("/proc/self/mountinfo").read_text()
    yield mount
    rt.clean_up()
    for at in mounted:
        subprocess.run(["umount", "-l", at], check=True)


def _fill(folder, spare=0):
    """Leaves `spare` bytes free on a small filesystem."""
    fd = os.open(folder / "filler", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        while os.write(fd, b"x" * 4096):
            pass
    except OSError:
        pass
    finally:
        os.close(fd)
    if spare:
        os.truncate(folder / "filler", max(0, os.path.getsize(folder / "filler") - spare))


@pytest.mark.parametrize("spare", [0, 4096, 8192, 12288, 16384, 24576])
def a_full_disk_is_an_error_or_no_problem(rt, bundle, small, spare):
    small("size=64k,mode=711")
    _fill(rt.root, spare)
    r = rt.try_create(bundle)
    if r.rc:
        assert "no space left on device" in r.err.lower(), r
        rt("delete", "--force", rt.ids[-1])
        assert not [e for e in os.listdir(rt.root) if runtime.TOKEN in e], "half a state is left"
        assert not leaks.cgroups(), "its cgroup is left"
    else:
        rt("start", rt.ids[-1])
        rt("delete", "--force", rt.ids[-1]).ok()


@pytest.mark.parametrize("inodes", range(1, 9))
def too_few_inodes_are_an_error_or_no_problem(rt, bundle, small, inodes):
    small(f"size=1m,nr_inodes={inodes},mode=711")
    r = rt.try_create(bundle)
    if r.rc:
        assert "no space left on device" in r.err.lower(), r
        assert not leaks.cgroups(), "its cgroup is left"
    rt("delete", "--force", rt.ids[-1])
    assert not [e for e in os.listdir(rt.root) if runtime.TOKEN in e]


def a_read_only_state_root_is_an_error(rt, bundle, small):
    small("size=1m,mode=711")
    subprocess.run(["mount", "-o", "remount,ro", rt.root], check=True)
    r = rt.try_create(bundle).fails(rc=1)
    assert "read-only file system" in r.err.lower() and str(rt.root) in r.err, r


def a_disk_that_fills_later_does_not_stop_delete(rt, bundle, small):
    small("size=128k,mode=711")
    id = rt.start(bundle.args("sleep", "100"))
    _fill(rt.root)
    rt.kill(id).ok()
    rt.wait_stopped(id)
    rt.delete(id).ok()


@pytest.mark.parametrize("size", [0, 1, 100, 1000, 4096])
def a_limit_on_file_sizes_leaves_nothing(rt, bundle, size):
    bundle.save()

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    id = rt.new_id()
    with open(os.devnull, "w") as null:
        done = subprocess.run(rt.command("create", "--bundle", bundle.path, id), stdin=subprocess.DEVNULL, stdout=null, stderr=null, preexec_fn=limit,
                              timeout=6 * runtime.DEADLINE)
    if done.returncode:
        assert id not in os.listdir(rt.root) or rt("delete", "--force", id).rc == 0
        assert not leaks.cgroups()


@pytest.mark.parametrize("mib", [2, 4, 8, 16, 32, 64])
def a_limit_on_memory_leaves_nothing(rt, bundle, mib):
    bundle.save()

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))
    id = rt.new_id()
    with open(os.devnull, "w") as null:
        done = subprocess.run(rt.command("create", "--bundle", bundle.path, id), stdin=subprocess.DEVNULL, stdout=null, stderr=null, preexec_fn=limit,
                              timeout=6 * runtime.DEADLINE)
    if done.returncode:
        rt("delete", "--force", id).ok()
        assert not leaks.cgroups()


@pytest.mark.parametrize("number", [4, 6, 8, 10, 12, 16, 24])
def a_limit_on_descriptors_leaves_nothing(rt, bundle, number):
    bundle.save()

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))
    id = rt.new_id()
    done = subprocess.run(rt.command("create", "--bundle", bundle.path, id), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, preexec_fn=limit, timeout=6 * runtime.DEADLINE)
    if done.returncode:
        rt("delete", "--force", id).ok()
        assert not leaks.cgroups()


@pytest.mark.parametrize("more", [0, 1, 2, 3])
def no_free_pids_leave_nothing(rt, bundle, more):
    host.need("pids controller")
    bundle.save()
    folder = (host.v1_mounts()["pids"] if "pids" in host.v1_mounts() else host.ROOT) / f"{runtime.TOKEN}-few"
    folder.mkdir()
    try:
        (folder / "pids.max").write_text(str(1 + more))
        procs = folder / "cgroup.procs"
        id = rt.new_id()
        done = subprocess.run(["sh", "-c", f'echo $$ > {procs}; exec "$@"', "sh", *rt.command("create", "--bundle", bundle.path, id)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=6 * runtime.DEADLINE)
        rt("delete", "--force", id).ok()
        assert not [g for g in leaks.cgroups() if id in g]
    finally:
        runtime.wait_for(lambda: not procs.read_text(), "the group is empty")
        for inner, _, _ in os.walk(folder, topdown=False):
            os.rmdir(inner)


def a_read_only_cgroup_filesystem_is_a_clear_error(rt, bundle):
    """As inside another container without delegation."""
    if not host.is_v2():
        return
    r = rt.run_command(["unshare", "--mount", "sh", "-c", 'mount -o remount,ro,bind /sys/fs/cgroup && exec "$@"', "sh",
                        *rt.command("create", "--bundle", bundle.save().path, rt.new_id())])
    assert r.rc == 1 and "read-only file system" in r.err.lower(), r


def a_broken_stdout_does_not_hang(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    read, write = os.pipe()
    os.close(read)
    for args in (("list",), ("state", id), ("features",)):
        subprocess.run(rt.command(*args), stdout=write, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=runtime.DEADLINE)
    os.close(write)


def output_to_a_full_device_is_an_error(rt):
    with open("/dev/full", "w") as full:
        done = subprocess.run(rt.command("features"), stdout=full, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert done.returncode != 0 or "vrun" not in rt.path


def a_failing_step_leaves_nothing(rt, bundle, work):
    """Each of these fails late, after the cgroup and the child were made."""
    changes = [lambda b: b.mount("/mnt", "bind", "/nosuch", "bind"), lambda b: b.linux.update(sysctl={"net.nosuch": "1"}),
               lambda b: b.namespace("network", "/nosuch"), lambda b: b.hook("createRuntime", "exit 1"),
               lambda b: b.process.update(cwd="/etc/passwd/x"), lambda b: b.mount("/mnt", "tmpfs", "tmpfs", "bogus=1")]
    from harness import bundle as bundles
    for i, change in enumerate(changes):
        one = bundles.Bundle(work / f"failing{i}")
        change(one)
        rt.try_create(one).fails(rc=1)
        assert not leaks.cgroups(), i
        assert rt("list", "--quiet").ok().out == "", i
