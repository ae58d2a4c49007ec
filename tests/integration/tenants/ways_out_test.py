"""Ways out of a tenant, each tried with the means it needs and found closed; every check could fail: where it can be, the
same means is shown to work on what is the tenant's own."""
import io
import json
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import tarfile
import tempfile
import termios
import time
from pathlib import Path

import pytest

from harness import host, runtime

from .broker_test import ALICE, Broker, broker  # noqa: F401
from .tenants_test import NONE, _detached, _pid, _run, _show, acme, vrun  # noqa: F401

SECRET = "theirs-alone-4711"


@pytest.fixture
def pair(vrun, acme):
    """Tenant A, who tries, and B, who has a guest with a secret, a volume, a network and an image."""
    a, b = acme, acme + "b"
    for name in (a, b):
        vrun("tenant", "create", name).ok()
    vrun("--tenant", b, "volume", "create", "theirs").ok()
    guest = _detached(vrun, b, f"echo {SECRET} >/data/file; echo {SECRET} >/file; touch /ready; echo {SECRET}; sleep 1000", "--name", "theirs", "-v", "theirs:/data",
                      "-e", f"TOKEN={SECRET}")
    vrun("--tenant", b, "tag", "base", "theirs:1").ok()
    runtime.wait_for(lambda: SECRET in vrun("--tenant", b, "logs", "theirs").out, "B's guest runs")
    return a, b, guest


def _tree(folder):
    """Everything below, with what a write would change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        st = path.lstat()
        found[str(path)] = (st.st_mode, st.st_size, st.st_uid)
    return found


# ---- names ----

NAMES = ["../x", "..", ".", "a/b", "/etc/x", "a/../../x", "a\nb", "a\x1b[31mb", "a\x7fb", "a\tb", "-x", "--force", "a b", "a:b", "a=b", "a,b",
         "x" * 300, "\uff0e\uff0e\u2215x", "\u0430dmin", "a\u200bb", "a\u202eb", "e\u0301", "a;id", "$(id)", "a%2e%2e", "a\\b", "*", ""]
MAKERS = {
    "guest": lambda v, t, n: v("--tenant", t, "create", *NONE, f"--name={n}", "base", "true"),
    "guest, renamed": lambda v, t, n: v("--tenant", t, "rename", "own", "--", n) if n.startswith("-") else v("--tenant", t, "rename", "own", n),
    "volume": lambda v, t, n: v("--tenant", t, "volume", "create", "--", n),
    "volume of a mount": lambda v, t, n: v("--tenant", t, "create", *NONE, "--mount", f"type=volume,source={n},target=/x", "base", "true"),
    "network": lambda v, t, n: v("--tenant", t, "network", "create", "--", n),
    "tenant": lambda v, t, n: v("tenant", "create", "--", n),
    "hostname": lambda v, t, n: v("--tenant", t, "create", *NONE, f"--hostname={n}", "base", "true"),
}
# Of an image a ':' begins its tag and a '/' its repository; these are whole names there.
NOT_FOR_IMAGES = ("a/b", "a:b")


@pytest.mark.parametrize("kind", [*MAKERS, "image"])
def no_name_leads_out_of_its_folder(vrun, acme, kind):
    vrun("tenant", "create", acme).ok()
    vrun("--tenant", acme, "create", *NONE, "--name", "own", "base", "true").ok()
    before = {str(p) for p in vrun.data.rglob("*")} | {str(p) for p in vrun.data.parent.iterdir()}
    make = MAKERS.get(kind) or (lambda v, t, n: v("--tenant", t, "tag", "base", "--", n))
    taken = []
    for name in NAMES:
        if kind == "image" and name in NOT_FOR_IMAGES:
            continue
        if kind == "volume of a mount" and ("," in name or name == ""):
            continue  # a comma ends the value there; without a source it is a volume without a name
        out = make(vrun, acme, name)
        if out.rc == 0:
            taken.append(name)
        assert "\x1b" not in out.err and "\u202e" not in out.err, (name, out.err)
    if kind == "hostname":
        taken = [n for n in taken if n not in ("..", ".", "-x", "--force", "")]  # words of a file, not of a path
    assert not taken, taken
    if kind != "hostname":
        after = {str(p) for p in vrun.data.rglob("*")} | {str(p) for p in vrun.data.parent.iterdir()}
        assert {p for p in after - before if "/tenants/" not in p and not p.endswith(("/volumes", "/networks", acme))} == set()


# ---- mounts ----

def _mount_ways(vrun, a, b, allowed):
    theirs = vrun.data / "volumes" / b / "theirs/data"
    return [
        ("another tenant's volume by its path", ["-v", f"{theirs}:/x"]),
        ("the folder of all volumes", ["-v", f"{vrun.data}/volumes:/x"]),
        ("the own volume's folder, up", ["-v", f"{vrun.data}/volumes/{a}/own/data/../../../{b}/theirs/data:/x"]),
        ("the own volume's record", ["-v", f"{vrun.data}/volumes/{a}/own:/x"]),
        ("another tenant's guest", ["-v", f"{vrun.data}/guests/{b}/theirs:/x"]),
        ("vrun's data", ["-v", f"{vrun.data}:/x"]),
        ("another tenant's secrets", ["-v", f"{vrun.run_dir}/contents/{b}:/x"]),
        ("another tenant's secrets, up", ["-v", f"{vrun.run_dir}/contents/{a}/../{b}:/x"]),
        ("secrets at rest", ["-v", f"{vrun.data}/secrets:/x"]),
        ("vrun's run folder", ["-v", f"{vrun.run_dir}:/x"]),
        ("a name that begins like an allowed one", ["-v", f"{allowed}-more:/x"]),
        ("up from an allowed folder", ["-v", f"{allowed}/../allowed-more:/x"]),
        ("a doubled slash", ["-v", f"{allowed}//../allowed-more:/x"]),
        ("a link in it", ["-v", f"{allowed}/link:/x"]),
        ("below a link in it", ["-v", f"{allowed}/link/file:/x"]),
        ("up behind a link", ["-v", f"{allowed}/link/../allowed-more:/x"]),
        ("a magic link in it", ["-v", f"{allowed}/magic:/x"]),
        ("/proc/self/fd", ["-v", "/proc/self/fd:/x"]),
        ("/proc/self/root", ["-v", f"/proc/self/root{allowed}-more:/x"]),
        ("/proc/1/root", ["-v", "/proc/1/root:/x"]),
        ("the host's root", ["-v", "/:/x"]),
        ("the host's /dev", ["-v", "/dev:/x"]),
        ("the host's /sys", ["-v", "/sys:/x"]),
        ("the host's cgroups", ["-v", "/sys/fs/cgroup:/x"]),
        ("--mount of a bind", ["--mount", f"type=bind,source={allowed}-more,target=/x"]),
        ("--mount, up", ["--mount", f"type=bind,src={allowed}/../allowed-more,dst=/x"]),
        ("--mount, shared with the host", ["--mount", f"type=bind,source={allowed}-more,target=/x,bind-propagation=shared"]),
        ("another tenant's volume as one's own", ["--mount", f"type=volume,source=../{b}/theirs,target=/x"]),
    ]


def no_mount_leads_out(vrun, pair, work):
    a, b, _ = pair
    allowed, more = work / "allowed", work / "allowed-more"
    for folder in (allowed, more):
        folder.mkdir()
    (more / "file").write_text(SECRET)
    (allowed / "own").mkdir()
    (allowed / "link").symlink_to(more)
    (allowed / "magic").symlink_to("/proc/self/root")
    vrun("--tenant", a, "volume", "create", "own").ok()
    vrun("tenant", "update", a, "--allow-mount", allowed).ok()
    for what, flags in _mount_ways(vrun, a, b, allowed):
        out = _run(vrun, a, "cat /x /x/file /x/*/file /x/data/file 2>/dev/null; ls /x", *flags)
        assert out.rc == 125 and SECRET not in out.out, (what, out)
    _run(vrun, a, "true", "-v", f"{allowed}/own:/x").ok()  # what is allowed is possible


def whether_a_path_is_there_is_not_told_to_who_may_not_have_it(vrun, acme, work):
    (work / "there").mkdir()
    vrun("tenant", "create", acme).ok()
    for flags in (["-v", "{}:/x"], ["--mount", "type=bind,source={},target=/x"], ["--device", "{}"], ["-v", "{}:/x", "--cap-add", "SYS_TIME"]):
        said = set()
        for name in ("there", "not-there", "there/below", "there/../x"):
            out = _run(vrun, acme, "true", *[f.format(work / name) for f in flags])
            assert out.rc == 125, out
            said.add(re.sub("'[^']*'|--allow-[a-z]+ .*", "X", out.err))
        assert len(said) == 1, said


def another_tenants_volume_is_not_there_by_its_name(vrun, pair):
    a, b, _ = pair
    out = _run(vrun, a, "cat /x/file; true", "-v", "theirs:/x").ok()
    assert SECRET not in out.out, "it is an own one of the same name"
    assert f"/volumes/{a}/theirs/" in vrun("--tenant", a, "volume", "inspect", "theirs").ok().json[0]["Mountpoint"]


def links_in_a_volume_lead_nowhere_on_the_host(vrun, acme, work):
    """As a target of mounts and of cp, and by what vrun itself writes into it."""
    (work / "host").mkdir()
    (work / "host/file").write_text(SECRET)
    vrun("tenant", "create", acme).ok()
    vrun("--tenant", acme, "volume", "create", "v").ok()
    links = f"ln -s {work}/host /v/dir; ln -s {work}/host/file /v/file; ln -s / /v/root; ln -s /proc/self/root /v/magic"
    _run(vrun, acme, links, "-v", "v:/v").ok()
    for target in ("/v/dir", "/v/dir/new", "/v/file", f"/v/root{work}/host", f"/v/magic{work}/host"):
        _run(vrun, acme, "true", "-v", "v:/v", "--tmpfs", target)
        _run(vrun, acme, "echo changed >/proc/self/cwd/x", "-v", "v:/v", "-w", target)
    vrun("--tenant", acme, "create", "--name", "g", *NONE, "-v", "v:/v", "base", "true").ok()
    (work / "in").write_text("changed")
    for target in ("/v/file", "/v/dir/file", "/v/dir/", f"/v/root{work}/host/file", f"/v/magic{work}/host/file"):
        vrun("--tenant", acme, "cp", work / "in", f"g:{target}")
        out = vrun("--tenant", acme, "cp", f"g:{target}", work / "out")
        assert not (work / "out").is_file() or SECRET not in (work / "out").read_text(), (target, out)
        subprocess.run(["rm", "-rf", work / "out"], check=True)
    assert sorted(p.name for p in (work / "host").iterdir()) == ["file"] and (work / "host/file").read_text() == SECRET


# ---- cp ----

def links_that_change_while_cp_runs_lead_nowhere_on_the_host(vrun, acme, work):
    (work / "host").mkdir()
    (work / "host/file").write_text(SECRET)
    vrun("tenant", "create", acme).ok()
    guest = _detached(vrun, acme, f"mkdir -p /a/d; echo own >/a/d/file; ln -s {work}/host /b; while :; do mv /a/d /c && mv /b /a/d && mv /a/d /b && mv /c /a/d; done")
    (work / "in").write_text("changed")
    seen = set()
    for i in range(20):
        seen.add(vrun("--tenant", acme, "cp", work / "in", f"{guest}:/a/d/file").rc)
        out = vrun("--tenant", acme, "cp", f"{guest}:/a/d/file", "-")
        assert SECRET not in out.out, i
    assert (work / "host/file").read_text() == SECRET
    assert 0 in seen, "some of the copies have been made"


def what_cp_brings_out_is_what_was_asked_for_and_nothing_else(vrun, acme, work):
    """Links stay links, devices are not opened, a huge hole stays a hole, and an existing link outside is not written through."""
    (work / "host").write_text(SECRET)
    vrun("tenant", "create", acme).ok()
    guest = _detached(vrun, acme, f"mkdir /d; ln -s {work}/host /d/abs; ln -s ../../../../{work}/host /d/rel; mknod /d/fifo p; "
                                  "touch /d/one; ln /d/one /d/two; dd if=/dev/zero of=/d/huge bs=1 count=1 seek=200G 2>/dev/null; touch /ready; sleep 1000")
    runtime.wait_for(lambda: vrun("--tenant", acme, "exec", guest, "ls", "/ready").rc == 0, "the files are there")
    out = work / "out"
    vrun("--tenant", acme, "cp", f"{guest}:/d/abs", out)
    assert not out.exists() or out.is_symlink() or SECRET not in out.read_text()
    subprocess.run(["rm", "-rf", out], check=True)
    done = vrun("--tenant", acme, "cp", f"{guest}:/d/abs", "-", timeout=60)
    assert SECRET not in done.out
    for name in ("fifo", "huge"):
        start = time.monotonic()
        if name == "fifo":
            vrun("--tenant", acme, "cp", f"{guest}:/d/fifo", out, timeout=30)
            assert time.monotonic() - start < 20, "nobody waits for a writer"
        subprocess.run(["rm", "-rf", out], check=True)
    target = work / "mine"
    target.mkdir()
    (target / "one").symlink_to(work / "host")
    vrun("--tenant", acme, "cp", f"{guest}:/d/one", f"{target}/")
    assert (work / "host").read_text() == SECRET


# ---- archives ----

def _tar(*members):
    """A root file system that would write where its members say."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, link, data, pax in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size, info.mode, info.pax_headers = kind, link, len(data), 0o6755, pax
            info.devmajor, info.devminor = (1, 1) if kind in (tarfile.BLKTYPE, tarfile.CHRTYPE) else (0, 0)
            tar.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def _file(name, data=b"changed", pax=None):
    return (name, tarfile.REGTYPE, "", data, pax or {})


def _archive_ways(place):
    link = lambda name, to: (name, tarfile.SYMTYPE, to, b"", {})
    hard = lambda name, to: (name, tarfile.LNKTYPE, to, b"", {})
    return {
        "up": [_file("../" * 20 + f"{place}/host")],
        "an absolute name": [_file(f"{place}/host")],
        "through a link": [link("l", str(place)), _file("l/host")],
        "through a link upwards": [link("l", "../" * 20 + str(place).lstrip("/")), _file("l/host")],
        "through two links": [link("l", "m"), link("m", str(place)), _file("l/host")],
        "through /proc/self/root": [link("l", f"/proc/self/root{place}"), _file("l/host")],
        "a hard link to the host": [hard("h", f"{place}/host"), _file("h")],
        "a hard link upwards": [hard("h", "../" * 20 + f"{place}/host"), _file("h")],
        "a hard link through a link": [link("l", str(place)), hard("h", "l/host"), _file("h")],
        "a link over a file": [_file("f"), link("f", f"{place}/host"), _file("f")],
        "a link that is a folder": [("d", tarfile.DIRTYPE, "", b"", {}), link("d", str(place)), _file("d/host")],
        "a whiteout upwards": [_file("../" * 20 + f"{place}/.wh.host", b"")],
        "a whiteout through a link": [link("l", str(place)), _file("l/.wh.host", b"")],
        "an opaque whiteout through a link": [link("l", str(place)), _file("l/.wh..wh..opq", b"")],
        "a name with a zero byte": [_file(f"a\0/../../{place}/host")],
    }


@pytest.mark.parametrize("way", list(_archive_ways(Path("/x"))))
def no_archive_writes_outside(vrun, acme, work, way):
    (work / "host").write_text(SECRET)
    vrun("tenant", "create", acme).ok()
    data = _tar(*_archive_ways(work)[way])
    file = work / "archive.tar"
    file.write_bytes(data)
    vrun("--tenant", acme, "import", file, "evil:1")
    vrun("--tenant", acme, "create", "--name", "g", *NONE, "base", "true").ok()
    subprocess.run([vrun.program, "--tenant", acme, "cp", "-", "g:/"], input=data, env=vrun.env, capture_output=True, timeout=60)
    assert (work / "host").read_text() == SECRET
    assert sorted(p.name for p in work.iterdir() if p.name not in ("disk", "disk.img", "data", "run")) == ["archive.tar", "host"]


def what_an_archive_brings_has_no_power_over_the_host(vrun, acme, work):
    """Set-id programs and file capabilities belong to the guest's ids; devices open nothing; trusted.* is not written."""
    cap = b"\x01\x00\x00\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\xff\x00\x00\x00\x00\x00\x00\x00"
    xattr = lambda name, value: {f"SCHILY.xattr.{name}": value.decode("latin-1")}
    busybox = Path("/bin/busybox").read_bytes()
    archive = work / "a.tar"
    archive.write_bytes(_tar(_file("bin/sh", busybox), _file("bin/caps", busybox, xattr("security.capability", cap[:24])),
                             ("disk", tarfile.BLKTYPE, "", b"", {}), ("mem", tarfile.CHRTYPE, "", b"", {}),
                             _file("trusted", b"", xattr("trusted.overlay.redirect", b"/etc"))))
    vrun("tenant", "create", acme).ok()
    if vrun("--tenant", acme, "import", archive, "evil:1").rc == 0:
        out = vrun("--tenant", acme, "run", "--rm", *NONE, "evil:1", "/bin/sh", "-c", "head -c 1 /disk; head -c 1 /mem && echo OUT")
        assert "OUT" not in out.out, out
    for path in (vrun.data / "images").rglob("*"):
        st = path.lstat()
        assert st.st_uid != 0 or not st.st_mode & 0o6000 or not _searchable(path), f"a set-id program of root in reach of others: {path}"
        if path.is_file() and not path.is_symlink():
            assert not [n for n in os.listxattr(path, follow_symlinks=False) if n.startswith("trusted.overlay.redirect")], path


def _searchable(path):
    """May somebody who is not root reach it?"""
    return all(p.stat().st_mode & 0o001 for p in path.parents)


# ---- others' guests, from one's own tenant ----

def others_cannot_be_joined(vrun, pair):
    a, b, guest = pair
    vrun("--tenant", a, "run", "-d", "--name", "own", *NONE, "base", "sleep", "1000").ok()
    pid = _pid(vrun, b, guest)
    ways = []
    for other in ("theirs", guest, guest[:12], f"{b}/theirs", f"{b}:theirs", f"../{b}/theirs", str(pid)):
        for flag in ("--network", "--pid", "--ipc"):
            ways.append(["run", "--rm", *(NONE if flag != "--network" else ()), flag, f"container:{other}", "base", "sh", "-c", "cat /proc/1/root/file; kill -9 2"])
        for verb in (["exec", other, "cat", "/file"], ["logs", other], ["top", other], ["port", other], ["attach", "--no-stdin", other], ["inspect", other],
                     ["cp", f"{other}:/file", "-"], ["export", other], ["diff", other], ["commit", other, "mine"], ["debug", other], ["kill", other], ["wait", other],
                     ["stop", "-t", "0", other], ["pause", other], ["update", "--pids-limit", "3", other], ["start", other], ["rename", other, "mine"]):
            ways.append(verb)
    for way in ways:
        out = vrun("--tenant", a, *way, timeout=30)
        assert out.rc != 0 and SECRET not in out.out + out.err, (way, out)
    for network in (f"ns:/proc/{pid}/ns/net", f"/proc/{pid}/ns/net", f"path:/proc/{pid}/ns/net"):
        assert vrun("--tenant", a, "run", "--rm", "--network", network, "base", "true").rc == 125
    assert vrun("--tenant", b, "exec", "theirs", "cat", "/file").ok().out == SECRET + "\n"  # the same means, by its owner


# ---- from inside a guest ----

# Each prints OUT when it has worked.
INSIDE = {
    "a process of the host": "for p in /proc/[0-9]*; do [ $(readlink $p/ns/pid) = $(readlink /proc/self/ns/pid) ] || echo OUT; done; kill -0 {pid} 2>/dev/null && [ {pid} -gt 400 ] && echo OUT",
    "a kernel knob": "echo '|/bin/sh' >/proc/sys/kernel/core_pattern && echo OUT; echo 1 >/proc/sys/vm/drop_caches && echo OUT; echo h >/proc/sysrq-trigger && echo OUT",
    "modprobe's path": "echo /x >/proc/sys/kernel/modprobe && echo OUT; echo /x >/sys/kernel/uevent_helper && echo OUT",
    "limits of users": "for f in /proc/sys/user/*; do echo 1 >$f && echo OUT; done",
    "own cgroup's limits": "for f in $(find /sys/fs/cgroup -name '*.max' -o -name '*limit_in_bytes' -o -name cpu.shares -o -name cgroup.procs -o -name tasks -o -name release_agent -o -name cgroup.subtree_control); do echo 1 >$f && echo OUT $f; done",
    "a new cgroup": "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/x && echo OUT $d; done",
    "cgroups mounted anew": "mkdir /c; mount -t cgroup2 none /c && echo OUT; mount -t cgroup -o memory none /c && echo OUT; mount -t cgroup -o none,name=x none /c && echo OUT",
    "a new cgroup namespace": "unshare -C sh -c 'mount -t cgroup2 none /mnt && echo OUT'; unshare -UrCm sh -c 'mount -t cgroup2 none /mnt && echo OUT'; unshare -UrCm sh -c 'mount -t cgroup -o memory none /mnt && echo OUT'",
    "a mount": "mkdir -p /m; mount -t tmpfs none /m && echo OUT; mount --bind / /m && echo OUT; mount -o remount,rw /sys && echo OUT; umount /proc/sys && echo OUT; umount /proc && echo OUT",
    "a device": "mknod /b b 7 0 && echo OUT; mknod /k c 1 1 && echo OUT; mknod /v b 254 0 && echo OUT; ls /dev/mem /dev/kmsg /dev/vda /dev/loop0 2>/dev/null && echo OUT",
    "the kernel's log": "dmesg >/dev/null 2>&1 && [ -n \"$(dmesg)\" ] && echo OUT; [ -c /dev/kmsg ] && echo OUT; [ -c /dev/console ] && echo x >/dev/console; true",
    "the host's name": "hostname taken && echo OUT",
    "namespaces of pid 1": "nsenter -t 1 -m -p true 2>/dev/null && [ $(readlink /proc/1/ns/mnt) != $(readlink /proc/self/ns/mnt) ] && echo OUT",
    "files of the host by root's links": "cat /proc/*/root{place}/host /proc/*/cwd/{place}/host && echo OUT; ls {place} && echo OUT; cd /; for i in 1 2 3 4 5 6 7 8 9; do cd ..; done; cat .{place}/host && echo OUT",
    "descriptors left open": "for f in /proc/[0-9]*/fd/*; do case $(readlink $f) in /dev/null|/dev/pts/*|pipe:*|socket:*|/proc/*|/|'') ;; *) echo OUT $f $(readlink $f) ;; esac; done",
    "the clock": "date -s '2001-01-01' >/dev/null; [ $(date +%Y) = 2001 ] && echo OUT",
    "a module": "echo x >/x; insmod /x 2>&1 | grep -qi 'not permitted' || echo OUT",
    "the machine": "reboot -f && echo OUT",
    "memory of others' swap": "dd if=/dev/zero of=/x bs=4096 count=20 2>/dev/null; mkswap /x >/dev/null; swapon /x && echo OUT",
    "set-id without a namespace's ids": "[ $(awk '{{print $2}}' /proc/self/uid_map) != 0 ] || echo OUT",
    "a higher priority": "renice -n -20 $$ && [ $(awk '{{print $19}}' /proc/$$/stat) -lt 0 ] && echo OUT; chrt -f 1 true && echo OUT",
    "higher limits": "ulimit -Hn $(( $(ulimit -Hn) + 1 )) && echo OUT",
    "memory of the kernel's rings": "cat /proc/kcore /proc/keys /proc/sched_debug /proc/timer_list 2>/dev/null | head -c 1 | grep -q . && echo OUT; ls /sys/firmware/* 2>/dev/null | grep -q . && echo OUT; true",
}


@pytest.mark.parametrize("way", list(INSIDE))
def nothing_inside_leads_out(vrun, pair, work, way):
    a, b, guest = pair
    (work / "host").write_text(SECRET)
    name = socket.gethostname()
    stamp = Path("/proc/sys/kernel/core_pattern").read_text()
    out = _run(vrun, a, INSIDE[way].format(pid=_pid(vrun, b, guest), place=work) + "; echo tried", timeout=60)
    assert "OUT" not in out.out and SECRET not in out.out, out
    assert out.out.rstrip().endswith("tried") or way == "the machine", out
    assert socket.gethostname() == name and Path("/proc/sys/kernel/core_pattern").read_text() == stamp and time.time() > 1.7e9
    assert vrun("--tenant", b, "exec", "theirs", "cat", "/file").ok().out == SECRET + "\n"


# ---- flags that mean something to the kernel or the runtime ----

FLAGS = [
    ["--sysctl", "kernel.core_pattern=|/bin/sh"], ["--sysctl", "kernel/core_pattern=x"], ["--sysctl", "net/../kernel/core_pattern=x"],
    ["--sysctl", "net.ipv4.../../../kernel/core_pattern=x"], ["--sysctl", "../../../etc/x=1"], ["--sysctl", "user.max_user_namespaces=1"],
    ["--sysctl", "fs.file-max=1"], ["--sysctl", "vm.drop_caches=1"], ["--sysctl", "kernel.shm.rmid_forced=1"], ["--sysctl", "net.core.somaxconn=9"],
    ["--device", "/dev/../dev/vda"], ["--device", "/dev/./vda"], ["--device", "/dev/vda:/dev/null"], ["--device", "/dev/mem"], ["--device", "/dev/null:/dev/mem"],
    ["--device", "{place}/link"], ["--device", "/proc/self/root/dev/vda"], ["--device", "/dev"], ["--device", "/dev/disk/../vda"],
    ["--device-cgroup-rule", "a *:* rwm"], ["--device-cgroup-rule", "b 254:* rwm"],
    ["--security-opt", "seccomp={place}/host"], ["--security-opt", "seccomp=unconfined"], ["--security-opt", "apparmor=unconfined"],
    ["--security-opt", "apparmor=../x"], ["--cap-add", "all"], ["--cap-add", "SYS_ADMIN"], ["--cap-add", "cap_sys_ptrace"],
    ["--userns", "host"], ["--uts", "host"], ["--ipc", "host"], ["--pid", "host"], ["--cgroupns", "host"], ["--privileged"],
    ["--cgroup-parent", "/"], ["--cgroup-parent", "../.."], ["--runtime", "{place}/host"], ["--oom-score-adj", "-1000"],
    ["--mount", "type=overlay,source=/,target=/x"], ["--mount", "type=proc,target=/x"], ["--volumes-from", "theirs"], ["--tmpfs", "/proc"], ["--tmpfs", "/../x:dev"],
    ["-v", "/var/run/docker.sock:/x"],
]


@pytest.mark.parametrize("flags", FLAGS, ids=[" ".join(f) for f in FLAGS])
def flags_give_no_power(vrun, acme, work, flags):
    (work / "host").write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    (work / "link").symlink_to("/dev/null")
    vrun("tenant", "create", acme).ok()
    out = _run(vrun, acme, "echo ran", *[f.format(place=work) for f in flags])
    assert out.rc == 125 and "ran" not in out.out, out
    assert vrun("--tenant", acme, "ps", "-aq").out == "", "nothing half-made is left"


NOTES = ["run.oci.handler=wasm", "run.oci.hooks.stderr={place}/hook", "run.oci.keep_original_groups=1", "run.oci.mount_context_type=x", "run.oci.systemd.subgroup=../..",
         "run.oci.delegate-cgroup=/", "io.kubernetes.cri-o.Devices=/dev/vda", "io.kubernetes.cri-o.TrySkipVolumeSELinuxLabel=true", "io.katacontainers.config.hypervisor.path={place}/hook",
         "org.criu.config={place}/hook", "org.systemd.property.ExecStart='/bin/sh'", "org.systemd.property.DeviceAllow=['/dev/vda']", "module.wasm.image/variant=compat",
         "com.docker.network.container=x", "vrun.internal=1"]


@pytest.mark.parametrize("flag", ["--annotation", "--label"])
def notes_are_words_and_nothing_else(vrun, acme, work, flag):
    """What other runtimes obey: the guest is the same as without."""
    (work / "hook").write_text("#!/bin/sh\necho ran >{}\n".format(work / "ran"))
    (work / "hook").chmod(0o755)
    vrun("tenant", "create", acme).ok()
    look = "id -G; ls /dev | sort; cat /proc/self/cgroup | wc -l; grep Cap /proc/self/status; cat /proc/mounts | wc -l"
    plain = _run(vrun, acme, look).ok().out
    for note in NOTES:
        out = _run(vrun, acme, look, flag, note.format(place=work))
        assert out.rc == 125 or out.out == plain, (note, out)
    assert not (work / "ran").exists()


# ---- manifests ----

MANIFESTS = {
    "a secret's name": "kind: Secret\nname: ../../out\ndata: {k: changed}",
    "a secret's file": "kind: Secret\nname: s\ndata: {../../../out: changed}",
    "a secret's file, absolute": "kind: Secret\nname: s\ndata: {PLACE/out: changed}",
    "a secret's file of two dots": "kind: Secret\nname: s\ndata: {..: changed}",
    "a config's name": "kind: Config\nname: a/../../out\ndata: {k: changed}",
    "a config's file": "kind: Config\nname: s\ndata: {a/../../../out: changed}",
    "a guest's name": "kind: Guest\nname: ../out\nimage: base\ncommand: [\"true\"]",
    "a network's name": "kind: Network\nname: ../out",
    "another tenant's name": "kind: Guest\ntenant: ../out\nname: x\nimage: base",
    "a secret of that name in a guest": "kind: Guest\nname: x\nimage: base\nnetwork: none\nsecrets: [{name: ../THEIRS/key}]",
    "a volume of another tenant": "kind: Guest\nname: x\nimage: base\nnetwork: none\nvolumes: [\"../THEIRS/theirs:/x\"]",
}


@pytest.mark.parametrize("way", list(MANIFESTS))
def no_manifest_leads_out(vrun, pair, work, way):
    a, b, _ = pair
    place = work / "place"
    place.mkdir()
    file = work / "m.yaml"
    file.write_text("apiVersion: vrun/v1\n" + MANIFESTS[way].replace("PLACE", str(place)).replace("THEIRS", b) + "\n")
    before = _tree(vrun.data) | _tree(place)
    out = vrun("--tenant", a, "apply", "-f", file)
    assert out.rc != 0, out
    assert not [p for p in work.rglob("out")] and not list(place.iterdir())
    assert {p for p in _tree(vrun.data) if p not in before and "/manifests" not in p and "/audit" not in p} == set()


def secrets_do_not_follow_links_of_the_guest(vrun, acme, work):
    """Where a secret is to be shown, the image has a link to somewhere else."""
    (work / "t.tar").write_bytes(_tar(("run", tarfile.DIRTYPE, "", b"", {}), ("run/secrets", tarfile.SYMTYPE, f"/proc/self/root{work}", b"", {}), ("l", tarfile.SYMTYPE, str(work), b"", {}),
                                      _file("bin/sh", Path("/bin/busybox").read_bytes())))
    vrun("tenant", "create", acme).ok()
    vrun("--tenant", acme, "import", work / "t.tar", "links:1").ok()
    for target in ("", ", target: /l/key"):
        (work / "m.yaml").write_text("apiVersion: vrun/v1\nkind: Secret\nname: key\ndata: {k: " + SECRET + "}\n---\napiVersion: vrun/v1\nkind: Guest\nname: g\nimage: links:1\nnetwork: none\n"
                                     "command: [/bin/sh, -c, \"while :; do :; done\"]\nsecrets: [{name: key" + target + "}]\n")
        vrun("--tenant", acme, "apply", "-f", work / "m.yaml", timeout=60)
        assert not (work / "key").exists()
        vrun("--tenant", acme, "delete", "-f", work / "m.yaml")
        vrun("--tenant", acme, "rm", "-f", "g")


# ---- terminals ----

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u009b5m\x1b[6n\rover\b\b"
# What would make a terminal do something: controls but newline and tab, and 8-bit controls.
HARM = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]|(?<![\xc2-\xf4\x80-\xbf])[\x80-\x9f]|\r(?!\n)")
COLOURS = re.compile(rb"\x1b\[[0-9;]*m")


OWN = b"\x1b[2J\x1b[H"  # what `top` and `stats` begin each view with


def _on_terminal(vrun, *words):
    """What a person at a terminal gets to see of it; what is renewed in place, once."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(vrun.program, ["vrun", *map(str, words)], {**vrun.env, "TERM": "xterm"})
    seen, end = b"", time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                chunk = os.read(fd, 65536)
            except OSError:
                break
            if not chunk:
                break
            seen += chunk
    else:
        os.kill(pid, 9)
    os.close(fd)
    os.waitpid(pid, 0)
    return seen.removeprefix(OWN)


def nothing_a_tenant_writes_moves_an_admins_terminal(vrun, acme):
    vrun("tenant", "create", acme).ok()
    evil = EVIL.replace("\x00", "")
    guest = vrun("--tenant", acme, "run", "-d", *NONE, "--name", "g", "--label", f"l={evil}", "--annotation", f"a={evil}", "-e", f"E={evil}",
                 "--health-cmd", f"printf '%s' '{evil}'; exit 1", "--health-interval", "1s", "--entrypoint", "", "base", "sh", "-c",
                 f"# {evil}\nprintf '%s\\n' '{evil}'; touch '/file{evil}'; sh -c 'sleep 1000; : {evil}' & exec sleep 1000").ok().out.strip()
    runtime.wait_for(lambda: "over" in vrun("--tenant", acme, "logs", guest).out, "it has spoken")
    vrun("--tenant", acme, "volume", "create", "--label", f"l={evil}", "v").ok()
    vrun("--tenant", acme, "commit", "--message", evil, "--change", f"LABEL x={json.dumps(evil)}", "g", "evil:1")
    vrun("--tenant", acme, "exec", "-d", "g", "sh", "-c", f"true {evil}")
    calls = [["ps"], ["ps", "-a", "--no-trunc"], ["ps", "--format", "json"], ["ps", "--format", "{{.Command}} {{.Labels}}"], ["inspect", "g"], ["inspect", "--format", "{{.Config.Cmd}}", "g"],
             ["inspect", "--format", "yaml", "g"], ["logs", "g"], ["logs", "-t", "g"], ["top", "--no-stream", "g"], ["top", "g", "-o", "pid,args"], ["top", "g", "aux"], ["diff", "g"], ["stats", "--no-stream"],
             ["events", "--since", "1h", "--until", "0s"], ["events", "--since", "1h", "--until", "0s", "--format", "json"], ["port", "g"], ["images"], ["history", "evil:1"], ["history", "--no-trunc", "evil:1"],
             ["image", "inspect", "evil:1"], ["volume", "inspect", "v"], ["volume", "ls"], ["network", "ls"], ["plan", *NONE, "-e", f"X={evil}", "base", evil], ["exec", "g", f"/no{evil}"],
             ["inspect", evil], ["cp", f"g:/file{evil}x", "-"], ["start", evil], [evil], ["ps", f"--{evil}"], ["run", f"base{evil}"]]
    harmful = {}
    for call in calls:
        seen = COLOURS.sub(b"", _on_terminal(vrun, "--tenant", acme, *call))
        if found := HARM.search(seen):
            harmful[" ".join(call)[:60].encode("unicode_escape").decode()] = seen[max(0, found.start() - 60):found.end() + 20]
    for call in (["tenant", "usage", acme], ["tenant", "show", acme], ["tenant", "top", acme], ["metrics"]):
        seen = COLOURS.sub(b"", _on_terminal(vrun, *call))
        if found := HARM.search(seen):
            harmful[" ".join(call)] = seen[max(0, found.start() - 60):found.end() + 20]
    assert not harmful, "\n".join(f"{k}: {v!r}" for k, v in harmful.items())


# Takes what it has been given as a terminal, or says that it is none.
TYPIST = r"""
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
int main(void) {
  struct termios t;
  for (int fd = 0; fd < 3; ++fd) {
    char line[] = {2, 0};
    printf("%d is %s\n", fd, tcgetattr(fd, &t) == 0 ? "a terminal" : "none");
    if (ioctl(fd, TIOCSTI, "x") == 0) printf("typed into %d\n", fd);
    if (ioctl(fd, TIOCLINUX, line) == 0) printf("selected in %d\n", fd);
    if (tcgetattr(fd, &t) == 0) { t.c_lflag &= ~(tcflag_t)ECHO; tcsetattr(fd, TCSANOW, &t); }
  }
  printf("\033]0;owned\007\n");
  fflush(stdout);
  if (fork() == 0) sleep(30);  // keeps what it has
  printf("end\n");
  return 0;
}
"""


def _typist(work):
    (work / "p.c").write_text(TYPIST)
    subprocess.run(["gcc", "-static", "-o", work / "p", work / "p.c"], check=True)
    return _tar(_file("p", (work / "p").read_bytes()), _file("bin/sh", Path("/bin/busybox").read_bytes()), _file("bin/sleep", Path("/bin/busybox").read_bytes()))


@pytest.mark.parametrize("flags", [[], ["-i"]], ids=["plain", "-i"])
def exec_does_not_hand_the_callers_terminal_to_a_guest(broker, work, flags):
    """Who holds a terminal's descriptor can read the next password that is typed there."""
    vrun = broker.vrun
    (work / "t.tar").write_bytes(_typist(work))
    vrun("--tenant", broker.a, "import", work / "t.tar", "typist:1").ok()
    vrun("--tenant", broker.a, "run", "-d", "--name", "g", *NONE, "typist:1", "/bin/sleep", "1000").ok()
    outer, inner = pty.openpty()
    before = termios.tcgetattr(inner)
    words = broker.command(ALICE, "--tenant", broker.a, "exec", *flags, "g", "/p")
    asking = subprocess.Popen(words, stdin=inner, stdout=inner, stderr=inner, env=broker.env(), cwd="/", start_new_session=True)
    seen, end = b"", time.monotonic() + 20
    while b"end" not in seen and time.monotonic() < end:
        if select.select([outer], [], [], 0.2)[0]:
            seen += os.read(outer, 4096)
    assert asking.wait(20) == 0, "nobody waits for what the guest keeps open"
    assert seen.count(b"is none") == 3 and b"a terminal" not in seen and b"typed" not in seen and b"selected" not in seen, seen
    assert b"\x1b" not in seen and b"\\x1b]0;owned\\x07" in seen, seen
    assert termios.tcgetattr(inner) == before
    for fd in (outer, inner):
        os.close(fd)


def exec_still_carries_every_byte(broker):
    """Through pipes as they are; through a terminal what was typed, and the end of it."""
    vrun = broker.vrun
    vrun("--tenant", broker.a, "run", "-d", "--name", "g", *NONE, "base", "sleep", "1000").ok()
    assert broker(ALICE, "--tenant", broker.a, "exec", "-i", "g", "cat", input="a\x1bb\r\n").ok().out == "a\x1bb\r\n".replace("\r\n", "\n")
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(vrun.program, ["vrun", "--tenant", broker.a, "exec", "-i", "g", "sh", "-c", "cat; head -c 300000 /dev/zero | tr '\\0' y; echo; exit 3"], vrun.env)
    os.write(fd, b"typed\n\x04")
    seen = b""
    while True:
        try:
            chunk = os.read(fd, 65536)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    os.close(fd)
    assert seen.count(b"typed") == 2 and seen.count(b"y") >= 300_000, seen[:200]


def options_of_ps_show_no_process_of_others(broker):
    """`top GUEST` with options of ps sees the whole host: no column stands for another one."""
    vrun = broker.vrun
    vrun("--tenant", broker.b, "run", "-d", "--name", "theirs", *NONE, "base", "sleep", "47114711").ok()
    pid = vrun("--tenant", broker.a, "run", "-d", "--name", "own", *NONE, "base", "sleep", "1000").ok() and _pid(vrun, broker.a, "own")
    vrun("--tenant", broker.b, "run", "-d", "--name", "named", *NONE, "base", "sh", "-c", f"exec -a 'x {pid}' sleep 47114711 || sleep 47114711").ok()
    for options in (["-eo", "args,pid"], ["-eo", "comm,pid"], ["-eo", "etimes=PID,args"], ["-e", "-o", "rss=PID", "-o", "args"], ["-eo", "ppid=PID,args"], ["-eo", "sid=PID,args"]):
        out = broker(ALICE, "--tenant", broker.a, "top", "own", "--", *options)
        assert out.rc != 0 and "4711" not in out.out, (options, out)
    for options in (["-ef"], ["aux"], ["-eo", "pid,args"], ["-eo", "user,pid,args"]):
        out = broker(ALICE, "--tenant", broker.a, "top", "own", "--", *options).ok()
        assert "sleep 1000" in out.out and "4711" not in out.out, (options, out)


# ---- the broker ----

def words_are_not_smuggled_past_the_broker(broker):
    long = "x" * 100_000
    calls = [["ps", "--tenant", broker.a, "--tenant", broker.b], ["--tenant", broker.a, "--tenant", broker.b, "ps"], ["ps", f"--tenant={broker.b}", f"--tenant={broker.a}"],
             ["ps", "--", "--tenant", broker.b], ["ps", "-a", "--tenant", broker.b], ["ps", "-atenant", broker.b], ["--debug", "--tenant", broker.b, "ps"], ["--data-dir=/tmp", "ps"],
             ["--run-dir", "/tmp", "ps"], ["run", "--env-file", "/etc/shadow", *NONE, "base", "env"], ["run", "--env-fil", "/etc/shadow", *NONE, "base", "env"],
             ["run", "-v/:/x", *NONE, "base", "true"], ["run", *NONE, "-dv", "/:/x", "base", "true"], ["save", "-qo", "/tmp/x", "base"], ["ps\n--tenant", broker.b], ["tenant show", broker.b],
             ["tenant", "show", "--", broker.b], ["tenant", "show", broker.a, broker.b], ["tenant", "freeze", broker.a, broker.b], ["tenant", "--tenant", broker.a, "show", broker.b],
             ["exec", "--tenant", broker.b, "--", "theirs", "true"], [long], ["ps", "--filter", long], ["inspect", long], ["", "ps"], ["--", "info"], ["-", "info"], ["help", "--tenant", broker.b]]
    broker.vrun("--tenant", broker.b, "run", "-d", "--name", "theirs", *NONE, "base", "sleep", "1000").ok()
    for words in calls:
        answer = broker.ask(ALICE, broker.a, *words)
        shown = broker.vrun("tenant", "show", "--format", "json", broker.b).out
        assert json.loads(shown)[0]["state"] != "frozen" and json.loads(shown)[0]["running"] == 1, words
        # Answers of their own: a help text, and a list of the asker's own guests.
        harmless = words[0] in ("ps", "help") or words[:2] == ["tenant", "--tenant"]
        assert answer is None or answer["code"] != 0 or harmless, (words, answer)
    help_text = broker(ALICE, "--tenant", broker.a, "tenant", "--tenant", broker.a, "show", broker.b).ok().out
    assert "usage: vrun tenant" in help_text and broker.b not in help_text
    for words in (["ps", "--tenant", broker.a, "--tenant", broker.b], ["--tenant", broker.b, "ps", "--tenant", broker.a], ["ps", f"--tenant={broker.b}"]):
        out = broker(ALICE, *words, env={"VRUN_TENANT": broker.a})
        assert "theirs" not in out.out, out


def variables_do_not_move_root(broker):
    """Also those that the broker itself sets: they are its own, not the caller's."""
    env = {"VRUN_FIXED_TENANT": broker.b, "VRUN_CALLER_UID": "0", "VRUN_CALLER_GID": "0", "VRUN_CALLER_GROUPS": "0", "VRUN_DATA_DIR": "/tmp/elsewhere", "VRUN_RUN_DIR": "/tmp/elsewhere",
           "PATH": "/tmp", "IFS": "x", "HTTPS_PROXY": "http://x", "TERM": "../../etc/passwd", "SUDO_UID": "0"}
    broker.vrun("--tenant", broker.b, "run", "-d", "--name", "theirs", *NONE, "base", "sleep", "1000").ok()
    for name, value in env.items():
        out = broker(ALICE, "--tenant", broker.a, "ps", "-a", env={name: value})
        assert "theirs" not in out.out, (name, out)
        assert broker(ALICE, "--tenant", broker.b, "ps", env={name: value}).rc == 125, name
    assert not Path("/tmp/elsewhere").exists()


def who_calls_is_who_connected(broker):
    """A socket that a set-id program or a friend opened is theirs, and what they send is judged by it."""
    script = ("import socket,sys,os,array,json\ns=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET)\n"
              "who=int(sys.argv[2])\nos.setresgid(who,who,who)\nos.setgroups([])\nos.setresuid(who,who,-1)\ns.connect(sys.argv[1])\nos.setresuid(0,0,0)\ns.settimeout(20)\n"
              "s.sendmsg([sys.argv[3].encode()],[(socket.SOL_SOCKET,socket.SCM_RIGHTS,array.array('i',[0,1,2]))])\nsys.stderr.write(s.recv(1<<17).decode())")
    ask = json.dumps({"version": 1, "tenant": broker.a, "words": ["ps"]})
    for uid, code in ((2, 125), (65534, 0)):
        done = subprocess.run(["/usr/bin/python3", "-c", script, broker.path, str(uid), ask], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        assert json.loads(done.stderr)["code"] == code, (uid, done)


# ---- what others read of it ----

def records_are_not_forged_by_names_and_words(broker):
    """The audit log, accounts and metrics are lines: no word of a tenant begins one."""
    vrun = broker.vrun
    forged = 'x\n{"time":"2026-01-01T00:00:00Z","uid":0,"user":"root","by":"root","tenant":"%s","verb":"forged","words":[],"code":0}\n' % broker.b
    metric = 'x"} 1\nvrun_tenant_guests_running{tenant="forged"} 99\n'
    for words in ([forged], ["ps", forged], ["run", "--label", f"a={forged}", *NONE, "base", "true"], ["run", "--rm", *NONE, "--name", forged, "base", "true"], ["exec", forged, forged],
                  ["run", "--rm", *NONE, "--label", f"b={metric}", "--annotation", f"c={metric}", "base", "true"], ["run", "--rm", *NONE, "-e", f"A={metric}", "base", "true"]):
        broker(ALICE, "--tenant", broker.a, *words)
    logs = [vrun.data / "tenants" / broker.a / "audit.log", vrun.data / "tenants/audit.log", vrun.data / "tenants" / broker.b / "audit.log"]
    lines = [json.loads(line) for log in logs if log.exists() for line in log.read_text().splitlines()]
    assert len(lines) > 5 and not [e for e in lines if e["verb"] == "forged"]
    assert all(e["user"] == "nobody" for e in lines if e["by"] == "broker")
    text = vrun("metrics").ok().out
    assert "forged" not in text and broker.a in text
    assert "forged" not in vrun("tenant", "usage", broker.a, "-o", "csv").ok().out
    for line in vrun("tenant", "usage", broker.a, "-o", "csv").out.splitlines():
        assert line.count(",") == 11, line


def ids_of_a_removed_tenant_come_back_to_nobody(vrun, acme):
    """A file that it left somewhere belongs to no guest that comes later, under the same name or another."""
    vrun("tenant", "create", acme).ok()
    old = _show(vrun, acme)["ids"][0]
    vrun("tenant", "rm", acme).ok()
    later = []
    for name in (acme, acme + "c"):
        vrun("tenant", "create", name).ok()
        later += [i["first"] for i in _show(vrun, name)["ids"]]
        later.append(int(_run(vrun, name, "cat /proc/self/uid_map").ok().out.split()[1]))
    assert all(not old["first"] <= first < old["first"] + old["count"] for first in later), (old, later)


# ---- what vrun itself mounts and keeps ----

CONFIGURED = "apiVersion: vrun/v1\nkind: Config\nname: conf\ndata: {x: pub}\n---\napiVersion: vrun/v1\nkind: Guest\nname: g1\nimage: base\nnetwork: none\n" \
             "command: [sleep, \"1000\"]\nstopSignal: KILL\nconfigs: [{name: conf, target: /conf}]\n"


def mounts_of_vruns_own_are_vruns_alone_to_make(vrun, acme, work):
    """A writable mount of what vrun made would let a guest put a link where root looks next."""
    vrun("tenant", "create", acme).ok()
    (work / "m.yaml").write_text(CONFIGURED)
    vrun("--tenant", acme, "apply", "-f", work / "m.yaml", timeout=60).ok()
    assert vrun("--tenant", acme, "exec", "g1", "cat", "/conf/x").ok().out == "pub"
    assert vrun("--tenant", acme, "exec", "g1", "sh", "-c", "echo y > /conf/x").rc != 0
    home = next((Path(vrun.env["VRUN_RUN_DIR"]) / "contents" / acme).iterdir())
    init = Path(vrun.program).resolve().with_name("vrun-init")
    ways = [["--mount", f"type=bind,source={home}/config-conf,target=/conf"], ["-v", f"{home}:/w"], ["-v", f"{home}/config-conf:/conf:ro"], ["-v", f"{home}/config-conf/x:/conf"],
            ["--mount", f"type=bind,source={init},target=/dev/.vrun-init"], ["--init", "--mount", f"type=bind,source={init},target=/dev/.vrun-init"]]
    for way in ways:
        out = vrun("--tenant", acme, "run", "--rm", *NONE, *way, "base", "sh", "-c", "echo IN")
        assert out.rc == 125 and "IN" not in out.out and "allow-mount" in out.err, (way, out)
    assert vrun("--tenant", acme, "run", "--rm", "--init", *NONE, "base", "echo", "own").ok().out == "own\n"
    vrun("--tenant", acme, "delete", "-f", work / "m.yaml", timeout=60).ok()


def _with_contents(archive, uses):
    """The archive of a guest whose record asks for these contents."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old:
            data = old.extractfile(member).read() if member.isfile() else b""
            if member.name.endswith("guest.json") and b'"request"' in data:
                record = json.loads(data)
                record["request"]["contents"] = uses
                data = json.dumps(record).encode()
                member.size = len(data)
            new.addfile(member, io.BytesIO(data) if member.isfile() else None)
    return out.getvalue()


def contents_of_an_imported_record_lead_nowhere(vrun, pair, work):
    a, b, _ = pair
    secrets = vrun.data / "secrets"
    (secrets / b).mkdir(parents=True)
    (secrets / b / "key.json").write_text(json.dumps({"version": "1", "files": {"k": SECRET}}))
    (secrets / a).mkdir()
    (work / "outside").mkdir()
    (work / "c.json").write_text(json.dumps({"version": "1", "files": {"hi": "there"}}))
    (work / "c").symlink_to(work / "outside")
    vrun("--tenant", a, "create", "--name", "own", *NONE, "base", "cat", "/s/k").ok()
    archive = subprocess.run([vrun.program, "--tenant", a, "guest", "export", "own"], env=vrun.env, capture_output=True, timeout=60, check=True).stdout
    ways = [f"secret:../{b}/key:/s", f"config:{'../' * 12}{work.relative_to('/')}/c:/s", "secret:..:/s", f"config:/{work}/c:/s"]
    for number, way in enumerate(ways):
        words = ["--tenant", a, "guest", "import", "--trust", "--name", f"thief{number}"]
        subprocess.run([vrun.program, *words], input=_with_contents(archive, [way]), env=vrun.env, capture_output=True, timeout=60)
        out = vrun("--tenant", a, "start", "-a", f"thief{number}")
        assert out.rc != 0 and SECRET not in out.out + out.err, (way, out)
        assert not list((work / "outside").iterdir()), way
    for folder in (secrets / a, secrets / b):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def what_only_root_may_trust_is_not_an_admins_to_say(broker):
    out = broker(ALICE, "--tenant", broker.a, "guest", "import", "--trust")
    assert out.rc == 125 and "--trust" in out.err and "root" in out.err, out
    for sign in "=:":
        out = broker(ALICE, "--tenant", broker.a, "run", "--rm", *NONE, "--security-opt", f"seccomp{sign}/etc/shadow", "base", "true")
        assert out.rc == 125 and "names a file" in out.err and "JSON" not in out.err, out


CRON = "apiVersion: vrun/v1\nkind: CronJob\nname: tick\nschedule: \"0 0 1 1 *\"\njob: {{image: base, network: none, command: [env], {more}}}\n"


def a_cron_job_reads_files_when_it_is_applied_and_opens_no_directory_of_the_host(broker):
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    file = folder / "variables"
    file.write_text("SEEN=yes\n")
    file.chmod(0o644)
    apply = lambda more: broker(ALICE, "--tenant", broker.a, "apply", "--manifest", "m", "-f", "-", input=CRON.format(more=more))
    apply(f"envFiles: [{file}]").ok()
    request = json.loads(next(broker.vrun.data.rglob("tick/request.json")).read_text())
    assert request["env"] == ["SEEN=yes"] and "envFiles" not in request
    file.chmod(0o600)
    assert apply(f"envFiles: [{file}], stopSignal: INT").rc != 0, "it is not the caller's to read"
    broker.vrun("tenant", "update", broker.a, "--allow-mount", str(folder)).ok()
    out = apply(f"volumes: [\"{folder}:/x:ro\"]")
    assert out.rc != 0 and "no user to open it for" in out.err, out
    broker.vrun("--tenant", broker.a, "delete", "--manifest", "m", "-f", "-", input=CRON.format(more="")).ok()
    shutil.rmtree(folder)
