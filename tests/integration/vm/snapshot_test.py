"""Running micro-VMs kept as they are, and clones that go on from there."""
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness import everyday, host, micro_vms, runtime
from harness.micro_vms import BOOT, FLAGS

# Counts, with a file open all the time and a trap: what must not be lost.
COUNTING = """
trap 'echo the end of $(hostname); exit 3' TERM
exec 3>>/held
n=0
while :; do n=$((n+1)); echo "$n $(hostname)"; echo "$n" >&3; sleep 0.1; done
"""


@pytest.fixture(scope="module")
def vrun(place):
    folder = Path(tempfile.mkdtemp(dir=place))
    folder.chmod(0o711)
    with everyday.fresh(folder, disk="1200M") as it:
        yield it


@pytest.fixture(scope="module")
def warm(vrun):
    """A guest that counts, and its snapshot with all that runs."""
    host.need("KVM that runs stock kernels")
    vrun("run", "-d", "--name", "g", "--hostname", "template", "--cpus", "2", "--memory", "200m", "-v", "data:/data", *FLAGS, "base", "sh", "-c", COUNTING,
         timeout=2 * BOOT).ok()
    _count_beyond(vrun, "g", 3)
    vrun("exec", "g", "sh", "-c", "echo kept > /data/file; echo mine > /root/file").ok()
    assert vrun("vm", "snapshot", "g", "warm", "--volumes", "-m", "a note", timeout=2 * BOOT).ok().out == "warm\n"
    yield vrun
    vrun("rm", "-f", "g").ok()


def _numbers(vrun, name):
    """What it counted, and who it said it was at each."""
    return [(int(n), who) for n, who in re.findall(r"^(\d+) (\S+)$", vrun("logs", name).ok().out, re.MULTILINE)]


def _count_beyond(vrun, name, number):
    runtime.wait_for(lambda: (_numbers(vrun, name) or [(0, "")])[-1][0] > number, f"{name} counts beyond {number}", BOOT)


def _clone(vrun, *names, source="g@warm", flags=()):
    return vrun("vm", "clone", *flags, source, *names, timeout=2 * BOOT)


def a_guest_goes_on_after_its_snapshot(warm):
    _count_beyond(warm, "g", _numbers(warm, "g")[-1][0])
    numbers = [n for n, _ in _numbers(warm, "g")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert warm("snapshot", "ls", "g").ok().out.splitlines()[1].endswith("a note")


def clones_go_on_where_it_was_and_are_guests_of_their_own(warm):
    assert _clone(warm, "c1", "c2").ok().out == "c1\nc2\n"
    try:
        seeds = set()
        for name in ("c1", "c2"):
            _count_beyond(warm, name, 3)
            numbers = _numbers(warm, name)
            first = numbers[0][0]
            assert first > 3, "it did not begin anew"
            assert [n for n, _ in numbers] == list(range(first, first + len(numbers))), "no number is lost or said twice"
            # The host name is asked for once a turn, one of which may have been under way.
            assert all(who == name for _, who in numbers[1:])
            held = warm("exec", name, "cat", "/held").ok().out.split()
            assert held[:3] == ["1", "2", "3"] and held[-1] != "3" and len(held) == int(held[-1])
            assert warm("exec", name, "cat", "/data/file", "/root/file").ok().out == "kept\nmine\n"
            warm("exec", name, "sh", "-c", f"echo {name} > /root/file; echo {name} > /data/file").ok()
            seeds.add(warm("exec", name, "sh", "-c", "head -c 16 /dev/urandom | od -An -tx1").ok().out)
            now, there = (int(text) for text in (subprocess.run(["date", "+%s"], capture_output=True, text=True).stdout, warm("exec", name, "date", "+%s").ok().out))
            assert abs(now - there) < 30
        assert len(seeds) == 2
        assert warm("exec", "g", "cat", "/data/file", "/root/file").ok().out == "kept\nmine\n"
        assert warm("exec", "c1", "cat", "/root/file").ok().out == "c1\n"
        assert "the end of c1" not in warm("logs", "c1").out
        warm("stop", "-t", "20", "c1", timeout=BOOT).ok()
        assert warm.state("c1")["exitCode"] == 3 and "the end of c1" in warm("logs", "c1").out
    finally:
        warm("rm", "-f", "c1", "c2")


def a_clone_that_starts_again_boots(warm):
    _clone(warm, "again").ok()
    try:
        warm("kill", "again").ok()
        runtime.wait_for(lambda: warm.state("again")["status"] == "exited", "it has ended", BOOT)
        warm("start", "again", timeout=2 * BOOT).ok()
        runtime.wait_for(lambda: (1, "again") in _numbers(warm, "again"), "it counts from the beginning", BOOT)
    finally:
        warm("rm", "-f", "again")


def clones_share_the_memory_that_they_do_not_write(warm):
    names = [f"s{i}" for i in range(3)]
    _clone(warm, *names).ok()
    try:
        for name in names:
            _count_beyond(warm, name, 3)
        own = [_private(pid) for pid in micro_vms.monitors_of_machines()]
        # The template has all that its kernel and programs have written since the boot.
        assert len(own) == 4 and max(sorted(own)[:3]) < max(own) / 2, own
    finally:
        warm("rm", "-f", *names)


def _private(pid):
    return int(re.search(r"Private_Dirty: *(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text()).group(1))


def a_clone_of_a_clone_is_one_too(warm):
    _clone(warm, "first").ok()
    try:
        _count_beyond(warm, "first", 3)
        warm("vm", "snapshot", "first@next", timeout=2 * BOOT).ok()
        _clone(warm, "second", source="first@next").ok()
        _count_beyond(warm, "second", _numbers(warm, "first")[0][0])
        assert warm("exec", "second", "hostname").ok().out == "second\n"
    finally:
        warm("rm", "-f", "first", "second")


def what_is_damaged_is_refused_and_leaves_nothing(warm):
    state = next(warm.data.glob("guests/*/g/snapshots/warm/machine/state"))
    good = state.read_bytes()
    for bad, words in ((good[:-1], "ends too early"), (good[:5000] + b"\x55" + good[5001:], "damaged"), (b"", "ends too early"), (b"x" * 9000, "no state of a machine")):
        state.write_bytes(bad)
        try:
            _clone(warm, "bad").fails("start clone bad", words, rc=125)
        finally:
            state.write_bytes(good)
    warm("inspect", "bad").fails("bad")
    assert "bad-data" not in warm("volume", "ls").ok().out


def a_terminal_goes_on_in_a_clone(vrun):
    host.need("KVM that runs stock kernels")
    vrun("run", "-d", "-t", "--name", "term", *FLAGS, "base", "sh", "-c", "test -t 1 && n=0; while :; do n=$((n+1)); echo $n term; sleep 0.1; done", timeout=2 * BOOT).ok()
    try:
        _count_beyond(vrun, "term", 3)
        vrun("vm", "snapshot", "term", "s", timeout=2 * BOOT).ok()
        _clone(vrun, "term2", source="term@s").ok()
        _count_beyond(vrun, "term2", 3)
        assert _numbers(vrun, "term2")[0][0] > 3
    finally:
        vrun("rm", "-f", "term", "term2")


def a_snapshot_that_is_killed_lets_the_guest_go_on(warm):
    command = [warm.program, "vm", "snapshot", "g", "killed"]
    with subprocess.Popen(command, env=warm.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as snapshot:
        runtime.wait_for(lambda: list(warm.data.rglob("machine/memory"))[1:] or snapshot.poll() is not None, "it is under way", BOOT)
        snapshot.kill()
    _count_beyond(warm, "g", _numbers(warm, "g")[-1][0] + 2)
    assert "killed" not in warm("snapshot", "ls", "g").ok().out or snapshot.returncode == 0


def a_file_that_is_open_and_has_no_name_is_told_and_the_guest_goes_on(vrun):
    host.need("KVM that runs stock kernels")
    vrun("run", "-d", "--name", "open", *FLAGS, "base", "sh", "-c", "exec 3>/gone; rm /gone; n=0; while :; do n=$((n+1)); echo $n open; sleep 0.1; done", timeout=2 * BOOT).ok()
    try:
        _count_beyond(vrun, "open", 1)
        vrun("vm", "snapshot", "open", timeout=BOOT).fails("/gone", "without a name", rc=125)
        _count_beyond(vrun, "open", _numbers(vrun, "open")[-1][0])
        assert "open" not in vrun("snapshot", "ls").out
    finally:
        vrun("rm", "-f", "open")


def what_cannot_be_saved_is_told(vrun):
    host.need("micro-VMs")
    vrun("run", "-d", "--name", "box", "--network", "none", "base", "sleep", "1000").ok()
    vrun("create", "--name", "still", *FLAGS, "base", "true").ok()
    try:
        vrun("vm", "snapshot", "box").fails("it is a container", "vrun snapshot create", rc=125)
        vrun("vm", "snapshot", "still").fails("does not run", "vrun start still", rc=125)
        vrun("snapshot", "create", "still", "cold").ok()
        vrun("vm", "clone", "still@cold", "x").fails("has no machine", "vrun vm snapshot", rc=125)
        vrun("vm", "clone", "still", "x").fails("no snapshot", rc=125)
        vrun("vm", "clone", "--volumes", "empty", "still@cold", "x").fails("--volumes empty", rc=125)
        vrun("inspect", "x").fails("x")
    finally:
        vrun("rm", "-f", "box", "still")


def emulated_machines_are_not_saved(vrun):
    host.need("micro-VMs", "no KVM that runs stock kernels")
    vrun("run", "-d", "--name", "emulated", *FLAGS, "base", "sleep", "1000", timeout=2 * BOOT).ok()
    try:
        runtime.wait_for(lambda: vrun("exec", "emulated", "true").rc == 0, "it is up", BOOT)
        vrun("vm", "snapshot", "emulated").fails("its engine is qemu", "vrun doctor", rc=125)
    finally:
        vrun("rm", "-f", "emulated")
