"""The everyday verbs as an unprivileged user types them: what works, what is refused and why, what is left (nothing)."""
import os
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

from harness import everyday, host, runtime, users


@pytest.fixture
def vrun(work):
    host.need("newuidmap")
    with users.fresh(work) as it:
        yield it


def _quiet(vrun, script, *flags, **more):
    return vrun.sh(script, "--network", "none", *flags, **more)


def _up(vrun, name, script="exec sleep 1000", *flags):
    vrun("run", "-d", "--name", name, "--network", "none", *flags, "base", "sh", "-c", script).ok()
    return name


def the_guests_root_is_the_user_and_its_other_ids_are_the_users_range(vrun):
    out = _quiet(vrun, "id -u; cat /proc/self/uid_map; touch /f; chown 5:6 /f; stat -c %u:%g /f").ok().out.split()
    assert out == ["0", "0", "0", "1", "1", "1", str(users.COUNT), "5:6"]
    _up(vrun, "a", "exec sleep 1000")
    _up(vrun, "b", "exec sleep 1000", "--user", "33")
    owner = {n: Path(f"/proc/{vrun.state(n)['pid']}").stat().st_uid for n in ("a", "b")}
    assert owner == {"a": users.UID, "b": users.FIRST + 32}


def everything_lies_in_the_users_own_places(vrun):
    _quiet(vrun, "true").ok()
    assert (vrun.data / "images/layers").is_dir() and (vrun.run_dir / "namespace").is_dir()
    assert vrun.data.stat().st_uid == users.UID
    vrun.env.pop("XDG_RUNTIME_DIR")
    fallback = Path(f"/tmp/vrun-{users.UID}")
    try:
        assert _quiet(vrun, "echo here").ok().out == "here\n"
        assert fallback.stat().st_mode & 0o777 == 0o700 and fallback.stat().st_uid == users.UID
        os.chown(fallback, 0, 0)
        _quiet(vrun, "true").fails("somebody else", "XDG_RUNTIME_DIR", rc=125)
    finally:
        subprocess.run(["rm", "-rf", fallback], check=True)
        vrun.env["XDG_RUNTIME_DIR"] = str(vrun.run_dir.parent)


def a_guest_lives_through_every_verb(vrun):
    _up(vrun, "web", "trap 'exit 7' TERM; echo started; while :; do sleep 0.1; done")
    vrun.wait_for_log("web", "started")
    assert vrun("ps", "-q").ok().out.split()
    assert vrun("exec", "web", "sh", "-c", "id -u; echo x > /kept; exit 5").rc == 5
    assert vrun("exec", "--user", "12:13", "web", "id", "-g").ok().out == "13\n"
    vrun("rename", "web", "site").ok()
    vrun("stop", "site").ok()
    state = vrun.state("site")
    assert state["status"] == "exited" and state["exitCode"] == 7, state
    vrun("start", "site").ok()
    assert vrun("exec", "site", "cat", "/kept").ok().out == "x\n"
    vrun("kill", "--signal", "KILL", "site").ok()
    vrun.wait_for("site", status="exited", exitCode=137)
    vrun("rm", "site").ok()
    assert vrun("ps", "-aq").ok().out == ""


def a_micro_vm_needs_no_group_where_none_can_be_made(vrun):
    """What its machine holds by itself needs no limit of the host: memory, whole processors, processes."""
    host.need("micro-VMs", "no KVM that runs stock kernels")  # the user may not open it, and emulation in a machine takes minutes
    long = {"timeout": 120}
    flags = ["--isolation", "vm", "--network", "none"]
    assert vrun("run", "--rm", *flags, "--memory", "128m", "--cpus", "1", "--pids-limit", "60", "base", "echo", "hi", **long).ok().out == "hi\n"
    vrun("run", "-d", "--name", "m", *flags, "base", "sleep", "1000", **long).ok()
    assert vrun("exec", "m", "sh", "-c", "id -u; echo kept > /f", **long).ok().out == "0\n"
    told = vrun("snapshot", "create", "m", "now", **long).ok()
    assert "goes on meanwhile" not in told.err, "its programs stood still"
    assert vrun("exec", "m", "cat", "/f", **long).ok().out == "kept\n"
    vrun("stop", "-t", "0", "m").ok()
    vrun("rm", "m").ok()


def snapshots_clones_and_archives_of_guests_need_no_root(vrun, work):
    _up(vrun, "web", "exec sleep 1000", "-v", "box:/box")
    sh = lambda guest, script: vrun("exec", guest, "sh", "-c", script).ok().out
    sh("web", "echo one >/f; chown 33:44 /f; rm /etc/shells; rm -r /usr; mkdir /usr; echo b >/box/b")
    vrun("snapshot", "create", "web", "s").ok()
    sh("web", "echo two >/f; echo >/etc/shells")
    vrun("snapshot", "rollback", "--restart", "-t", "0", "web@s").ok()
    look = "cat /f /box/b; stat -c %u:%g /f; ls /etc/shells 2>/dev/null; ls -A /usr"
    assert sh("web", look) == "one\nb\n33:44\n"
    vrun("clone", "web", "two").ok()
    vrun("guest", "export", "two", "-o", vrun.run_dir.parent / "two.tar").ok()
    vrun("rm", "two").ok()
    vrun("volume", "rm", "two-box").ok()
    vrun("guest", "import", "-i", vrun.run_dir.parent / "two.tar").ok()
    vrun("start", "two").ok()
    assert sh("two", look) == "one\nb\n33:44\n"


def guests_that_run_as_others_are_stopped_and_entered_from_any_command(vrun):
    """Their processes are not the user's: only root of the common user namespace may signal them."""
    for name in ("a", "b", "c"):
        _up(vrun, name, "exec sleep 1000", "--user", "33")
    assert [vrun("exec", n, "id", "-u").ok().out for n in ("a", "b", "c")] == ["33\n"] * 3
    vrun("stop", "-t", "0", "a", "b", "c").ok()
    assert {vrun.state(n)["exitCode"] for n in ("a", "b", "c")} == {137}


def all_commands_meet_in_one_user_namespace(vrun):
    def space(pid):
        return os.readlink(f"/proc/{pid}/ns/user")
    _up(vrun, "a")
    first = space(vrun.monitor("a"))
    _up(vrun, "b")
    assert space(vrun.monitor("b")) == first
    vrun("rm", "-f", "a").ok()
    _up(vrun, "c")
    assert space(vrun.monitor("c")) == first


def a_guest_survives_its_monitor_and_keeps_the_namespace(vrun):
    _up(vrun, "a", "while :; do date +%N; sleep 0.05; done", "--user", "33")
    before = os.readlink(f"/proc/{vrun.monitor('a')}/ns/user")
    vrun.kill_monitor("a")
    _up(vrun, "b")
    runtime.wait_for(lambda: everyday.alive(vrun.monitor("a")), "a has a monitor again")
    assert os.readlink(f"/proc/{vrun.monitor('a')}/ns/user") == before
    assert vrun("exec", "a", "id", "-u").ok().out == "33\n"
    vrun("stop", "-t", "0", "a").ok()


def a_killed_foreground_command_leaves_nothing(vrun):
    it = vrun.start("run", "--rm", "--network", "none", "base", "sh", "-c", "echo up; exec sleep 1000", stdout=subprocess.PIPE, text=True)
    assert it.stdout.readline() == "up\n"
    it.send_signal(signal.SIGKILL)
    it.wait()
    it.stdout.close()
    for name in vrun("ps", "-q").ok().out.split():  # a guest outlives its command
        vrun("kill", name).ok()
    runtime.wait_for(lambda: not vrun("ps", "-q").out, "the guest has ended")
    _quiet(vrun, "true").ok()
    assert vrun("ps", "-aq").ok().out == ""


def a_restart_policy_and_a_health_check_work(vrun):
    vrun("run", "-d", "--name", "r", "--network", "none", "--restart", "on-failure:2", "base", "sh", "-c", "exit 3").ok()
    runtime.wait_for(lambda: vrun.state("r")["restarts"] == 2 and vrun.state("r")["status"] == "exited", "two restarts", 20)
    _up(vrun, "h", "exec sleep 1000", "--health-cmd", "test -e /tmp/ok", "--health-interval", "200ms", "--health-retries", "1")
    vrun("exec", "h", "touch", "/tmp/ok").ok()
    vrun.wait_for("h", health="healthy")


def volumes_have_the_users_rights(vrun, work):
    shared = vrun.home / "shared"
    shared.mkdir()
    vrun.own(shared)
    _quiet(vrun, "echo from-inside > /in/f; stat -c %u /in", "-v", f"{shared}:/in").ok()
    assert (shared / "f").read_text() == "from-inside\n" and (shared / "f").stat().st_uid == users.UID
    _quiet(vrun, "echo no > /in/f", "-v", f"{shared}:/in:ro").fails("ead-only")
    closed = work / "roots"
    closed.mkdir(mode=0o700)
    _quiet(vrun, "ls /in", "-v", f"{closed}:/in").fails()


def files_are_copied_in_and_out(vrun, work):
    (vrun.home / "in.txt").write_text("copied\n")
    _up(vrun, "a")
    vrun("cp", vrun.home / "in.txt", "a:/root/in.txt").ok()
    assert vrun("exec", "a", "cat", "/root/in.txt").ok().out == "copied\n"
    vrun("exec", "a", "sh", "-c", "chown 7:8 /root/in.txt").ok()
    vrun("cp", "a:/root/in.txt", vrun.home / "out.txt").ok()
    assert (vrun.home / "out.txt").read_text() == "copied\n" and (vrun.home / "out.txt").stat().st_uid == users.UID
    assert "A /root/in.txt" in vrun("diff", "a").ok().out


def an_image_with_deleted_names_is_made_and_unpacked(vrun, work):
    """Whiteouts and opaque directories, which the kernel takes from user.* here."""
    _up(vrun, "a", "rm -r /etc; mkdir /etc; echo new > /etc/only; rm /bin/vi; chown 9:9 /etc/only; exec sleep 1000")
    runtime.wait_for(lambda: vrun("exec", "a", "cat", "/etc/only").rc == 0, "the guest's script is done")
    vrun("commit", "a", "mine").ok()
    vrun("rm", "-f", "a").ok()
    archive = vrun.home / "mine.tar"
    vrun("save", "-o", archive, "mine").ok()
    vrun("image", "rm", "mine").ok()
    vrun("load", "-i", archive).ok()
    done = vrun("run", "--rm", "--network", "none", "mine", "sh", "-c", "ls /etc /bin/vi; stat -c %u:%g /etc/only")
    assert "passwd" not in done.out and "only" in done.out and "9:9" in done.out and "/bin/vi:" in done.err, done


def device_nodes_of_an_image_are_left_out(vrun, work):
    tree = vrun.home / "tree.tar"
    with tarfile.open(tree, "w") as tar:
        for name, kind in (("dev", tarfile.DIRTYPE), ("sda", tarfile.BLKTYPE), ("etc", tarfile.DIRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.devmajor = kind, 0o755, 8
            tar.addfile(info)
    done = vrun("import", tree, "devices").ok()
    assert "device nodes left out" in done.err


def limits_without_a_delegated_group_are_an_error_with_the_remedy(vrun):
    _quiet(vrun, "true", "--memory", "50m").fails("cgroup", "hint:", rc=125)
    _up(vrun, "a")
    vrun("pause", "a").fails("cgroup")


def limits_hold_in_a_delegated_group(vrun):
    host.need("v2 hierarchy with memory")
    parent = host.ROOT / f"{runtime.TOKEN}-everyday"
    inner = parent / "own"
    inner.mkdir(parents=True)
    try:
        for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            for group in (parent, inner):
                os.chown(group / name, users.UID, users.UID)
        (parent / "cgroup.subtree_control").write_text("+pids +memory")
        script = vrun.work / "below"
        script.write_text(f'#!/bin/sh\necho $$ > {inner}/cgroup.procs\nexec "$@"\n')
        script.chmod(0o755)
        vrun.use([script])
        _up(vrun, "a", "exec sleep 1000", "--memory", "64m", "--pids-limit", "20")
        assert vrun("exec", "a", "cat", "/sys/fs/cgroup/memory.max").ok().out == "67108864\n"
        vrun("pause", "a").ok()
        vrun("unpause", "a").ok()
        vrun("rm", "-f", "a").ok()
    finally:
        for folder in sorted((p for p in parent.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)) + [parent]:
            folder.rmdir()


def without_newuidmap_the_package_is_named(vrun):
    vrun.with_programs()
    _quiet(vrun, "true").fails("newuidmap", "install the package uidmap", rc=125)


def without_ranges_there_is_one_id_and_a_warning(vrun):
    vrun.without_ranges()
    done = _quiet(vrun, "id -u; cat /proc/self/uid_map; stat -c %u /etc/passwd").ok()
    assert done.out.split() == ["0", "0", "0", "1", "0"]
    assert "/etc/subuid" in done.err and "warning" in done.err
    _quiet(vrun, "true", "--user", "5").fails("not among the 1 ids", "/etc/subuid", rc=125)
    assert "subuid" not in vrun("ps").ok().err


def doctor_says_what_is_missing(vrun):
    found = {f["subject"]: f for f in vrun("doctor", "--format", "json").json}
    assert found["root"]["grade"] == "ok" and found["overlay"]["grade"] == "ok", found
    assert str(users.COUNT + 1) in found["ids for guests"]["text"]
    vrun.with_programs("newuidmap", "newgidmap")
    found = {f["subject"]: f for f in vrun("doctor", "--format", "json").json}
    assert found["network"] == {"subject": "network", "grade": "note", "text": found["network"]["text"], "remedy": "apt install passt"}
    vrun.without_ranges()
    found = {f["subject"]: f for f in vrun("doctor", "--format", "json").json}
    assert "usermod" in found["ids for guests"]["remedy"]


def a_terminal_works(vrun):
    it = everyday.Terminal(vrun, "run", "--rm", "-it", "--network", "none", "base", "sh")
    it.type("tty; id -u\n")
    it.expect("/dev/pts/0")
    it.type("exit 4\n")
    assert it.wait() == 4


def another_user_cannot_join_by_a_forged_note(vrun):
    """A note that names a process of somebody else is not followed."""
    _up(vrun, "a")
    other = subprocess.Popen(["unshare", "--user", "--map-root-user", "sleep", "100"])
    try:
        start = Path(f"/proc/{other.pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
        for name in vrun.members():
            (vrun.run_dir / "namespace" / name).unlink()
        note = vrun.run_dir / "namespace" / str(other.pid)
        note.write_text(f"{other.pid} {start}")
        os.chown(note, users.UID, users.UID)
        _quiet(vrun, "true").ok()
        assert not note.exists()
    finally:
        other.kill()
        other.wait()
        subprocess.run(["kill", "-9", str(vrun.state("a")["pid"])], check=True)
