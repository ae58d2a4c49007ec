"""Checkpoint and restore by CRIU: what is saved goes on, and what fails leaves everything as it was."""
import os
import subprocess
from pathlib import Path

import pytest

from harness import host, runtime

COUNT = "i=0; while :; do i=$((i+1)); echo $i >> /tmp/count; sleep 0.05; done"


def _count(bundle) -> int:
    try:
        lines = (bundle.rootfs / "tmp/count").read_text().split()
    except FileNotFoundError:
        return 0
    return int(lines[-1]) if lines else 0


def _counting(rt, bundle, at_least=5) -> str:
    id = rt.start(bundle.sh(COUNT))
    runtime.wait_for(lambda: _count(bundle) >= at_least, "the guest counts")
    return id


def _goes_on(bundle):
    now = _count(bundle)
    runtime.wait_for(lambda: _count(bundle) > now + 2, "the guest counts on")


def _checkpoint(rt, id, images, *flags):
    return rt("checkpoint", "--image-path", images, *flags, id)


def _restore(rt, bundle, id, images, *flags):
    rt.ids.append(id)
    return rt._detached(id, "restore", "--detach", "--bundle", bundle.path, "--image-path", images, *flags, id)


# --- without CRIU's help ----------------------------------------------------------------------

def a_missing_criu_is_said_first(rt, work):
    r = rt("checkpoint", "nobody", env={**os.environ, "PATH": str(work)})
    r.fails("criu is not installed", rc=1)
    assert "apt install criu" in r.err
    rt("restore", "nobody", env={**os.environ, "PATH": str(work)}).fails("criu is not installed", rc=1)


def a_criu_given_by_path_has_to_be_there(rt, work):
    r = rt.run_command([rt.path, "--root", rt.root, "--criu", work / "none", "checkpoint", "nobody"])
    r.fails("criu is not installed", str(work / "none"), rc=1)


@pytest.fixture
def some_criu(rt, work):
    """A program called criu, for what is checked before it would be run."""
    folder = work / "bin"
    folder.mkdir()
    (folder / "criu").write_text("#!/bin/sh\necho 'this is no criu' >&2\nexit 3\n")
    (folder / "criu").chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def an_unknown_container_cannot_be_saved(rt, some_criu):
    rt("checkpoint", "nobody", env=some_criu).fails("does not exist", rc=1)


def a_created_container_cannot_be_saved(rt, bundle, some_criu, work):
    id = rt.create(bundle.args("sleep", "60"))
    _ = rt("checkpoint", "--image-path", work / "img", id, env=some_criu)
    _.fails("cannot be checkpointed in created state", rc=1)
    assert rt.status(id) == "created"


def a_stopped_container_cannot_be_saved(rt, bundle, some_criu):
    id = rt.start(bundle.args("true"))
    rt.wait_stopped(id)
    rt("checkpoint", id, env=some_criu).fails("cannot be checkpointed in stopped state", rc=1)


@pytest.mark.parametrize("flags, words", [
    (["--parent-path", "/absolute"], "--parent-path"),
    (["--parent-path", "nowhere"], "--parent-path"),
    (["--page-server", "nonsense"], "--page-server"),
    (["--page-server", "host:99999"], "--page-server"),
    (["--empty-ns", "uts"], "namespace 'uts' is not supported"),
    (["--manage-cgroups-mode", "hard"], "--manage-cgroups-mode"),
    (["--lazy-pages", "--status-fd", "77"], "--status-fd"),
    (["--work-path", "/nonexistent/place"], "--work-path"),
])
def a_wrong_flag_is_refused_by_name(rt, bundle, some_criu, work, flags, words):
    id = rt.start(bundle.args("sleep", "60"))
    rt("checkpoint", "--image-path", work / "img", *flags, id, env=some_criu).fails(words, rc=1)
    assert rt.status(id) == "running"


def a_broken_criu_is_quoted_and_the_container_runs_on(rt, bundle, some_criu, work):
    id = rt.start(bundle.args("sleep", "60"))
    rt("checkpoint", "--image-path", work / "img", id, env=some_criu).fails("this is no criu", rc=1)
    assert rt.status(id) == "running"


def images_that_are_not_there_are_named(rt, bundle, some_criu, work):
    bundle.save()
    r = rt("restore", "--bundle", bundle.path, "--image-path", work / "none", rt.new_id(), env=some_criu)
    r.fails("none", "no such file or directory", rc=1)
    (work / "empty").mkdir()
    r = rt("restore", "--bundle", bundle.path, "--image-path", work / "empty", rt.new_id(), env=some_criu)
    r.fails("descriptors.json", "no such file or directory", rc=1)


def damaged_descriptors_are_refused(rt, bundle, some_criu, work):
    bundle.save()
    (work / "img").mkdir()
    for text in ("{}", "[1]", "[", "nonsense"):
        (work / "img/descriptors.json").write_text(text)
        r = rt("restore", "--bundle", bundle.path, "--image-path", work / "img", rt.new_id(), env=some_criu)
        r.fails("descriptors.json", rc=1)


def a_failed_restore_leaves_nothing(rt, bundle, some_criu, work):
    bundle.save()
    (work / "img").mkdir()
    (work / "img/descriptors.json").write_text('["/dev/null", "/dev/null", "/dev/null"]')
    id = rt.new_id()
    rt("restore", "--bundle", bundle.path, "--image-path", work / "img", id, env=some_criu).fails("this is no criu", rc=1)
    assert not (rt.root / id).exists()


def a_used_id_cannot_be_restored_over(rt, bundle, some_criu, work):
    id = rt.start(bundle.args("sleep", "60"))
    (work / "img").mkdir()
    (work / "img/descriptors.json").write_text("[]")
    rt("restore", "--bundle", bundle.path, "--image-path", work / "img", id, env=some_criu).fails("already exists", rc=1)
    assert rt.status(id) == "running"


def what_criu_cannot_bring_back_is_refused_before(rt, bundle, some_criu, work):
    host.need("v2 tree for freezing")
    bundle.namespace("user", "/proc/self/ns/user")
    bundle.linux["uidMappings"] = bundle.linux["gidMappings"] = []
    bundle.save()
    (work / "img").mkdir()
    (work / "img/descriptors.json").write_text("[]")
    r = rt("restore", "--bundle", bundle.path, "--image-path", work / "img", rt.new_id(), env=some_criu)
    r.fails("cannot restore a process into the namespace", "linux.namespaces", rc=1)


# --- with CRIU --------------------------------------------------------------------------------

def a_saved_guest_is_gone_and_counts_on_after_the_restore(rt, bundle, work):
    host.need("criu")
    id = _counting(rt, bundle)
    _checkpoint(rt, id, work / "img").ok()
    rt("state", id).fails("does not exist")
    at = _count(bundle)
    r = _restore(rt, bundle, id, work / "img")
    assert r.rc == 0, r
    assert rt.status(id) == "running"
    runtime.wait_for(lambda: _count(bundle) > at + 2, "the guest counts on")
    numbers = [int(n) for n in (bundle.rootfs / "tmp/count").read_text().split()]
    assert numbers == list(range(1, len(numbers) + 1)), "no number was lost or counted twice"
    assert rt.exec(id, "echo", "inside").ok().out == "inside\n"


def another_id_gets_a_cgroup_of_its_own(rt, bundle, work):
    host.need("criu")
    old = _counting(rt, bundle)
    old_group = Path(f"/proc/{rt.pid(old)}/cgroup").read_text()
    _checkpoint(rt, old, work / "img").ok()
    new = runtime.fresh_id()
    assert _restore(rt, bundle, new, work / "img").rc == 0
    group = Path(f"/proc/{rt.pid(new)}/cgroup").read_text()
    assert group != old_group and new in group, group
    assert rt("ps", "--format", "json", new).ok().json
    _goes_on(bundle)


def limits_hold_again(rt, bundle, work):
    host.need("criu", "pids controller")
    bundle.resources["pids"] = {"limit": 55}
    id = _counting(rt, bundle)
    _checkpoint(rt, id, work / "img").ok()
    assert _restore(rt, bundle, id, work / "img").rc == 0
    assert rt("events", "--stats", id).ok().json["data"]["pids"]["limit"] == 55


def leave_running_saves_and_changes_nothing(rt, bundle, work):
    host.need("criu")
    id = _counting(rt, bundle)
    pid = rt.pid(id)
    _checkpoint(rt, id, work / "img", "--leave-running").ok()
    assert rt.status(id) == "running" and rt.pid(id) == pid
    _goes_on(bundle)
    assert (work / "img/inventory.img").exists()


def a_paused_guest_can_be_saved(rt, bundle, work):
    host.need("criu")
    id = _counting(rt, bundle)
    rt("pause", id).ok()
    _checkpoint(rt, id, work / "img").ok()
    assert _restore(rt, bundle, id, work / "img").rc == 0
    _goes_on(bundle)


def a_chain_of_pre_dumps_ends_in_a_checkpoint(rt, bundle, work):
    host.need("criu")
    id = _counting(rt, bundle)
    r = _checkpoint(rt, id, work / "first", "--pre-dump")
    if "cannot track memory" in r.err:
        pytest.skip("this kernel has no soft-dirty bits") if host.kind() == "native" else r.ok()
    r.ok()
    assert rt.status(id) == "running"
    _goes_on(bundle)
    _checkpoint(rt, id, work / "last", "--parent-path", "../first").ok()
    assert _restore(rt, bundle, id, work / "last").rc == 0
    _goes_on(bundle)


def the_work_path_gets_the_log(rt, bundle, work):
    host.need("criu")
    id = _counting(rt, bundle)
    (work / "logs").mkdir()
    _checkpoint(rt, id, work / "img", "--work-path", work / "logs").ok()
    assert (work / "logs/dump.log").exists() and not (work / "img/dump.log").exists()


def a_failed_dump_leaves_the_guest_running(rt, bundle, work):
    host.need("criu")
    # CRIU cannot save an open file of the host that no mount of the guest shows.
    rt.prefix = ["sh", "-c", 'exec 3</etc/hostname; exec "$@"', "sh"]
    id = rt.create(bundle.sh(COUNT), "--preserve-fds", "1")
    rt.prefix = []
    rt("start", id).ok()
    runtime.wait_for(lambda: _count(bundle) > 3, "the guest counts")
    r = _checkpoint(rt, id, work / "img")
    r.fails("criu", "Error (criu/", "dump.log", rc=1)
    assert rt.status(id) == "running"
    _goes_on(bundle)


def bind_mounts_come_from_the_host_again(rt, bundle, work):
    host.need("criu")
    for name in ("data", "link-target"):
        (work / name).mkdir()
    (work / "file").write_text("one\n")
    (bundle.rootfs / "place").symlink_to("/deep/er")
    bundle.mount("/data", "bind", work / "data", "rbind", "rw")
    bundle.mount("/place", "bind", work / "link-target", "bind", "ro")
    bundle.mount("/etc/file", "bind", work / "file", "bind", "ro")
    bundle.mount("/scratch", "tmpfs", "tmpfs")
    bundle.mount("/scratch/in/data", "bind", work / "data", "bind")
    id = rt.start(bundle.sh(f"echo kept > /scratch/word; {COUNT}"))
    runtime.wait_for(lambda: _count(bundle) > 3, "the guest counts")
    _checkpoint(rt, id, work / "img").ok()
    # On another machine the mount points are not there yet.
    subprocess.run(["rm", "-r", bundle.rootfs / "data", bundle.rootfs / "deep"], check=True)
    (work / "file").write_text("two\n")
    (work / "data/new").write_text("fresh\n")
    r = _restore(rt, bundle, id, work / "img")
    assert r.rc == 0, r
    seen = rt.exec(id, "cat", "/etc/file", "/data/new", "/scratch/word", "/scratch/in/data/new").ok().out
    assert seen == "two\nfresh\nkept\nfresh\n"
    rt.exec(id, "sh", "-c", ": > /place/x").fails("Read-only file system")
    rt.exec(id, "sh", "-c", "cat /proc/kcore | head -c 1 | wc -c").ok()
    assert rt.exec(id, "sh", "-c", "head -c 1 /proc/kcore | wc -c").ok().out.strip() == "0", "still masked"


def a_terminal_is_handed_over_again(rt, bundle, console, work):
    host.need("criu")
    bundle.process["terminal"] = True
    id = rt.create(bundle.sh("while read line; do echo got $line; done"), "--console-socket", console.path)
    console.receive()
    rt("start", id).ok()
    console.write("one\n")
    console.read_until("got one")
    _checkpoint(rt, id, work / "img").ok()
    os.close(console.master)
    r = _restore(rt, bundle, id, work / "img", "--console-socket", console.path)
    assert r.rc == 0, r
    console.receive()
    assert os.isatty(console.master)
    console.write("two\n")
    console.read_until("got two")


def a_foreground_restore_gives_output_and_exit_code(rt, bundle, work):
    host.need("criu")
    id = rt.start(bundle.sh("while [ ! -e /tmp/go ]; do sleep 0.05; done; echo done; exit 7"))
    _checkpoint(rt, id, work / "img").ok()
    (bundle.rootfs / "tmp/go").write_text("")
    r = rt("restore", "--bundle", bundle.path, "--image-path", work / "img", id)
    assert (r.rc, r.out) == (7, "done\n"), r
    rt("state", id).fails("does not exist")


def pipes_of_the_restore_take_the_place_of_the_old(rt, bundle, work):
    host.need("criu")
    bundle.save()
    id = rt.new_id()
    first = rt.popen("run", "--bundle", bundle.sh("while read line; do echo got $line; done").save().path, id,
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    first.stdin.write(b"one\n")
    first.stdin.flush()
    runtime.read_until(first.stdout.fileno(), "got one")
    _checkpoint(rt, id, work / "img").ok()
    first.wait(10)
    second = rt.popen("restore", "--bundle", bundle.path, "--image-path", work / "img", id,
                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    second.stdin.write(b"two\n")
    second.stdin.close()
    runtime.read_until(second.stdout.fileno(), "got two")
    assert second.wait(30) == 0
    second.stdout.close()
    first.stdin.close()
    first.stdout.close()


def the_pid_file_and_the_hooks_know_the_restored_process(rt, bundle, work):
    host.need("criu")
    bundle.hook("createRuntime", f"cat > {work}/hook.json")
    id = _counting(rt, bundle)
    _checkpoint(rt, id, work / "img").ok()
    (work / "hook.json").unlink()
    assert _restore(rt, bundle, id, work / "img", "--pid-file", work / "pid").rc == 0
    assert int((work / "pid").read_text()) == rt.pid(id)
    assert f'"pid":{rt.pid(id)}' in (work / "hook.json").read_text().replace(" ", "")


def a_hook_that_fails_undoes_the_restore(rt, bundle, work):
    host.need("criu")
    id = _counting(rt, bundle)
    _checkpoint(rt, id, work / "img").ok()
    bundle.hook("createRuntime", "echo not today; exit 1")
    bundle.save()
    r = _restore(rt, bundle, id, work / "img")
    assert r.rc == 1 and "not today" in r.err, r
    assert not (rt.root / id).exists()


def a_network_namespace_joined_by_path_stays_joined(rt, bundle, work):
    host.need("criu")
    keeper = subprocess.Popen(["unshare", "--net", "sleep", "300"])
    try:
        path = f"/proc/{keeper.pid}/ns/net"
        runtime.wait_for(lambda: os.readlink(path) != os.readlink("/proc/self/ns/net"), "a namespace")
        bundle.namespace("network", path)
        id = _counting(rt, bundle)
        _checkpoint(rt, id, work / "img").ok()
        assert _restore(rt, bundle, id, work / "img").rc == 0
        assert os.readlink(f"/proc/{rt.pid(id)}/ns/net") == os.readlink(path)
    finally:
        keeper.kill()
        keeper.wait()


def loopback_is_up_after_the_restore(rt, bundle, work):
    host.need("criu")
    id = _counting(rt, bundle)
    _checkpoint(rt, id, work / "img").ok()
    assert _restore(rt, bundle, id, work / "img").rc == 0
    assert "UP" in rt.exec(id, "ip", "link", "show", "lo").ok().out


def a_user_namespace_survives(rt, bundle, work):
    host.need("criu")
    id = _counting(rt, bundle.user_namespace())
    before = Path(f"/proc/{rt.pid(id)}/uid_map").read_text().split()
    _checkpoint(rt, id, work / "img").ok()
    r = _restore(rt, bundle, id, work / "img")
    assert r.rc == 0, r
    assert Path(f"/proc/{rt.pid(id)}/uid_map").read_text().split() == before
    _goes_on(bundle)
