"""Micro-VMs in tests: hosts that can run them, and what is left of them when they are gone."""
import subprocess
from pathlib import Path

import pytest

from . import host, leaks

BOOT = 120  # seconds that a boot may take where the processor is emulated
FLAGS = ["--isolation", "vm", "--network", "none"]


def need_kvm(vrun):
    """Skips where KVM does not run stock kernels; in the lab it does."""
    line = next(one for one in vrun("doctor").out.splitlines() if "micro-vms" in one)
    if "engine kvm" in line:
        return
    assert host.kind() != "lab", line
    pytest.skip(line)


def groups(vrun, name):
    """The guest's folders in the trees of cgroups."""
    id = vrun.inspect(name)["id"]
    return [Path(p) for p in subprocess.run(["find", "/sys/fs/cgroup", "-type", "d", "-name", f"*{id}*"], capture_output=True, text=True).stdout.split()]


def monitors_of_machines():
    """The pids of vrun-vmm below this test run."""
    return [pid for pid in leaks.descendants() if b"--share=root:/" in _command_line(pid)]


def _command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
