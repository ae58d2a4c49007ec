#!/usr/bin/python3
"""vm_resume.py [--rounds N] [--memory MIB] [--build DIR]

A machine with a stock kernel that was saved to files goes on: vrun-vmm (--restore) beside QEMU's microvm (-incoming), in
turn, in one run of the lab, files in memory. Milliseconds from the exec of the VMM to the first line that the guest's
program says, which says one every 5 ms."""
import json
import os
import socket
import statistics
import subprocess
import sys
import time

import vm_peers
import vm_restore


def until_line(command, fds=()):
    """The process, and the milliseconds until a whole line of it: digits."""
    begun = time.perf_counter()
    vmm = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=fds)
    said = b""
    # What was cut in the middle of a line ends first.
    while not any(line.strip().isdigit() for line in said.split(b"\n")[1:-1]):
        part = os.read(vmm.stdout.fileno(), 4096)
        if not part:
            sys.exit(f"{command[0]} ended: {said}")
        said += part
    return vmm, (time.perf_counter() - begun) * 1000


def end(vmm):
    vmm.kill()
    vmm.wait()
    vmm.stdout.close()


def saved_by_vrun(place, command):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "control"))
        listener.listen()
        vmm, _ = until_line([*command, f"--control={listener.fileno()}"], [listener.fileno()])
        vm_restore.snapshot(str(place / "control"), place)
        end(vmm)


def saved_by_qemu(place, command):
    vmm, _ = until_line([*command, "-qmp", f"unix:{place}/qmp,server=on,wait=off"])
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(place / "qmp"))
        replies = link.makefile()

        def ask(execute, **arguments):
            link.sendall(json.dumps({"execute": execute, "arguments": arguments}).encode())
            for line in replies:
                told = json.loads(line)
                if "error" in told:
                    sys.exit(f"QEMU: {execute}: {told['error']}")
                if "return" in told:
                    return told["return"]
            sys.exit(f"QEMU ended at {execute}")

        replies.readline()
        ask("qmp_capabilities")
        ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        ask("migrate", uri=f"exec:cat >{place}/qemu.saved")
        while (status := ask("query-migrate").get("status")) != "completed":
            if status in ("failed", "cancelled"):
                sys.exit(f"QEMU's migration {status}")
            time.sleep(0.1)
    end(vmm)


def measure(place, options):
    mib = options.memory
    subprocess.run(["truncate", "-s", "512", place / "none"], check=True)
    boots = vm_peers.commands(place, place / "none", mib, 1, vm_peers.WORDS + " count")
    vrun = [word for word in boots["vrun-vmm"] if not word.startswith("--disk")]
    qemu = boots["QEMU microvm"]
    vm_restore.MEMORY = mib << 20
    saved_by_vrun(place, vrun)
    saved_by_qemu(place, qemu)
    ways = {"vrun-vmm": [f"{place}/vrun-vmm", "--kvm=/dev/kvm", f"--memory={mib << 20}", f"--restore={place}/state", f"--memory-file={place}/memory"],
            "QEMU microvm": [*qemu, "-incoming", f"exec:cat {place}/qemu.saved"]}
    results = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, command in ways.items():
            vmm, took = until_line(command)
            end(vmm)
            results[name].append(took)
    print(f"{options.rounds} rounds, 1 processor, {mib} MiB, {vm_peers.load()}; ms\n")
    print("| VMM | min | median | quartiles | min to microvm's |\n|---|---|---|---|---|")
    for name, values in results.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"| {name} | {min(values):.0f} | {middle:.0f} | {low:.0f} to {high:.0f} | {min(values) / min(results['QEMU microvm']):.2f} |")


if __name__ == "__main__":
    sys.exit(vm_peers.run(__file__, __doc__, 7, lambda place: None, measure, 60))
