#!/usr/bin/python3
"""vm_disk.py [--rounds N] [--processors N] [--memory MIB] [--build DIR]

virtio-blk of vrun-vmm beside QEMU's, as the guest sees it: one image in the lab's memory, by the host's page cache and
past the guest's, in turn. Sequential in pieces of 1 MiB, 4 KiB one by one (the median of 512), and 4 KiB with 16 under way.
Prints the best of the rounds, medians and quartiles, and the ratio of the best to microvm's."""
import statistics
import sys

import vm_peers

# Name, unit, from microseconds, whether more is better
MEASURES = [
    ("write in sequence", "MiB/s", lambda us: 64e6 / us, True),
    ("read in sequence", "MiB/s", lambda us: 64e6 / us, True),
    ("read of 4 KiB", "µs", lambda us: us, False),
    ("write of 4 KiB", "µs", lambda us: us, False),
    ("4 KiB reads, 16 deep", "a second", lambda us: 512e6 / us, True),
]


def prepare(place):
    with (place / "disk").open("wb") as disk:
        disk.write(b"\xa5" * (64 << 20))


def measure(place, options):
    boots = vm_peers.commands(place, place / "disk", options.memory, options.processors, vm_peers.WORDS + " measure")
    results = {name: [] for name in boots}
    for round_ in range(options.rounds + 1):
        for name, command in boots.items():
            said = vm_peers.boot(place, command, 120)[2]
            print(f"{name}, {round_}: {' '.join(said)} µs", flush=True)
            if round_ > 0:  # the first one warms what all use
                results[name].append([float(word) for word in said])
    print(f"{options.rounds} rounds, {options.processors} processors, {vm_peers.load()}\n")
    print("| measure | VMM | best | median | quartiles | best to microvm's |\n|---|---|---|---|---|---|")
    for index, (measure, unit, of, more) in enumerate(MEASURES):
        best_of = {name: (max if more else min)(of(row[index]) for row in rows) for name, rows in results.items()}
        for name, rows in results.items():
            low, middle, high = statistics.quantiles([of(row[index]) for row in rows], n=4)
            print(f"| {measure} | {name} | {best_of[name]:.0f} {unit} | {middle:.0f} | {low:.0f} to {high:.0f} | {best_of[name] / best_of['QEMU microvm']:.2f} |")


if __name__ == "__main__":
    sys.exit(vm_peers.run(__file__, __doc__, 7, prepare, measure, 120))
