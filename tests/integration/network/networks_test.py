"""Networks of vrun with real namespaces and real traffic, inside a namespace that plays the host."""
import json
import random
import signal
import subprocess
import sys
import time

import pytest

from harness import netlab, runtime
from harness.netlab import HOST4, HOST6, OUTSIDE4, OUTSIDE6, PEER


@pytest.fixture
def host(work):
    it = netlab.Host(work)
    yield it
    it.end()


KINDS = ("tcp", "udp")


# --- within a network ------------------------------------------------------------------------

def guests_of_a_network_reach_each_other(host):
    a, b = host.guest("a"), host.guest("b")
    for kind in KINDS:
        b.serve("b", kind)
        for family in (4, 6):
            assert a.ask(b.address(family), kind=kind) == f"b {a.address(family)}"
    assert a.pings(b.address(4)) and a.pings(b.address(6))


def names_of_others_come_and_go_in_the_same_file(host):
    a = host.guest("a")
    inode = a.hosts.stat().st_ino
    assert "b" not in a.hosts.read_text().split()
    b = host.guest("b", "--network=default:alias=database")
    for family in (4, 6):
        assert f"{b.address(family)}\tb b.default database\n" in a.hosts.read_text()
        assert f"{a.address(family)}\ta a.default\n" in b.hosts.read_text()
    b.detach().ok()
    assert "database" not in a.hosts.read_text() and b.address() not in a.hosts.read_text()
    assert f"{a.address()}\ta a.default\n" in a.hosts.read_text()
    assert a.hosts.stat().st_ino == inode


def a_guest_finds_itself_and_what_add_host_names(host):
    a = host.guest("a", "--hostname=box", "--add-host=db:192.0.2.9", "--add-host=outer:host-gateway")
    text = a.hosts.read_text()
    assert f"{a.address()}\tbox a a.default\n" in text and "192.0.2.9\tdb\n" in text
    assert f"{a.facts['networks'][0]['gateway']}\touter\n" in text


def a_guest_s_broken_hosts_file_does_not_stop_others(host):
    a = host.guest("a")
    a.hosts.unlink()
    b = host.guest("b")
    assert a.address() in b.hosts.read_text()
    b.detach().ok()


def a_renamed_guest_is_found_by_its_new_name_only(host):
    a, b = host.guest("a"), host.guest("b", "--publish=8080:80")
    host.probe("default", "rename", "b", "c").ok()
    assert f"{b.address()}\tc c.default\n" in a.hosts.read_text() and "b.default" not in a.hosts.read_text()
    assert f"{b.address()}\tc c.default\n" in b.hosts.read_text()
    host.probe("default", "repair").ok()
    host.probe("default", "detach", "c").ok()
    a.detach().ok()
    assert not host.left()


def the_resolver_of_the_flags_is_written(host):
    a = host.guest("a", "--dns=192.0.2.53")
    assert "nameserver 192.0.2.53\n" in a.resolv.read_text()


def static_addresses_are_given_and_guarded(host):
    host.create("net", "--subnet=10.7.0.0/24").ok()
    a = host.guest("a", "--network=net:ip=10.7.0.9,mac=02:00:00:00:00:09")
    assert a.address() == "10.7.0.9"
    assert "02:00:00:00:00:09" in a.run("ip", "link", "show", "eth0").out
    b = host.guest("b", attach=False)
    b.attach("--network=net:ip=10.7.0.9").fails("address 10.7.0.9 of network 'net' is in use", "guest 'a' has it")
    b.attach("--network=net:ip=10.8.0.9").fails("not in the network's subnet 10.7.0.0/24")
    b.attach("--network=net:ip=10.7.0.1").fails("it is the gateway")
    assert not any("default-b" in thing or "/b" in thing for thing in host.left())


def mac_and_mtu_follow_address_and_uplink(host):
    a = host.guest("a")
    facts = json.loads(a.run("ip", "-j", "link", "show", "eth0").ok().out)[0]
    assert facts["mtu"] == 1400
    assert facts["address"] == "02:76:" + ":".join(f"{int(n):02x}" for n in a.address().split("."))


def an_exhausted_network_says_so_and_keeps_nothing(host):
    host.create("tiny", "--subnet=10.7.0.0/30").ok()
    host.guest("a", "--network=tiny")
    before = host.left()
    b = host.guest("b", attach=False)
    b.attach("--network=tiny").fails("network 'tiny': all addresses of 10.7.0.0/30 are in use", "hint: remove guests")
    assert host.left() == before


def an_unknown_network_gets_the_nearest_name(host):
    host.create("backend").ok()
    host.guest("a", attach=False).attach("--network=bakend").fails("network 'bakend': there is none", "did you mean 'backend'?")
    assert not host.left()


# --- out and in ------------------------------------------------------------------------------

def guests_reach_the_outside_behind_the_host_s_address(host):
    a = host.guest("a")
    for kind in KINDS:
        host.outside.serve("outside", kind)
        assert a.ask(OUTSIDE4, kind=kind) == f"outside {HOST4}"
        assert a.ask(OUTSIDE6, kind=kind) == f"outside {HOST6}"
    assert a.pings(OUTSIDE4) and a.pings(OUTSIDE6)


def the_outside_reaches_no_guest_that_published_nothing(host):
    a = host.guest("a")
    a.serve("a")
    facts = a.facts["networks"][0]
    host.outside.run("ip", "route", "add", f"{facts['address']}/32", "via", HOST4).ok()
    host.outside.run("ip", "route", "add", f"{facts['address6']}/128", "via", HOST6).ok()
    assert host.outside.ask(a.address(4), seconds=1) == "timeout"
    assert host.outside.ask(a.address(6), seconds=1) == "timeout"
    assert host.ask(a.address(4)).startswith("a ")  # the host itself does


@pytest.mark.parametrize("kind", KINDS)
def a_published_port_answers_outside_on_the_host_and_by_hairpin(host, kind):
    a, b = host.guest("a", f"--publish=8080:80/{kind}"), host.guest("b")
    a.serve("a", kind)
    assert host.outside.ask(HOST4, 8080, kind) == f"a {OUTSIDE4}"  # the caller's own address
    assert host.outside.ask(HOST6, 8080, kind) == f"a {OUTSIDE6}"
    for address in ("127.0.0.1", HOST4, HOST6):
        assert host.ask(address, 8080, kind).startswith("a ")
    for address in (HOST4, HOST6, b.facts["networks"][0]["gateway"]):
        assert b.ask(address, 8080, kind).startswith("a ")
        assert a.ask(address, 8080, kind).startswith("a ")
    assert host.outside.ask(HOST4, 80, kind, seconds=1) in ("refused", "timeout")


def a_range_is_published_port_by_port(host):
    a = host.guest("a", "--publish=8000-8002:80-82")
    a.serve("last", port=82)
    assert host.outside.ask(HOST4, 8002) == f"last {OUTSIDE4}"
    assert host.outside.ask(HOST4, 8003, seconds=1) == "refused"


def a_port_on_one_address_is_open_there_only(host):
    a = host.guest("a", "--publish=127.0.0.1:8080:80")
    a.serve("a")
    assert host.ask("127.0.0.1", 8080).startswith("a ")
    assert host.outside.ask(HOST4, 8080) == "refused"


def without_a_host_port_a_free_one_is_taken(host):
    a = host.guest("a", "--publish=80")
    port = a.facts["ports"][0]["hostPort"]
    a.serve("a")
    assert port >= 49152 and host.outside.ask(HOST4, port) == f"a {OUTSIDE4}"


def ports_of_a_running_guest_are_changed(host):
    a = host.guest("a")
    a.serve("a")
    assert host.outside.ask(HOST4, 8080) == "refused"
    host.probe("default", "publish", "a", "8080:80").ok()
    assert host.outside.ask(HOST4, 8080) == f"a {OUTSIDE4}"
    host.probe("default", "publish", "a", "8080:80").fails("port 8080/tcp is in use", "guest 'a' has published it")
    host.probe("default", "unpublish", "a", "8080:80").ok()
    assert host.outside.ask(HOST4, 8080) == "refused"
    host.probe("default", "unpublish", "a", "8080:80").fails("guest 'a' has not published 8080->80/tcp")


@pytest.mark.parametrize("kind", KINDS)
def a_client_that_goes_on_talking_gets_the_new_guest(host, kind):
    """The kernel remembers where a connection went: a closed port must not lead on to the old guest."""
    a, b = host.guest("a", f"--publish=8080:80/{kind}"), host.guest("b")
    a.serve("a", kind)
    b.serve("b", kind)
    for address, own in ((HOST4, OUTSIDE4), (HOST6, OUTSIDE6)):
        assert host.outside.ask(address, 8080, kind, source=5555) == f"a {own}"
    host.probe("default", "unpublish", "a", f"8080:80/{kind}").ok()
    host.probe("default", "publish", "b", f"8080:80/{kind}").ok()
    for address, own in ((HOST4, OUTSIDE4), (HOST6, OUTSIDE6)):
        assert host.outside.ask(address, 8080, kind, source=5555) == f"b {own}"


def a_port_in_use_is_named_and_nothing_is_kept(host):
    host.serve("program", port=8080)
    a = host.guest("a", attach=False)
    a.attach("--publish=9000:90", "--publish=8080:80").fails("publish 8080->80/tcp: port 8080/tcp is in use", "a program of the host")
    a.attach("--publish=192.0.2.77:8080:80").fails("the host has no such address")
    assert not host.left()
    host.guest("b", "--publish=9000:90")
    a.attach("--publish=127.0.0.1:9000:90").fails("port 9000/tcp is in use", "guest 'b' has published it")
    a.attach("--publish=9000:90/udp").ok()


def the_host_s_loopback_stays_its_own(host):
    """Published ports on 127.0.0.1 make the bridge route that net; guests must not profit."""
    a = host.guest("a", "--publish=127.0.0.1:8080:80")
    host.serve("secret", port=9999)
    for words in ("ip link set lo down", "ip addr flush dev lo", "sysctl -qw net.ipv4.conf.eth0.route_localnet=1",
                  f"ip route add 127.0.0.1/32 via {a.facts['networks'][0]['gateway']} src {a.address()}"):
        a.run(*words.split()).ok()
    assert host.ask("127.0.0.1", 9999) == "secret 127.0.0.1"
    assert a.ask("127.0.0.1", 9999, seconds=1) == "timeout"
    host.run("nft", "flush", "chain", "inet", "vrun", "guard").ok()  # the test can fail: without the rule it goes through
    assert a.ask("127.0.0.1", 9999, seconds=1) == f"secret {a.address()}"


def forged_sources_go_nowhere(host):
    a = host.guest("a")
    host.outside.serve("outside", "udp")
    a.run("ip", "addr", "add", "198.51.100.7/32", "dev", "eth0").ok()
    a.run("ip", "route", "replace", "default", "via", a.facts["networks"][0]["gateway"], "src", "198.51.100.7").ok()
    host.run("nft", "add", "rule", "inet", "vrun", "arriving", "ip", "saddr", "198.51.100.7", "counter").ok()
    assert a.ask(OUTSIDE4, kind="udp", seconds=1) == "timeout"
    assert "counter packets 0 bytes 0" in host.rules()


# --- walls -----------------------------------------------------------------------------------

def _reaches(here, there):
    """What of tcp, udp and icmp gets from one guest to another's address, over both families."""
    through = set()
    for family in (4, 6):
        through |= {f"{kind}{family}" for kind in KINDS if here.ask(there.address(family), kind=kind, seconds=0.5) not in ("timeout", "refused")}
        through |= {f"icmp{family}"} if here.pings(there.address(family)) else set()
    return through


ALL = {f"{what}{family}" for what in (*KINDS, "icmp") for family in (4, 6)}


def tenants_and_networks_are_closed_to_each_other(host):
    host.create("other").ok()
    a, stranger, apart = host.guest("a"), host.guest("a", tenant="second"), host.guest("b", "--network=other")
    for guest in (a, stranger, apart):
        for kind in KINDS:
            guest.serve(guest.name, kind)
    for here, there in ((a, stranger), (stranger, a), (a, apart), (apart, a), (apart, stranger)):
        assert _reaches(here, there) == set()
    friend = host.guest("c")
    assert _reaches(friend, a) == ALL  # so the same questions can be answered
    assert "stranger" not in a.hosts.read_text() and apart.address() not in a.hosts.read_text()


def connecting_opens_a_network_and_disconnecting_closes_it(host):
    host.create("other").ok()
    a, b = host.guest("a"), host.guest("b", "--network=other")
    b.serve("b")
    inode = a.hosts.stat().st_ino
    assert a.ask(b.address(), seconds=0.5) == "timeout"
    joined = host.probe("default", "connect", "a", a.pid, "other:alias=extra").ok().json
    assert joined["interface"] == "eth1"
    assert a.ask(b.address()) == f"b {joined['address']}"
    assert f"{b.address()}\tb b.other\n" in a.hosts.read_text() and f"{joined['address']}\ta a.other extra\n" in b.hosts.read_text()
    host.probe("default", "connect", "a", a.pid, "other").fails("already on network 'other'")
    host.probe("default", "disconnect", "a", a.pid, "other").ok()
    assert a.ask(b.address(), seconds=0.5) == "timeout"
    assert b.address() not in a.hosts.read_text() and "extra" not in b.hosts.read_text()
    assert a.hosts.stat().st_ino == inode
    host.probe("default", "disconnect", "a", a.pid, "other").fails("is not on network 'other'")


def ports_and_default_route_move_to_the_next_network(host):
    host.create("other").ok()
    a = host.guest("a", "--network=default", "--network=other", "--publish=8080:80")
    a.serve("a")
    assert host.outside.ask(HOST4, 8080) == f"a {OUTSIDE4}"
    host.probe("default", "disconnect", "a", a.pid, "default").ok()
    assert host.outside.ask(HOST4, 8080) == f"a {OUTSIDE4}"
    host.outside.serve("outside", port=81)
    assert a.ask(OUTSIDE4, 81) == f"outside {HOST4}"


def an_internal_network_leads_nowhere(host):
    host.create("inner", "--internal").ok()
    a, b = host.guest("a", "--network=inner"), host.guest("b", "--network=inner")
    b.serve("b")
    host.outside.serve("outside")
    assert a.ask(b.address()) == f"b {a.address()}"
    for gateway, outside in ((a.facts["networks"][0]["gateway"], OUTSIDE4), (a.facts["networks"][0]["gateway6"], OUTSIDE6)):
        assert a.ask(outside, seconds=0.5).startswith("error")  # no route
        a.run("ip", "route", "add", "default", "via", gateway).ok()  # even with one
        assert a.ask(outside, seconds=0.5) == "timeout"
    host.guest("c", attach=False).attach("--network=inner", "--publish=80").fails("no network that leads outside")


def guests_of_an_internal_network_reach_no_service_of_the_host(host):
    host.create("inner", "--internal").ok()
    a, b = host.guest("a", "--network=inner"), host.guest("b", "--publish=8080:80")
    b.serve("b")
    a.serve("a")
    host.serve("host", port=81)
    for key in ("gateway", "gateway6"):
        gateway = a.facts["networks"][0][key]
        assert a.ask(gateway, 81, seconds=0.5) == "timeout" and a.pings(gateway)
        a.run("ip", "route", "add", "default", "via", gateway).ok()
    assert a.ask(HOST4, 81, seconds=0.5) == "timeout"
    assert a.ask(HOST4, 8080, seconds=0.5) == "timeout"  # a port that another network published
    assert host.ask(a.address()).startswith("a ")  # the host itself may ask
    assert b.ask(b.facts["networks"][0]["gateway"], 81).startswith("host ")


def a_published_port_is_open_to_other_tenants_by_the_host_s_address(host):
    a, stranger = host.guest("a", "--publish=8080:80"), host.guest("s", tenant="second")
    a.serve("a")
    assert stranger.ask(HOST4, 8080).startswith("a ")
    assert stranger.ask(a.address(), seconds=0.5) == "timeout"


@pytest.mark.parametrize("rule", [
    "chain c { type filter hook forward priority 10; policy accept; meta l4proto tcp ct original proto-dst 8080 drop; }",
    "chain c { type filter hook forward priority -10; policy drop; }",
    "chain c { type filter hook prerouting priority -150; policy accept; tcp dport 8080 drop; }",
])
def a_deny_of_the_host_s_firewall_denies_a_published_port(host, rule):
    a = host.guest("a", "--publish=8080:80")
    a.serve("a")
    assert host.outside.ask(HOST4, 8080) == f"a {OUTSIDE4}"
    host.nft("table inet own {\n" + rule.replace("; ", "\n").replace("{ ", "{\n") + "\n}\n")
    assert host.outside.ask(HOST4, 8080, seconds=1) == "timeout"


def other_tables_are_never_touched(host):
    host.nft("table ip nat {\n chain x {\n type nat hook prerouting priority dstnat\n counter\n }\n}\n"
             "table inet filter {\n set vrun {\n type ifname\n }\n}\n")
    before = host.run("nft", "list", "table", "inet", "filter").out
    a = host.guest("a", "--publish=8080:80")
    a.detach().ok()
    host.probe("default", "repair").ok()
    host.probe("default", "remove", "default").ok()
    assert host.run("nft", "list", "table", "inet", "filter").out == before
    assert host.run("nft", "list", "tables").out.split("\n")[:-1] == ["table ip nat", "table inet filter"]


def a_flushed_ruleset_is_made_anew_before_the_next_guest(host):
    a, stranger = host.guest("a", "--publish=8080:80"), host.guest("s", tenant="second")
    a.serve("a")
    host.run("nft", "flush", "ruleset").ok()
    assert stranger.ask(a.address()).startswith("a ")  # what an administrator opens is open
    host.guest("b")
    assert stranger.ask(a.address(), seconds=0.5) == "timeout"
    assert host.outside.ask(HOST4, 8080) == f"a {OUTSIDE4}"


# --- limits and counters ---------------------------------------------------------------------

def _seconds(here, address, count):
    return float(here.run(sys.executable, PEER, "pour", address, 90, count).ok().out)


def bandwidth_is_limited_in_both_directions(host):
    a, b = host.guest("a", "--in=16000000", "--out=8000000"), host.guest("b")
    for guest in (a, b):
        guest.start(sys.executable, PEER, "sink", 90)
    count = 3_000_000
    into, out = _seconds(b, a.address(), count), _seconds(a, b.address(), count)
    assert 1.0 < into < 3.5, into  # 1.5 s, less the burst
    assert 2.0 < out < 6, out  # 3 s
    host.probe("default", "limit", "a").ok()
    assert _seconds(b, a.address(), count) < 0.7 and _seconds(a, b.address(), count) < 0.7


def counters_survive_reconnects(host):
    host.create("other").ok()
    a, b = host.guest("a"), host.guest("b")
    b.start(sys.executable, PEER, "sink", 90)
    _seconds(a, b.address(), 1_000_000)
    before = host.probe("default", "counters", "a").ok().json
    assert before["outBytes"] > 1_000_000 > before["inBytes"] > 1000
    host.probe("default", "disconnect", "a", a.pid, "default").ok()
    between = host.probe("default", "counters", "a").ok().json
    assert between["outBytes"] >= before["outBytes"]
    host.probe("default", "connect", "a", a.pid, "default").ok()
    after = host.probe("default", "counters", "a").ok().json
    assert after["outBytes"] >= between["outBytes"]


# --- ends ------------------------------------------------------------------------------------

def a_hundred_attaches_and_detaches_leave_nothing(host):
    a = host.guest("a", attach=False)
    host.probe("default", "loop", "a", a.pid, 100).ok()
    assert not host.left()
    host.probe("default", "remove", "default").ok()
    assert not host.links() and "vrun" not in host.rules()


def an_attachment_that_is_dropped_is_undone(host):
    a = host.guest("a", attach=False)
    a.attach("--publish=8080:80", "--drop").ok()
    assert not host.left()
    a.attach("--publish=8080:80").ok()


def a_guest_that_ended_gives_its_address_and_ports_back(host):
    a = host.guest("a", "--publish=8080:80")
    a.end()
    a.detach("--leave").ok()
    runtime.wait_for(lambda: not host.left(), "the interface's end")


def what_a_killed_command_left_is_repaired(host):
    witness = host.guest("w")
    a = host.guest("a", attach=False)
    it = subprocess.Popen(host.command(*host.probe_words("default", "attach", "a", a.pid, "--publish=8080:80", f"--hosts={a.hosts}", "--hold")),
                          stdout=subprocess.PIPE, text=True)
    assert it.stdout.readline()
    it.kill()
    it.wait()
    it.stdout.close()
    a.end()  # its engine ends a guest that never started
    before = host.left()
    assert any("8080" in thing for thing in before)
    runtime.wait_for(lambda: len([n for n in host.links() if n.startswith("ve")]) == 1, "the interface's end")
    host.probe("default", "repair").ok()
    assert not any("8080" in thing or thing.endswith("/a.json") for thing in host.left())
    assert "\ta " not in witness.hosts.read_text()
    assert len(host.left()) < len(before)


def a_port_of_a_dead_guest_is_free_without_asking_for_repair(host):
    a = host.guest("a", "--publish=8080:80")
    a.end()
    runtime.wait_for(lambda: not [n for n in host.links() if n.startswith("ve")], "the interface's end")
    host.guest("b", "--publish=8080:80").serve("b")
    assert host.outside.ask(HOST4, 8080) == f"b {OUTSIDE4}"


def kill_9_at_any_moment_leaves_what_repair_takes_back(host):
    rng = random.Random(7)
    host.guest("w").detach().ok()  # the bridge is there
    for n in range(40):
        a = host.guest(f"k{n}", attach=False)
        it = subprocess.Popen(host.command(*host.probe_words("default", "attach", a.name, a.pid, "--publish=8080:80", f"--hosts={a.hosts}",
                                                             "--in=16000000", "--out=16000000")),
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0, 0.03))
        it.send_signal(signal.SIGKILL)
        it.wait()
        a.end()
        runtime.wait_for(lambda: not [n for n in host.links() if n.startswith("ve")], "the interface's end")
        host.probe("default", "repair").ok()
        assert not host.left(), n
    host.guest("last", "--publish=8080:80").serve("last")
    assert host.outside.ask(HOST4, 8080) == f"last {OUTSIDE4}"


def many_at_once_get_different_addresses(host):
    guests = [host.guest(f"g{n}", attach=False) for n in range(12)]
    running = [subprocess.Popen(host.command(*host.probe_words("default", "attach", g.name, g.pid, f"--hosts={g.hosts}")), stdout=subprocess.PIPE, text=True)
               for g in guests]
    facts = [json.loads(it.communicate(timeout=60)[0]) for it in running]
    assert len({f["networks"][0]["address"] for f in facts}) == len(guests)
    for guest in guests:
        assert all(f["networks"][0]["address"] in guest.hosts.read_text() for f in facts)


# --- the verbs -------------------------------------------------------------------------------

def the_verbs_make_show_and_remove_networks(host):
    assert host.vrun("network", "create", "web", "--label", "tier=front").ok().out == "web\n"
    host.vrun("network", "create", "db", "--internal", "--subnet", "10.7.0.0/24", "--ipv6=false").ok()
    assert host.vrun("network", "ls", "-q").ok().out == "db\nweb\n"
    assert host.vrun("network", "ls", "-q", "--filter", "label=tier=front").ok().out == "web\n"
    shown = host.vrun("network", "inspect", "db").ok().json[0]["network"]
    assert shown["subnet"] == "10.7.0.0/24" and shown["internal"] and "subnet6" not in shown
    a = host.guest("a", "--network=web")
    assert host.vrun("network", "inspect", "web").ok().json[0]["guests"][0]["guest"] == "a"
    host.vrun("network", "rm", "web").fails("network 'web' is in use by a", "vrun network disconnect web GUEST")
    assert host.vrun("network", "prune").ok().out == "db\n"
    a.detach().ok()
    assert host.vrun("network", "rm", "web").ok().out == "web\n"
    assert not host.links() and "vrun" not in host.rules()


@pytest.mark.parametrize("words, text, hint", [
    (("create", "web"), "vrun: network 'web' already exists", "choose another name"),
    (("create", "host"), "network 'host': not a name for a network", "meaning of its own"),
    (("create", "a/b"), "network 'a/b': not a name", "letters, digits"),
    (("create", "x", "--subnet", "10.7.0.1/24"), "--subnet '10.7.0.1/24': not a subnet", "write ADDRESS/BITS"),
    (("create", "x", "--subnet", "192.0.2.0/25"), "the host has a route to 192.0.2.0/24", "choose another --subnet"),
    (("create", "x", "--subnet", "169.254.0.0/16"), "not addresses of hosts", "take one of 10.0.0.0/8"),
    (("create", "x", "--subnet", "169.254.169.0/24"), "not addresses of hosts", "take one of 10.0.0.0/8"),
    (("create", "x", "--subnet", "169.0.0.0/8"), "not addresses of hosts", ""),
    (("create", "x", "--subnet", "127.1.0.0/16"), "not addresses of hosts", ""),
    (("create", "x", "--subnet", "224.0.0.0/8"), "not addresses of hosts", ""),
    (("create", "x", "--subnet", "0.0.0.0/0"), "the prefix is not from 8 to 30", ""),
    (("create", "x", "--subnet", "ff00::/64"), "not addresses of hosts", "fd00::/8"),
    (("create", "x", "--subnet", "fe80::/64"), "not addresses of hosts", "fd00::/8"),
    (("create", "-d", "macvlan", "x"), "--driver 'macvlan': not bridge", ""),
    (("create", "x", "--mtu", "100"), "mtu 100: not from 1280 to 65535", ""),
    (("rm", "wbe"), "network 'wbe': there is none of this name", "did you mean 'web'?"),
    (("inspect", "nothing"), "network 'nothing': there is none", "vrun network ls"),
    (("connect", "web", "ghost"), "no such guest 'ghost'", "vrun ps"),
    (("lss",), "unknown verb 'network lss'", "did you mean network ls?"),
])
def a_wrong_word_gets_one_clear_error(host, words, text, hint):
    host.vrun("network", "create", "web").ok()
    # A verb that takes several goes on with the others and says 1 at the end.
    host.vrun("network", *words).fails(text, hint, rc=125)
    assert host.vrun("network", "ls", "-q").ok().out == "web\n"


def forwarding_is_turned_on_and_advertisements_go_on(host):
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0").ok()
    host.run("sysctl", "-qw", "net.ipv6.conf.uplink.accept_ra=1").ok()
    host.guest("a")
    assert host.run("cat", "/proc/sys/net/ipv4/ip_forward").out == "1\n"
    assert host.run("cat", "/proc/sys/net/ipv6/conf/all/forwarding").out == "1\n"
    assert host.run("cat", "/proc/sys/net/ipv6/conf/uplink/accept_ra").out == "2\n"


def forwarding_that_cannot_be_turned_on_is_said(host):
    a = host.guest("a", attach=False)
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=0").ok()
    words = host.probe_words("default", "attach", "a", a.pid)
    done = host.run("unshare", "-m", "sh", "-c", "mount --bind -o ro /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec \"$@\"", "sh", *words)
    done.ok()
    assert "warning: guests reach nothing beyond this host" in done.err and "net.ipv4.ip_forward=1" in done.err
