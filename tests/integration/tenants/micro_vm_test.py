"""Micro-VMs of a tenant that its admin keeps with all that runs and clones, through the broker."""
import json
import tempfile
from pathlib import Path

import pytest

from harness import everyday, host, micro_vms, runtime

from .broker_test import ALICE, BOB, broker  # noqa: F401
from .tenants_test import acme  # noqa: F401

BOOT = 2 * micro_vms.BOOT
COUNTING = "n=0; while :; do n=$((n+1)); echo $n $(hostname); sleep 0.2; done"


@pytest.fixture
def vrun(place):
    """With room for the memory of two machines."""
    host.need("KVM that runs stock kernels")
    folder = Path(tempfile.mkdtemp(dir=place))
    folder.chmod(0o711)
    with everyday.fresh(folder, disk="1200M") as it:
        yield it
        for name in it("tenant", "ls", "-q").ok().out.split():
            if name != "default":
                it("tenant", "rm", "--force", name).ok()


def _uid(vrun, tenant, guest):
    pid = json.loads(vrun("--tenant", tenant, "inspect", guest).ok().out)[0]["state"]["pid"]
    return Path(f"/proc/{pid}").stat().st_uid


def an_admin_keeps_a_running_micro_vm_and_clones_it_inside_the_budget(broker):
    vrun = broker.vrun
    vrun("tenant", "update", broker.a, "--max-guests", "2").ok()
    mine = lambda *words: broker(ALICE, "--tenant", broker.a, *words, timeout=BOOT)
    numbers = lambda name: [line.split() for line in mine("logs", name).ok().out.splitlines() if line.endswith(" " + name)]
    mine("run", "-d", "--name", "g", "--hostname", "g", "--memory", "256m", *micro_vms.FLAGS, "base", "sh", "-c", COUNTING).ok()
    runtime.wait_for(lambda: len(numbers("g")) > 3, "it counts", BOOT)
    assert mine("vm", "snapshot", "g", "warm").ok().out == "warm\n"
    broker(BOB, "--tenant", broker.b, "vm", "clone", "g@warm", "stolen").fails("g", rc=125)
    broker(BOB, "--tenant", broker.a, "vm", "clone", "g@warm", "stolen").fails("that you may manage", rc=125)
    assert mine("vm", "clone", "g@warm", "c").ok().out == "c\n"
    runtime.wait_for(lambda: len(numbers("c")) > 3, "the clone goes on", BOOT)
    assert int(numbers("c")[0][0]) > 3, "it did not begin anew"
    mine("exec", "c", "sh", "-c", "echo cloned >/file").ok()
    assert mine("exec", "c", "cat", "/file").ok().out == "cloned\n"
    mine("exec", "g", "cat", "/file").fails("/file")
    uids = {_uid(vrun, broker.a, name) for name in ("g", "c")}
    assert len(uids) == 2 and 0 not in uids, "ids outside are a guest's own"
    mine("vm", "clone", "g@warm", "over").fails("may have no more (max-guests)", rc=125)
    assert mine("ps", "-aq").ok().out.count("\n") == 2 and vrun("ps", "-aq").ok().out == ""
    mine("rm", "-f", "g", "c").ok()
