#!/usr/bin/python3
"""Pull and unpack of a 10-layer, 400 MB image from a registry on loopback: vrun against podman and against
skopeo copy + umoci unpack, each into an empty store on the same disk, in turns. The disk is a new ext4 on a loop
device: for minutes ext4 walks around inodes that were deleted lately (find_inode_bit), so on a used disk that would
be most of what is measured. Needs root.

Prints for each the medians of wall time, CPU time (all processes of the command) and peak memory (PSS of all of
them together, sampled), and vrun's ratios as medians of pairs with quartiles. --durable counts a sync of the
filesystem into everybody's time: vrun syncs what it names, the others do not.

  tests/performance/pull.py [--vrun build/release/bin/vrun] [--rounds 5] [--place DIR] [--durable]"""
import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))

from harness import registries  # noqa: E402

LAYERS, MEGABYTES = 10, 400


def make_image(folder):
    """Files as in a distribution: most small, a few large; compressible about 2.5 to 1."""
    words = [random.randbytes(random.randint(3, 12)) for _ in range(3000)]
    layout = folder / "layout"
    registries.run("umoci", "init", "--layout", layout)
    registries.run("umoci", "new", "--image", f"{layout}:v1")
    for layer in range(LAYERS):
        tar = folder / "layer.tar"
        with tarfile.open(tar, "w") as out:
            total = number = 0
            while total < MEGABYTES * 1e6 / LAYERS:
                size = min(int(random.paretovariate(0.9) * 1500), 4_000_000)
                content = b"".join(random.choices(words, k=size // 7 + 1))
                file = folder / "file"
                file.write_bytes(content)
                out.add(file, f"layer{layer}/d{number % 40}/f{number}")
                total, number = total + len(content), number + 1
        registries.run("umoci", "raw", "add-layer", "--image", f"{layout}:v1", tar)
        tar.unlink()
    return layout


def make_disk(place, rounds):
    registries.run("truncate", "-s", f"{rounds * 3 + 4}G", place / "disk.img")
    registries.run("mkfs.ext4", "-q", place / "disk.img")
    (place / "disk").mkdir()
    registries.run("mount", "-o", "loop", place / "disk.img", place / "disk")
    return place / "disk"


class Memory(threading.Thread):
    """The largest sum of PSS of a process and all below it."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.ended = pid, 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.05):
            self.peak = max(self.peak, sum(map(self._pss, self._tree())))

    def _tree(self):
        found, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    todo += [int(c) for c in open(f"/proc/{pid}/task/{task}/children").read().split()]
            except OSError:
                pass
        return found

    @staticmethod
    def _pss(pid):
        try:
            for line in open(f"/proc/{pid}/smaps_rollup"):
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        except OSError:
            pass
        return 0


def measure(commands, env, durable, place):
    wall = cpu = peak = 0.0
    for words in commands:
        begin = time.monotonic()
        child = subprocess.Popen([str(w) for w in words], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        memory = Memory(child.pid)
        memory.start()
        said = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        memory.ended.set()
        memory.join()
        if child.returncode != 0:
            sys.exit(f"{words}: {said.decode()}")
        wall += time.monotonic() - begin
        cpu += usage.ru_utime + usage.ru_stime
        peak = max(peak, memory.peak)
    if durable:
        begin = time.monotonic()
        registries.run("sync", "-f", place)
        wall += time.monotonic() - begin
    return wall, cpu, peak


def contenders(vrun, image, place):
    def of_vrun(store):
        return [[vrun, "--data-dir", store, "pull", "-q", image]]

    def of_podman(store):
        return [["podman", "--root", store / "root", "--runroot", store / "run", "pull", "-q", "--tls-verify=false", image]]

    def of_skopeo(store):
        return [["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{image}", f"oci:{store}/layout:v1"],
                ["umoci", "unpack", "--image", f"{store}/layout:v1", store / "bundle"]]
    return {"vrun": of_vrun, "podman": of_podman, "skopeo+umoci": of_skopeo}


def quartiles(values):
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vrun", default=str(ROOT / "build/release/bin/vrun"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--place", default="/var/tmp")
    parser.add_argument("--durable", action="store_true")
    wanted = parser.parse_args()
    if "VRUN_BENCH_INSIDE" not in os.environ:  # what is mounted here goes away with us
        os.environ["VRUN_BENCH_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "-m", sys.executable, *sys.argv])
    place = Path(tempfile.mkdtemp(prefix="vrb.", dir=wanted.place))
    registry = None
    try:
        disk = make_disk(place, wanted.rounds)
        registry = registries.DockerRegistry(place / "registry")
        layout = make_image(place)
        registries.run("skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:v1", f"docker://{registry.host}/bench:v1")
        size = sum(f.stat().st_size for f in layout.rglob("*") if f.is_file())
        print(f"image: {LAYERS} layers, {MEGABYTES} MB, {size / 1e6:.0f} MB compressed; load {os.getloadavg()[0]:.1f}; {wanted.rounds} rounds")
        results = rounds(wanted, f"{registry.host}/bench:v1", disk)
    finally:
        if registry:
            registry.stop()
        subprocess.run(["umount", "-l", place / "disk"], capture_output=True)
        shutil.rmtree(place, ignore_errors=True)
    report(results)


def rounds(wanted, image, place):
    makers = contenders(wanted.vrun, image, place)
    results = {name: [] for name in makers}
    (place / "registries.yaml").touch()
    for number in range(wanted.rounds):
        names = list(makers)
        random.shuffle(names)
        for name in names:
            store = place / f"{name[0]}{number}"  # podman takes no run folder of more than 50 characters
            store.mkdir()
            registries.run("sync", "-f", place)
            env = {**os.environ, "VRUN_REGISTRIES": str(place / "registries.yaml")}
            results[name].append(measure(makers[name](store), env, wanted.durable, place))
            if name == "podman":
                subprocess.run(["umount", "-l", store / "root/overlay"], capture_output=True)
    return results


def report(results):
    print(f"{'':14}{'wall s':>9}{'cpu s':>9}{'peak MiB':>10}")
    for name, values in results.items():
        wall, cpu, peak = (statistics.median(v[i] for v in values) for i in range(3))
        print(f"{name:14}{wall:9.2f}{cpu:9.2f}{peak / 2**20:10.1f}")
    for name in results:
        if name == "vrun":
            continue
        pairs = list(zip(results[name], results["vrun"]))
        wall = quartiles([theirs[0] / mine[0] for theirs, mine in pairs])
        cpu = quartiles([theirs[1] / mine[1] for theirs, mine in pairs])
        print(f"vrun against {name}: {wall[1]:.2f}x faster ({wall[0]:.2f} to {wall[2]:.2f}), "
              f"cpu {cpu[1]:.2f}x less ({cpu[0]:.2f} to {cpu[2]:.2f})")


if __name__ == "__main__":
    main()
