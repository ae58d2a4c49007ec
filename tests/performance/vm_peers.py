"""What benchmarks of micro-VMs with a disk share: the same kernel, initramfs and disk image for vrun's monitor and for
QEMU, whose microvm gets a PCI bus here, so that all have virtio-blk by PCI with MSI-X and the host's page cache.

The initramfs is vm_peers_init.c and the modules that it takes; the words of the kernel's command line choose what it does."""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
WORDS = "console=ttyS0 quiet panic=-1 reboot=t"


def commands(place, disk, memory, processors, words):
    """Name -> how to boot."""
    kernel, initrd, cpus = f"{place}/vmlinux", f"{place}/initrd", str(processors)
    qemu = [shutil.which("qemu-system-x86_64"), "-M", "microvm,pit=off,pic=off,rtc=on,pcie=on", "-accel", "kvm", "-cpu", "host", "-smp", cpus,
            "-m", str(memory), "-nodefaults", "-no-user-config", "-nographic", "-no-reboot", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd,
            "-append", words, "-drive", f"if=none,id=d,format=raw,file={disk},cache=writeback,aio=threads"]
    return {
        "vrun-vmm": [f"{place}/vrun-vmm", "--kvm=/dev/kvm", f"--kernel={kernel}", f"--initrd={initrd}", f"--memory={memory << 20}",
                     f"--processors={cpus}", f"--command-line={words}", f"--disk={disk}"],
        "QEMU microvm": [*qemu, "-device", "virtio-blk-pci,drive=d"],
        "QEMU, iothread": [*qemu, "-object", "iothread,id=t", "-device", "virtio-blk-pci,drive=d,iothread=t"],
    }


def boot(place, command, limit):
    """Seconds to the line with READY, seconds to the exit, the line's other words."""
    done = subprocess.run([place / "boots_clock", *command], stdin=subprocess.PIPE, capture_output=True, text=True, timeout=limit)
    if done.returncode != 0:
        sys.exit(f"{command[0]} did not get there: {done.stderr[-2000:]}")
    ready, whole, *said = done.stdout.split()
    return int(ready) / 1e6, int(whole) / 1e6, said


def _modules(release, folder):
    """The files that a disk by PCI takes, named in the order of their insertion."""
    found = []
    for name in ("virtio_pci", "virtio_blk"):
        told = subprocess.run(["modprobe", "-S", release, "--show-depends", name], capture_output=True, text=True, check=True).stdout
        found += [line.split()[1] for line in told.splitlines() if line.startswith("insmod") and line.split()[1] not in found]
    folder.mkdir()
    for number, file in enumerate(found):
        shutil.copy(file, folder / f"{number:02}.ko")


def programs(place, build):
    """Kernel, initramfs, monitor and clock."""
    kernel = max(Path("/boot").glob("vmlinuz-*"), key=lambda path: path.stat().st_mtime)
    _modules(kernel.name.removeprefix("vmlinuz-"), place / "modules")
    subprocess.run(["gcc", "-O2", "-o", place / "boots_clock", HERE / "boots_clock.c"], check=True)
    subprocess.run(["gcc", "-static", "-O2", "-o", place / "init", HERE / "vm_peers_init.c"], check=True)
    names = "".join(f"{file.relative_to(place)}\n" for file in [place / "init", place / "modules", *sorted((place / "modules").iterdir())])
    with (place / "initrd").open("wb") as out:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=place, input=names.encode(), stdout=out, check=True)
    subprocess.run([f"{build}/bin/vrun-kernel", "vmlinux", "--in", kernel, "--out", place / "vmlinux"], check=True)
    shutil.copy2(f"{build}/bin/vrun-vmm", place)


def run(script, usage, rounds, prepare, measure, lab_seconds):
    """prepare(place) on this machine, then measure(place, options) in the lab, with everything in memory."""
    parser = argparse.ArgumentParser(usage=usage)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--processors", type=int, default=1)
    parser.add_argument("--memory", type=int, default=256)
    parser.add_argument("--build", default=str(ROOT / "build/release"))
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        subprocess.run("modprobe kvm_amd nested=0 2>/dev/null || modprobe kvm_intel 2>/dev/null", shell=True, check=False)
        # Nothing is read through the lab's shared file system.
        quick = Path(tempfile.mkdtemp(dir="/dev/shm"))
        for file in Path(options.inside).iterdir():
            if file.is_file():
                subprocess.run(["cp", "--sparse=always", file, quick], check=True)
        measure(quick, options)
        return 0
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        place = Path(folder)
        programs(place, options.build)
        prepare(place)
        for file in HERE.glob("vm_*.py"):
            shutil.copy2(file, place)
        return subprocess.run([ROOT / "tests/lab/lab", "--memory", "4096", "--time", str(lab_seconds * (options.rounds + 1) + 120), "--", sys.executable,
                               place / Path(script).name, "--inside", place, "--rounds", str(options.rounds), "--processors", str(options.processors),
                               "--memory", str(options.memory)]).returncode


def load():
    return f"load {os.getloadavg()[0]:.1f} inside"
