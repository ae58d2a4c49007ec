"""kill -9 of any vrun process at any moment: the next command repairs, and nothing is left for good."""
import os
import random
import signal
import time

import pytest

from harness import everyday, runtime


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


def _kill_soon(vrun, dice, *words):
    """Starts a command and, a moment later, kills it and every vrun process that works for it."""
    command = vrun.start(*words)
    time.sleep(dice.random() * 0.05)  # the moment is what is tested
    for line in vrun.processes():
        try:
            os.kill(int(line.split()[0]), signal.SIGKILL)
        except ProcessLookupError:
            pass
    command.kill()
    command.wait()



def a_start_killed_at_any_moment_is_repaired(vrun):
    dice = random.Random(11)
    for i in range(40):
        _kill_soon(vrun, dice, "run", "-d", "--name", f"g{i}", "base", "sleep", "1000")
    vrun("create", "--name", "last", "base", "true").ok()
    for guest in vrun("ps", "-q").out.split():
        assert everyday.alive(vrun.monitor(guest)), "who runs has a monitor again"
    for guest in vrun("ps", "-aq").out.split():
        vrun("start", guest).ok()
    kept = vrun("ps", "-aq").out.split()
    vrun("rm", "-f", *kept).ok()


def a_stop_killed_at_any_moment_can_be_repeated(vrun):
    dice = random.Random(12)
    vrun("create", "--name", "s", "base", "sleep", "1000").ok()
    for _ in range(25):
        vrun("start", "s").ok()
        _kill_soon(vrun, dice, "stop", "-t", "0", "s")
        vrun("stop", "-t", "0", "s").ok()
        assert vrun.state("s")["status"] == "exited"


def a_removal_killed_at_any_moment_can_be_repeated(vrun):
    dice = random.Random(13)
    for i in range(25):
        vrun.detached("mkdir -p /a/b/c/d; sleep 1000", "--name", "r")
        _kill_soon(vrun, dice, "rm", "-f", "r")
        vrun("rm", "-f", "r").ok()
        assert "r" not in vrun("ps", "-aq").out


def a_guest_that_is_removed_at_its_end_is_so_though_all_were_killed(vrun):
    dice = random.Random(14)
    for i in range(25):
        _kill_soon(vrun, dice, "run", "-d", "--rm", "base", "sleep", "0.02")
    end = time.monotonic() + 10
    while True:
        vrun.sh("true").ok()
        if not vrun.left() or time.monotonic() > end:
            break
    assert not vrun.left()


def restarts_go_on_after_kills(vrun):
    dice = random.Random(15)
    vrun.detached("sleep 0.05; exit 1", "--name", "r", "--restart", "always")
    for _ in range(10):
        time.sleep(dice.random() * 0.3)  # the moment is what is tested
        for line in vrun.processes():
            try:
                os.kill(int(line.split()[0]), signal.SIGKILL)
            except ProcessLookupError:
                pass
        vrun("create", "base", "true").ok()
        assert vrun.state("r")["status"] in ("running", "restarting", "ending"), vrun.state("r")
    vrun("stop", "-t", "0", "r").ok()
    assert vrun.state("r")["status"] == "exited"


def a_guest_whose_foreground_command_was_killed_can_be_removed(vrun):
    run = vrun.start("run", "--rm", "--network", "none", "--name", "fg", "base", "sleep", "1000")
    runtime.wait_for(lambda: vrun("exec", "fg", "true").rc == 0, "it runs")
    run.kill()
    run.wait()
    assert "weeks" not in vrun("ps").ok().out
    vrun("rm", "-f", "fg").ok()
    assert vrun("ps", "-aq").out == ""
