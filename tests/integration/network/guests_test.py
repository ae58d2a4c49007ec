"""`vrun run` on networks: ports, names, shared namespaces; the whole of vrun inside a namespace that plays the host."""
import subprocess
import sys
import time

import pytest

from harness import netlab, runtime
from harness.netlab import HOST4, HOST6


@pytest.fixture
def host(work):
    it = netlab.Host(work)
    yield it
    for line in it.vrun("ps", "-aq").out.split():
        it.vrun("rm", "-f", line)
    it.end()


HTTPD = "mkdir /w; echo hello from $(hostname) > /w/index.html; exec httpd -f -p 80 -h /w"


def _web(host, *flags):
    host.vrun("run", "-d", "--name", "web", *flags, "base", "sh", "-c", HTTPD).ok()


def _fetch(space, url):
    end = time.monotonic() + runtime.DEADLINE
    while True:
        done = space.run(sys.executable, "-c", "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=2).read().decode(), end='')", url)
        if done.rc == 0 or time.monotonic() > end:
            return done.out
        time.sleep(0.05)


def a_published_httpd_answers_outside_and_on_the_host(host):
    _web(host, "-p", "8080:80")
    for space, address in ((host.outside, HOST4), (host.outside, f"[{HOST6}]"), (host, "127.0.0.1"), (host, HOST4)):
        assert _fetch(space, f"http://{address}:8080/") == "hello from web\n"
    host.vrun("stop", "-t", "0", "web").ok()
    assert host.outside.ask(HOST4, 8080) == "refused"
    host.vrun("start", "web").ok()
    assert _fetch(host.outside, f"http://{HOST4}:8080/") == "hello from web\n"


def two_guests_talk_by_name_over_both_families(host):
    host.vrun("network", "create", "front").ok()
    _web(host, "--network", "front", "--network-alias", "www")
    for name in ("web", "web.front", "www"):
        out = host.vrun("run", "--rm", "--network", "front", "base", "wget", "-q", "-O", "-", f"http://{name}/").ok().out
        assert out == "hello from web\n"
    six = host.vrun("network", "inspect", "front").ok().json[0]["guests"][0]["networks"][0]["address6"]
    assert host.vrun("run", "--rm", "--network", "front", "base", "wget", "-q", "-O", "-", f"http://[{six}]/").ok().out == "hello from web\n"


def guests_share_a_namespace(host):
    _web(host, "--network", "default")
    _fetch(host, "http://127.0.0.1/")
    assert host.vrun("run", "--rm", "--network", "container:web", "base", "wget", "-q", "-O", "-", "http://127.0.0.1/").ok().out == "hello from web\n"


def a_connected_guest_is_on_both(host):
    host.vrun("network", "create", "back").ok()
    _web(host, "--network", "default")
    host.vrun("network", "connect", "back", "web", "--alias", "store").ok()
    assert host.vrun("run", "--rm", "--network", "back", "base", "wget", "-q", "-O", "-", "http://store/").ok().out == "hello from web\n"
    host.vrun("network", "disconnect", "back", "web").ok()
    host.vrun("network", "rm", "back").ok()


@pytest.mark.parametrize("flags, words", [
    (("-p", "8080:80"), ("port 8080/tcp is in use", "guest 'web' has published it")),
    (("--network", "nothing-like-it"), ("network 'nothing-like-it': there is none", "vrun network ls")),
    (("--network", "host", "-p", "80"), ("the guest has no network of its own",)),
    (("--ip", "10.160.0.999"), ("not an IPv4 address",)),
    (("-p", "80:http"), ("'http' is not a port",)),
])
def what_cannot_be_attached_leaves_nothing(host, flags, words):
    _web(host, "-p", "8080:80")
    before = host.left()
    host.vrun("run", "--rm", *flags, "base", "true").fails(*words, rc=125)
    assert host.left() == before


def guests_that_ended_leave_nothing(host):
    for _ in range(5):
        host.vrun("run", "--rm", "-p", "8080:80", "base", "true").ok()
    runtime.wait_for(lambda: not host.left(), "the interfaces' end")


def ports_of_a_running_guest_are_changed_and_kept(host):
    _web(host, "--network", "default")
    host.vrun("update", "--publish-add", "8080:80", "web").ok()
    assert _fetch(host.outside, f"http://{HOST4}:8080/") == "hello from web\n"
    host.vrun("restart", "-t", "0", "web").ok()
    assert _fetch(host.outside, f"http://{HOST4}:8080/") == "hello from web\n"
    host.vrun("update", "--publish-rm", "8080:80", "--publish-add", "8081:80", "web").ok()
    assert _fetch(host.outside, f"http://{HOST4}:8081/") == "hello from web\n"
    assert host.outside.ask(HOST4, 8080) == "refused"
    host.vrun("update", "--publish-rm", "9:9", "web").fails("guest 'web' has not published 9->9/tcp", rc=125)


def a_renamed_guest_is_found_and_removed_by_its_new_name(host):
    _web(host, "-p", "8080:80")
    host.vrun("rename", "web", "www").ok()
    assert host.vrun("run", "--rm", "--network", "default", "base", "wget", "-q", "-O", "-", "http://www/").ok().out == "hello from web\n"
    host.vrun("rm", "-f", "www").ok()
    runtime.wait_for(lambda: not host.left(), "the interfaces' end")


def ports_are_told_as_they_were_chosen(host):
    _web(host, "-p", "80", "-p", "9001-9003:81-83/udp")
    chosen = host.vrun("port", "web", "80").ok().out.strip()
    address, _, port = chosen.rpartition(":")
    assert address == "0.0.0.0" and int(port) >= 1024 and _fetch(host, f"http://127.0.0.1:{port}/") == "hello from web\n"
    assert f"0.0.0.0:{port}->80/tcp" in host.vrun("ps").ok().out
    assert host.vrun("port", "web", "82/udp").ok().out == "0.0.0.0:9002\n"
    assert host.vrun("port", "web").ok().out.splitlines() == [f"80/tcp -> {chosen}"] + [f"{81 + i}/udp -> 0.0.0.0:{9001 + i}" for i in range(3)]
    host.vrun("stop", "-t", "0", "web").ok()
    assert "80/tcp -> 0.0.0.0:(chosen when it starts)" in host.vrun("port", "web").ok().out


def _interfaces(host, guest):
    return sorted(line.split()[1].split("@")[0].rstrip(":") for line in host.vrun("exec", guest, "ip", "-o", "link").ok().out.splitlines())


def networks_are_kept_for_the_next_starts(host):
    for name in ("front", "back"):
        host.vrun("network", "create", name).ok()
    host.vrun("run", "-d", "--name", "c", "--network", "front", "base", "sleep", "1000").ok()
    host.vrun("network", "connect", "--alias", "see", "back", "c").ok()
    assert _interfaces(host, "c") == ["eth0", "eth1", "lo"]
    host.vrun("network", "connect", "back", "c").fails("already", rc=125)
    host.vrun("restart", "-t", "0", "c").ok()
    assert _interfaces(host, "c") == ["eth0", "eth1", "lo"]
    assert "see" in host.vrun("run", "--rm", "--network", "back", "base", "cat", "/etc/hosts").ok().out
    host.vrun("stop", "-t", "0", "c").ok()
    host.vrun("network", "disconnect", "front", "c").ok()
    host.vrun("start", "c").ok()
    assert _interfaces(host, "c") == ["eth0", "lo"]
    host.vrun("network", "disconnect", "front", "c").fails("is not on network", rc=125)
    host.vrun("run", "-d", "--name", "two", "--network", "front", "--network", "back:alias=other", "base", "sleep", "1000").ok()
    assert _interfaces(host, "two") == ["eth0", "eth1", "lo"]
    host.vrun("network", "rm", "front", "nope", "default").fails("nope", rc=125)


def _seconds(host, words):
    start = time.monotonic()
    host.vrun("exec", "reader", *words).ok()
    return time.monotonic() - start


def bandwidth_is_a_flag_and_changes_while_a_guest_runs(host):
    """8 Mbit/s are a megabyte a second: 2 MB take two seconds, less what the burst lets through."""
    host.vrun("run", "-d", "--name", "sender", "--bandwidth-out", "8M", "base", "sh", "-c",
              "mkdir /w; echo > /w/ready; dd if=/dev/zero of=/w/file bs=1M count=2 2>/dev/null; exec httpd -f -p 80 -h /w").ok()
    host.vrun("run", "-d", "--name", "reader", "base", "sleep", "1000").ok()
    load = ["wget", "-q", "-O", "/dev/null", "http://sender/file"]
    runtime.wait_for(lambda: host.vrun("exec", "reader", "wget", "-q", "-O", "/dev/null", "http://sender/ready").rc == 0, "it listens")
    limited = _seconds(host, load)
    assert 1.0 < limited < 8
    assert host.vrun("inspect", "sender").ok().json[0]["request"]["bandwidthOut"] == "8M"
    host.vrun("update", "--bandwidth", "-1", "sender").ok()
    free = _seconds(host, load)
    assert free < limited / 3
    host.vrun("update", "--bandwidth-in", "8M", "reader").ok()
    assert 1.0 < _seconds(host, load) < 8
    host.vrun("restart", "-t", "0", "reader").ok()
    assert 1.0 < _seconds(host, load) < 8, "it is kept"


def what_a_network_cannot_be_is_said(host):
    host.vrun("create", "--bandwidth", "fast", "base", "true").fails("not a rate", rc=125)
    host.vrun("create", "--bandwidth", "10M", "--network", "none", "base", "true").fails("no network of its own", rc=125)
    host.vrun("create", "--dns", "foo", "base", "true").fails("not an address", rc=125)
    host.vrun("create", "--dns-search", "a\nnameserver 1.1.1.1", "base", "true").fails("not one word", rc=125)
    host.vrun("create", "--network", "host", "--network", "default", "base", "true").fails("cannot be joined", rc=125)


MEBI = 1 << 20


class _Inside(netlab.Space):
    """The network namespace of a running guest, for programs of the host."""

    def __init__(self, host, name):
        self.number, self.running = host.inspect(name)["state"]["pid"], []

    @property
    def pid(self):
        return self.number

    def end(self):
        for it in self.running:
            it.kill()
            it.wait()
            it.stdout.close()


def _endpoint(host, name):
    return next(iter(host.inspect(name)["networkSettings"]["networks"].values()))


@pytest.fixture
def pipe(host):
    """Megabits per second into a guest and out of it, between its namespace and the host's address."""
    host.start(sys.executable, netlab.PEER, "sink", 91)

    def pour(space, *words):
        return float(space.run(sys.executable, netlab.PEER, "pour", *words).ok().out)

    def rates(name, count):
        facts = _endpoint(host, name)
        inside = _Inside(host, name)
        inside.start(sys.executable, netlab.PEER, "sink", 90)
        try:
            into, out = pour(host, facts["ipAddress"], 90, count), pour(inside, facts["gateway"], 91, count)
        finally:
            inside.end()
        return count * 8 / into / 1e6, count * 8 / out / 1e6

    return rates


def _is_limited(rate, megabits):
    return 0.5 * megabits < rate < 1.3 * megabits


def bandwidth_of_a_guest_is_limited_both_ways_and_changed_while_it_runs(host, pipe):
    host.vrun("run", "-d", "--name", "slow", "--bandwidth", "20M", "--bandwidth-out", "40M", "base", "sleep", "999").ok()
    host.vrun("run", "-d", "--name", "free", "base", "sleep", "999").ok()
    into, out = pipe("slow", 6 * MEBI)
    assert _is_limited(into, 20) and _is_limited(out, 40), (into, out)
    assert min(pipe("free", 20 * MEBI)) > 200
    assert host.inspect("slow")["networkSettings"]["bandwidth"] == {"in": 20_000_000, "out": 40_000_000, "packets": 0}
    host.vrun("update", "--bandwidth", "80M", "slow").ok()
    into, out = pipe("slow", 20 * MEBI)
    assert _is_limited(into, 80) and _is_limited(out, 80), (into, out)
    host.vrun("update", "--bandwidth", "-1", "slow").ok()
    assert min(pipe("slow", 20 * MEBI)) > 200
    assert not any(name.startswith("vi") for name in host.links())


def a_manifest_limits_bandwidth_and_changes_it_without_a_restart(host, work):
    path = work / "slow.yaml"

    def apply(limits):
        path.write_text("apiVersion: vrun/v1\nkind: Guest\nname: slow\nimage: base\nstopSignal: KILL\n"
                        f'args: [sleep, "999"]\n{limits}\n')
        out = host.vrun("apply", "-f", path).ok().out
        assert host.vrun("diff", "-f", path).rc == 0, "a second apply changes nothing"
        return out, host.inspect("slow")["networkSettings"]["bandwidth"], host.inspect("slow")["state"]["pid"]

    _, rates, pid = apply("bandwidthIn: 20M\nbandwidthOut: 40M")
    assert rates == {"in": 20_000_000, "out": 40_000_000, "packets": 0}
    exported = host.vrun("export", "--manifest", "slow").ok().out
    assert "bandwidthIn: " in exported and "40M" in exported
    out, rates, same = apply("bandwidthIn: 80M\nbandwidthOut: 40M\nnetworkPps: 500")
    assert "change Guest slow" in out and "bandwidthIn: '20M' -> '80M'" in out
    assert rates == {"in": 80_000_000, "out": 40_000_000, "packets": 500} and same == pid
    assert "networkPps: 500" in host.vrun("export", "--manifest", "slow").ok().out
    _, rates, same = apply("")
    assert rates in (None, {}, {"in": 0, "out": 0, "packets": 0}) and same == pid


COUNT = """import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", int(sys.argv[1])))
print("ready", flush=True)
s.settimeout(30)
got = 0
while s.recv(10) != b"end":
    got += 1
print(got, flush=True)
"""
SEND = """import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(200):
    s.sendto(b"x", (sys.argv[1], int(sys.argv[2])))
    time.sleep(0.01)
for _ in range(20):
    time.sleep(0.2)
    s.sendto(b"end", (sys.argv[1], int(sys.argv[2])))
"""


def _arrived(sender, receiver, address, port):
    """How many of 200 datagrams arrive that are sent in two seconds and a bit."""
    count = receiver.start(sys.executable, "-c", COUNT, port)
    sending = subprocess.Popen(sender.command(sys.executable, "-c", SEND, address, str(port)))
    got = int(count.stdout.readline())
    sending.kill()
    sending.wait()
    return got


def packets_are_limited_both_ways_and_changed_while_it_runs(host):
    host.vrun("run", "-d", "--name", "slow", "--network-pps", "20", "base", "sleep", "999").ok()
    host.vrun("run", "-d", "--name", "free", "base", "sleep", "999").ok()
    facts, inside = _endpoint(host, "slow"), _Inside(host, "slow")
    try:
        both = lambda port: (_arrived(host, inside, facts["ipAddress"], port), _arrived(inside, host, facts["gateway"], port))
        assert all(20 <= got <= 110 for got in both(70)), "two seconds and more at 20 a second, and the first five"
        assert host.inspect("slow")["networkSettings"]["bandwidth"]["packets"] == 20
        free = _Inside(host, "free")
        assert _arrived(free, host, facts["gateway"], 71) == 200
        free.end()
        host.vrun("update", "--network-pps", "5000", "slow").ok()
        assert both(72) == (200, 200)
        host.vrun("update", "--network-pps", "-1", "slow").ok()
        assert "table bridge vrun" not in host.run("nft", "list", "tables").ok().out
        host.vrun("update", "--network-pps", "20", "slow").ok()
        assert all(got <= 110 for got in both(73))
    finally:
        inside.end()
    host.vrun("rm", "-f", "slow").ok()
    assert "table bridge vrun" not in host.run("nft", "list", "tables").ok().out, "nothing is left"
    host.vrun("create", "--network-pps", "0", "base", "true").fails("not from 1 to", rc=125)
    host.vrun("create", "--network-pps", "5", "--network", "none", "base", "true").fails("no network of its own", rc=125)


def a_limit_survives_reconnects_and_restarts_and_leaves_nothing(host, pipe):
    host.vrun("network", "create", "back").ok()
    host.vrun("run", "-d", "--name", "slow", "--bandwidth", "40M", "base", "sleep", "999").ok()
    host.vrun("network", "connect", "back", "slow").ok()
    host.vrun("network", "disconnect", "default", "slow").ok()
    into, out = pipe("slow", 6 * MEBI)
    assert _is_limited(into, 40) and _is_limited(out, 40), (into, out)
    host.vrun("restart", "-t", "0", "slow").ok()
    into, out = pipe("slow", 6 * MEBI)
    assert _is_limited(into, 40) and _is_limited(out, 40), (into, out)
    host.vrun("rm", "-f", "slow").ok()
    runtime.wait_for(lambda: not host.left(), "the interfaces' end")


def a_killed_command_s_shaper_is_taken_away(host):
    host.vrun("run", "-d", "--name", "slow", "--bandwidth-out", "20M", "base", "sleep", "999").ok()
    shaper, = (name for name in host.links() if name.startswith("vi"))
    stray = f"vi{int(shaper[2:], 16) + 9:08x}"  # as one is called whose guest was never written down
    host.run("ip", "link", "add", stray, "type", "ifb").ok()
    host.run("ip", "link", "add", "vi01020304", "type", "ifb").ok()  # of nobody whom we know
    host.vrun("network", "prune").ok()
    assert {name for name in host.links() if name.startswith("vi")} == {shaper, "vi01020304"}


def counters_only_grow_over_reconnects_and_restarts(host, pipe):
    host.vrun("network", "create", "back").ok()
    host.vrun("run", "-d", "--name", "web", "base", "sleep", "999").ok()
    pipe("web", 3 * MEBI)
    seen = [host.inspect("web")["traffic"]]
    assert seen[0]["inBytes"] > 3 * MEBI and seen[0]["outBytes"] > 3 * MEBI
    for words in (("network", "connect", "back", "web"), ("network", "disconnect", "default", "web"),
                  ("network", "connect", "default", "web"), ("restart", "-t", "0", "web"), ("stop", "-t", "0", "web")):
        host.vrun(*words).ok()
        seen.append(host.inspect("web")["traffic"])
        assert all(seen[-1][key] >= seen[-2][key] for key in seen[-1]), (words, seen[-2:])
    host.vrun("start", "web").ok()
    pipe("web", 3 * MEBI)
    assert host.inspect("web")["traffic"]["inBytes"] >= seen[-1]["inBytes"] + 3 * MEBI
    use, = host.vrun("stats", "--no-stream", "--format", "json", "web").ok().json
    assert use["network"]["in"] > 6 * MEBI and use["network"]["out"] > 6 * MEBI


# --- what is shown of ports ------------------------------------------------------------------

def docker_and_podman_words_of_networks_and_ports(host):
    """-p 0:80 is a free port, --network a,b both, -d bridge what there is anyway."""
    host.vrun("network", "create", "-d", "bridge", "one").ok()
    host.vrun("network", "create", "--driver=bridge", "two").ok()
    host.vrun("run", "-d", "--name", "web", "-p", "0:80", "--network", "one,two", "base", "sleep", "1000").ok()
    assert sorted(host.inspect("web")["networkSettings"]["networks"]) == ["one", "two"]
    assert int(host.vrun("port", "web", "80").ok().out.splitlines()[0].rpartition(":")[2]) > 1024


# --- over restarts ---------------------------------------------------------------------------

def static_addresses_mtu_and_aliases_stay_over_restarts(host):
    host.vrun("network", "create", "front", "--subnet", "10.9.0.0/24", "--subnet", "fd09::/64", "--mtu", "1300").ok()
    host.vrun("run", "-d", "--name", "web", "--network", "front", "--ip", "10.9.0.9", "--ip6", "fd09::9", "--network-alias", "www",
              "base", "sleep", "999").ok()
    for _ in range(10):
        host.vrun("restart", "-t", "0", "web").ok()
    out = host.vrun("exec", "web", "ip", "addr", "show", "eth0").ok().out
    assert "mtu 1300" in out and "10.9.0.9/24" in out and "fd09::9/64" in out and "02:76:0a:09:00:09" in out
    hosts = host.vrun("run", "--rm", "--network", "front", "base", "cat", "/etc/hosts").ok().out
    assert "10.9.0.9\tweb web.front www\n" in hosts and "fd09::9\tweb web.front www\n" in hosts


def hosts_files_of_running_guests_follow_connects(host):
    host.vrun("network", "create", "back").ok()
    for name in ("web", "db"):
        host.vrun("run", "-d", "--name", name, "--network", "default" if name == "web" else "back", "base", "sleep", "999").ok()
    names = lambda: host.vrun("exec", "db", "cat", "/etc/hosts").ok().out
    assert "web" not in names()
    host.vrun("network", "connect", "back", "web", "--alias", "www").ok()
    assert "web web.back www" in names()
    host.vrun("network", "disconnect", "back", "web").ok()
    assert "web" not in names()


def guests_of_two_networks_meet_only_when_connected(host):
    host.vrun("network", "create", "back").ok()
    _web(host, "--network", "back")
    six = _endpoint(host, "web")["globalIPv6Address"]
    four = _endpoint(host, "web")["ipAddress"]
    ask = lambda address: host.vrun("exec", "other", "timeout", "1", "wget", "-q", "-O", "-", f"http://{address}/")
    host.vrun("run", "-d", "--name", "other", "base", "sleep", "999").ok()
    _fetch(host, f"http://{four}/")
    for address in (four, f"[{six}]"):
        assert ask(address).rc != 0
    host.vrun("network", "connect", "back", "other").ok()
    for address in (four, f"[{six}]"):
        assert ask(address).ok().out == "hello from web\n"


def a_deny_of_the_host_s_firewall_denies_a_guest_s_port(host):
    _web(host, "-p", "8080:80")
    assert _fetch(host.outside, f"http://{HOST4}:8080/") == "hello from web\n"
    host.nft("table inet mine { chain f { type filter hook forward priority 10; meta l4proto tcp ct original proto-dst 8080 drop; }; }")
    assert host.outside.ask(HOST4, 8080, seconds=0.5) == "timeout"


def a_published_port_does_not_answer_on_the_host_s_loopback_of_ipv6(host):
    """The documented limit: the day on which the kernel routes ::1, docs/networks.md has to change."""
    _web(host, "-p", "8080:80")
    assert _fetch(host, f"http://[{HOST6}]:8080/") == "hello from web\n"
    assert host.ask("::1", 8080) == "refused" and _fetch(host, "http://localhost:8080/") == "hello from web\n"
    host.vrun("update", "--publish-add", "[::1]:8081:80", "web").fails("publish [::1]:8081->80/tcp: the kernel routes nothing from [::1]", rc=125)
