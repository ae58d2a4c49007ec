"""`vrun cp`, `diff`, `export`, `commit`: files in and out of guests that run or not, and no way out by links."""
import io
import json
import os
import signal
import subprocess
import tarfile

import pytest

from harness import everyday, runtime

IDLE = "echo up; while :; do sleep 1; done"


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


@pytest.fixture(params=["running", "stopped", "new"])
def web(vrun, request):
    """A guest `web` in each state that has files."""
    if request.param == "new":
        vrun("create", "--name", "web", "base", "sh", "-c", IDLE).ok()
        return vrun
    vrun.detached(IDLE, "--name", "web")
    vrun.wait_for_log("web", "up")
    if request.param == "stopped":
        vrun("stop", "-t", "0", "web").ok()
    return vrun


def _tar_of(vrun, *args):
    done = subprocess.run([vrun.program, *args], env=vrun.env, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return tarfile.open(fileobj=io.BytesIO(done.stdout))


def a_file_goes_in_and_comes_out_as_it_was(web, work):
    (work / "in").write_bytes(os.urandom(100_000))
    (work / "in").chmod(0o640)
    web("cp", work / "in", "web:/etc/it").ok()
    web("cp", "web:/etc/it", work / "out").ok()
    assert (work / "out").read_bytes() == (work / "in").read_bytes()
    assert (work / "out").stat().st_mode & 0o777 == 0o640


def the_guest_owns_what_comes_in(web, work):
    (work / "in").write_text("x")
    web("cp", work / "in", "web:/etc/it").ok()
    with _tar_of(web, "cp", "web:/etc/it", "-") as tar:
        member = tar.getmembers()[0]
        assert (member.name, member.uid, member.gid) == ("it", 0, 0)
    if web.state("web")["status"] != "running":
        web("start", "web").ok()
    assert web("exec", "web", "sh", "-c", "stat -c '%u %g' /etc/it; echo y >> /etc/it; cat /etc/it").ok().out == "0 0\nxy\n"


def folders_follow_docker_s_rules(web, work):
    (work / "src/deep").mkdir(parents=True)
    (work / "src/deep/file").write_text("x")
    web("cp", work / "src", "web:/etc").ok()                # exists: below it
    web("cp", str(work / "src") + "/.", "web:/srv2").ok()   # is made: becomes it
    with _tar_of(web, "cp", "web:/etc/src", "-") as tar:
        assert "src/deep/file" in tar.getnames()
    web("cp", "web:/srv2", work / "back").ok()
    assert (work / "back/deep/file").read_text() == "x"
    web("cp", "web:/srv2/.", work / "back").ok()
    assert not (work / "back/srv2").exists()


def a_tar_stream_goes_in_by_a_dash(web, work):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        member = tarfile.TarInfo("a/b")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    subprocess.run([web.program, "cp", "-", "web:/etc"], env=web.env, input=data.getvalue(), check=True, timeout=60)
    web("cp", "web:/etc/a/b", work / "b").ok()
    assert (work / "b").read_text() == "abc"


def links_in_the_guest_lead_nowhere_else(vrun, work):
    secret = work / "secret"
    secret.mkdir()
    (secret / "file").write_text("of the host")
    up = "../" * 20
    vrun.detached(f"ln -s {secret} /abs; ln -s {up}{secret} /rel; ln -s {secret}/file /f; ln -s /proc/self/root /r; {IDLE}", "--name", "web")
    vrun.wait_for_log("web", "up")
    (work / "in").write_text("from outside")
    for _ in ("running", "stopped"):
        for link in ("abs", "rel", "r" + str(secret)):
            vrun("cp", work / "in", f"web:/{link}/planted")
            assert vrun("cp", f"web:/{link}/file", work / "out").rc != 0
        vrun("cp", "-L", "web:/f", work / "out")
        vrun("cp", work / "in", "web:/f")
        assert os.listdir(secret) == ["file"] and (secret / "file").read_text() == "of the host"
        assert not (work / "out").exists() or (work / "out").read_text() == "from outside"
        vrun("stop", "-t", "0", "web").ok()


def what_is_wrong_with_paths_is_said(web, work):
    web("cp", "web:/nothing", work / "x").fails("nothing", rc=125)
    web("cp", work / "nothing", "web:/x").fails("nothing", rc=125)
    web("cp", "a", "b").fails("neither path is in a guest", rc=125)
    web("cp", "web:/a", "web:/b").fails("both paths are in guests", rc=125)
    web("cp", "nobody:/a", "b").fails("no such guest 'nobody'", rc=125)
    assert not (work / "x").exists()


def a_stopped_guest_still_starts_after_copies(vrun, work):
    vrun("create", "--name", "web", "base", "cat", "/etc/it").ok()
    (work / "in").write_text("hello\n")
    vrun("cp", work / "in", "web:/etc/it").ok()
    assert vrun("start", "-a", "web").ok().out == "hello\n"


def diff_tells_what_changed(vrun):
    vrun.detached(f"echo x > /new; echo y >> /etc/passwd; rm /bin/vi; {IDLE}", "--name", "web")
    vrun.wait_for_log("web", "up")
    lines = vrun("diff", "web").ok().out.splitlines()
    assert {"A /new", "C /etc", "C /etc/passwd", "D /bin/vi"} <= set(lines)
    changes = json.loads(vrun("diff", "--format", "json", "web").ok().out)
    assert {"Kind": "D", "Path": "/bin/vi"} in changes


def export_is_the_whole_tree_with_the_guest_s_ids(web, work):
    web("export", "-o", work / "all.tar", "web").ok()
    with tarfile.open(work / "all.tar") as tar:
        names = {name.removeprefix("./") for name in tar.getnames()}
        assert {"bin/busybox", "etc/passwd"} <= names
        assert all(member.uid < 65536 for member in tar)
        assert not [name for name in names if name.startswith(("proc/", "sys/", "dev/"))]


def a_commit_runs_with_what_the_guest_changed(vrun):
    vrun.detached(f"echo changed > /etc/motd; rm /bin/vi; {IDLE}", "--name", "web")
    vrun.wait_for_log("web", "up")
    vrun("commit", "--change", "ENV MADE=here", "web", "mine:1").ok()
    assert vrun.state("web")["status"] == "running"
    out = vrun("run", "--rm", "mine:1", "sh", "-c", "cat /etc/motd; ls /bin/vi 2>/dev/null; echo $MADE").ok().out
    assert out == "changed\nhere\n"


def removal_of_a_guest_gives_the_store_its_turn(vrun):
    turn = vrun.data / "images/collected"
    vrun("create", "--name", "web", "base").ok()
    assert not turn.exists()
    vrun("rm", "web").ok()
    first = turn.stat().st_mtime_ns
    vrun("create", "--name", "web", "base").ok()
    vrun("rm", "web").ok()
    assert turn.stat().st_mtime_ns == first, "once a day"
    os.utime(turn, (0, 0))
    vrun("create", "--name", "web", "base").ok()
    vrun("rm", "web").ok()
    assert turn.stat().st_mtime_ns > first


def a_mount_of_the_guest_is_not_replaced_by_cp(vrun, work):
    vrun.detached(IDLE, "--name", "web")
    (work / "hosts").write_text("mine")
    before = vrun("exec", "web", "cat", "/etc/hosts").ok().out
    vrun("cp", work / "hosts", "web:/etc/hosts").fails("is a mount of the guest", rc=125)
    vrun("cp", work / "hosts", "web:/dev/null").fails("is a mount of the guest", rc=125)
    assert vrun("exec", "web", "cat", "/etc/hosts").ok().out == before
    assert vrun("exec", "web", "sh", "-c", "test -c /dev/null && echo still").ok().out == "still\n"
    vrun("cp", work / "hosts", "web:/etc/other").ok()


def places_of_mounts_are_no_changes(vrun):
    vrun("run", "--name", "web", "-v", "/made/for/it", "-v", "/etc:/there", "base", "sh", "-c", "echo own >/kept").ok()
    assert vrun("diff", "web").ok().out == "A /kept\n"
    vrun("commit", "web", "mine:3").ok()
    vrun("rm", "-v", "web").ok()
    assert vrun("run", "--rm", "mine:3", "sh", "-c", "cat /kept; ls -d /made /there").out == "own\n"


def a_commit_that_is_killed_leaves_no_guest_standing(vrun):
    vrun.detached(f"dd if=/dev/urandom of=/big bs=1M count=60 2>/dev/null; {IDLE}", "--name", "web")
    vrun.wait_for_log("web", "up")
    committing = vrun.start("commit", "web", "mine:4", stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    marks = vrun.run_dir / "standstills/default"
    runtime.wait_for(lambda: vrun.state("web")["status"] == "paused" or committing.poll() is not None, "the guest stands still")
    assert list(marks.iterdir()), "it was over before it could be killed"
    os.killpg(committing.pid, signal.SIGKILL)
    committing.communicate(timeout=60)
    assert vrun.state("web")["status"] == "running", "any command lets it go on"
    assert not list(marks.iterdir())
    vrun("pause", "web").ok()
    vrun("run", "--rm", "base", "true").ok()
    assert vrun.state("web")["status"] == "paused", "who is paused by hand stays so"
    vrun("commit", "web", "mine:4").ok()
    assert vrun.state("web")["status"] == "paused"
    vrun("unpause", "web").ok()


def a_commit_that_is_ended_lets_the_guest_go_on(vrun):
    vrun.detached(f"dd if=/dev/urandom of=/big bs=1M count=60 2>/dev/null; {IDLE}", "--name", "web")
    vrun.wait_for_log("web", "up")
    committing = vrun.start("commit", "web", "mine:2", stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    runtime.wait_for(lambda: vrun.state("web")["status"] == "paused" or committing.poll() is not None, "the guest stands still")
    os.killpg(committing.pid, signal.SIGINT)
    committing.communicate(timeout=60)
    assert committing.returncode != 0, "the commit was faster than the signal"
    assert vrun.state("web")["status"] == "running"
    vrun("commit", "web", "mine:2").ok()  # and what was half made is removed by the next command that needs the store
