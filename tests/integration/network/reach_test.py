"""What people try first with two guests: ping by name, and where `inspect` says they are."""
import pytest

from harness import netlab


@pytest.fixture
def host(work):
    it = netlab.Host(work)
    yield it
    for line in it.vrun("ps", "-aq").out.split():
        it.vrun("rm", "-f", line)
    it.end()


def inspect_knows_the_address_and_the_ports_as_chosen(host):
    host.vrun("run", "-d", "--name", "web", "-p", "8080:80", "-p", "81", "base", "sleep", "1000").ok()
    where = host.vrun("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web").ok().out.strip()
    ranged = host.vrun("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.MacAddress}}{{end}}", "web").ok().out
    seen = host.vrun("exec", "web", "ip", "addr", "show", "eth0").ok().out
    assert f"inet {where}/" in seen and ranged.split()[0] == where and f"link/ether {ranged.split()[1]} " in seen
    ports = host.vrun("inspect", "web").ok().json[0]["networkSettings"]["ports"]
    assert {"hostIp": "0.0.0.0", "hostPort": "8080"} in ports["80/tcp"]
    chosen = int(ports["81/tcp"][0]["hostPort"])
    assert chosen > 1024
    host.vrun("stop", "-t", "0", "web").ok()
    assert host.vrun("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web").ok().out == "\n"


def root_pings_another_guest_by_name(host):
    host.vrun("run", "-d", "--name", "web", "base", "sleep", "1000").ok()
    assert "0% packet loss" in host.vrun("run", "--rm", "base", "ping", "-c", "1", "-W", "5", "web").ok().out


def raw_packets_stay_on_the_guests_own_network(host):
    """The default capabilities have NET_RAW: a forged source does not leave, and nothing is heard of other networks."""
    host.vrun("network", "create", "front").ok()
    host.vrun("run", "-d", "--name", "other", "--network", "front", "base", "sleep", "1000").ok()
    address = host.vrun("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "other").ok().out.strip()
    host.vrun("run", "--rm", "base", "ping", "-c", "1", "-W", "1", address).fails(rc=1)
    bridges = [line.split(":")[1].strip() for line in host.run("ip", "-o", "link", "show", "type", "bridge").ok().out.splitlines()]
    assert len(bridges) == 2
    for bridge in bridges:
        assert host.run("cat", f"/proc/sys/net/ipv6/conf/{bridge}/accept_ra").ok().out == "0\n"
