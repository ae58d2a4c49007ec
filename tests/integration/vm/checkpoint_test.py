"""Running micro-VMs that are kept and ended, and go on as the same guests."""
import re
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from harness import everyday, host, runtime
from harness.micro_vms import BOOT, FLAGS

# Counts, with a file open all the time and a trap: what must not be lost.
COUNTING = """
trap 'echo the end of $(hostname); exit 3' TERM
exec 3>>/held
n=0
while :; do n=$((n+1)); echo "$n"; echo "$n" >&3; sleep 0.1; done
"""


@pytest.fixture(scope="module")
def vrun(place):
    folder = Path(tempfile.mkdtemp(dir=place))
    folder.chmod(0o711)
    with everyday.fresh(folder, disk="1200M") as it:
        yield it


@pytest.fixture(scope="module")
def guest(vrun):
    host.need("KVM that runs stock kernels")
    vrun("run", "-d", "--name", "g", "--hostname", "here", "--restart", "always", "--cpus", "2", "--memory", "200m", "-v", "data:/data", *FLAGS, "base", "sh", "-c", COUNTING,
         timeout=2 * BOOT).ok()
    _count_beyond(vrun, 3)
    vrun("exec", "g", "sh", "-c", "echo kept > /data/file; echo mine > /root/file").ok()
    yield vrun
    vrun("rm", "-f", "g").ok()


def _numbers(vrun):
    return [int(n) for n in re.findall(r"^(\d+)$", vrun("logs", "g").ok().out, re.MULTILINE)]


def _count_beyond(vrun, number):
    runtime.wait_for(lambda: (_numbers(vrun) or [0])[-1] > number, f"it counts beyond {number}", BOOT)


def _goes_on(vrun):
    """It counts, and has from its boot on, without a gap."""
    _count_beyond(vrun, (_numbers(vrun) or [0])[-1])
    numbers = _numbers(vrun)
    assert numbers == list(range(1, len(numbers) + 1)), numbers


def _folders(vrun):
    return sorted(p.name for p in vrun.data.glob("guests/*/*/checkpoint*")) + [p.name for p in vrun.data.glob("guests/*/.staged*")]


def _checkpoint(vrun):
    assert vrun("checkpoint", "g", timeout=2 * BOOT).ok().out == "g\n"


def _restore(vrun):
    assert vrun("restore", "g", timeout=2 * BOOT).ok().out == "g\n"


def a_guest_ends_where_it_is_and_goes_on_as_itself(guest):
    before = guest.inspect("g")
    assert before["state"]["checkpointed"] is False
    _checkpoint(guest)
    there = guest.inspect("g")
    state = there["state"]
    assert (state["status"], state["running"], state["exitCode"], state["reason"]) == ("exited", False, 137, "checkpointed")
    assert state["checkpointed"] is True and state["checkpointedAt"] and "vrun restore" in state["hint"]
    assert "checkpointed" in guest("ps", "-a").ok().out and _folders(guest) == ["checkpoint"]
    assert (guest.data / "guests/default/g/checkpoint/memory").stat().st_size == 200 << 20
    said = _numbers(guest)
    # Nothing but a restore by name touches what is kept; a boot's does not.
    guest("restore").ok()
    for words in (["start", "g"], ["restart", "g"], ["update", "--memory", "300m", "g"], ["network", "connect", "default", "g"]):
        guest(*words).fails("g", "is checkpointed", "vrun restore g", "--drop", rc=125)
    guest("checkpoint", "g").fails("is checkpointed already", rc=125)
    guest("exec", "g", "true").fails("g")
    time.sleep(2)
    assert _numbers(guest) == said and _folders(guest) == ["checkpoint"]
    _restore(guest)
    _goes_on(guest)
    after = guest.inspect("g")
    assert after["id"] == before["id"] and after["state"]["running"] and after["state"]["checkpointed"] is False and _folders(guest) == []
    assert len(_numbers(guest)) > len(said)
    assert guest("exec", "g", "cat", "/data/file", "/root/file", "/etc/hostname").ok().out == "kept\nmine\nhere\n"
    held = [int(n) for n in guest("exec", "g", "cat", "/held").ok().out.split()]
    assert held == list(range(1, len(held) + 1)) and len(held) > len(said)
    now, inside = (int(text) for text in (subprocess.run(["date", "+%s"], capture_output=True, text=True).stdout, guest("exec", "g", "date", "+%s").ok().out))
    assert abs(now - inside) < 30
    guest("restore", "g").fails("runs already", rc=125)
    actions = [line.split()[2] if len(line.split()) > 2 else "" for line in guest("events", "--since", "1h", "--until", "0s").ok().out.splitlines()]
    assert any("checkpoint" in line for line in actions) and any("restore" in line for line in actions), actions


def what_is_damaged_is_told_and_stays_what_it_was(guest):
    _checkpoint(guest)
    state = guest.data / "guests/default/g/checkpoint/state"
    good = state.read_bytes()
    state.write_bytes(good[:5000] + b"\x55" + good[5001:])
    guest("restore", "g", timeout=BOOT).fails("damaged", "--drop g", rc=125)
    assert guest.state("g")["checkpointed"] is True and _folders(guest) == ["checkpoint"]
    state.write_bytes(good)
    _restore(guest)
    _goes_on(guest)


@pytest.mark.parametrize("when", [".staged-checkpoint-*/memory", "g/checkpoint.new"])
def whoever_is_killed_the_guest_runs_or_is_checkpointed(guest, when):
    checkpoint = subprocess.Popen([guest.program, "checkpoint", "g"], env=guest.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + BOOT
    while not list(guest.data.glob(f"guests/default/{when}")) and checkpoint.poll() is None:
        assert time.monotonic() < deadline
    checkpoint.kill()
    checkpoint.wait(BOOT)
    runtime.wait_for(lambda: guest.state("g")["status"] in ("running", "exited"), "it runs, or it does not", BOOT)
    time.sleep(2)  # a machine that was told its end has it by then
    if not guest.state("g")["running"]:
        assert guest.state("g")["checkpointed"] is True and _folders(guest) == ["checkpoint"]
        _restore(guest)
    _goes_on(guest)
    assert guest.state("g")["checkpointed"] is False
    _checkpoint(guest)
    restore = subprocess.Popen([guest.program, "restore", "g"], env=guest.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    restore.kill()
    restore.wait(BOOT)
    runtime.wait_for(lambda: guest.state("g")["running"] or guest.state("g")["checkpointed"], "it runs or is checkpointed", BOOT)
    time.sleep(2)
    if not guest.state("g")["running"]:
        _restore(guest)
    _goes_on(guest)
    assert _folders(guest) == []


def an_end_of_its_own_after_a_restore_is_one(guest):
    guest("stop", "-t", "20", "g", timeout=BOOT).ok()
    assert guest.state("g")["exitCode"] == 3 and "the end of here" in guest("logs", "g").out
    guest("restore", "g").fails("has no checkpoint", "vrun start g", rc=125)
    guest("start", "g", timeout=2 * BOOT).ok()
    runtime.wait_for(lambda: 1 in _numbers(guest)[1:], "it counts from the beginning", BOOT)
    _checkpoint(guest)
    assert guest("checkpoint", "--drop", "g").ok().out == "g\n"
    assert guest.state("g")["checkpointed"] is False and _folders(guest) == []
    guest("checkpoint", "--drop", "g").fails("has no checkpoint", rc=125)


def a_checkpointed_guest_is_removed_like_others(vrun):
    host.need("KVM that runs stock kernels")
    vrun("run", "-d", "--name", "going", *FLAGS, "base", "sleep", "1000", timeout=2 * BOOT).ok()
    vrun("exec", "going", "true", timeout=BOOT).ok()
    vrun("checkpoint", "going", timeout=2 * BOOT).ok()
    vrun("rm", "going").ok()
    assert "going" not in vrun("ps", "-a").out and not list(vrun.data.rglob("memory"))


def what_cannot_be_checkpointed_is_told(vrun):
    host.need("micro-VMs")
    vrun("run", "-d", "--name", "box", "--network", "none", "base", "sleep", "1000").ok()
    vrun("create", "--name", "still", *FLAGS, "base", "true").ok()
    try:
        vrun("checkpoint", "box").fails("is a container", "--isolation vm", "vrun oci checkpoint", rc=125)
        vrun("checkpoint", "still").fails("does not run", "vrun start still", rc=125)
        vrun("checkpoint", "--leave-running", "box").fails("--leave-running", "vrun vm snapshot", rc=125)
        vrun("checkpoint", "--drop", "box").fails("has no checkpoint", rc=125)
        vrun("restore", "box").fails("runs already", rc=125)
        vrun("restore", "still").fails("has no checkpoint", "vrun start still", rc=125)
        vrun("restore", "nosuch").fails("nosuch", rc=125)
        assert vrun.state("box")["running"] and _folders(vrun) == []
    finally:
        vrun("rm", "-f", "box", "still")


def emulated_machines_are_not_checkpointed_and_go_on(vrun):
    host.need("micro-VMs", "no KVM that runs stock kernels")
    vrun("run", "-d", "--name", "emulated", *FLAGS, "base", "sleep", "1000", timeout=2 * BOOT).ok()
    try:
        runtime.wait_for(lambda: vrun("exec", "emulated", "true").rc == 0, "it is up", BOOT)
        vrun("checkpoint", "emulated").fails("its engine is qemu", "vrun doctor", rc=125)
        vrun("pause", "emulated").ok()
        vrun("checkpoint", "emulated").fails("is paused", "vrun unpause emulated", rc=125)
        vrun("unpause", "emulated").ok()
        vrun("exec", "emulated", "true").ok()
        assert _folders(vrun) == []
    finally:
        vrun("rm", "-f", "emulated")
