"""A tenant's disk budget: guests, logs and volumes share one file system of their own."""
import json
import subprocess
from pathlib import Path

from harness import host

from .tenants_test import NONE, _detached, _run, _show, acme, vrun  # noqa: F401


def _mounts(vrun, name):
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"/{name}" in line.split()[4]]


def a_full_budget_is_full_for_this_tenant_only(vrun, acme):
    out = vrun("tenant", "create", acme, "--disk", "32M").ok()
    assert "a file system of its own, on a loop device" in out.err
    vrun("tenant", "create", acme + "b").ok()
    out = _run(vrun, acme, "df -m / | tail -1; dd if=/dev/zero of=/big bs=1M count=100; wc -c </big")
    assert "No space left" in out.err and int(out.out.split()[-1]) < 32 << 20, out
    size = int(out.out.split()[1])
    assert 16 <= size <= 32, out.out
    assert int(_run(vrun, acme + "b", "head -c 40m /dev/zero >/big; wc -c </big").ok().out) == 40 << 20
    # What the guest took has gone with it.
    assert int(_run(vrun, acme, "head -c 10m /dev/zero >/big; wc -c </big").ok().out) == 10 << 20


def all_guests_share_it(vrun, acme):
    vrun("tenant", "create", acme, "--disk", "32M").ok()
    guest = _detached(vrun, acme, "head -c 12m /dev/zero >/big; echo done; sleep 1000")
    from harness import runtime
    runtime.wait_for(lambda: "done" in vrun("--tenant", acme, "logs", guest).out, "it wrote")
    assert "No space left" in _run(vrun, acme, "dd if=/dev/zero of=/big bs=1M count=15").err
    vrun("tenant", "update", acme, "--disk", "16M").fails("can grow, not shrink", rc=125)
    grown = vrun("tenant", "update", acme, "--disk", "64M")
    capabilities = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    if int(capabilities.split()[1], 16) >> 24 & 1:  # CAP_SYS_RESOURCE
        grown.ok()
        _run(vrun, acme, "head -c 15m /dev/zero >/big").ok()
        assert _show(vrun, acme)["budget"]["disk"] == 64 << 20
    else:
        grown.fails("grows only for CAP_SYS_RESOURCE", rc=125)
        assert _show(vrun, acme)["budget"]["disk"] == 32 << 20
        _run(vrun, acme, "head -c 5m /dev/zero >/big").ok()


def it_is_mounted_again_at_the_first_use_after_a_boot(vrun, acme):
    vrun("tenant", "create", acme, "--disk", "32M").ok()
    vrun("--tenant", acme, "create", "--name", "kept", *NONE, "base", "sh", "-c", "echo again").ok()
    points = _mounts(vrun, acme)
    assert len(points) == 3
    for point in sorted(points, key=lambda p: p.endswith("/disk")):
        subprocess.run(["umount", point], check=True)
    # Unseen, they still keep the layers of their image.
    out = vrun("image", "prune")
    assert out.rc != 0 or _mounts(vrun, acme), out
    assert vrun("--tenant", acme, "ps", "-aq").ok().out
    assert vrun("--tenant", acme, "start", "-a", "kept").ok().out == "again\n"


def it_goes_with_the_tenant(vrun, acme):
    vrun("tenant", "create", acme, "--disk", "32M").ok()
    _detached(vrun, acme, "sleep 1000")
    vrun("tenant", "rm", "--force", acme).ok()
    assert not _mounts(vrun, acme)
    loops = [p.read_text() for p in Path("/sys/block").glob("loop*/loop/backing_file")]
    assert not [p for p in loops if acme in p]


def it_is_chosen_when_the_tenant_is_made(vrun, acme):
    vrun("tenant", "create", acme).ok()
    vrun("tenant", "update", acme, "--disk", "32M").fails("is chosen when a tenant is made", rc=125)
