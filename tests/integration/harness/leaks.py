"""Counts what a test case may not leave behind, before and after it.

Only things that belong to this run are counted (its own descendants, its own mount and network
namespaces, cgroups that carry its token), so other work on the same machine does not disturb.
"""
import ctypes
import os
import signal
import socket
import time
from pathlib import Path

from . import host, runtime

PR_SET_CHILD_SUBREAPER = 36


def become_subreaper():
    """Orphans of containers come to us, so that they can be counted and ended."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _parents() -> dict:
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
                table[int(entry)] = (int(fields[1]), fields[0])
            except (OSError, IndexError):
                pass
    return table


def top() -> int:
    """The process that collects orphans: reaper.py, our parent; this one while it is not there."""
    return int(os.environ.get("VRUN_TEST_REAPER", os.getpid()))


def descendants(of=None) -> dict:
    """pid -> state letter of all processes below `of` (the reaper), but for this one."""
    of = of or top()
    table, found = _parents(), {}
    for pid in table:
        up, steps = pid, 0
        while up in table and steps < 200:
            up, steps = table[up][0], steps + 1
            if up == of:
                found[pid] = table[pid][1]
                break
    found.pop(os.getpid(), None)
    return found


def name_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip() or "?"
    except OSError:
        return "gone"


def cgroups() -> set:
    """Every cgroup, of any hierarchy, whose path carries this run's token."""
    found = set()
    roots = set(host.v1_mounts().values()) | {host.v2_root()}
    for root in filter(None, roots):
        for folder, folders, _ in os.walk(root):
            for name in list(folders):
                if runtime.TOKEN in name:
                    found.add(os.path.join(folder, name))
    return found


def snapshot(state_root: Path) -> dict:
    entries = set()
    if state_root.is_dir():
        entries = {e for e in os.listdir(state_root) if runtime.TOKEN in e}
    return {
        "processes": {p: name_of(p) for p, s in descendants().items() if s != "Z"},
        "zombies": {p for p, s in descendants().items() if s == "Z"},
        "mounts": set(Path("/proc/self/mountinfo").read_text().splitlines()),
        "cgroups": cgroups(),
        "descriptors": {fd: _target(fd) for fd in os.listdir("/proc/self/fd")},
        "interfaces": {name for _, name in socket.if_nameindex()},
        "state": entries,
    }


def _target(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return None


def difference(before: dict, after: dict) -> list:
    """One line for everything that is there now and was not before."""
    lines = []
    for kind in ("processes", "mounts", "cgroups", "interfaces", "state"):
        for extra in set(after[kind]) - set(before[kind]):
            words = after[kind][extra] if kind == "processes" else ""
            lines.append(f"left behind: {kind}: {extra} {words}".rstrip())
    for kind in ("interfaces", "mounts"):
        for gone in set(before[kind]) - set(after[kind]):
            if gone.startswith("ve"):
                continue  # of an earlier guest: the kernel ends a network namespace when it has time
            lines.append(f"taken away: {kind}: {gone}")
    opened = {f: t for f, t in after["descriptors"].items() if t} .items() - before["descriptors"].items()
    if len([t for t in after["descriptors"].values() if t]) > len([t for t in before["descriptors"].values() if t]):
        lines += [f"left behind: descriptor {f}: {t}" for f, t in opened]
    return lines


def settle(before, state_root, deadline=2.0) -> list:
    """The difference once processes that are just ending have ended."""
    end = time.monotonic() + deadline
    while True:
        lines = difference(before, snapshot(state_root))
        if not lines or time.monotonic() > end:
            return lines
        time.sleep(0.02)


def remove_leaks(before, state_root):
    """Ends and removes what was left, so that one bad test does not fail the others."""
    for pid in set(descendants()) - set(before["processes"]):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    time.sleep(0.05)
    for path in sorted(cgroups() - before["cgroups"], key=len, reverse=True):
        try:
            for pid in Path(path, "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.02)
            for folder, _, _ in os.walk(path, topdown=False):
                os.rmdir(folder)
        except OSError:
            pass
