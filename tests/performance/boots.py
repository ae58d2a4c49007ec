#!/usr/bin/python3
"""boots.py [--rounds N] [--processors N] [--memory MIB] [--kvmtool PATH] [--build DIR]

Boots the same kernel and initramfs by vrun-vmm, QEMU's microvm (with the RTC that a stock kernel
waits for without) and QEMU's q35, and kvmtool where it is given, in turn, in one run of the lab
(nested KVM). "ready" is from the exec of the VMM to the line that /init prints, "whole" to its exit
after the guest's reset; "guest" the guest's own uptime at the line. Prints minima, medians and
quartiles, and the ratio of the minima to the better of microvm and kvmtool. Then each is held at
/init once: the memory of the VMM beyond the guest's (PSS), and what of the guest's is touched."""
import argparse
import os
import signal
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 90  # seconds for one boot


def commands(place, options):
    """Name -> how to boot, without the words of the kernel."""
    kernel, initrd = f"{place}/vmlinux", f"{place}/initrd"
    cpus, memory = str(options.processors), options.memory
    base = ["-accel", "kvm", "-cpu", "host", "-smp", cpus, "-m", str(memory), "-nodefaults", "-no-user-config", "-nographic",
            "-no-reboot", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd]
    qemu = shutil.which("qemu-system-x86_64")
    found = {
        "vrun-vmm": lambda words: [f"{place}/vrun-vmm", "--kvm=/dev/kvm", f"--kernel={kernel}", f"--initrd={initrd}",
                                   f"--memory={memory << 20}", f"--processors={cpus}", f"--command-line={words}"],
        "QEMU microvm": lambda words: [qemu, "-M", "microvm,pit=off,pic=off,rtc=on", *base, "-append", words],
        "QEMU q35": lambda words: [qemu, "-M", "q35", *base, "-append", words],
    }
    if (place / "kvmtool").exists():
        found["kvmtool"] = lambda words: [f"{place}/kvmtool", "run", "-c", cpus, "-m", str(memory), "-k", f"{place}/vmlinuz", "-i", initrd,
                                          "--console", "serial", "-p", words]
    return found


def boot(place, command):
    """Seconds to the line, seconds to the exit, seconds of the guest, its processors."""
    done = subprocess.run([place / "boots_clock", *command], stdin=subprocess.PIPE, capture_output=True, text=True, timeout=LIMIT)
    if done.returncode != 0:
        sys.exit(f"boots: {command[0]} did not get there: {done.stderr[-2000:]}")
    ready, whole, guest, processors = map(int, done.stdout.split())
    return ready / 1e6, whole / 1e6, guest / 100, processors


def areas(pid):
    """The process's mappings, neighbours without a file as one: [start, end, KiB of PSS]."""
    found, nameless = [], False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if words[0] == "Pss:":
            found[-1][2] += int(words[1])
        elif not words[0].endswith(":"):
            low, high = (int(part, 16) for part in words[0].split("-"))
            joins = nameless and len(words) == 5 and found[-1][1] == low
            nameless = len(words) == 5
            if joins:
                found[-1][1] = high
            else:
                found.append([low, high, 0])
    return found


def memory_of(pid, guest):
    """KiB of PSS beyond the guest's memory, and of the guest's memory; guest: its bytes."""
    parts = {True: 0, False: 0}
    for low, high, kib in areas(pid):
        parts[high - low >= guest] += kib
    return parts[False], parts[True]


def held(command, guest):
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    signal.alarm(LIMIT)
    try:
        next(line for line in child.stdout if b"READY" in line)
        time.sleep(1)
        return memory_of(child.pid, guest)
    finally:
        signal.alarm(0)
        child.kill()
        child.wait()


def report(results, options):
    anchor = [name for name in results if name in ("QEMU microvm", "kvmtool")]
    print(f"{options.rounds} rounds, {options.processors} processors, {options.memory} MiB, load {os.getloadavg()[0]:.1f}; seconds\n")
    print("| VMM | measure | min | median | quartiles | min to the better peer's |\n|---|---|---|---|---|---|")
    for measure, index in (("ready", 0), ("whole", 1), ("guest", 2)):
        best = min(min(row[index] for row in results[name]) for name in anchor)
        for name, rows in results.items():
            values = [row[index] for row in rows]
            low, middle, high = statistics.quantiles(values, n=4)
            print(f"| {name} | {measure} | {min(values):.2f} | {middle:.2f} | {low:.2f} to {high:.2f} | {min(values) / best:.2f} |")
    print("\nprocessors seen by the guest: " + ", ".join(f"{name} {rows[0][3]}" for name, rows in results.items()))


def measure(place, options):
    subprocess.run("modprobe kvm_amd nested=0 2>/dev/null || modprobe kvm_intel 2>/dev/null", shell=True, check=False)
    boots = commands(place, options)
    words = "console=ttyS0 quiet panic=-1 reboot=t"
    results = {name: [] for name in boots}
    for name, command in boots.items():
        boot(place, command(words))  # the page cache is warm for all
    for _ in range(options.rounds):
        for name, command in boots.items():
            results[name].append(boot(place, command(words)))
    report(results, options)
    print("\n| VMM | KiB beyond the guest's memory | KiB of the guest's touched |\n|---|---|---|")
    for name, command in boots.items():
        beyond, inside = held(command(words + " hold"), options.memory << 20)
        print(f"| {name} | {beyond} | {inside} |")


def programs(place):
    here = Path(__file__).parent
    subprocess.run(["gcc", "-O2", "-o", place / "boots_clock", here / "boots_clock.c"], check=True)
    subprocess.run(["gcc", "-static", "-Os", "-o", place / "init", here / "boots_init.c"], check=True)
    with (place / "initrd").open("wb") as out:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=place, input=b"init\n", stdout=out, check=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--processors", type=int, default=1)
    parser.add_argument("--memory", type=int, default=256)
    parser.add_argument("--kvmtool")
    parser.add_argument("--build", default=str(ROOT / "build/release"))
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        # Nothing is read through the lab's shared file system.
        quick = Path(tempfile.mkdtemp(dir="/dev/shm"))
        for file in Path(options.inside).iterdir():
            shutil.copy2(file, quick)
        return measure(quick, options)
    kernel = max(Path("/boot").glob("vmlinuz-*"), key=lambda path: path.stat().st_mtime)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        place = Path(folder)
        programs(place)
        subprocess.run([f"{options.build}/bin/vrun-kernel", "vmlinux", "--in", kernel, "--out", place / "vmlinux"], check=True)
        shutil.copy2(kernel, place / "vmlinuz")
        shutil.copy2(f"{options.build}/bin/vrun-vmm", place)
        if options.kvmtool:
            shutil.copy2(options.kvmtool, place / "kvmtool")
        shutil.copy2(__file__, place / "boots.py")
        seconds = 120 + 4 * (options.rounds + 2) * LIMIT // 3
        return subprocess.run([ROOT / "tests/lab/lab", "--time", str(seconds), "--", "/usr/bin/python3", place / "boots.py", "--inside", place,
                               "--rounds", str(options.rounds), "--processors", str(options.processors), "--memory", str(options.memory)]).returncode


if __name__ == "__main__":
    sys.exit(main())
