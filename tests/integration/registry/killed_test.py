"""kill -9 of any process of a pull at any moment: nothing runs on, and the next pull completes."""
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import registries, runtime


def _below(pid):
    """The processes below one, itself first."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                todo += [int(c) for c in Path(f"/proc/{one}/task/{task}/children").read_text().split()]
        except OSError:
            pass
    return found


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def slow(registry):
    """A proxy that hands layers out in pieces, so that there is something to interrupt."""
    def fault(handler, answer):
        status, headers, body = answer
        if handler.command != "GET" or "/blobs/" not in handler.path or len(body) < 100_000:
            return False
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        for at in range(0, len(body), 200_000):
            handler.wfile.write(body[at:at + 200_000])
            handler.wfile.flush()
            time.sleep(0.02)
        return True
    it = registries.Proxy(registry, fault)
    yield it
    it.stop()


@pytest.mark.parametrize("which", ["vrun-image", "any child"])
def the_next_pull_completes_what_a_killed_one_left(vrun, slow, which):
    name = f"{slow.host}/small:v1"
    chance = random.Random(which)  # the same moments each time, as far as the machine allows
    for _ in range(6):
        child = vrun.start("pull", name, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(chance.uniform(0.02, 0.4))
        family = _below(child.pid)
        victim = child.pid if which == "vrun-image" or len(family) == 1 else chance.choice(family[1:])
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            pass
        _, said = child.communicate(timeout=60)
        # A child that dies is an error that says so, unless it had done its work.
        assert child.returncode in (0, -signal.SIGKILL, 125), said
        assert child.returncode != 125 or b"vrun: pull:" in said
        runtime.wait_for(lambda: not any(_runs(pid) for pid in family), "all processes of the pull end")
    vrun("pull", name).ok()
    assert len(vrun.layers()) == 2 and not vrun.unfinished()
    for layer in vrun.layers():
        assert any((vrun.data / "images/layers" / layer).iterdir())
