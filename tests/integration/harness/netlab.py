"""A host for network tests: a network namespace that plays it, one outside, and some that play guests.

    outside 192.0.2.2, 2001:db8::2  ---veth---  192.0.2.1, 2001:db8::1 host  ---vrun's bridges---  guests

Each namespace lives as long as its process; nothing touches the machine's own network.
"""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from . import runtime

PEER = Path(__file__).with_name("peer.py")
HOST4, HOST6, OUTSIDE4, OUTSIDE6 = "192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"


class Space:
    """A network namespace and what runs in it."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        self.running = []
        own = os.readlink("/proc/self/ns/net")
        runtime.wait_for(lambda: self._namespace() not in ("", own), "a network namespace")

    def _namespace(self):
        try:
            return os.readlink(f"/proc/{self.pid}/ns/net")
        except OSError:
            return ""

    @property
    def pid(self):
        return self.holder.pid

    def command(self, *words):
        return ["nsenter", "-t", str(self.pid), "-n", "--", *map(str, words)]

    def run(self, *words, input=None, env=None, timeout=60):
        done = subprocess.run(self.command(*words), input=input, capture_output=True, text=True, timeout=timeout, env=env)
        return runtime.Result(list(words), done.returncode, done.stdout, done.stderr)

    def start(self, *words):
        """Runs on; returns when it has said a line."""
        it = subprocess.Popen(self.command(*words), stdout=subprocess.PIPE, text=True)
        self.running.append(it)
        assert it.stdout.readline(), words
        return it

    def serve(self, name, kind="tcp", port=80):
        return self.start(sys.executable, PEER, "serve", name, kind, port)

    def ask(self, address, port=80, kind="tcp", seconds=2, source=0):
        return self.run(sys.executable, PEER, "ask", kind, address, port, seconds, source).ok().out.strip()

    def pings(self, address):
        """Does an echo request come back?"""
        return self.run("busybox", "ping", "-c", 1, "-W", 1, address).rc == 0

    def end(self):
        for it in [*self.running, self.holder]:
            it.kill()
            it.wait()
            if it.stdout:
                it.stdout.close()
        self.running = []


class Guest(Space):
    """A guest that is attached by the probe, as the engine does it."""

    def __init__(self, host, name, tenant="default"):
        super().__init__()
        self.host, self.name, self.tenant = host, name, tenant
        self.files = host.work / f"{tenant}-{name}"
        self.files.mkdir()
        self.hosts, self.resolv = self.files / "hosts", self.files / "resolv.conf"
        self.hosts.touch()
        self.resolv.touch()
        self.run("ip", "link", "set", "lo", "up").ok()
        self.facts = None

    def attach(self, *flags):
        done = self.host.probe(self.tenant, "attach", self.name, self.pid, f"--hosts={self.hosts}", f"--resolv={self.resolv}", *flags)
        self.facts = done.json if done.rc == 0 else None
        return done

    def detach(self, *flags):
        return self.host.probe(self.tenant, "detach", self.name, *flags)

    def address(self, family=4, network=0):
        return self.facts["networks"][network]["address" if family == 4 else "address6"]


class Host(Space):
    def __init__(self, work):
        super().__init__()
        self.work = work
        self.data, self.state = work / "data", work / "run"
        self.env = {**os.environ, "VRUN_DATA_DIR": str(self.data), "VRUN_RUN_DIR": str(self.state)}
        self.outside = Space()
        self.guests = []
        self._make_uplink()

    def _make_uplink(self):
        for words in (f"ip link add uplink mtu 1400 type veth peer name outside mtu 1400 netns {self.outside.pid}", "ip link set lo up",
                      f"ip addr add {HOST4}/24 dev uplink", f"ip addr add {HOST6}/64 dev uplink nodad", "ip link set uplink up",
                      f"ip route add default via {OUTSIDE4}", f"ip route add default via {OUTSIDE6}"):
            self.run(*words.split()).ok()
        for words in ("ip link set lo up", f"ip addr add {OUTSIDE4}/24 dev outside", f"ip addr add {OUTSIDE6}/64 dev outside nodad",
                      "ip link set outside up"):
            self.outside.run(*words.split()).ok()

    def probe_words(self, tenant, *words):
        program = Path(runtime.path()).resolve().with_name("network-probe")
        return [str(program), str(self.data), str(self.state), tenant, *map(str, words)]

    def probe(self, tenant, *words):
        return self.run(*self.probe_words(tenant, *words))

    def vrun(self, *words):
        return self.run(str(Path(runtime.path()).resolve().with_name("vrun")), *words, env=self.env)

    def inspect(self, name):
        return self.vrun("inspect", name).ok().json[0]

    def guest(self, name, *flags, tenant="default", attach=True):
        it = Guest(self, name, tenant)
        self.guests.append(it)
        if attach:
            it.attach(*flags).ok()
        return it

    def create(self, name, *flags, tenant="default"):
        return self.probe(tenant, "create", name, *flags)

    def nft(self, text):
        return self.run("nft", "-f", "-", input=text).ok()

    def rules(self):
        return self.run("nft", "list", "ruleset").ok().out

    def links(self):
        """Names of the interfaces that are vrun's."""
        all = json.loads(self.run("ip", "-j", "link").ok().out)
        return {it["ifname"] for it in all if it["ifname"].startswith(("vr-", "ve", "vi"))}

    def left(self):
        """Everything that belongs to guests: interfaces, leases, ports, records, names, elements of the ports' maps."""
        found = {name for name in self.links() if not name.startswith("vr-")}
        net = self.state / "net"
        for pattern in ("guests/*/*", "leases/*/[!.]*", "ports/*", "members/*/*"):
            found |= {str(path.relative_to(net)) for path in net.glob(pattern)}
        found |= {f"names {path.name}: {path.read_text()}" for path in net.glob("names/*") if path.read_text()}
        found |= {line.strip() for line in self.rules().splitlines() if "elements" in line and ("tcp ." in line or "udp ." in line)}
        return found

    def wait_until_clean(self):
        runtime.wait_for(lambda: not {name for name in self.links() if not name.startswith("vr-")}, "the interfaces' end")

    def end(self):
        for it in [*self.guests, self.outside]:
            it.end()
        super().end()


def settle(seconds=0.05):
    """Between two looks at something that the kernel does in its own time."""
    time.sleep(seconds)
