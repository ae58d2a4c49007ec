#!/usr/bin/python3
"""Many guests by one `vrun apply` against the same by one `podman kube play`, interleaved, as ratios.

    tests/performance/apply.py [--vrun PATH] [--rounds N] [--guests N] [--once N] [--podman-once N]

Each round makes --guests guests that sleep, without a network, from the same busybox; timed is the one command until it
says that all run, which is looked after. --once: then so many by vrun alone, one time; --podman-once the same of Podman.
Podman's pods have its infra container besides, as they always do; its store and image are local.
Needs root. Everything is made below a temporary folder and removed."""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from guests import ROOT, Tool, into_own_network, podman_tool, quartiles

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: p{number}}}
spec:
  restartPolicy: Never
  containers:
  - {{name: c, image: localhost/bench, imagePullPolicy: Never, command: [/bin/sleep, "100000"]}}
---
"""
GUEST = """
apiVersion: vrun/v1
kind: Guest
name: g
image: base
network: none
args: [sleep, "100000"]
stopSignal: KILL
replicas: {count}
"""


def timed(words, env, limit):
    start = time.monotonic()
    done = subprocess.run(words, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=limit)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: {done.returncode}: {done.stderr[-2000:]}")
    return time.monotonic() - start


def running(tool, count):
    """All of them, or this is no measurement."""
    found = tool("ps", "-q").split()
    if len(found) < count:
        sys.exit(f"{tool.name}: {len(found)} of {count} run")


def one_vrun(vrun, place, count):
    path = place / "shop.yaml"
    path.write_text(GUEST.format(count=count))
    took = timed([*vrun.words, "apply", "-f", path, "--timeout", "600s"], vrun.env, 900)
    running(vrun, count)
    timed([*vrun.words, "delete", "-f", path], vrun.env, 900)
    return took


def one_podman(podman, place, count):
    path = place / "pods.yaml"
    path.write_text("".join(POD.format(number=i) for i in range(count)))
    took = timed([*podman.words, "kube", "play", "--network", "none", path], podman.env, 3600)
    running(podman, count)
    timed([*podman.words, "pod", "rm", "-a", "-f", "-t", "0"], podman.env, 3600)
    return took


def spread(name, times, count):
    low, middle, high = quartiles(times)
    print(f"  {name:8} {count} guests: least {min(times):7.2f} s, median {middle:7.2f} s ({low:.2f} to {high:.2f}), {len(times)} rounds", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vrun", default=str(ROOT / "build/release/bin/vrun"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--guests", type=int, default=20)
    parser.add_argument("--once", type=int, default=200)
    parser.add_argument("--podman-once", type=int, default=200)
    options = parser.parse_args()
    into_own_network()
    place = Path(tempfile.mkdtemp(prefix="vrun-bench.", dir="/var/tmp"))
    place.chmod(0o711)
    for run in ("run", "podman-run"):
        (place / run).mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", place / run], check=True)
    vrun = Tool("vrun", [options.vrun], {**os.environ, "VRUN_DATA_DIR": str(place / "data"), "VRUN_RUN_DIR": str(place / "run")}, "base")
    podman = None
    try:
        podman = podman_tool(place)
        if podman is None:
            sys.exit("without Podman there is nothing to compare with")
        conf = place / "containers.conf"
        conf.write_text(conf.read_text().replace("[engine]\n", '[engine]\ninfra_image = "localhost/infra"\n'))
        tar = subprocess.run(["tar", "-C", place / "rootfs", "-c", "."], capture_output=True, check=True).stdout
        subprocess.run([*podman.words, "import", "--change", 'CMD ["/bin/sleep", "100000"]', "-", "infra"], input=tar, capture_output=True, check=True, env=podman.env)
        print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} processors", flush=True)
        one_vrun(vrun, place, 1), one_podman(podman, place, 1)  # stores and images are warm
        times = {"vrun": [], "podman": []}
        for _ in range(options.rounds):
            times["vrun"].append(one_vrun(vrun, place, options.guests))
            times["podman"].append(one_podman(podman, place, options.guests))
        for name, of in times.items():
            spread(name, of, options.guests)
        pairs = [a / b for a, b in zip(times["vrun"], times["podman"])]
        low, middle, high = quartiles(pairs)
        print(f"  vrun / podman: of minima {min(times['vrun']) / min(times['podman']):.3f}, median of pairs {middle:.3f} ({low:.3f} to {high:.3f})", flush=True)
        if options.once:
            spread("vrun", [one_vrun(vrun, place, options.once)], options.once)
        if options.podman_once:
            spread("podman", [one_podman(podman, place, options.podman_once)], options.podman_once)
        print(f"load {os.getloadavg()[0]:.2f} at the end")
    finally:
        if podman:
            podman("pod", "rm", "-a", "-f", "-t", "0", quiet=False)
        names = vrun("ps", "-aq", quiet=False).split()
        if names:
            vrun("rm", "-f", *names, quiet=False)
        for mounted in ("podman/overlay", "run", "podman-run"):
            subprocess.run(["umount", "-R", "-l", place / mounted], capture_output=True)
        shutil.rmtree(place, ignore_errors=True)
        print(json.dumps({"left": [str(p) for p in [place] if p.exists()]}))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was made is removed
    main()
