"""A tenant's bandwidth and its ports, with real traffic inside a namespace that plays the host."""
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import netlab, runtime
from harness.netlab import HOST4, OUTSIDE4

MEBI = 1 << 20


@pytest.fixture
def host(work):
    it = netlab.Host(work)
    # Where br_netfilter is on, --bandwidth is refused (a test of its own).
    it.run("sh", "-c", "for f in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do [ ! -e $f ] || echo 0 >$f; done").ok()
    it.tenant = f"n{os.getpid()}-{os.urandom(3).hex()}"
    yield it
    for name in it.vrun("tenant", "ls", "-q").out.split():
        if name != "default":
            it.vrun("tenant", "rm", "--force", name).ok()
    assert not _shapers(it)
    it.end()


def _shapers(host):
    return [line.split(":")[1].strip() for line in host.run("ip", "-o", "link").ok().out.splitlines() if line.split(":")[1].strip().startswith("vt")]


def _serve(host, name, port):
    """A guest that has a file for whoever asks, and may fetch."""
    host.vrun("--tenant", host.tenant, "run", "-d", "--name", name, "-p", f"{port}:80", "base", "sh", "-c",
              "mkdir /w; dd if=/dev/zero of=/w/file bs=1M count=4 2>/dev/null; echo > /w/ready; exec httpd -f -p 80 -h /w").ok()
    fetch = "import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=2).read()"
    runtime.wait_for(lambda: host.outside.run(sys.executable, "-c", fetch, f"http://{HOST4}:{port}/ready").rc == 0, "it listens")


LOAD = """
import sys, threading, time, urllib.request as u
def one(url):
    u.urlopen(url, timeout=60).read()
threads = [threading.Thread(target=one, args=(url,)) for url in sys.argv[1:]]
start = time.monotonic()
for t in threads: t.start()
for t in threads: t.join()
print(time.monotonic() - start)
"""


def _out(host, *ports):
    """Megabits per second that guests send to the outside together."""
    seconds = float(host.outside.run(sys.executable, "-c", LOAD, *[f"http://{HOST4}:{p}/file" for p in ports]).ok().out)
    return len(ports) * 4 * MEBI * 8 / seconds / 1e6


def _into(host, *guests):
    """The same of what they receive from there."""
    start = time.monotonic()
    fetch = lambda name: host.vrun("--tenant", host.tenant, "exec", name, "wget", "-q", "-O", "/dev/null", f"http://{OUTSIDE4}:8000/file").ok()
    with ThreadPoolExecutor() as pool:
        list(pool.map(fetch, guests))
    return len(guests) * 4 * MEBI * 8 / (time.monotonic() - start) / 1e6


@pytest.fixture
def outside_file(host, work):
    (work / "www").mkdir()
    (work / "www/file").write_bytes(bytes(4 * MEBI))
    host.outside.start(sys.executable, "-m", "http.server", "8000", "--bind", OUTSIDE4, "--directory", str(work / "www"))
    runtime.wait_for(lambda: host.outside.ask(OUTSIDE4, 8000) != "refused", "the outside serves")


def _is_limited(rate, megabits):
    return 0.5 * megabits < rate < 1.3 * megabits


def all_guests_share_the_bandwidth_both_ways(host, outside_file):
    host.vrun("tenant", "create", host.tenant, "--bandwidth", "40M").ok()
    assert not _shapers(host), "nothing is there before a network is"
    _serve(host, "a", 8081)
    host.vrun("--tenant", host.tenant, "network", "create", "second").ok()
    _serve(host, "b", 8082)
    assert len(_shapers(host)) == 2
    for rate in (_out(host, 8081), _out(host, 8081, 8082), _into(host, "a"), _into(host, "a", "b")):
        assert _is_limited(rate, 40), rate
    host.vrun("tenant", "update", host.tenant, "--bandwidth", "120M").ok()
    assert _is_limited(_out(host, 8081, 8082), 120)
    host.vrun("tenant", "update", host.tenant, "--bandwidth", "none").ok()
    assert not _shapers(host)
    assert _out(host, 8081, 8082) > 200
    host.vrun("tenant", "update", host.tenant, "--bandwidth", "40M").ok()
    assert _is_limited(_out(host, 8081, 8082), 40)


def other_tenants_are_not_slowed(host):
    host.vrun("tenant", "create", host.tenant, "--bandwidth", "10M").ok()
    _serve(host, "slow", 8081)
    own, host.tenant = host.tenant, host.tenant + "b"
    host.vrun("tenant", "create", host.tenant).ok()
    _serve(host, "free", 8082)
    assert _out(host, 8082) > 200
    host.tenant = own
    assert _is_limited(_out(host, 8081), 10)


def a_limit_is_kept_when_the_bridge_is_made_anew(host):
    host.vrun("tenant", "create", host.tenant, "--bandwidth", "20M").ok()
    _serve(host, "a", 8081)
    host.vrun("--tenant", host.tenant, "rm", "-f", "a").ok()
    host.vrun("--tenant", host.tenant, "network", "rm", "default").ok()
    assert not _shapers(host)
    _serve(host, "a", 8081)
    assert _is_limited(_out(host, 8081), 20)


def where_the_kernel_filters_below_bridges_it_is_refused(host):
    knob = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    if host.run("sh", "-c", f"echo 1 >{knob}").rc != 0:
        pytest.skip("this kernel has no br_netfilter")
    host.vrun("tenant", "create", host.tenant, "--bandwidth", "40M").fails("br_netfilter filters below bridges", rc=125)
    out = host.vrun("tenant", "create", host.tenant, "--bandwidth", "40M", "--best-effort").ok()
    assert "--bandwidth is not enforced" in out.err and not _shapers(host)


def ports_below_1024_and_addresses_are_the_policys(host):
    host.vrun("tenant", "create", host.tenant).ok()
    run = lambda *flags: host.vrun("--tenant", host.tenant, "run", "-d", *flags, "base", "sleep", "1000")
    for port in ("80:80", "1000-1024:1000-1024", f"{HOST4}:443:443", "53:53/udp"):
        out = run("-p", port)
        assert out.rc == 125 and "rule ports" in out.err and "only root may change a policy" in out.err, out
    run("--name", "high", "-p", "8080:80", "-P").ok()
    host.vrun("--tenant", host.tenant, "update", "--publish-add", "81:80", "high").fails("rule ports")
    host.vrun("tenant", "update", host.tenant, "--allow-port", "80-90", "--only-address", HOST4).ok()
    run("--name", "low", "-p", f"{HOST4}:80:80").ok()
    out = run("-p", "8081:80")
    assert out.rc == 125 and "rule addresses" in out.err, out
    run("-p", "127.0.0.1:8081:80").fails("rule addresses", rc=125)
    # A policy that became stricter holds at the next start.
    host.vrun("tenant", "update", host.tenant, "--allow-port", "none").ok()
    host.vrun("--tenant", host.tenant, "stop", "-t", "0", "low").ok()
    host.vrun("--tenant", host.tenant, "start", "low").fails("rule ports")
