#!/usr/bin/python3
"""Guests of vrun against Debian's podman, interleaved, as ratios: run --rm, exec, ps with many guests;
memory of many idle detached guests; whether the last one starts as fast as the first ones.

    tests/performance/guests.py [--vrun PATH] [--rounds N] [--guests N] [--no-podman]

Needs root. Everything is made below a temporary folder and removed. Absolute times are of this machine
at this moment and mean little; ratios of interleaved rounds mean more. The load is printed, too."""
import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Tool:
    """One of the two programs: how it is called."""

    def __init__(self, name, words, env, image):
        self.name, self.words, self.env, self.image = name, words, env, image

    def __call__(self, *args, quiet=True):
        done = subprocess.run([*self.words, *args], env=self.env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0 and quiet:
            sys.exit(f"{self.name} {' '.join(args)}: {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    def timed(self, *args):
        """Wall and CPU milliseconds of one call, children included."""
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        self(*args)
        wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        return wall * 1e3, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3


def quartiles(values):
    values = sorted(values)
    return tuple(values[min(len(values) - 1, int(len(values) * q))] for q in (0.25, 0.5, 0.75))


def show(what, values, unit="ms"):
    low, middle, high = quartiles(values)
    print(f"  {what:44} {middle:9.2f} {unit}  ({low:.2f} to {high:.2f})")


def compare(what, vrun, podman, rounds, aim):
    """Both in turns; `what` is the same words for both."""
    times = {tool.name: [] for tool in (vrun, podman) if tool}
    for tool in filter(None, (vrun, podman)):
        tool.timed(*what(tool))
    for _ in range(rounds):
        for tool in filter(None, (vrun, podman)):
            times[tool.name].append(tool.timed(*what(tool)))
    label = " ".join(what(vrun)).replace(vrun.image, "IMAGE")
    print(label)
    for name, pairs in times.items():
        show(f"{name} wall", [w for w, _ in pairs])
        show(f"{name} cpu", [c for _, c in pairs])
    if podman:
        for i, word in enumerate(("wall", "cpu")):
            ratios = [v[i] / p[i] for v, p in zip(times["vrun"], times["podman"]) if p[i] > 0 and v[i] > 0]
            if ratios:
                low, middle, high = quartiles(ratios)
                print(f"  vrun / podman, {word:29} 1/{1 / middle:8.1f}     (1/{1 / high:.1f} to 1/{1 / low:.1f}; aim 1/{aim[i]})")


def pss(pid):
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    values = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    return values["Pss"], values["Private_Dirty"] + values["Private_Clean"]


def many(vrun, place, count):
    print(f"{count} idle detached guests")
    times = []
    for i in range(count):
        times.append(vrun.timed("run", "-d", "--network", "none", "--name", f"g{i}", vrun.image, "sleep", "100000")[0])
    early, late = times[5:25], times[-20:]
    show("start of the first ones", early)
    show("start of the last ones", late)
    print(f"  last / first                                 {statistics.median(late) / statistics.median(early):9.2f}")
    monitors = [int(file.read_text()) for file in place.glob("run/monitors/default/*/monitor")]
    values = [pss(pid) for pid in monitors]
    print(f"  monitors                                     {len(monitors):9}")
    print(f"  PSS of all                                   {sum(v[0] for v in values) / 1024:9.2f} MiB")
    print(f"  PSS of one                                   {statistics.median(v[0] for v in values):9.0f} KiB")
    print(f"  private memory of one                        {statistics.median(v[1] for v in values):9.0f} KiB")


def has_pids():
    """Podman limits processes by default, and fails where nothing can."""
    controllers = Path("/sys/fs/cgroup/cgroup.controllers")
    return "pids" in controllers.read_text().split() if controllers.exists() else Path("/sys/fs/cgroup/pids").exists()


def podman_tool(place):
    """Podman with a store of its own and the same program, from a directory as its image."""
    if not shutil.which("podman"):
        return None
    rootfs = place / "rootfs"
    (rootfs / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", rootfs / "bin/busybox")
    for name in ("sh", "true", "sleep"):
        os.link(rootfs / "bin/busybox", rootfs / "bin" / name)
    # Limits that a root without CAP_SYS_RESOURCE may set, and the hybrid host's cgroups: runc takes them.
    conf = place / "containers.conf"
    conf.write_text('[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\n[containers]\nlog_driver = "k8s-file"\n'
                    'default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n' + ("" if has_pids() else "pids_limit = 0\n"))
    words = ["podman", "--root", str(place / "podman"), "--runroot", str(place / "podman-run"), "--cgroup-manager", "cgroupfs",
             "--events-backend", "none"]
    env = {**os.environ, "CONTAINERS_CONF": str(conf)}
    tool = Tool("podman", words, env, "bench")
    tar = subprocess.run(["tar", "-C", rootfs, "-c", "."], capture_output=True, check=True).stdout
    done = subprocess.run([*words, "import", "-", "bench"], input=tar, capture_output=True, env=env)
    if done.returncode != 0:
        print("no podman here:", done.stderr.decode().strip())
        return None
    probe = subprocess.run([*words, "run", "--rm", "--network", "none", "bench", "true"], capture_output=True, text=True, env=env)
    if probe.returncode != 0:
        print("no podman here:", probe.stderr.strip())
        return None
    return tool


def has_bridge(podman):
    """Whether podman's default network, a bridge with NAT as vrun's, works here."""
    probe = subprocess.run([*podman.words, "run", "--rm", podman.image, "true"], capture_output=True, text=True, env=podman.env)
    if probe.returncode != 0:
        print("podman's default network does not work here:", probe.stderr.strip())
    return probe.returncode == 0


def into_own_network():
    """Starts this program again in a network namespace that plays the host: bridges and rules go with it."""
    if os.environ.get("VRUN_BENCH_NETWORK") == "own":
        return
    os.environ["VRUN_BENCH_NETWORK"] = "own"
    script = "ip link set lo up && exec \"$@\""
    os.execvp("unshare", ["unshare", "--net", "--mount", "sh", "-c", script, "sh", sys.executable, *sys.argv])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vrun", default=str(ROOT / "build/release/bin/vrun"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--guests", type=int, default=200)
    parser.add_argument("--no-podman", action="store_true")
    options = parser.parse_args()
    into_own_network()
    place = Path(tempfile.mkdtemp(prefix="vrun-bench.", dir="/var/tmp"))
    place.chmod(0o711)
    # What a reboot may forget is on tmpfs, as /run is on a server, for both.
    for run in ("run", "podman-run"):
        (place / run).mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", place / run], check=True)
    vrun = Tool("vrun", [options.vrun], {**os.environ, "VRUN_DATA_DIR": str(place / "data"), "VRUN_RUN_DIR": str(place / "run")}, "base")
    podman = None if options.no_podman else podman_tool(place)
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} processors")
    try:
        compare(lambda t: ["run", "--rm", "--network", "none", t.image, "true"], vrun, podman, options.rounds, (8, 10))
        both = podman if podman and has_bridge(podman) else None
        compare(lambda t: ["run", "--rm", t.image, "true"], vrun, both, options.rounds, (8, 10))
        for tool in filter(None, (vrun, podman)):
            tool("run", "-d", "--network", "none", "--name", "e", tool.image, "sleep", "100000")
        compare(lambda t: ["exec", "e", "true"], vrun, podman, options.rounds, (8, 8))
        many(vrun, place, options.guests)
        if podman:
            print(f"(podman gets {options.guests} created ones: started ones would take minutes)")
            for i in range(options.guests):
                podman("create", "--network", "none", "--name", f"g{i}", podman.image, "true")
        compare(lambda t: ["ps", "-a"], vrun, podman, options.rounds, (10, 10))
    finally:
        for tool in filter(None, (vrun, podman)):
            names = [line for line in tool("ps", "-aq", quiet=False).split() if line]
            if names:
                tool("rm", "-f", *(["-t", "0"] if tool is podman else []), *names, quiet=False)
        for mounted in ("podman/overlay", "run", "podman-run"):
            subprocess.run(["umount", "-R", "-l", place / mounted], capture_output=True)
        shutil.rmtree(place, ignore_errors=True)
        print(json.dumps({"left": [str(p) for p in [place] if p.exists()]}))


if __name__ == "__main__":
    main()
