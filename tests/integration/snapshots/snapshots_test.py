"""Snapshots of guests: one picture, all of it back or nothing, nothing left of a killed command."""
import json
import mmap
import os
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest

from harness import everyday, host, runtime

NONE = ("--network", "none")


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


def _guest(vrun, script="sleep 1000", *flags, name="web"):
    vrun.detached(script, "--name", name, *NONE, *flags)
    return vrun.data / "guests/default" / name


def _sh(vrun, script, name="web"):
    return vrun("exec", name, "sh", "-c", script).ok().out


def _names(vrun, *guests):
    return vrun("snapshot", "ls", "-q", *guests).ok().out.split()


def _facts(vrun, name="web"):
    return {s["Name"]: s for s in json.loads(vrun("snapshot", "ls", "--format", "json", name).ok().out)}


def _hidden(vrun, tenant="default"):
    """What a command has in the making, or half removed."""
    return [p.name for p in (vrun.data / "guests" / tenant).iterdir() if p.name.startswith(".")]


def a_rollback_brings_files_and_configuration_back(vrun):
    host.need("pids controller")
    _guest(vrun, "sleep 1000", "--label", "stage=one")
    _sh(vrun, "echo old >/root/file; mkdir /root/gone; echo x >/root/gone/x; rm /etc/shells")
    assert vrun("snapshot", "create", "web", "before", "--comment", "all is well").ok().out == "before\n"
    _sh(vrun, "echo new >/root/file; rm -r /root/gone; echo more >/root/more; echo back >/etc/shells")
    vrun("update", "--pids-limit", "77", "web").ok()
    vrun("snapshot", "rollback", "web@before").fails("guest 'web' is running", rc=125)
    vrun("stop", "-t", "0", "web").ok()
    assert vrun("snapshot", "rollback", "web", "before").ok().out == "web\n"
    found = vrun.inspect("web")
    assert found["name"] == "web" and "77" not in json.dumps(found["request"])
    vrun("start", "web").ok()
    assert _sh(vrun, "cat /root/file /root/gone/x; ls /root/more /etc/shells 2>&1 | grep -c 'No such'") == "old\nx\n2\n"
    assert _facts(vrun)["before"]["Comment"] == "all is well" and _names(vrun) == ["web@before"]
    assert not _hidden(vrun)


def restart_stops_rolls_back_and_starts(vrun):
    _guest(vrun)
    _sh(vrun, "echo one >/f")
    vrun("snapshot", "create", "web", "one").ok()
    _sh(vrun, "echo two >/f")
    vrun("snapshot", "rollback", "--restart", "-t", "0", "web@nowhere").fails("has no snapshot 'nowhere'", rc=125)
    assert vrun.state("web")["status"] == "running", "nothing was stopped for it"
    vrun("snapshot", "rollback", "--restart", "-t", "0", "web@one").ok()
    vrun.wait_for("web", status="running")
    assert _sh(vrun, "cat /f") == "one\n"


def everything_a_file_can_be_survives(vrun):
    guest = _guest(vrun)
    _sh(vrun, "cd /root; echo data >a; ln a b; ln -s nowhere link; mkfifo fifo; chown 5:6 a; chmod 4751 a; touch -d '2001-02-03 04:05:06' a;"
              "truncate -s 1G sparse; echo end >>sparse; rm -r /usr; mkdir /usr; echo e >/usr/e; mkdir 'a b'; touch 'a b/c'; chmod 1777 'a b'")
    upper = guest / "upper"
    with socket.socket(socket.AF_UNIX) as s:
        here = os.getcwd()
        os.chdir(upper / "root")
        s.bind("socket")
        os.chdir(here)
    os.setxattr(upper / "root/a", "user.note", b"\x00kept")
    os.setxattr(upper / "root/a", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    vrun("snapshot", "create", "web", "all").ok()
    copy = guest / "snapshots/all/upper"

    def look(top):  # overlayfs gives all its whiteouts one inode
        seen = {}
        for path in sorted(top.rglob("*")):
            st = path.lstat()
            xattrs = {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)}
            link = os.readlink(path) if path.is_symlink() else ""
            data = path.read_bytes() if path.is_file() and not path.is_symlink() and st.st_size < 1 << 20 else b""
            seen[str(path.relative_to(top))] = (st.st_mode, st.st_uid, st.st_gid, st.st_size if not path.is_dir() else 0, st.st_rdev, 0 if stat.S_ISCHR(st.st_mode) else st.st_nlink,
                                                st.st_mtime_ns, xattrs, link, data)
        return seen
    assert look(upper) == look(copy)
    assert any("trusted.overlay.opaque" in v[7] for v in look(copy).values()), "an opaque directory was among them"
    assert (copy / "root/a").stat().st_ino == (copy / "root/b").stat().st_ino
    assert (copy / "root/sparse").stat().st_blocks * 512 < 1 << 20, "holes stay holes"
    with open(copy / "root/sparse", "rb") as f:
        f.seek(1 << 30)
        assert f.read() == b"end\n"
    vrun("stop", "-t", "0", "web").ok()
    vrun("snapshot", "rollback", "web@all").ok()
    vrun("start", "web").ok()
    assert _sh(vrun, "cat /root/b; ls /usr") == "data\ne\n"


def a_running_writer_is_one_picture_and_goes_on(vrun):
    """It renames first /a, then /b: in a picture b is what a is, or one behind."""
    guest = _guest(vrun, "i=0; while :; do i=$((i+1)); echo $i >/t; mv /t /a; echo $i >/t; mv /t /b; done")
    runtime.wait_for(lambda: (guest / "upper/b").exists(), "it writes")
    for _ in range(8):
        name = vrun("snapshot", "create", "web").ok().out.strip()
        a, b = (int((guest / "snapshots" / name / "upper" / f).read_text()) for f in "ab")
        assert a - b in (0, 1), (a, b)
        assert vrun.state("web")["status"] == "running"
    assert _names(vrun) == [f"web@snap{i}" for i in range(1, 9)]
    assert all(s["Running"] and 0 < s["StandstillUs"] < 10_000_000 for s in _facts(vrun).values())
    seen = int((guest / "upper/a").read_text())
    runtime.wait_for(lambda: int((guest / "upper/a").read_text() or 0) > seen, "it goes on")


def a_large_file_that_is_written_through_a_mapping_is_one_picture(vrun):
    """Such writes leave no time stamp while the page is dirty."""
    guest = _guest(vrun, "sleep 1000")
    _sh(vrun, "head -c 24m /dev/urandom >/big; truncate -s 40M /big; truncate -s 24M /shrinks; head -c 3m /dev/urandom >>/shrinks")
    file = guest / "upper/big"
    with open(file, "r+b") as f, mmap.mmap(f.fileno(), 0) as memory:
        for i in range(4):
            memory[0:8] = memory[23 << 20:(23 << 20) + 8] = i.to_bytes(8, "little")
            memory[30 << 20] = i  # where there was a hole
            name = vrun("snapshot", "create", "web").ok().out.strip()
            copy = guest / "snapshots" / name / "upper/big"
            assert copy.read_bytes() == bytes(memory), i
            assert copy.stat().st_blocks * 512 < 30 << 20, "the hole at the end is still one"
    assert not (guest / "snapshots/snap1/draft").exists()
    assert (guest / "snapshots/snap1/upper/shrinks").read_bytes() == (guest / "upper/shrinks").read_bytes()


def a_large_file_may_change_while_it_is_drafted(vrun):
    """The writer changes all of it all the time: every copy is of one round, or of one and the next at one place."""
    guest = _guest(vrun, "i=0; while :; do i=$(((i+1)%10)); dd if=/dev/zero bs=1M count=8 2>/dev/null | tr '\\0' $i | dd of=/big bs=64k conv=notrunc 2>/dev/null; done")
    runtime.wait_for(lambda: (guest / "upper/big").exists() and (guest / "upper/big").stat().st_size == 8 << 20, "it writes")
    for _ in range(4):
        name = vrun("snapshot", "create", "web").ok().out.strip()
        data = (guest / "snapshots" / name / "upper/big").read_bytes()
        changes = sum(data[i] != data[i + 1] for i in range(len(data) - 1))
        assert len(data) == 8 << 20 and changes <= 1, changes


def a_guest_paused_by_its_owner_stays_paused(vrun):
    _guest(vrun)
    vrun("pause", "web").ok()
    vrun("snapshot", "create", "web").ok()
    assert vrun.state("web")["status"] == "paused"
    vrun("unpause", "web").ok()


def volumes_come_along_when_asked(vrun):
    _guest(vrun, "sleep 1000", "-v", "box:/box")
    vrun.detached("sleep 1000", "--name", "other", *NONE, "-v", "box:/box")
    _sh(vrun, "echo one >/box/f; chown 3:4 /box/f")
    vrun("snapshot", "create", "web", "without").ok()
    vrun("snapshot", "create", "--volumes", "web", "with").ok()
    _sh(vrun, "echo two >/box/f")
    vrun("stop", "-t", "0", "web").ok()
    vrun("snapshot", "rollback", "--volumes", "web@without").fails("has no volumes", rc=125)
    vrun("snapshot", "rollback", "web@with").ok()
    assert (vrun.data / "volumes/default/box/data/f").read_text() == "two\n", "volumes only when asked"
    vrun("snapshot", "rollback", "--volumes", "web@with").fails("volume 'box' is in use by guest other", rc=125)
    vrun("stop", "-t", "0", "other").ok()
    vrun("snapshot", "rollback", "--volumes", "web@with").ok()
    file = vrun.data / "volumes/default/box/data/f"
    assert file.read_text() == "one\n" and (file.stat().st_uid, file.stat().st_gid) == (3, 4)
    assert sorted(os.listdir(file.parents[1])) == ["data", "volume.json"]


def names_are_checked_and_told(vrun):
    _guest(vrun)
    vrun("snapshot", "create", "web", "../../x").fails("is not a name for a snapshot", rc=125)
    vrun("snapshot", "create", "web", ".hidden").fails("is not a name for a snapshot", rc=125)
    vrun("snapshot", "create", "nobody").fails("no such guest 'nobody'", rc=125)
    vrun("snapshot", "create", "web@good").ok()
    vrun("snapshot", "create", "web", "good").fails("has a snapshot 'good'", rc=125)
    vrun("snapshot", "rm", "web", "god").fails("did you mean good?", rc=1)
    vrun("snapshot", "rollback", "web").fails("no snapshot of 'web' is named", rc=125)
    vrun("snapshot", "rm", "web@../../../etc").fails("has no snapshot", rc=1)
    vrun("rename", "web", "site").ok()
    assert _names(vrun) == ["site@good"]
    assert vrun("snapshot", "rm", "site@good").ok().out == "good\n"
    assert _names(vrun) == []


def rm_takes_the_snapshots_with_the_guest(vrun):
    guest = _guest(vrun)
    vrun("snapshot", "create", "web").ok()
    vrun("rm", "-f", "web").ok()
    assert not guest.exists() and not _hidden(vrun)


def a_guest_of_a_foreground_command_has_none(vrun):
    run = vrun.start("run", "--rm", "--name", "front", *NONE, "base", "sleep", "1000", stdin=subprocess.DEVNULL)
    try:
        runtime.wait_for(lambda: "front" in vrun("ps").out, "it runs")
        vrun("snapshot", "create", "front").fails("goes with the command that runs it", rc=125)
    finally:
        vrun("rm", "-f", "front")
        run.wait(timeout=60)


def _stock(vrun, files=1500):
    _sh(vrun, f"mkdir /many; i=0; while [ $i -lt {files} ]; do echo $i >/many/$i; i=$((i+1)); done")


def _moments(vrun, *command):
    """Delays that cover the whole of a command's time."""
    begin = time.monotonic()
    vrun(*command).ok()
    whole = time.monotonic() - begin
    return [whole * i / 24 for i in range(1, 25)]


def _killed(vrun, delay, *command):
    process = vrun.start(*command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay)  # not a wait: the moment of the kill is what is tried
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def a_killed_create_leaves_a_whole_snapshot_or_none_and_a_running_guest(vrun):
    guest = _guest(vrun)
    _stock(vrun)
    killed = 0
    for i, delay in enumerate(_moments(vrun, "snapshot", "create", "web", "first")):
        killed += _killed(vrun, delay, "snapshot", "create", "web", f"s{i}")
        vrun("ps").ok()
        assert not _hidden(vrun), i
        assert vrun.state("web")["status"] == "running", i
        for name in _names(vrun):
            assert len(os.listdir(guest / "snapshots" / name.split("@")[1] / "upper/many")) == 1500, (i, name)
    assert killed > 5
    vrun("snapshot", "rm", "web", *[n.split("@")[1] for n in _names(vrun)]).ok()


def a_killed_rollback_leaves_the_old_guest_or_the_new_one(vrun):
    host.need("pids controller")
    guest = _guest(vrun, "sleep 1000", "-v", "box:/box")
    _stock(vrun)
    for state in ("A", "B"):
        _sh(vrun, f"echo {state} >/state; echo {state} >/box/state; rm -f /many/only*; touch /many/only{state}")
        vrun("update", "--pids-limit", "71" if state == "A" else "72", "web").ok()
        vrun("snapshot", "create", "--volumes", "web", state).ok()
    vrun("stop", "-t", "0", "web").ok()
    old, new, killed, seen = "B", "A", 0, set()
    for i, delay in enumerate(_moments(vrun, "snapshot", "rollback", "--volumes", "web@B")):
        killed += _killed(vrun, delay, "snapshot", "rollback", "--volumes", f"web@{new}")
        vrun("ps", "-a").ok()
        assert not _hidden(vrun), i
        is_now = (guest / "upper/state").read_text().strip()
        seen.add((is_now == new))
        assert is_now in (old, new), i
        assert vrun.inspect("web")["request"]["pidsLimit"] == ("71" if is_now == "A" else "72"), i
        assert (vrun.data / "volumes/default/box/data/state").read_text().strip() == is_now, i
        assert sorted(os.listdir(vrun.data / "volumes/default/box")) == ["data", "volume.json"], i
        assert len(os.listdir(guest / "upper/many")) == 1501 and (guest / f"upper/many/only{is_now}").exists(), i
        old, new = (is_now, "A" if is_now == "B" else "B")
    assert killed > 5 and seen == {True, False}, (killed, seen)
    vrun("start", "web").ok()
    assert _sh(vrun, "cat /state /box/state") == f"{old}\n{old}\n"


def ctrl_c_undoes_a_create_and_lets_the_guest_go_on(vrun):
    _guest(vrun)
    _stock(vrun, 3000)
    process = vrun.start("snapshot", "create", "web", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    runtime.wait_for(lambda: _hidden(vrun) or process.poll() is not None, "it has begun")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in (-signal.SIGINT, 0)
    assert not _hidden(vrun), "undone by the command itself"
    assert vrun.state("web")["status"] == "running"


def parallel_creates_get_names_of_their_own(vrun):
    _guest(vrun)
    running = [vrun.start("snapshot", "create", "web", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    said = [p.communicate(timeout=60) for p in running]
    made = [out.strip() for p, (out, _) in zip(running, said) if p.returncode == 0]
    # One guest stands still for one at a time; who came meanwhile is told.
    assert made and len(set(made)) == len(made) == len(_names(vrun)), said
    assert vrun.state("web")["status"] == "running"


def a_full_disk_leaves_nothing(vrun):
    """300 MB disk of the tests, or what is left of a larger one, is not filled: a tenant's budget is."""
    vrun("tenant", "create", "small", "--disk", "32M").ok()
    try:
        of = lambda *w: vrun("--tenant", "small", *w)
        of("run", "-d", "--name", "web", *NONE, "base", "sh", "-c", "head -c 18m /dev/zero | tr '\\0' x >/big; touch /done; sleep 1000").ok()
        runtime.wait_for(lambda: of("exec", "web", "test", "-e", "/done").rc == 0, "it has written")
        out = of("snapshot", "create", "web")
        assert out.rc == 125 and "no space left" in out.err.lower(), out
        assert not _hidden(vrun, "small") and of("snapshot", "ls", "-q").ok().out == ""
        assert json.loads(of("inspect", "web").ok().out)[0]["state"]["status"] == "running"
        out = of("clone", "web", "copy")
        assert out.rc == 125 and "no space left" in out.err.lower(), out
        assert of("ps", "-aq").ok().out.count("\n") == 1 and not _hidden(vrun, "small")
    finally:
        vrun("tenant", "rm", "--force", "small").ok()


@pytest.mark.parametrize("kind", ["btrfs", "xfs"])
def blocks_are_shared_where_the_file_system_can(kind, work):
    if not shutil.which(f"mkfs.{kind}"):
        pytest.skip(f"mkfs.{kind} is not installed")
    image, disk = work / "shared.img", work / "shared"
    subprocess.run(["truncate", "-s", "400M", image], check=True)
    subprocess.run([f"mkfs.{kind}", "-q", image], check=True)
    disk.mkdir()
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    try:
        it = everyday.Vrun(disk)
        _guest(it, "head -c 150m /dev/urandom >/big; touch /done; sleep 1000")
        runtime.wait_for(lambda: it("exec", "web", "test", "-e", "/done").rc == 0, "it has written")
        for _ in range(3):  # 600 MB in 400
            it("snapshot", "create", "web").ok()
        assert all(s["Shared"] >= 150 << 20 for s in _facts(it).values())
        it("stop", "-t", "0", "web").ok()
        it("snapshot", "rollback", "web@snap1").ok()
        it("clone", "web", "copy").ok()
        it("rm", "-f", "web", "copy").ok()
        assert not it.left()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
