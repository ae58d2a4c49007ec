#!/usr/bin/python3
"""Throughput of a micro-VM's network beside a container's on the same host: megabits per second from the guest to
the host and back, and milliseconds of a page of six bytes, interleaved.

    tests/performance/vm_network.py --vrun PATH [--rounds N] [--megabytes N]

Needs root and a KVM that runs stock kernels (the lab has one). Everything happens in a network namespace of its own that
plays the host, and below a temporary folder. Absolute figures are of this machine at this moment; compare the rows."""
import argparse
import http.server
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

SERVE = "mkdir /w; echo hello > /w/small; dd if=/dev/zero of=/w/big bs=1M count={} 2>/dev/null; exec httpd -f -p 80 -h /w"


class Guest:
    def __init__(self, program, name, flags, megabytes):
        self.program, self.name = program, name
        self("run", "-d", "--name", name, *flags, "base", "sh", "-c", SERVE.format(megabytes))
        self("exec", name, "true")
        self.address = self("inspect", "-f", "{{.NetworkSettings.IPAddress}}", name)
        self.gateway = self("inspect", "-f", "{{.NetworkSettings.Gateway}}", name)

    def __call__(self, *words):
        done = subprocess.run([self.program, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
        if done.returncode != 0:
            sys.exit(f"vrun {' '.join(words)}: {done.stderr}")
        return done.stdout.strip()

    def fetch(self, what):
        begun = time.monotonic()
        with urllib.request.urlopen(f"http://{self.address}/{what}", timeout=120) as page:
            while page.read(1 << 20):
                pass
        return time.monotonic() - begun

    def fetch_inside(self, megabytes):
        """Seconds that the transfer takes more than that of an empty page, as `exec` takes some itself."""
        def timed(what):
            begun = time.monotonic()
            self("exec", self.name, "sh", "-c", f"printf 'GET /{what} HTTP/1.0\\r\\n\\r\\n' | nc {self.gateway} 8000 >/dev/null")
            return time.monotonic() - begun
        nothing = timed(0)
        return max(timed(megabytes) - nothing, 1e-3)


class Zeroes(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        megabytes = int(self.path.strip("/"))
        self.send_response(200)
        self.send_header("Content-Length", str(megabytes << 20))
        self.end_headers()
        for _ in range(megabytes):
            self.wfile.write(bytes(1 << 20))

    def log_message(self, *_):
        pass


def wait_for(guest):
    for _ in range(600):
        try:
            return guest.fetch("small")
        except OSError:
            time.sleep(0.2)
    sys.exit(f"{guest.name} does not serve")


def measure(options):
    guests = [Guest(options.vrun, "container", (), options.megabytes),
              Guest(options.vrun, "micro-vm", ("--isolation", "vm"), options.megabytes)]
    server = http.server.ThreadingHTTPServer(("", 8000), Zeroes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    out, into, page = ({g.name: [] for g in guests} for _ in range(3))
    for guest in guests:
        wait_for(guest)
    for _ in range(options.rounds):
        for guest in guests:
            megabits = options.megabytes * 8.388608
            out[guest.name].append(megabits / guest.fetch("big"))
            into[guest.name].append(megabits / guest.fetch_inside(options.megabytes))
            page[guest.name].append(min(guest.fetch("small") for _ in range(20)) * 1e3)
    print(f"load {os.getloadavg()[0]:.1f}, {options.rounds} rounds of {options.megabytes} MiB; median (best)")
    for guest in guests:
        rows = [(out, "Mbit/s out", max), (into, "Mbit/s in", max), (page, "ms a page", min)]
        print(f"  {guest.name:10}", *(f"{statistics.median(of[guest.name]):9.1f} ({best(of[guest.name]):.1f}) {unit}" for of, unit, best in rows))
    for guest in guests:
        guest("rm", "-f", guest.name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vrun", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        return subprocess.call(["unshare", "-n", "--", sys.executable, *sys.argv, "--inside"])
    subprocess.run("ip link set lo up; ip link add uplink type dummy; ip addr add 192.0.2.1/24 dev uplink; ip link set uplink up; "
                   "ip route add default via 192.0.2.2", shell=True, check=True)
    work = tempfile.mkdtemp(prefix="vrun-bench-")
    os.environ.update(VRUN_DATA_DIR=f"{work}/data", VRUN_RUN_DIR=f"{work}/run")
    try:
        measure(options)
    finally:
        left = subprocess.run([options.vrun, "ps", "-aq"], capture_output=True, text=True).stdout.split()
        for guest in left:
            subprocess.run([options.vrun, "rm", "-f", guest], capture_output=True)
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
