#!/usr/bin/python3
"""vm_exec.py VRUN [TIMES] - `vrun exec` into a micro-VM against `vrun exec` into a container, in turn.

Prints medians and the median and quartiles of the paired ratios. By the engine that the host has
(`vrun doctor`); of meaning with KVM: run it in the lab where the host has none."""
import os
import statistics
import subprocess
import sys
import tempfile
import time


def vrun(program, env, *words):
    return subprocess.run([program, *words], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=300).stdout


def exec_into(program, env, guest):
    begun = time.perf_counter()
    vrun(program, env, "exec", guest, "true")
    return (time.perf_counter() - begun) * 1000


def main():
    program, times = os.path.realpath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 30
    subprocess.run("modprobe kvm_amd nested=0 2>/dev/null", shell=True, check=False)  # in the lab
    with tempfile.TemporaryDirectory() as work:
        env = {**os.environ, "VRUN_DATA_DIR": work + "/data", "VRUN_RUN_DIR": work + "/run"}
        told = subprocess.run([program, "doctor"], env=env, capture_output=True, text=True).stdout
        print(next(line for line in told.splitlines() if "micro-vms" in line))
        guests = {"container": "container", "micro-VM": "vm"}
        for name, isolation in guests.items():
            vrun(program, env, "run", "-d", "--name", name, "--isolation", isolation, "--network", "none", "base", "sleep", "1000")
            exec_into(program, env, name)
        try:
            pairs = [tuple(exec_into(program, env, name) for name in guests) for _ in range(times)]
        finally:
            vrun(program, env, "rm", "-f", *guests)
    low, middle, high = statistics.quantiles([b / a for a, b in pairs], n=4)
    print(f"exec, ms: {statistics.median(a for a, _ in pairs):.2f} container, {statistics.median(b for _, b in pairs):.2f} micro-VM")
    print(f"ratio: {middle:.2f} (quartiles {low:.2f} to {high:.2f}), minima {min(b for _, b in pairs) / min(a for a, _ in pairs):.2f}; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
