#!/usr/bin/python3
"""vm_restore.py VRUN [TIMES] - how fast a saved machine goes on.

First with a guest of a few instructions, which every /dev/kvm runs: from the exec of vrun-vmm to the
first byte of the guest, for a boot, for a machine that is restored, and for one whose file of memory
is full to the last page, in turn. Then, where KVM runs stock kernels, `vrun run -d` against `vrun vm
clone` of a warm guest, each to the first line that the guest's program says. Prints minima and
medians, and ratios of the minima."""
import json
import os
import re
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

MIB = 1 << 20
MEMORY = 256 * MIB
ENTRY = 16 * MIB
# mov al, 10; mov dx, 0x3f8; out dx, al; jmp to the out
LINES = bytes([0xB0, 0x0A, 0x66, 0xBA, 0xF8, 0x03, 0xEE, 0xEB, 0xFD])


def tiny_kernel(path):
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, ENTRY, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    part = struct.pack("<IIQQQQQQ", 1, 5, 4096, ENTRY, ENTRY, len(LINES), len(LINES), 4096)
    path.write_bytes((header + part).ljust(4096, b"\0") + LINES)


def frame(kind, content):
    return struct.pack("<IB", len(content), kind) + content


def snapshot(control, folder):
    """The call of vm/vmm/snapshot_call.hpp."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(control)
        link.settimeout(180)
        socket.send_fds(link, [frame(1, struct.pack("<I", 1)) + frame(4, b'{"call":"snapshot"}')], [theirs.fileno()])
        theirs.close()
        for name in ("state", "memory"):
            with open(folder / name, "wb") as file:
                socket.send_fds(mine, [b"f"], [file.fileno()])
        mine.settimeout(180)  # a whole stock kernel, on a busy emulated processor
        assert json.loads(mine.recv(4096))["bytes"] == MEMORY
        mine.close()
        assert b"bytes" in link.recv(4096) + link.recv(4096)


def first_byte(words):
    begun = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as vmm:
        try:
            assert os.read(vmm.stdout.fileno(), 1), "it said nothing"
            return (time.perf_counter() - begun) * 1000
        finally:
            vmm.kill()


def tiny_guests(vmm, work, times):
    tiny_kernel(work / "tiny")
    boot = [vmm, "--kvm=/dev/kvm", f"--memory={MEMORY}", f"--kernel={work}/tiny"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(work / "control"))
        listener.listen()
        vm = subprocess.Popen([*boot, f"--control={listener.fileno()}"], pass_fds=[listener.fileno()], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        try:
            assert os.read(vm.stdout.fileno(), 1), "it said nothing"
            drain = threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(vm.stdout.fileno(), 65536), b"")])
            drain.start()
            snapshot(str(work / "control"), work)
        finally:
            vm.kill()
            vm.wait()
            drain.join()
    held = (work / "memory").stat().st_blocks * 512
    # The same with something in every page but those of the guest, which are in the first 32 MiB.
    (work / "full").write_bytes((work / "memory").read_bytes()[:32 * MIB] + b"\x5a" * (MEMORY - 32 * MIB))
    # Without --control, but with the same devices, as it has no part in the machine.
    restore = lambda memory: [vmm, "--kvm=/dev/kvm", f"--memory={MEMORY}", f"--restore={work}/state", f"--memory-file={work}/{memory}"]
    ways = {"boot": boot, "restore": restore("memory"), "restore, full": restore("full")}
    measured = {name: [] for name in ways}
    for _ in range(times):
        for name, words in ways.items():
            measured[name].append(first_byte(words))
    show(f"a guest of four instructions, {MEMORY >> 20} MiB, {held >> 10} KiB of it saved; exec to first byte", measured, "boot", "ms")


def show(title, measured, base, unit):
    print(title)
    for name, times in measured.items():
        print(f"  {name:14} min {min(times):8.2f}  median {statistics.median(times):8.2f} {unit}  ratio {min(times) / min(measured[base]):.2f}")
    print(f"  load {os.getloadavg()[0]:.1f}")


class Vrun:
    def __init__(self, program, work):
        self.program = program
        self.env = {**os.environ, "VRUN_DATA_DIR": f"{work}/data", "VRUN_RUN_DIR": f"{work}/run"}

    def __call__(self, *words):
        return subprocess.run([self.program, *words], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=300).stdout

    def line_after(self, name, *words):
        """Seconds from the command to the first line of the guest."""
        begun = time.perf_counter()
        self(*words)
        while not re.search(r"^\d+$", self("logs", name), re.MULTILINE):
            time.sleep(0.002)
        return time.perf_counter() - begun


def stock_guests(vrun, times):
    flags = ["-d", "--isolation", "vm", "--network", "none", "--memory", "256m"]
    count = ["base", "sh", "-c", "n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done"]
    vrun.line_after("warm", "run", *flags, "--name", "warm", *count)
    vrun("vm", "snapshot", "warm", "now")
    measured = {"run": [], "vm clone": []}
    for i in range(times):
        measured["run"].append(vrun.line_after(f"b{i}", "run", *flags, "--name", f"b{i}", *count))
        vrun("rm", "-f", f"b{i}")
        measured["vm clone"].append(vrun.line_after(f"c{i}", "vm", "clone", "warm@now", f"c{i}"))
        vrun("rm", "-f", f"c{i}")
    vrun("rm", "-f", "warm")
    show("a stock kernel; command to the first line of the guest's program", measured, "run", "s")


def main():
    program, times = os.path.realpath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 15
    subprocess.run("modprobe kvm_amd nested=0 2>/dev/null", shell=True, check=False)  # in the lab
    with tempfile.TemporaryDirectory(dir=os.environ.get("VRUN_BENCH_DIR")) as work:
        tiny_guests(f"{os.path.dirname(program)}/vrun-vmm", Path(work), times)
        vrun = Vrun(program, work)
        told = subprocess.run([program, "doctor"], env=vrun.env, capture_output=True, text=True).stdout
        if "engine kvm" in told:
            stock_guests(vrun, min(times, 7))
        else:
            print("KVM runs no stock kernels here: no figures of guests with one")


if __name__ == "__main__":
    main()
