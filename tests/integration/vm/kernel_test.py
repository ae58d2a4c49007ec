"""Stock kernels of distributions boot, and see all that their machine has."""
from pathlib import Path

import pytest

from harness import everyday, host
from harness.micro_vms import BOOT, FLAGS

DEBIAN_13 = Path(__file__).resolve().parents[3] / "build/debian-13-kernel"


@pytest.fixture
def vrun(work):
    with everyday.fresh(work, "900M") as it:
        host.need("micro-VMs")
        yield it


def _kernel(vrun, debian):
    """Its name in `vm kernel ls` and its release."""
    if debian == 12:
        name = vrun("vm", "kernel", "ls").ok().out.splitlines()[1].split()[0].lstrip("*")
        return name, name
    host.need("Debian 13 kernel")
    [modules] = (DEBIAN_13 / "lib/modules").iterdir()
    vrun("vm", "kernel", "add", DEBIAN_13 / f"boot/vmlinuz-{modules.name}", "--modules", modules, "--name", "thirteen").ok()
    return "thirteen", modules.name


@pytest.mark.parametrize("processors", [1, 2])
@pytest.mark.parametrize("debian", [12, 13])
def a_stock_kernel_boots_and_sees_all_processors(vrun, debian, processors):
    name, release = _kernel(vrun, debian)
    script = "uname -r; grep -c ^processor /proc/cpuinfo; cat /sys/devices/system/cpu/online"
    it = vrun("run", "--rm", *FLAGS, "--kernel", name, "--cpus", processors, "base", "sh", "-c", script, timeout=4 * BOOT).ok()
    assert it.out.split() == [release, str(processors), {1: "0", 2: "0-1"}[processors]], it
