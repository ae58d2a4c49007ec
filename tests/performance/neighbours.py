#!/usr/bin/python3
"""Two tenants side by side: what one of them keeps while the other burns all it may of one thing.

    tests/performance/neighbours.py [--vrun PATH] [--rounds N] [--seconds N] [--burn KIND,KIND...] [--apart] [--data DIR]

Both tenants have the same budget and the same weight, and each has one guest. The guest that is
measured is one thread and never wants more than its share of two processors. Each round measures it
alone and then beside each kind of neighbour; the figures are medians of the rounds' ratios with
their quartiles. A disk of its own (a loop device) carries each tenant's files.

  cpu       plain arithmetic, units a second          aim: at least 0.95 of what it does alone
  requests  one after the other, p99                  aim: at most 1.5 times
  woken     the same a millisecond apart, p99 from when each was due: what waking costs beside others
  sync      a byte made durable, median               the disk below is shared: see io-write

Needs root and a host whose cgroups control cpu, memory and pids; refuses others. Runs in a network
namespace of its own and leaves nothing behind. Exit code 1: an aim was missed."""
import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("cpu", "memory", "pids", "io", "disk", "network", "inodes", "descriptors", "output")
# (figure, how it is called, aim of the ratio, is more better)
FIGURES = (("units", "cpu", 0.95, True), ("request_p99", "requests p99", 1.5, False), ("woken_p99", "woken p99", None, False),
           ("sync_p50", "sync p50", None, False))
BUDGET = {"cpu-weight": "10000", "memory": "512M", "swap": "0", "pids": "500", "disk": "256M", "io-read": "20M", "io-write": "20M",
          "bandwidth": "100M"}


def controllers():
    """Controller -> the version of the hierarchy that has it."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, rest = line.split(" - ")
        kind, _, options = rest.split(" ")[:3]
        where = Path(mount.split()[4])
        if kind == "cgroup":
            found |= {name: "v1" for name in options.split(",")}
        if kind == "cgroup2" and (where / "cgroup.controllers").exists():
            found |= {name: "v2" for name in (where / "cgroup.controllers").read_text().split()}
    known = ("cpu", "cpuset", "memory", "pids", "io", "blkio", "hugetlb")
    return {name: found[name] for name in known if name in found}


class Vrun:
    def __init__(self, program, place):
        self.program, self.place = program, place
        self.env = {**os.environ, "VRUN_DATA_DIR": str(place / "data"), "VRUN_RUN_DIR": str(place / "run")}

    def __call__(self, *words, must=True, **more):
        done = subprocess.run([self.program, *map(str, words)], env=self.env, capture_output=True, text=True, timeout=120,
                              **({"stdin": subprocess.DEVNULL} | more))
        if must and done.returncode != 0:
            raise SystemExit(f"vrun {' '.join(map(str, words))}: {done.returncode}: {done.stderr}")
        return done


@contextlib.contextmanager
def above_others(wanted):
    """In a group of the cpu controller (version 1) with the greatest weight: what else runs on a shared machine hardly
    counts then, and neither do the kernel's own workers."""
    own = next((line.split(":")[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if "cpu" in line.split(":")[1].split(",")), None)
    root = next((Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()
                 if line.split()[2] == "cgroup" and "cpu" in line.split()[3].split(",")), None)
    if not wanted or own is None or root is None:
        if wanted:
            sys.exit("neighbours.py: --above-others needs a cpu controller of cgroup v1")
        yield
        return
    before = root / own.lstrip("/")
    group = before / f"neighbours-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cpu.shares").write_text("262144")
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield
    finally:
        (before / "cgroup.procs").write_text(str(os.getpid()))
        for folder in (group / "vrun", group):
            with contextlib.suppress(OSError):
                folder.rmdir()


def image(place):
    """A root file system of busybox and our program, as a tar archive."""
    tree = place / "image"
    (tree / "bin").mkdir(parents=True)
    subprocess.run(["gcc", "-O2", "-static", "-o", tree / "bin/neighbour", ROOT / "tests/performance/neighbour.c"], check=True)
    shutil.copy("/bin/busybox", tree / "bin/busybox")
    for name in ("sh", "sleep"):
        os.link(tree / "bin/busybox", tree / "bin" / name)
    tar = place / "image.tar"
    subprocess.run(["tar", "-C", tree, "-cf", tar, "."], check=True)
    return tar


def make_tenants(vrun, names, tar, apart):
    """The budget as far as this host holds it; what it does not hold is said."""
    for place, name in enumerate(names):
        flags = [w for flag, value in BUDGET.items() for w in (f"--{flag}", value)]
        if apart:
            flags += ["--cpuset-cpus", str(place)]
        out = vrun("tenant", "create", name, *flags, "--best-effort")
        if name == names[0]:
            print("budget of each: " + ", ".join(f"{k} {v}" for k, v in BUDGET.items()))
            for line in out.stderr.splitlines():
                print("  " + line.removeprefix("vrun: "))
        vrun("--tenant", name, "import", "-", "neighbour", stdin=open(tar))


def sample(vrun, tenant, seconds):
    out = vrun("--tenant", tenant, "exec", "measured", "neighbour", "measure", seconds, seconds, seconds).stdout
    return {k: float(v) for k, v in (word.split("=") for word in out.split())}


@contextlib.contextmanager
def burning(vrun, tenant, kind, network):
    vrun("--tenant", tenant, "run", "-d", "--name", "burner", *(["--network", "default"] if network else ["--network", "none"]),
         "neighbour", "neighbour", "burn", kind, *([network] if network else []))
    try:
        end = time.monotonic() + 60
        while "burning" not in vrun("--tenant", tenant, "logs", "--tail", "1" if kind != "output" else "5", "burner").stdout and kind != "output":
            if time.monotonic() > end:
                raise SystemExit(f"nothing burns {kind}")
            time.sleep(0.05)
        time.sleep(1)  # it takes a while until all is used
        yield
        state = json.loads(vrun("--tenant", tenant, "inspect", "burner").stdout)[0]["state"]
        if state.get("status") != "running":
            print(f"  ({kind}: the burner has ended: {state})")
    finally:
        vrun("--tenant", tenant, "rm", "-f", "burner")  # whatever it has filled


def gateway(vrun, tenant):
    """The host's end of the tenant's network."""
    found = json.loads(vrun("--tenant", tenant, "network", "inspect", "default").stdout)[0]
    return found["network"]["gateway"]


def quartiles(values):
    values = sorted(values)
    at = lambda q: values[min(len(values) - 1, int(len(values) * q))]
    return at(0.25), statistics.median(values), at(0.75)


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def report(kinds, results):
    """The table; answers the aims that were missed."""
    missed = []
    print(f"\n| {'neighbour burns':15} | {'measure':12} | {'alone':>10} | {'beside':>10} | ratio (quartiles)      | aim |")
    print("|---|---|---|---|---|---|")
    for kind in kinds:
        for key, name, aim, more in FIGURES:
            pairs = [(a[key], b[key]) for a, b in results[kind]]
            low, middle, high = quartiles([b / a for a, b in pairs])
            alone, beside = (statistics.median(p[i] for p in pairs) for i in (0, 1))
            fine = aim is None or (middle >= aim if more else middle <= aim)
            words = "" if aim is None else (f">= {aim}" if more else f"<= {aim}") + ("" if fine else " MISSED")
            print(f"| {kind:15} | {name:12} | {number(alone):>10} | {number(beside):>10} | {middle:5.2f} ({low:.2f} to {high:.2f}) | {words} |", flush=True)
            if not fine:
                missed.append(f"{kind}: {name} {middle:.2f}")
    return missed


def into_own_network():
    """Starts this program again in a network namespace that plays the host: bridges and rules go with it."""
    if os.environ.get("VRUN_BENCH_NETWORK") == "own":
        return
    os.environ["VRUN_BENCH_NETWORK"] = "own"
    os.execvp("unshare", ["unshare", "--net", "--mount", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, *sys.argv])


def measure(vrun, names, kinds, options):
    keeper, burner = names
    vrun("--tenant", keeper, "run", "-d", "--name", "measured", "--network", "none", "neighbour", "sleep", "1000000")
    network = None
    if "network" in kinds:
        vrun("--tenant", burner, "run", "--rm", "neighbour", "sh", "-c", ":")
        network = gateway(vrun, burner)
    results = {kind: [] for kind in kinds}
    for turn in range(options.rounds):
        for kind in kinds:
            alone = sample(vrun, keeper, options.seconds)
            with burning(vrun, burner, kind, network if kind == "network" else None):
                beside = sample(vrun, keeper, options.seconds)
            results[kind].append((alone, beside))
        print(f"round {turn + 1} of {options.rounds}, load {os.getloadavg()[0]:.2f}", flush=True)
    return results


def bench(options, kinds):
    place = Path(tempfile.mkdtemp(prefix="vrun-neighbours.", dir=options.data))
    place.chmod(0o711)
    vrun = Vrun(os.path.abspath(options.vrun), place)
    names = [f"n{os.getpid()}-{side}" for side in ("keeper", "burner")]
    print(f"{os.cpu_count()} processors, Linux {os.uname().release}, {options.rounds} rounds of {options.seconds} s, load {os.getloadavg()[0]:.2f}")
    try:
        make_tenants(vrun, names, image(place), options.apart)
        missed = report(kinds, measure(vrun, names, kinds, options))
    finally:
        for name in names:
            vrun("tenant", "rm", "--force", name, must=False)
        shutil.rmtree(place, ignore_errors=True)
        if place.exists():
            print(f"left behind: {place}")
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vrun", default=str(ROOT / "build/release/bin/vrun"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each of the three measures")
    parser.add_argument("--burn", default=",".join(KINDS), help="what the neighbour burns, in turn")
    parser.add_argument("--above-others", action="store_true", help="on a busy machine: with a weight far above all else that runs")
    parser.add_argument("--apart", action="store_true", help="each tenant has a processor of its own (--cpuset-cpus)")
    parser.add_argument("--data", default="/var/tmp", help="where the tenants' disks lie")
    options = parser.parse_args()
    kinds = options.burn.split(",")
    if unknown := [k for k in kinds if k not in KINDS]:
        parser.error(f"nothing burns {', '.join(unknown)}; there are {', '.join(KINDS)}")
    into_own_network()
    has = controllers()
    print("controllers of this host: " + (", ".join(f"{k} ({v})" for k, v in has.items()) or "none"), flush=True)
    if lacking := [k for k in ("cpu", "memory", "pids") if k not in has]:
        sys.exit(f"neighbours.py: no budget holds here: this host's cgroups do not control {', '.join(lacking)}")
    with above_others(options.above_others):
        missed = bench(options, kinds)
    print("every aim is met" if not missed else "missed: " + "; ".join(missed))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
