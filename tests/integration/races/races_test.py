"""Several at once, and ends at any moment: no half state, no hang, nothing left behind."""
import os
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from harness import host, leaks, runtime

OUTCOMES = ("already exists", "does not exist", "not running", "running", "stopped", "created", "not stopped", "busy",
            "no such", "in use", "ended before", "ended while", "never completed", "killed", "cannot start", "being")


def _quiet(rt, *args):
    """Started, not waited for. A created guest keeps the streams it is given, so they are files."""
    with tempfile.TemporaryFile() as out:
        child = rt.popen(*args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=out)
        child.words = os.dup(out.fileno())
    return child


def _ends(child, deadline=None):
    rc = child.wait(timeout=deadline or 6 * runtime.DEADLINE)
    with os.fdopen(child.words, "rb") as words:
        words.seek(0)
        return rc, words.read().decode(errors="replace")


def twenty_creates_of_one_id_have_one_winner(rt, bundle):
    bundle.args("sleep", "100").save()
    id = rt.new_id()
    children = [_quiet(rt, "create", "--bundle", bundle.path, id) for _ in range(20)]
    ends = [_ends(c) for c in children]
    assert [rc for rc, _ in ends].count(0) == 1, ends
    assert all("exist" in err for rc, err in ends if rc), ends
    assert rt.status(id) == "created"


def twenty_starts_of_one_container_start_it_once(rt, bundle):
    id = rt.create(bundle.sh("echo started; sleep 100"))
    ends = [_ends(c) for c in [_quiet(rt, "start", id) for _ in range(20)]]
    assert [rc for rc, _ in ends].count(0) >= 1
    runtime.wait_for(lambda: rt.output_file(id).read_text(), "it runs")
    assert rt.output_file(id).read_text() == "started\n"
    if "vrun" in rt.path:
        assert [rc for rc, _ in ends].count(0) == 1, ends


def twenty_deletes_of_one_container_leave_nothing(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    ends = [_ends(c) for c in [_quiet(rt, "delete", "--force", id) for _ in range(20)]]
    assert all(rc == 0 or "exist" in err for rc, err in ends), ends
    rt("state", id).fails("does not exist")


def creating_starting_and_deleting_one_id_makes_no_half_state(rt, bundle):
    """Twenty processes do as they like with one id; in the end it is there whole, or not at all."""
    bundle.args("sleep", "100").save()
    id = rt.new_id()
    dice = random.Random(1)
    verbs = [("create", "--bundle", bundle.path, id), ("start", id), ("delete", "--force", id), ("kill", id, "KILL"), ("state", id)]
    for _ in range(5):
        children = [_quiet(rt, *dice.choice(verbs)) for _ in range(20)]
        for child in children:
            rc, err = _ends(child)
            assert rc in (0, 1), (rc, err)
            assert rc == 0 or any(word in err for word in OUTCOMES) or "vrun" not in rt.path, err
    r = rt("state", id)
    assert r.rc == 0 or "does not exist" in r.err
    rt.delete(id, "--force").ok()
    rt("state", id).fails("does not exist")


def list_during_changes_never_fails(rt, bundle):
    bundle.args("true").save()
    workers = []
    for _ in range(6):
        ids = [rt.new_id() for _ in range(8)]
        script = "; ".join(" ".join(map(str, rt.command("run", "--bundle", bundle.path, i))) for i in ids)
        workers.append(subprocess.Popen(["sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
    rt.children += workers
    try:
        while any(w.poll() is None for w in workers):
            rt("list", "--format", "json").ok()
            rt("list", "--quiet").ok()
    finally:
        for w in workers:
            w.wait()
    assert [w.returncode for w in workers] == [0] * 6


def forty_containers_at_once_all_run(rt, bundle):
    bundle.sh("echo $$").save()
    children = [_quiet(rt, "run", "--bundle", bundle.path, rt.new_id()) for _ in range(40)]
    ends = [_ends(c) for c in children]
    assert [rc for rc, _ in ends] == [0] * 40, [e for e in ends if e[0]]


def exec_while_the_container_ends_gives_an_error_or_a_result(rt, bundle):
    for _ in range(5):
        id = rt.start(bundle.sh("sleep 0.05"))
        for child in [_quiet(rt, "exec", id, "true") for _ in range(8)]:
            rc, _ = _ends(child)
            assert rc in (0, 1, 137, 255), rc
        rt.delete(id, "--force").ok()


def _killed_at(rt, bundle, delay, verb):
    """Kills `verb` with SIGKILL after so many seconds; gives its exit code."""
    id = rt.new_id()
    if verb == "start":
        rt.create(bundle, id=id)
        child = _quiet(rt, "start", id)
    else:
        child = _quiet(rt, verb, "--bundle", bundle.path, *(["--detach"] if verb == "run" else []), id)
    time.sleep(delay)
    child.kill()
    _ends(child)
    return id


@pytest.mark.parametrize("verb", ["create", "start", "run"])
def kill_9_at_any_moment_then_delete_force_leaves_nothing(rt, bundle, verb):
    """The leak check of the fixture does the counting, for 60 moments of each verb."""
    bundle.args("sleep", "100").save()
    dice = random.Random(verb)
    for i in range(60):
        id = _killed_at(rt, bundle, dice.uniform(0, 0.012 if "vrun" in rt.path else 0.06), verb)
        rt("delete", "--force", id).ok()
        rt("state", id).fails("does not exist")
        assert not [g for g in leaks.cgroups() if id in g], f"the cgroup of the kill number {i} is still there"
    assert rt("list", "--quiet").ok().out == ""
    runtime.wait_for(lambda: not [p for p, s in leaks.descendants().items() if s != "Z"], "no process is left")


def kill_9_of_delete_can_be_repeated(rt, bundle):
    dice = random.Random(3)
    for _ in range(30):
        id = rt.start(bundle.args("sleep", "100"))
        child = _quiet(rt, "delete", "--force", id)
        time.sleep(dice.uniform(0, 0.01))
        child.kill()
        _ends(child)
        rt("delete", "--force", id).ok()
        assert not [g for g in leaks.cgroups() if id in g]


def kill_9_of_a_foreground_run_leaves_a_container_that_can_be_deleted(rt, bundle):
    id = rt.new_id()
    bundle.sh("echo ready; sleep 100").save()
    child = rt.popen("run", "--bundle", bundle.path, id, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    runtime.read_until(child.stdout.fileno(), "ready")
    child.kill()
    child.wait()
    child.stdout.close()
    rt.delete(id, "--force").ok()


def the_create_process_that_dies_does_not_start_the_guest(rt, bundle, work):
    """A guest whose creator was killed before it was done must never run its program."""
    (work / "log").write_text("")
    bundle.mount("/log", "bind", work / "log", "bind").sh("echo ran >> /log; sleep 100").save()
    for i in range(20):
        _killed_at(rt, bundle, 0.0004 * i, "create")
    assert (work / "log").read_text() == ""


def a_recycled_state_folder_takes_no_old_rights(rt, bundle):
    """After kill -9 and delete the id can be used again and works."""
    bundle.args("echo", "fine").save()
    for i in range(10):
        id = _killed_at(rt, bundle, 0.0007 * i, "create")
        rt("delete", "--force", id).ok()
        assert rt("run", "--bundle", bundle.path, id).ok().out == "fine\n"
