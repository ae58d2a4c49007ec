"""The network of an unprivileged user's guests: pasta, slirp4netns, neither; what needs root is refused with the reason."""
import subprocess

import pytest

from harness import host, netlab, runtime, users

KINDS = ("pasta", "slirp4netns")


@pytest.fixture
def lab(work):
    host.need("newuidmap")
    (work / "lab").mkdir()
    it = netlab.Host(work / "lab")
    yield it
    it.outside.end()
    it.end()


@pytest.fixture
def vrun(work, lab):
    with users.fresh(work, lab) as it:
        yield it


def _only(vrun, *kinds):
    for kind in kinds:
        host.need(kind)
    vrun.with_programs("newuidmap", "newgidmap", *kinds)


@pytest.mark.parametrize("kind", KINDS)
def a_guest_reaches_what_is_outside(vrun, lab, kind):
    _only(vrun, kind)
    lab.outside.serve("far", port=7000)
    # Our end stays open: pasta of Debian 12 may lose the answer to a connection that is half closed.
    out = vrun.sh(f"sleep 2 | timeout 20 nc -w 10 {netlab.OUTSIDE4} 7000").out
    assert out.startswith("far ")
    assert vrun.uplinks() == []


@pytest.mark.parametrize("kind", KINDS)
def a_published_port_answers_and_ends_with_the_guest(vrun, lab, kind):
    _only(vrun, kind)
    vrun("run", "-d", "--name", "web", "-p", "8081:80", "-p", "127.0.0.1:8090-8091:80-81", "base", "sh", "-c",
         "mkdir /w; echo hello > /w/index.html; exec httpd -f -p 80 -h /w").ok()
    assert len(vrun.uplinks()) == 1

    def get(space, address):
        return space.run("timeout", "3", "busybox", "wget", "-q", "-O-", f"http://{address}/").out
    runtime.wait_for(lambda: get(lab, "127.0.0.1:8081") == "hello\n", "the port of the host answers")
    assert get(lab.outside, f"{netlab.HOST4}:8081") == "hello\n"
    assert get(lab, "127.0.0.1:8090") == "hello\n" and get(lab.outside, f"{netlab.HOST4}:8090") == ""
    assert "8081" in vrun("port", "web").ok().out
    vrun("stop", "-t", "0", "web").ok()
    assert vrun.uplinks() == [] and get(lab, "127.0.0.1:8081") == ""
    vrun("start", "web").ok()
    runtime.wait_for(lambda: get(lab, "127.0.0.1:8081") == "hello\n", "the port is back")
    vrun("rm", "-f", "web").ok()
    assert vrun.uplinks() == []


@pytest.mark.parametrize("kind", KINDS)
def the_network_outlives_the_monitor(vrun, lab, kind):
    _only(vrun, kind)
    vrun("run", "-d", "--name", "a", "base", "sleep", "1000").ok()
    before = vrun.uplinks()
    vrun.kill_monitor("a")
    vrun.sh("true", "--network", "none").ok()
    assert vrun.uplinks() == before and len(before) == 1
    vrun("rm", "-f", "a").ok()
    assert vrun.uplinks() == []


@pytest.mark.parametrize("kind", KINDS)
def a_killed_command_leaves_no_network(vrun, lab, kind):
    _only(vrun, kind)
    it = vrun.start("run", "--rm", "base", "sh", "-c", "echo up; exec sleep 1000", stdout=subprocess.PIPE, text=True)
    assert it.stdout.readline() == "up\n"
    it.kill()
    it.wait()
    it.stdout.close()
    for name in vrun("ps", "-q").ok().out.split():  # a guest outlives its command
        vrun("kill", name).ok()
    runtime.wait_for(lambda: not vrun("ps", "-q").out, "the guest has ended")
    vrun.sh("true", "--network", "none").ok()
    assert vrun.uplinks() == []


@pytest.mark.parametrize("kind", KINDS)
def a_port_in_use_is_one_error_and_nothing_stays(vrun, lab, kind):
    _only(vrun, kind)
    lab.serve("mine", port=8081)
    vrun.sh("true", "-p", "8081:80").fails("8081", rc=125)
    assert vrun.uplinks() == [] and vrun("ps", "-aq").ok().out == ""


def with_neither_program_the_default_is_loopback_and_a_warning(vrun):
    _only(vrun)
    done = vrun.sh("ip -o link | wc -l").ok()
    assert done.out == "1\n" and "neither pasta nor slirp4netns is installed" in done.err
    assert vrun.sh("true", "--network", "none").ok().err == ""
    vrun.sh("true", "-p", "8081:80").fails("neither pasta nor slirp4netns", "apt install passt", rc=125)


def the_hosts_network_can_be_used(vrun, lab):
    _only(vrun)
    assert "uplink" in vrun.sh("ip -o link", "--network", "host").ok().out


def what_needs_root_is_refused_with_the_reason(vrun):
    vrun("network", "create", "web").fails("need root", "hint:", rc=125)
    vrun.sh("true", "--network", "web").fails("networks by name: needs root", rc=125)
    vrun.sh("true", "--ip", "10.0.0.5").fails("a fixed address: needs root", rc=125)
    vrun("run", "-d", "--name", "a", "--network", "none", "base", "sleep", "1000").ok()
    vrun.sh("true", "--network", "container:a").fails("without root", rc=125)


def a_host_without_a_way_out_has_guests_with_loopback(vrun, lab):
    _only(vrun, "pasta")
    lab.run("ip", "link", "set", "uplink", "down").ok()
    done = vrun.sh("ip -o link | wc -l").ok()
    assert done.out == "1\n" and "no way out" in done.err


@pytest.mark.parametrize("kind", KINDS)
def without_tun_the_error_says_how_it_comes(vrun, kind):
    _only(vrun, kind)
    vrun.use(("/usr/bin/unshare", "-m", "/bin/sh", "-c", "'/usr/bin/mount -t tmpfs none /dev/net && exec \"$@\"'", "sh"))
    try:
        vrun.sh("true").fails("network without root", "/dev/net/tun is not there: root makes it by modprobe tun; --network none", rc=125)
    finally:
        vrun.use()
    assert vrun.uplinks() == []
