"""Disk budgets by what the file system has: project quotas of ext4 and xfs, qgroups of btrfs."""
import ctypes
import json
import os
import signal
import struct
import subprocess
import time

import pytest

from harness import everyday, host, runtime

NONE = ("--network", "none")
FULL = ("Disk quota exceeded", "No space left on device")  # EDQUOT; xfs says ENOSPC for projects
FIRST_ID = 2_000_000_000
MAKE = {"ext4": ["-O", "quota,project", "-E", "quotatype=prjquota"], "xfs": [], "btrfs": []}


class Disk:
    """A file system of one kind in a file, with the data of a vrun of its own on it."""

    def __init__(self, kind, work):
        self.kind, self.image, self.top = kind, work / "quota.img", work / "quota"
        subprocess.run(["truncate", "-s", "600M", self.image], check=True)
        subprocess.run([f"mkfs.{kind}", "-q", *MAKE[kind], self.image], check=True)
        self.top.mkdir()
        self.mount()
        if kind == "btrfs":
            subprocess.run(["btrfs", "quota", "enable", self.top], check=True)

    def mount(self, held=True):
        options = "loop,prjquota" if held and self.kind != "btrfs" else "loop"
        subprocess.run(["mount", "-o", options, self.image, self.top], check=True)

    def unmount(self):
        subprocess.run(["umount", self.top], check=True)

    def backend(self):
        return "btrfs" if self.kind == "btrfs" else "project"

    def numbers(self):
        """Projects or qgroups of vrun's range that the file system still knows."""
        os.sync()
        if self.kind == "btrfs":
            rows = subprocess.run(["btrfs", "qgroup", "show", "--raw", self.top], check=True, capture_output=True, text=True).stdout
            return [row.split()[0] for row in rows.splitlines() if row.startswith("1/")]
        return _projects(self.top)


def _projects(top):
    """By Q_XGETNEXTQUOTA of quotactl_fd(2): each has limits, or something is charged to it.

    ext4's quota files are trees with 256 numbers in a leaf; a search that leaves its leaf may pass over some (Linux 6.1),
    so each leaf is asked.
    """
    libc, found = ctypes.CDLL(None, use_errno=True), set()
    fd = os.open(top, os.O_RDONLY)
    quota = ctypes.create_string_buffer(256)
    for leaf in range(FIRST_ID, FIRST_ID + 1_000_000, 256):
        start = leaf
        while start < leaf + 256 and libc.syscall(443, fd, (0x5809 << 8) | 2, start, quota) == 0:
            found.add(struct.unpack_from("bbHI", quota.raw)[3])
            start = struct.unpack_from("bbHI", quota.raw)[3] + 1
    os.close(fd)
    return sorted(found)


@pytest.fixture(params=sorted(MAKE))
def disk(request, work):
    host.need(f"quotas of {request.param}")
    made = Disk(request.param, work)
    try:
        yield made
    finally:
        made.unmount()


@pytest.fixture
def vrun(disk):
    with everyday.fresh(disk.top) as it:
        yield it
        for name in [n for n in it("tenant", "ls", "-q").ok().out.split() if n != "default"]:
            it("tenant", "rm", "--force", name).ok()
        assert disk.numbers() == []
        assert not [*(it.data / "guests").glob("t*")] and not [*(it.data / "volumes").glob("t*")]


@pytest.fixture
def acme():
    return f"t{os.getpid()}-{os.urandom(3).hex()}"


def _show(vrun, name):
    return json.loads(vrun("tenant", "show", "--format", "json", name).ok().out)[0]


def _run(vrun, name, script, *flags, **more):
    return vrun("--tenant", name, "run", "--rm", *NONE, *flags, "base", "sh", "-c", script, **more)


def _create(vrun, name, size, *flags):
    return vrun("tenant", "create", name, "--disk", size, *flags)


def _df(vrun, name, path="/"):
    """Bytes that statfs(2), and so df, says in a guest."""
    # Busybox's df of a volume looks at the first mount of the same device, which may be a file's.
    script = "df -k / | tail -1" if path == "/" else f"echo - $(($(stat -f -c '%b * %S' {path}) / 1024))"
    return int(_run(vrun, name, script, "-v", "vol:/vol").ok().out.split()[1]) << 10


def _charged(vrun, name):
    """What lies in the trees, in blocks."""
    os.sync()
    total, seen = 0, set()
    for tree in ("guests", "volumes"):
        for folder, names, files in os.walk(vrun.data / tree / name):
            for path in [folder, *(os.path.join(folder, f) for f in files)]:
                st = os.lstat(path)
                if st.st_ino not in seen:
                    total += st.st_blocks * 512
                    seen.add(st.st_ino)
    return total


def it_is_chosen_told_and_seen_by_df(disk, vrun, acme):
    told = _create(vrun, acme, "32M").ok().err
    shown = _show(vrun, acme)["disk"]
    assert shown["backend"] == disk.backend() and shown["id"] >= FIRST_ID
    words = f"qgroup 1/{shown['id']} of btrfs" if disk.kind == "btrfs" else f"project quota {shown['id']} of {disk.kind}"
    assert f"disk: {words}" in told, told
    assert words in vrun("tenant", "show", acme).ok().out
    for path in ("/", "/vol"):
        size = _df(vrun, acme, path)
        assert size > 300 << 20 if disk.kind == "btrfs" else size == 32 << 20, size
    vrun("tenant", "update", acme, "--disk", "none").fails("is chosen when a tenant is made", rc=125)


def a_full_budget_is_full_for_this_tenant_only(disk, vrun, acme):
    _create(vrun, acme, "32M").ok()
    _create(vrun, acme + "b", "200M").ok()
    fill = "dd if=/dev/zero of={} bs=1M count=60 2>&1; sync"
    for target in ("/vol/big", "/big"):
        out = _run(vrun, acme, fill.format(target) + f"; wc -c <{target}; rm {target}", "-v", "vol:/vol").out
        assert any(words in out for words in FULL), out
        assert 24 << 20 < int(out.split()[-1]) <= 32 << 20, out
    _run(vrun, acme, fill.format("/vol/big"), "-v", "vol:/vol")
    assert _show(vrun, acme)["disk"]["used"] <= 33 << 20
    assert int(_run(vrun, acme + "b", "head -c 60m /dev/zero >/big; wc -c </big").ok().out) == 60 << 20
    (disk.top / "hosts-own").write_bytes(b"x" * (60 << 20))
    (disk.top / "hosts-own").unlink()
    # What it removes is its again.
    _run(vrun, acme, "rm /vol/big; sync", "-v", "vol:/vol").ok()
    assert int(_run(vrun, acme, "head -c 20m /dev/zero >/big; sync; wc -c </big").ok().out) == 20 << 20


def images_take_their_part_of_it(disk, vrun, acme, work):
    """What images count for is no longer there for guests and volumes, nor the other way round."""
    _create(vrun, acme, "48M").ok()
    (work / "tree").mkdir()
    (work / "tree/big").write_bytes(os.urandom(10 << 20))
    subprocess.run(["tar", "-C", work / "tree", "-cf", work / "one.tar", "."], check=True)
    vrun("--tenant", acme, "import", work / "one.tar", "one:1").ok()
    images = _show(vrun, acme)["disk"]["images"]
    assert 20 << 20 <= images <= 21 << 20, images
    if disk.kind != "btrfs":
        assert abs((48 << 20) - images - _df(vrun, acme)) < 8192, "in whole blocks"
    fill = "dd if=/dev/zero of=/vol/big bs=1M count=60 2>&1; sync; wc -c </vol/big"
    out = _run(vrun, acme, fill, "-v", "vol:/vol").out
    assert any(words in out for words in FULL) and 16 << 20 < int(out.split()[-1]) <= 29 << 20, out
    vrun("--tenant", acme, "tag", "one:1", "again:1").ok()
    vrun("--tenant", acme, "import", work / "one.tar", "two:1", "--change", "CMD [\"x\"]").fails("has no room for more images", rc=125)
    vrun("tenant", "update", acme, "--disk", "40M").fails("more is in use", rc=125)
    vrun("--tenant", acme, "rmi", "one:1", "again:1").ok()
    assert _show(vrun, acme)["disk"]["images"] == 0
    out = _run(vrun, acme, fill, "-v", "vol:/vol").out
    assert 36 << 20 < int(out.split()[-1]) <= 49 << 20, out


def logs_count(disk, vrun, acme):
    """The monitor is root's: CAP_SYS_RESOURCE must not let it write past the budget."""
    _create(vrun, acme, "16M").ok()
    guest = vrun("--tenant", acme, "run", "-d", *NONE, "--log-opt", "max-size=100m", "base", "sh", "-c",
                 "yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | head -c 40m; echo end").ok().out.strip()
    assert vrun("--tenant", acme, "wait", guest).ok().out.strip() == "0"
    os.sync()
    used = _show(vrun, acme)["disk"]["used"]
    assert 12 << 20 < used <= 17 << 20, used


@pytest.mark.parametrize("disk", ["ext4", "xfs"], indirect=True)  # btrfs makes inodes of the bytes it bounds
def files_are_bounded_too(disk, vrun, acme):
    _create(vrun, acme, "16M").ok()
    out = _run(vrun, acme, "mkdir /many; cd /many; seq 5000 | xargs touch 2>&1 | head -1; ls | wc -l").out
    assert any(words in out for words in FULL), out
    assert int(out.split()[-1]) < 4096


def it_grows_and_shrinks_live(disk, vrun, acme):
    _create(vrun, acme, "24M").ok()
    guest = vrun("--tenant", acme, "run", "-d", *NONE, "base", "sh", "-c", "head -c 15m /dev/zero >/big; sync; echo done; sleep 1000").ok().out.strip()
    runtime.wait_for(lambda: "done" in vrun("--tenant", acme, "logs", guest).out, "it wrote")
    more = ("--tenant", acme, "exec", guest, "sh", "-c", "dd if=/dev/zero of=/more bs=1M count=30 2>&1; sync")
    assert any(words in vrun(*more).out for words in FULL)
    vrun("tenant", "update", acme, "--disk", "64M").ok()
    assert not any(words in vrun(*more).out for words in FULL)
    vrun("tenant", "update", acme, "--disk", "20M").fails("more is in use", rc=125)
    assert _show(vrun, acme)["budget"]["disk"] == 64 << 20
    vrun("--tenant", acme, "exec", guest, "sh", "-c", "rm /more; sync").ok()
    vrun("tenant", "update", acme, "--disk", "28M").ok()
    assert any(words in vrun(*more).out for words in FULL)


def what_is_full_can_be_stopped_and_removed(disk, vrun, acme):
    """vrun's own records and renames need room, too."""
    _create(vrun, acme, "24M").ok()
    guest = vrun("--tenant", acme, "run", "-d", *NONE, "base", "sh", "-c", "cat /dev/zero >/big; sync; echo full; sleep 1000").ok().out.strip()
    runtime.wait_for(lambda: "full" in vrun("--tenant", acme, "logs", guest).out or vrun("--tenant", acme, "exec", guest, "sh", "-c", "wc -c </big").out.strip() > "1", "it wrote")
    time.sleep(2)
    vrun("--tenant", acme, "stop", "-t", "0", guest).ok()
    vrun("--tenant", acme, "rm", guest).ok()
    assert _show(vrun, acme)["disk"]["used"] < 2 << 20
    _run(vrun, acme, "head -c 10m /dev/zero >/big").ok()


def it_is_counted_exactly(disk, vrun, acme):
    _create(vrun, acme, "100M").ok()
    _run(vrun, acme, "head -c 30m /dev/urandom >/vol/big; sync", "-v", "vol:/vol").ok()
    vrun("--tenant", acme, "create", "--name", "kept", *NONE, "base", "sh", "-c", "head -c 20m /dev/urandom >/layer; sync").ok()
    vrun("--tenant", acme, "start", "-a", "kept").ok()
    lies, used = _charged(vrun, acme), _show(vrun, acme)["disk"]["used"]
    assert lies > 50 << 20 and abs(used - lies) <= lies / 100, (used, lies)


def a_killed_create_or_rm_leaves_nothing(disk, vrun, acme):
    began = time.monotonic()
    _create(vrun, acme, "16M").ok()
    whole = time.monotonic() - began
    for i in range(10):
        process = vrun.start("tenant", "rm", "--force", acme, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(whole * i / 10)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if acme in vrun("tenant", "ls", "-q").ok().out.split():
            vrun("tenant", "rm", "--force", acme).ok()
        process = vrun.start("tenant", "create", acme, "--disk", "16M", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(whole * i / 10)
        process.send_signal(signal.SIGKILL)
        process.wait()
        made = _create(vrun, acme, "16M")
        assert made.rc == 0 or "already exists" in made.err, made
        assert len(disk.numbers()) == 1, disk.numbers()
    _run(vrun, acme, "echo x >/x").ok()


def a_half_made_one_goes_with_the_next_command(disk, vrun, acme):
    """As if killed between what holds the budget and the record."""
    _create(vrun, acme, "16M").ok()
    (vrun.data / "tenants" / acme / "tenant.json").unlink()
    assert len(disk.numbers()) == 1
    _create(vrun, acme + "b", "16M").ok()
    assert len(disk.numbers()) == 1 and not (vrun.data / "tenants" / acme).exists()


def without_the_mount_option_nothing_runs(disk, vrun, acme):
    if disk.kind == "btrfs":
        subprocess.run(["btrfs", "quota", "disable", disk.top], check=True)
        try:
            _create(vrun, acme, "16M", "--disk-backend", "btrfs").fails("quotas of its btrfs are off", rc=125)
        finally:
            subprocess.run(["btrfs", "quota", "enable", disk.top], check=True)
        return
    _create(vrun, acme, "16M").ok()
    disk.unmount()
    disk.mount(held=False)
    try:
        _run(vrun, acme, "true").fails("mounted without project quotas", rc=125)
        out = _create(vrun, acme + "b", "16M").ok()
        assert "on a loop device" in out.err
        vrun("tenant", "rm", acme + "b").ok()
    finally:
        disk.unmount()
        disk.mount()
    _run(vrun, acme, "true").ok()


def it_can_be_named_and_stays(disk, vrun, acme):
    assert "on a loop device" in _create(vrun, acme, "32M", "--disk-backend", "loop").ok().err
    assert _show(vrun, acme)["disk"]["backend"] == "loop"
    vrun("tenant", "rm", acme).ok()
    wrong = "project" if disk.kind == "btrfs" else "btrfs"
    _create(vrun, acme, "32M", "--disk-backend", wrong).fails(f"no disk budget by '{wrong}' here", rc=125)
    _create(vrun, acme, "32M", "--disk-backend", "zfs").fails("no disk backend 'zfs'", rc=125)
    vrun("tenant", "create", acme, "--disk-backend", "loop").fails("there is no budget to hold", rc=125)
    _create(vrun, acme, "32M", "--disk-backend", disk.backend()).ok()


def a_manifest_names_it(disk, vrun, acme, work):
    file = work / "tenant.yaml"
    tenant = f"apiVersion: vrun/v1\nkind: Tenant\nname: {acme}\ndisk: 32M\ndiskBackend: "
    file.write_text(tenant + "loop\n")
    assert "on a loop device" in vrun("apply", "-f", file).ok().err
    assert _show(vrun, acme)["disk"]["backend"] == "loop"
    file.write_text(tenant + disk.backend() + "\n")
    vrun("apply", "-f", file).fails("the disk backend is chosen when it is made", rc=125)
    file.write_text(tenant + "zfs\n")
    vrun("apply", "-f", file).fails("diskBackend", rc=1)
