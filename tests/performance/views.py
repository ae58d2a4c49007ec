#!/usr/bin/python3
"""views.py VRUN [TIMES] - what --view limits costs: the start of a guest, with and without it in turn, and memory.

Prints medians of the starts, the median and quartiles of the paired differences, and the PSS of vrun-view's processes."""
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def run(vrun, env, *words):
    return subprocess.run([vrun, *words], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=60).stdout


def start(vrun, env, *flags):
    begun = time.perf_counter()
    run(vrun, env, "run", "--rm", "--network", "none", *flags, "base", "true")
    return (time.perf_counter() - begun) * 1000


def pss_of_views(known):
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and folder.name not in known and (folder / "comm").read_text() == "vrun-view\n":
                line = next(line for line in (folder / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
                found.append(int(line.split()[1]))
        except (OSError, StopIteration):
            continue
    return found


def main():
    vrun, times = os.path.realpath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 50
    with tempfile.TemporaryDirectory(dir="/var/tmp") as work:
        env = {**os.environ, "VRUN_DATA_DIR": work + "/data", "VRUN_RUN_DIR": work + "/run"}
        start(vrun, env), start(vrun, env, "--view", "limits")
        pairs = [(start(vrun, env), start(vrun, env, "--view", "limits")) for _ in range(times)]
        more = statistics.quantiles([b - a for a, b in pairs], n=4)
        print(f"start, ms: {statistics.median(a for a, _ in pairs):.2f} without, {statistics.median(b for _, b in pairs):.2f} with a view")
        print(f"difference, ms: {more[1]:.2f} (quartiles {more[0]:.2f}, {more[2]:.2f}); load {os.getloadavg()[0]:.1f}")
        known = set(os.listdir("/proc"))
        for i in range(10):
            run(vrun, env, "run", "-d", "--name", f"v{i}", "--network", "none", "--view", "limits", "base", "sleep", "1000")
        run(vrun, env, "exec", "v0", "cat", "/proc/meminfo")
        print(f"PSS of vrun-view, KiB for each of 10 guests: {sum(pss_of_views(known)) / 10:.0f}")
        run(vrun, env, "rm", "-f", *[f"v{i}" for i in range(10)])


if __name__ == "__main__":
    main()
