"""A manifest with a tenant of its own: made first, changed live, what else it describes lies in it; volumes outlive all."""
import json
import os
import random
import signal
import subprocess
import time

import pytest

from harness import everyday, host

TENANT = """
apiVersion: vrun/v1
kind: Tenant
name: {name}
maxGuests: 40
admins: [user:nobody]
policy: {{capabilities: [SYS_TIME], guestPids: 100}}
---
"""
REST = """
apiVersion: vrun/v1
kind: Volume
name: data
labels: {{color: {color}}}
---
apiVersion: vrun/v1
kind: Guest
name: web
image: base
network: none
args: [sleep, "1000"]
stopSignal: KILL
replicas: {replicas}
limits: {{pids: 50}}
volumes: ["data:/data"]
---
"""


@pytest.fixture
def vrun(work):
    host.need("pids controller")
    with everyday.fresh(work) as it:
        it.work = work
        it.acme = f"m{os.getpid()}"
        yield it
        it("delete", "--volumes", "--manifest", "shop").ok()
        if it.acme in it("tenant", "ls", "-q").out:
            it("tenant", "rm", "--force", it.acme).ok()


def _text(vrun, tenant=True, color="red", replicas=1):
    return (TENANT.format(name=vrun.acme) if tenant else "") + REST.format(color=color, replicas=replicas)


def _write(vrun, text):
    path = vrun.work / "shop.yaml"
    path.write_text(text)
    return path


def _apply(vrun, text, *flags):
    return vrun("apply", "-f", _write(vrun, text), *flags)


def _steps(vrun, text, *flags):
    out = vrun("diff", "-f", _write(vrun, text), "--format", "json", *flags)
    return {f"{s['kind']} {s['name']}": (s["action"], s["reasons"]) for s in json.loads(out.out)}


def _tenant(vrun):
    return json.loads(vrun("tenant", "show", "--format", "json", vrun.acme).ok().out)[0]


def everything_is_made_in_the_manifests_own_tenant(vrun):
    before = _steps(vrun, _text(vrun))
    assert [a for a, _ in before.values()] == ["create"] * 3 and list(before)[0] == f"Tenant {vrun.acme}"
    _apply(vrun, _text(vrun), "--dry-run").ok()
    assert vrun.acme not in vrun("tenant", "ls", "-q").out, "a dry run makes nothing"
    _apply(vrun, _text(vrun)).ok()
    assert vrun("ps", "-q").out == "" and "web" in vrun("--tenant", vrun.acme, "ps").out
    assert vrun("--tenant", vrun.acme, "volume", "ls", "-q").out.split() == ["data"]
    assert {a for a, _ in _steps(vrun, _text(vrun)).values()} == {"unchanged"}
    assert vrun("diff", "-f", vrun.work / "shop.yaml").rc == 0


def limits_and_policy_change_live_and_field_by_field(vrun):
    _apply(vrun, _text(vrun)).ok()
    pid = vrun("--tenant", vrun.acme, "inspect", "--format", "{{.State.Pid}}", "web-1").ok().out
    text = _text(vrun).replace("maxGuests: 40", "cpuWeight: 200").replace("[user:nobody]", "[user:daemon]").replace("SYS_TIME", "SYS_NICE").replace(
        ", guestPids: 100", ", forbidSystem: true")
    action, reasons = _steps(vrun, text)[f"Tenant {vrun.acme}"]
    assert action == "change" and set(reasons) == {
        "cpuWeight: set to '200'", "maxGuests: no longer '40'", "admins[0]: 'user:nobody' -> 'user:daemon'",
        "policy.capabilities[0]: 'SYS_TIME' -> 'SYS_NICE'", "policy.forbidSystem: set to 'true'", "policy.guestPids: no longer '100'"}
    assert vrun("diff", "-f", vrun.work / "shop.yaml").rc == 1
    _apply(vrun, text).ok()
    now = _tenant(vrun)
    assert now["admins"] == ["user:daemon"] and "40" not in str(now["budget"]), now
    shown = vrun("tenant", "show", vrun.acme).ok().out
    assert "CAP_SYS_NICE" in shown and "CAP_SYS_TIME" not in shown and "forbid-system" in shown and "guest-pids" not in shown, shown
    assert vrun("--tenant", vrun.acme, "inspect", "--format", "{{.State.Pid}}", "web-1").ok().out == pid
    assert vrun("diff", "-f", vrun.work / "shop.yaml").rc == 0


def volumes_keep_what_lies_in_them(vrun):
    _apply(vrun, _text(vrun)).ok()
    inside = lambda *words: vrun("--tenant", vrun.acme, *words).ok()
    inside("exec", "web-1", "sh", "-c", "echo kept >/data/note")
    assert _steps(vrun, _text(vrun, color="blue"))["Volume data"] == ("change", ["labels.color: 'red' -> 'blue'"])
    _apply(vrun, _text(vrun, color="blue")).ok()
    assert "blue" in inside("volume", "inspect", "data").out
    out = vrun("delete", "-f", vrun.work / "shop.yaml").ok().out
    assert f"kept Tenant {vrun.acme}" in out and "1 volume" in out, out
    assert inside("ps", "-aq").out == ""
    _apply(vrun, _text(vrun)).ok()
    assert inside("exec", "web-1", "cat", "/data/note").out == "kept\n"
    assert "Volume data" not in _steps(vrun, TENANT.format(name=vrun.acme), "--prune"), "not without --volumes"
    vrun("delete", "-f", vrun.work / "shop.yaml", "--volumes").ok()
    assert vrun.acme not in vrun("tenant", "ls", "-q").out


def what_others_made_is_not_taken_over(vrun):
    vrun("tenant", "create", vrun.acme).ok()
    _apply(vrun, _text(vrun)).fails("was not made by a manifest")
    vrun("tenant", "rm", vrun.acme).ok()
    vrun("volume", "create", "data").ok()
    _apply(vrun, _text(vrun, tenant=False)).fails("Volume data is there already and was not made by a manifest")
    vrun("volume", "rm", "data").ok()


def a_manifest_stays_with_its_tenant(vrun):
    _apply(vrun, _text(vrun)).ok()
    _apply(vrun, _text(vrun, tenant=False)).fails(f"made tenant {vrun.acme} before", "vrun delete --manifest shop")
    vrun("tenant", "create", "another").ok()
    vrun("--tenant", "another", "apply", "-f", _write(vrun, _text(vrun))).fails("for its own tenant")
    vrun("tenant", "rm", "another").ok()
    two = TENANT.format(name=vrun.acme) + TENANT.format(name="second")
    _apply(vrun, two).fails("a manifest has one tenant")


def wrong_limits_make_nothing(vrun):
    _apply(vrun, _text(vrun).replace("user:nobody", "user:no-such-user")).fails("no-such-user")
    _apply(vrun, _text(vrun).replace("SYS_TIME", "SYS_TINE")).fails("SYS_TI")
    assert vrun.acme not in vrun("tenant", "ls", "-q").out


@pytest.mark.parametrize("seed", range(3))
def a_killed_apply_is_finished_by_the_next(vrun, seed):
    dice = random.Random(seed)
    text = _text(vrun, replicas=20)
    for _ in range(4):
        child = vrun.start("apply", "-f", _write(vrun, text), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.005, 0.25))
        child.send_signal(signal.SIGKILL)
        child.wait()
    _apply(vrun, text).ok()
    assert len(vrun("--tenant", vrun.acme, "ps", "-q").ok().out.split()) == 20
    assert {a for a, _ in _steps(vrun, text).values()} == {"unchanged"}


def a_group_of_a_strict_tenant_shares_its_network(vrun):
    """The members see the host's /sys read-only, as nobody can have a fresh one: that is no mount that they asked for."""
    group = "apiVersion: vrun/v1\nkind: Group\nname: pod\nnetwork: none\nguests:\n" + "".join(
        f"  - {{name: {n}, image: base, args: [sleep, \"1000\"], stopSignal: KILL, limits: {{pids: 9}}}}\n" for n in "ab")
    _apply(vrun, _text(vrun) + group).ok()
    t = ["--tenant", vrun.acme]
    assert vrun(*t, "exec", "pod-a", "readlink", "/proc/self/ns/net").ok().out == vrun(*t, "exec", "pod-b", "readlink", "/proc/self/ns/net").ok().out
    vrun(*t, "exec", "pod-b", "sh", "-c", "echo x > /sys/kernel/uevent_helper").fails("")
    for flag in ("/sys:/sys:ro", "/sys:/sys", "/sys:/mnt"):
        vrun(*t, "create", "--network", "none", "-v", flag, "base").fails("rule mounts", rc=125)
