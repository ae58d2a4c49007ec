"""kill -9 at any moment of load, rmi and prune: the next command completes or cleans."""
import os
import random
import signal
import subprocess
import time

from harness import image_tools as tools

ROUNDS = int(os.environ.get("VRUN_KILL_ROUNDS", "12"))


def _killed(vrun, longest, *args):
    """Starts a command in a session of its own and kills all of it after a random while."""
    command = vrun.start(*args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(random.uniform(0, longest))
    try:
        os.killpg(command.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    command.wait()
    tools.wait_until_gone(command.pid)


def _duration(vrun, *args):
    begin = time.monotonic()
    vrun(*args).ok()
    return time.monotonic() - begin


def load_can_be_killed_at_any_moment(vrun, layout, work):
    tools.run("skopeo", "copy", "-q", f"oci:{layout}:small", f"docker-archive:{work}/a.tar:killed:1")
    longest = _duration(vrun, "load", "-i", work / "a.tar")
    for _ in range(ROUNDS):
        vrun("rmi", "killed:1")
        _killed(vrun, longest * 1.2, "load", "-i", work / "a.tar")
        fsck = vrun("image", "fsck")
        assert fsck.rc == 0, f"a name before its content: {fsck!r}"
        assert not vrun.unfinished(), "the next command cleans"
        vrun("load", "-i", work / "a.tar").ok()
        assert vrun("run", "--rm", "killed:1").ok().out == "hello\n"


def removing_can_be_killed_at_any_moment(vrun, layout, work):
    tools.run("skopeo", "copy", "-q", f"oci:{layout}:small", f"docker-archive:{work}/a.tar:killed:1")
    vrun("load", "-i", work / "a.tar").ok()
    longest = _duration(vrun, "rmi", "killed:1")
    for round in range(ROUNDS):
        vrun("load", "-i", work / "a.tar").ok()
        if round % 2:
            for name in vrun.refs():
                (vrun.data / "images/refs/default" / name).unlink()
            _killed(vrun, longest * 1.2, "image", "prune", "-f")
        else:
            _killed(vrun, longest * 1.2, "rmi", "killed:1")
        assert vrun("image", "fsck").rc == 0
        vrun("image", "prune", "-f").ok()
        if "killed:1" not in vrun.names():
            assert not vrun.layers() and not vrun.blobs()
        else:
            assert vrun("run", "--rm", "killed:1").ok().out == "hello\n"
            vrun("rmi", "killed:1").ok()
            vrun("image", "prune", "-f").ok()
        vrun("rmi", "base") if "base" in vrun.refs() else None


def two_loads_at_once_do_the_work_once(vrun, layout, work):
    tools.run("skopeo", "copy", "-q", f"oci:{layout}:small", f"docker-archive:{work}/a.tar:twice:1")
    commands = [vrun.start("load", "-q", "-i", work / "a.tar", stdout=subprocess.PIPE) for _ in range(4)]
    for command in commands:
        assert command.communicate(timeout=120)[0] == b"twice:1\n" and command.returncode == 0
    assert len(vrun.layers()) == 2
    vrun("image", "fsck").ok()
