"""Volumes: files that outlive guests, and those that go with them."""
import contextlib
import json
import os
import signal
import subprocess

import pytest

from harness import everyday, runtime


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


def _volumes(vrun):
    return vrun("volume", "ls", "-q").ok().out.split()


def _folder(vrun, name):
    return vrun.data / "volumes/default" / name


def _stocked_image(vrun):
    """An image with files of several owners and kinds at /srv, which it declares as a volume."""
    vrun("run", "--name", "maker", "base", "sh", "-c",
         "mkdir -p /srv/deep; echo one >/srv/one; ln /srv/one /srv/two; ln -s one /srv/link; echo x >/srv/deep/x;"
         "chown -R 1000:2000 /srv/deep; chown 33:44 /srv; chmod 2750 /srv; chmod 4755 /srv/deep/x").ok()
    vrun("commit", "-c", "VOLUME /srv", "maker", "stocked").ok()
    vrun("rm", "maker").ok()


def a_named_volume_outlives_its_guests(vrun):
    vrun.sh("echo kept >/data/file; id -u", "-v", "box:/data").ok()
    assert _volumes(vrun) == ["box"]
    assert vrun.sh("cat /data/file; stat -c %u:%g /data/file", "-v", "box:/data:ro").ok().out == "kept\n0:0\n"
    vrun.sh("touch /data/x", "-v", "box:/data:ro").fails("Read-only", rc=1)
    assert vrun.sh("cat /m/file", "--mount", "type=volume,src=box,dst=/m").ok().out == "kept\n"
    found = json.loads(vrun("volume", "inspect", "box").ok().out)[0]
    assert found["Mountpoint"] == str(_folder(vrun, "box") / "data") and found["UsedBy"] == []
    assert vrun("volume", "inspect", "-f", "Mountpoint", "box").ok().out.strip() == found["Mountpoint"]
    # On disk the ids are the guest's own ones, whatever range the guest had.
    file = os.stat(_folder(vrun, "box") / "data/file")
    assert (file.st_uid, file.st_gid) == (0, 0)
    vrun("volume", "rm", "box").ok()
    assert _volumes(vrun) == [] and not _folder(vrun, "box").exists()


def two_guests_share_a_volume_as_the_same_owner(vrun):
    vrun.detached("sleep 1000", "--name", "a", "-v", "both:/d")
    vrun.detached("sleep 1000", "--name", "b", "-v", "both:/d")
    assert vrun.inspect("a")["firstId"] != vrun.inspect("b")["firstId"]
    vrun("exec", "a", "sh", "-c", "echo hello >/d/f; chown 5:6 /d/f").ok()
    assert vrun("exec", "b", "sh", "-c", "cat /d/f; stat -c %u:%g /d/f").ok().out == "hello\n5:6\n"


def a_volume_in_use_stays(vrun):
    vrun("create", "--name", "holder", "-v", "v:/d", "base").ok()
    assert _volumes(vrun) == ["v"]
    vrun("volume", "rm", "v").fails("volume 'v' is used by guest holder", "vrun rm holder", rc=125)
    vrun("rename", "holder", "keeper").ok()
    vrun("volume", "rm", "-f", "v").fails("used by guest keeper", rc=125)
    assert "keeper" in vrun("volume", "ls").ok().out
    vrun("volume", "prune", "-af").ok()
    assert _volumes(vrun) == ["v"]
    vrun("rm", "-v", "keeper").ok()
    assert _volumes(vrun) == ["v"], "rm --volumes takes those without a name only"
    vrun("volume", "rm", "v").ok()


def the_first_use_copies_what_the_image_has(vrun):
    _stocked_image(vrun)
    look = "cd /srv; cat one link deep/x; stat -c '%n %u:%g %a %h' . one two deep deep/x; readlink link"
    want = "one\none\nx\n. 33:44 2750 3\none 0:0 644 2\ntwo 0:0 644 2\ndeep 1000:2000 755 2\ndeep/x 1000:2000 4755 1\none\n"
    for flags in (["-v", "s:/srv"], ["-v", "s:/srv"], ["--mount", "type=volume,dst=/srv"], []):
        assert vrun("run", "--rm", *flags, "stocked", "sh", "-c", look).ok().out == want
    assert vrun.sh("ls -A /other", "-v", "s:/other").ok().out.split() == ["deep", "link", "one", "two"]
    assert vrun("run", "--rm", "-v", "n:/srv:nocopy", "stocked", "ls", "-A", "/srv").ok().out == ""
    # Emptied by a guest it is filled again, with something in it it is left alone: as for Docker.
    vrun("run", "--rm", "-v", "s:/srv", "stocked", "sh", "-c", "rm -r /srv/*; echo mine >/srv/mine").ok()
    assert vrun("run", "--rm", "-v", "s:/srv", "stocked", "ls", "/srv").ok().out == "mine\n"
    assert sorted(os.listdir(_folder(vrun, "s"))) == ["data", "volume.json"]


def what_an_image_declares_is_the_guests_own(vrun):
    _stocked_image(vrun)
    vrun("run", "--rm", "stocked", "true").ok()
    assert _volumes(vrun) == [], "--rm takes it away"
    vrun("run", "-d", "--rm", "--name", "d", "stocked", "sleep", "1000").ok()
    assert len(_volumes(vrun)) == 1 and len(_volumes(vrun)[0]) == 64
    vrun("stop", "-t", "0", "d").ok()
    assert _volumes(vrun) == []
    vrun("run", "--name", "k", "stocked", "sh", "-c", "echo new >/srv/new").ok()
    [name] = _volumes(vrun)
    assert vrun("start", "-a", "k").rc == 0 and _volumes(vrun) == [name], "the next start has the same one"
    assert vrun("diff", "k").ok().out == "", "what is in a volume is no change of the guest's"
    vrun("rm", "k").ok()
    assert _volumes(vrun) == [name], "without --volumes it stays"
    assert vrun("volume", "prune", "-f").ok().out == name + "\n"
    vrun("run", "--name", "k", "stocked", "true").ok()
    vrun("rm", "-v", "k").ok()
    assert _volumes(vrun) == []
    vrun("run", "--rm", "--tmpfs", "/srv", "stocked", "ls", "-A", "/srv").ok()


def volume_verbs(vrun):
    assert vrun("volume", "create", "--label", "team=red", "one").ok().out == "one\n"
    assert vrun("volume", "create", "one").ok().out == "one\n", "there already: fine"
    made = vrun("volume", "create").ok().out.strip()
    assert sorted(_volumes(vrun)) == sorted(["one", made])
    assert vrun("volume", "ls", "-q", "--filter", "label=team=red").ok().out == "one\n"
    assert vrun("volume", "ls", "-q", "--filter", "name=on").ok().out == "one\n"
    vrun("create", "--name", "g", "-v", "one:/x", "base").ok()
    assert vrun("volume", "ls", "-q", "--filter", "dangling=true").ok().out.split() == [made]
    assert json.loads(vrun("volume", "ls", "--format", "json").ok().out)[0]["Driver"] == "local"
    rows = {row["Type"]: row for row in json.loads(vrun("system", "df", "--format", "json").ok().out)}
    assert (rows["Volumes"]["TotalCount"], rows["Volumes"]["Active"]) == (2, 1)
    assert made in vrun("system", "prune", "-f", "--volumes").ok().out
    vrun("rm", "g").ok()
    assert vrun("volume", "prune", "-f").ok().out == "", "a named one goes only with --all"
    assert vrun("volume", "prune", "-f", "-a", "--filter", "label=team=blue").ok().out == ""
    assert vrun("volume", "prune", "-f", "-a", "--filter", "label=team").ok().out == "one\n"


def a_plan_makes_no_volume(vrun):
    out = vrun("plan", "-v", "box:/data", "-v", "/own", "base", "true").ok().out
    assert "volume box (new) at /data" in out and "volumes/default/box/data" in out
    assert _volumes(vrun) == []
    vrun("volume", "create", "box").ok()
    assert "volume box at /data" in vrun("plan", "-v", "box:/data", "base", "true").ok().out


def mistakes_with_volumes(vrun):
    vrun("volume", "create", "../x").fails("not a name for a volume", rc=125)
    vrun("volume", "create", "-d", "nfs", "x").fails("there is only local", rc=125)
    vrun("volume", "create", "data").ok()
    vrun("volume", "inspect", "dta").fails("no such volume 'dta'", "did you mean data?", rc=125)
    vrun("volume", "rm", "dta").fails("no such volume 'dta'", rc=125)
    assert vrun("volume", "rm", "-f", "dta").ok().out == ""
    vrun("volume", "rm", "../volumes/data").fails("no such volume", rc=125)
    vrun.sh("true", "-v", "a/b:/x").fails("not a name for a volume", "/ or ./", rc=125)
    vrun.sh("true", "-v", "name").fails("not a path inside the guest", rc=125)
    vrun.sh("true", "-v", "data:/x", "-v", "/etc:/x").fails("mounted at '/x' already", rc=125)
    vrun.sh("true", "-v", "new:/x", "--memory", "none").fails(rc=125)
    vrun("run", "--rm", "-v", "/own", "-v", "/proc:/etc/passwd", "base", "true").fails("--volume '/proc:/etc/passwd'", rc=125)
    assert _volumes(vrun) == ["data"], "a guest that could not be made leaves no volume"


def kill_leaves_no_half_volume(vrun):
    _stocked_image(vrun)
    vrun("run", "--rm", "-v", "big:/srv", "base", "true").ok()
    vrun("volume", "rm", "big").ok()
    for ms in (1, 5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100):
        child = vrun.start("run", "--rm", "-v", "half:/srv", "-v", "/own", "stocked", "cat", "/srv/deep/x", start_new_session=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            child.wait(ms / 1000)
        except subprocess.TimeoutExpired:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        vrun("run", "--rm", "base", "true").ok()  # cleans up
        runtime.wait_for(lambda: vrun("run", "--rm", "base", "true").ok() and not vrun("ps", "-aq").out.split(), "guests are gone")
        assert set(_volumes(vrun)) <= {"half"}, ms
        assert set(os.listdir(vrun.data / "volumes/default")) <= {"half"}, ms
        out = vrun("run", "--rm", "-v", "half:/srv", "stocked", "sh", "-c", "cat /srv/deep/x; stat -c %u:%g:%a /srv").ok().out
        assert out == "x\n33:44:2750\n", ms
        assert sorted(os.listdir(_folder(vrun, "half"))) == ["data", "volume.json"], ms
        vrun("volume", "rm", "half").ok()
