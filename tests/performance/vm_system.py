#!/usr/bin/python3
"""vm_system.py [--rounds N] [--processors N] [--memory MIB] [--build DIR]

A whole Debian (build/debian-12.tar, which tests/lab/debian makes) on a disk, by vrun-vmm and by QEMU's microvm with the same
kernel, initramfs and image, in turn: seconds from the exec of the VMM to the line that a unit prints when `systemctl
is-system-running --wait` says "running". Each boot has a fresh copy of the image, in memory."""
import statistics
import subprocess
import sys

import vm_peers

UNIT = """[Service]
ExecStart=/bin/sh -c 'state=$$(systemctl is-system-running --wait); read up rest </proc/uptime; echo "READY $$up $$state" >/dev/console; systemctl reboot -ff'
"""


def prepare(place):
    tree = place / "tree"
    tree.mkdir()
    subprocess.run(["tar", "-x", "-f", vm_peers.ROOT / "build/debian-12.tar", "-C", tree, "--exclude=./dev/*"], check=True)
    units = tree / "etc/systemd/system"
    (units / "told.service").write_text(UNIT)
    (units / "multi-user.target.wants/told.service").symlink_to("../told.service")
    # Without udev nobody says that the serial port is there, and systemd would wait for it.
    (units / "serial-getty@ttyS0.service").symlink_to("/dev/null")
    with (place / "master").open("wb") as disk:
        disk.truncate(600 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", tree, place / "master"], check=True)


def measure(place, options):
    boots = vm_peers.commands(place, place / "disk", options.memory, options.processors, vm_peers.WORDS + " systemd.show_status=0 system")
    del boots["QEMU, iothread"]
    results = {name: [] for name in boots}
    for _ in range(options.rounds):
        for name, command in boots.items():
            subprocess.run(["cp", "--sparse=always", place / "master", place / "disk"], check=True)
            ready, _, (up, state) = vm_peers.boot(place, command, 400)
            if state != "running":
                sys.exit(f"{name}: the system is {state}")
            results[name].append((ready, float(up)))
            print(f"{name}: {ready:.1f} s, {up} by the guest's clock", flush=True)
    print(f"\n{options.rounds} rounds, {options.processors} processors, {options.memory} MiB, {vm_peers.load()}; seconds\n")
    print("| VMM | measure | min | median | all | min to microvm's |\n|---|---|---|---|---|---|")
    for index, what in enumerate(("running", "guest's clock")):
        best = min(row[index] for row in results["QEMU microvm"])
        for name, rows in results.items():
            values = sorted(row[index] for row in rows)
            print(f"| {name} | {what} | {values[0]:.1f} | {statistics.median(values):.1f} | {', '.join(f'{v:.1f}' for v in values)} | {values[0] / best:.2f} |")


if __name__ == "__main__":
    sys.exit(vm_peers.run(__file__, __doc__, 7, prepare, measure, 400))
