"""Micro-VMs in tests: hosts that can run them, and what is left of them when they are gone."""
import subprocess
from pathlib import Path

from . import leaks

BOOT = 120  # seconds that a boot may take where the processor is emulated
FLAGS = ["--isolation", "vm", "--network", "none"]


def groups(vrun, name):
    """The guest's folders in the trees of cgroups."""
    return groups_of(vrun.inspect(name)["id"])


def groups_of(id):
    return [Path(p) for p in subprocess.run(["find", "/sys/fs/cgroup", "-type", "d", "-name", f"*{id}*"], capture_output=True, text=True).stdout.split()]


def memory_file(folders, v2_name):
    """The file of the memory controller in one of the folders, whichever version has it."""
    v1_name = {"memory.max": "memory.limit_in_bytes", "memory.current": "memory.usage_in_bytes"}[v2_name]
    return next(folder / name for folder in folders for name in (v2_name, v1_name) if (folder / name).exists())


def memory_limit(vrun, name):
    return int(memory_file(groups(vrun, name), "memory.max").read_text())


def monitors_of_machines():
    """The pids of vrun-vmm below this test run."""
    return [pid for pid in leaks.descendants() if b"--share=root:/" in _command_line(pid)]


def _command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
