"""Micro-VMs on networks: what holds for a container's address, ports, names, limits and walls holds for them."""
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import netlab, runtime
from harness import host as facts

BOOT = 300  # seconds; virtual machines in virtual machines are slow


class VmHost(netlab.Host):
    def vrun(self, *words, timeout=BOOT):
        return self.run(str(Path(runtime.path()).resolve().with_name("vrun")), *words, env=self.env, timeout=timeout)

    def start_vm(self, name, *flags, script="sleep 9999"):
        self.vrun("run", "-d", "--name", name, "--isolation", "vm", *flags, "base", "sh", "-c", script).ok()
        self.vrun("exec", name, "true").ok()

    def inside(self, name, script):
        return self.vrun("exec", name, "sh", "-c", script)

    def page(self, guest, address):
        """What a web server answers to a guest."""
        return self.inside(guest, f"printf 'GET /page HTTP/1.0\\r\\n\\r\\n' | nc -w 9 {address} 80").out.replace("\r", "").rpartition("\n\n")[2]


def _fetch(space, url):
    return space.run(sys.executable, "-c", f"import urllib.request as u; print(u.urlopen('{url}', timeout=30).read()[:6])", timeout=BOOT)


@pytest.fixture
def host(work):
    facts.need("micro-VMs")
    it = VmHost(_disk(work))
    yield it
    for line in it.vrun("ps", "-aq").out.split():
        it.vrun("rm", "-f", line)
    try:  # the kernel takes away the pairs of a network namespace after its last process
        runtime.wait_for(lambda: all(name.startswith("vr-") for name in it.links()), "no interface of a guest is left", 10)
    finally:
        it.end()
        if it.work != work:
            subprocess.run(["umount", "-l", it.work], check=True)


def _disk(work):
    """A place where image layers can be mounted by ids: the tests' own, or a disk in it."""
    if facts.has("idmapped tmpfs"):
        return work
    (work / "disk").mkdir()
    with open(work / "disk.img", "wb") as image:
        image.truncate(900 << 20)
    subprocess.run(["mkfs.ext4", "-q", work / "disk.img"], check=True)
    subprocess.run(["mount", "-o", "loop", work / "disk.img", work / "disk"], check=True)
    return work / "disk"


WEB = "mkdir /w; echo hello > /w/page; exec httpd -f -p 80 -h /w"


def _endpoint(host, name):
    return next(iter(host.inspect(name)["networkSettings"]["networks"].values()))


def a_micro_vm_is_on_the_default_network_as_a_container_is(host):
    host.start_vm("web", "-p", "8080:80", "--sysctl", "net.ipv4.conf.eth0.log_martians=1", script=WEB)
    facts = _endpoint(host, "web")
    seen = host.inside("web", "ip addr show eth0; ip route; cat /proc/sys/net/ipv4/conf/eth0/log_martians; uname -r").ok().out
    assert f"inet {facts['ipAddress']}/" in seen and f"link/ether {facts['macAddress']} " in seen
    assert f"default via {facts['gateway']} dev eth0" in seen and "mtu 1400" in seen
    # a container and the VM, both ways, by name and with large packets
    host.vrun("run", "-d", "--name", "c", "base", "sh", "-c", WEB).ok()
    for here, there in (("c", "web"), ("web", "c")):
        host.inside(here, f"ping -c 2 -W 5 -s 3000 {there}").ok()
        assert host.page(here, there) == "hello\n"
    # published, and the way out
    assert "hello" in _fetch(host.outside, f"http://{netlab.HOST4}:8080/page").ok().out
    host.outside.serve("beyond", port=81)
    assert host.inside("web", f"nc -w 9 {netlab.OUTSIDE4} 81").ok().out == f"beyond {netlab.HOST4}"
    host.vrun("update", "--publish-rm", "8080:80", "--publish-add", "8081:80", "web").ok()
    assert _fetch(host.outside, f"http://{netlab.HOST4}:8080/page").rc != 0
    assert "hello" in _fetch(host.outside, f"http://{netlab.HOST4}:8081/page").ok().out


def networks_keep_micro_vms_apart_and_two_cards_join_two_networks(host):
    host.vrun("network", "create", "--ipv6", "front").ok()
    host.vrun("network", "create", "back").ok()
    host.start_vm("one", "--network", "front:alias=first", script=WEB)
    host.start_vm("two", "--network", "front", "--network", "back", script=WEB)
    host.start_vm("apart", "--network", "back", script=WEB)
    assert host.page("two", "first") == host.page("two", "apart") == "hello\n"
    cards = host.inside("two", "ls /sys/class/net; ip route | grep -c default").ok().out.split()
    assert cards == ["eth0", "eth1", "lo", "1"]
    six = _endpoint(host, "one")["globalIPv6Address"]
    host.inside("two", f"ping -6 -c 1 -W 9 {six}").ok()
    one = _endpoint(host, "one")["ipAddress"]
    assert host.inside("apart", f"ping -c 1 -W 2 {one}").rc != 0
    assert host.page("apart", one) == host.page("apart", "first") == ""


def _cards(host, name):
    return sorted(host.inside(name, "ls /sys/class/net").ok().out.split())


def cards_come_and_go_while_it_runs(host):
    facts.need("KVM that runs stock kernels")
    host.vrun("network", "create", "front").ok()
    host.vrun("network", "create", "back").ok()
    host.start_vm("one", "--network", "front", script=WEB)
    host.vrun("run", "-d", "--name", "c", "--network", "front", "--network", "back", "base", "sh", "-c", WEB).ok()
    # the first is the way out, the second is not, and both are as a container's
    host.vrun("network", "connect", "back:alias=behind", "one").ok()
    assert _cards(host, "one") == ["eth0", "eth1", "lo"]
    networks = host.inspect("one")["networkSettings"]["networks"]
    seen = host.inside("one", "ip addr; ip route").ok().out
    assert all(f"inet {n['ipAddress']}/" in seen and f"link/ether {n['macAddress']} " in seen for n in networks.values())
    assert [line.split()[2:5:2] for line in seen.splitlines() if line.startswith("default")] == [[networks["front"]["gateway"], "eth0"]]
    assert host.page("one", "c") == host.page("c", "one") == host.page("c", "behind") == "hello\n"
    host.vrun("network", "connect", "back", "one").fails("already", rc=125)
    # the way out goes, the other one becomes it
    host.vrun("network", "disconnect", "front", "one").ok()
    assert _cards(host, "one") == ["eth1", "lo"]
    assert f"default via {networks['back']['gateway']} dev eth1" in host.inside("one", "ip route").ok().out
    assert host.page("c", "behind") == "hello\n"
    # again and again, with traffic on it
    for round in range(10):
        host.vrun("network", "connect", "front", "one").ok()
        assert host.inside("c", "ping -c 1 -W 9 one").rc == 0, round
        host.vrun("network", "disconnect", "front", "one").ok()
    assert _cards(host, "one") == ["eth1", "lo"]
    host.vrun("vm", "snapshot", "one", "s").fails("came or went", "vrun restart", rc=125)
    # a restart boots with what was plugged
    host.vrun("network", "connect", "front", "one").ok()
    host.vrun("restart", "one").ok()
    host.vrun("exec", "one", "true").ok()
    assert _cards(host, "one") == ["eth0", "eth1", "lo"]


def a_command_that_is_killed_while_a_card_comes_or_goes_can_be_repeated(host):
    facts.need("KVM that runs stock kernels")
    host.vrun("network", "create", "more").ok()
    host.start_vm("one", script=WEB)
    for verb in ("connect", "disconnect", "connect", "disconnect"):
        command = [str(Path(runtime.path()).resolve().with_name("vrun")), "network", verb, "more", "one"]
        started = subprocess.Popen(host.command(*command), env=host.env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.05)
        started.kill()
        started.wait(30)
        repeated = host.vrun("network", verb, "more", "one")
        assert repeated.rc == 0 or "already" in repeated.err or "is not on network" in repeated.err, repeated.err
        assert _cards(host, "one") == (["eth0", "eth1", "lo"] if verb == "connect" else ["eth0", "lo"])


def cards_stay_where_the_machine_cannot_change_them(host):
    host.vrun("network", "create", "more").ok()
    host.start_vm("one", script=WEB)
    host.vrun("pause", "one").ok()
    host.vrun("network", "connect", "more", "one").fails("is paused", "vrun unpause", rc=125)
    host.vrun("unpause", "one").ok()
    if not facts.has("KVM that runs stock kernels"):
        host.vrun("network", "connect", "more", "one").fails("QEMU", "vrun stop", rc=125)
    host.vrun("stop", "-t", "1", "one").ok()
    host.vrun("network", "connect", "more", "one").ok()


def bandwidth_limits_a_micro_vm_and_changes_while_it_runs(host):
    host.start_vm("slow", "--bandwidth", "8M", script=f"mkdir /w; dd if=/dev/zero of=/w/file bs=1M count=2; {WEB.removeprefix('mkdir /w; ')}")
    url = f"http://{_endpoint(host, 'slow')['ipAddress']}/file"

    def seconds():
        begun = time.monotonic()
        _fetch(host, url).ok()
        return time.monotonic() - begun

    runtime.wait_for(lambda: _fetch(host, url.replace("file", "page")).rc == 0, "it listens")
    limited = seconds()
    assert 1.0 < limited < 15, "8 Mbit/s: two megabytes take two seconds, less what the burst lets through"
    host.vrun("update", "--bandwidth", "-1", "slow").ok()
    assert seconds() < limited / 2
    host.vrun("update", "--bandwidth-out", "8M", "slow").ok()
    assert seconds() > 1.0


def what_a_micro_vms_network_cannot_be_is_said(host):
    host.vrun("run", "-d", "--name", "c", "base", "sleep", "999").ok()
    host.vrun("run", "--isolation", "vm", "--network", "host", "base", "true").fails("--network host", "interfaces of its own", rc=125)
    host.vrun("run", "--isolation", "vm", "--network", "container:c", "base", "true").fails("container:NAME", rc=125)
    assert host.vrun("ps", "-aq").out.split() and len(host.vrun("ps", "-aq").out.split()) == 1


def a_clone_that_goes_on_has_a_card_of_its_own(host):
    facts.need("KVM that runs stock kernels")
    host.start_vm("web", script=WEB)
    host.vrun("vm", "snapshot", "web", "warm").ok()
    host.vrun("vm", "clone", "web@warm", "two").ok()
    first, second = _endpoint(host, "web"), _endpoint(host, "two")
    assert first["ipAddress"] != second["ipAddress"] and first["macAddress"] != second["macAddress"]
    seen = host.inside("two", "ip addr show eth0; ip route; hostname").ok().out
    assert f"inet {second['ipAddress']}/" in seen and f"link/ether {second['macAddress']} " in seen and first["ipAddress"] not in seen
    assert f"default via {second['gateway']} dev eth0" in seen and seen.endswith("two\n")
    # The web servers that the one had are both there, by their names and addresses.
    for here, there in (("web", "two"), ("two", "web")):
        host.inside(here, f"ping -c 2 -W 5 -s 3000 {there}").ok()
        assert host.page(here, there) == "hello\n"
    assert "hello" in _fetch(host, f"http://{second['ipAddress']}/page").ok().out
    host.outside.serve("beyond", port=81)
    assert host.inside("two", f"nc -w 9 {netlab.OUTSIDE4} 81").ok().out == f"beyond {netlab.HOST4}"


def a_restored_guest_has_its_address_and_ports_again(host):
    facts.need("KVM that runs stock kernels")
    host.start_vm("web", "-p", "80", script=WEB)
    had, ports = _endpoint(host, "web"), host.vrun("port", "web").ok().out
    host.vrun("checkpoint", "web").ok()
    # Others come meanwhile, and one takes its very address.
    host.vrun("run", "-d", "--name", "other", "base", "sleep", "999").ok()
    host.vrun("run", "-d", "--name", "thief", "--ip", had["ipAddress"], "base", "sleep", "999").ok()
    host.vrun("restore", "web").fails(had["ipAddress"], rc=125)
    host.vrun("rm", "-f", "thief").ok()
    host.vrun("restore", "web").ok()
    assert _endpoint(host, "web") == had and host.vrun("port", "web").ok().out == ports
    assert f"inet {had['ipAddress']}/" in host.inside("web", "ip addr show eth0").ok().out
    assert "hello" in _fetch(host, f"http://{had['ipAddress']}/page").ok().out
    host.inside("other", f"ping -c 2 -W 9 {had['ipAddress']}").ok()
    host.inside("web", "ping -c 2 -W 9 other").ok()
