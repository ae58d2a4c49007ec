"""Flags of docker run beside the first ones: each by its effect; those that vrun has not say what to do instead."""
import re
import signal
import subprocess
from pathlib import Path

import pytest

from harness import everyday, netlab


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


NONE = ("--net", "none")


def what_it_is_called_and_labelled(vrun, work):
    (work / "labels").write_text("# of the team\na=1\n\nb\n")
    id = vrun.detached("sleep 1000", "--name", "g", *NONE, "--cidfile", work / "id", "--label-file", work / "labels",
                       "-l", "c=3", "--domainname", "example.net", "--annotation", "org.x=y")
    assert (work / "id").read_text() == id
    seen = vrun.inspect("g")["request"]
    assert seen["labels"] == ["a=1", "b", "c=3"] and seen["network"] == "none"
    assert vrun("exec", "g", "cat", "/proc/sys/kernel/domainname").ok().out == "example.net\n"
    assert '"org.x": "y"' in vrun("plan", *NONE, "--annotation", "org.x=y", "base", "true").ok().out
    vrun("create", *NONE, "--cidfile", work / "id", "base").fails("the file exists", rc=125)
    vrun("create", *NONE, "--annotation", "x", "base").fails("not NAME=VALUE", rc=125)
    vrun("create", *NONE, "--uts", "host", "--domainname", "x", "base").fails("--domainname and --uts host", rc=125)
    vrun("rm", "-f", "g").ok()
    vrun("run", "--rm", *NONE, "--cidfile", work / "direct", "base", "true").ok()
    assert re.fullmatch("[0-9a-f]{64}", (work / "direct").read_text())


def limits_in_the_kernels_own_words(vrun):
    assert vrun("run", "--rm", *NONE, "--oom-score-adj", "321", "base", "cat", "/proc/self/oom_score_adj").ok().out == "321\n"
    vrun("run", "--rm", *NONE, "--oom-score-adj", "1001", "base", "true").fails("-1000 to 1000", rc=125)
    plan = vrun("plan", *NONE, "--cpu-quota", "50000", "--cpu-period", "200000", "base", "true").ok().out
    assert '"quota": 50000' in plan and '"period": 200000' in plan
    vrun("plan", *NONE, "--cpu-quota", "50000", "--cpus", "1", "base", "true").fails("say the same", rc=125)
    vrun("plan", *NONE, "--cpu-quota", "5", "base", "true").fails("--cpu-quota '5'", rc=125)
    vrun("plan", *NONE, "--cpu-period", "5", "base", "true").fails("--cpu-period '5'", rc=125)


def a_guest_without_a_log(vrun):
    vrun.detached("echo lost", "--name", "n", *NONE, "--log-driver", "none")
    vrun.wait_for("n", status="exited", exitCode=0)
    vrun("logs", "n").fails("has no log: --log-driver none", rc=125)
    assert not sum(f.stat().st_size for f in (vrun.data / "guests/default/n/logs").iterdir())
    vrun("rm", "n").ok()
    vrun.detached("echo kept", "--name", "k", *NONE, "--log-driver", "json-file")
    vrun.wait_for_log("k", "kept")
    vrun("rm", "-f", "k").ok()
    vrun("create", *NONE, "--log-driver", "syslog", "base").fails("--log-driver 'syslog'", "json-file", rc=125)


def _heed_hangups():
    """Under nohup SIGHUP is ignored, and programs inherit that."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def signals_stay_with_us(vrun):
    script = "trap 'echo heard' HUP; echo up; while :; do sleep 0.05; done"
    for flags, heard in ((("--sig-proxy=false",), False), ((), True)):
        ours = vrun.start("run", "--rm", "--name", "s", *NONE, *flags, "base", "sh", "-c", script,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, preexec_fn=_heed_hangups)
        assert ours.stdout.readline() == "up\n"
        ours.send_signal(signal.SIGHUP)
        if heard:
            assert ours.stdout.readline() == "heard\n"
        else:
            ours.wait(20)  # as Docker's client: it dies of it, the guest goes on
            assert vrun.state("s")["status"] == "running"
        vrun("rm", "-f", "s").ok()
        ours.wait(20)
        ours.stdout.close()


def missing_flags_say_what_to_do(vrun):
    for flag, words in (("--gpus=all", "--device"), ("--cgroup-parent=/x", "below the group of their tenant"),
                        ("--oom-kill-disable", "--oom-score-adj"), ("-a", "2>/dev/null"), ("--link=x", "by name")):
        vrun("run", *NONE, flag, "base", "true").fails("vrun has no flag", words, rc=125)
    vrun("run", *NONE, "-e", "--gpus", "--rm", "base", "true").ok()  # a value that looks like one


def a_directory_stands_for_the_devices_below_it(vrun):
    real = Path("/dev/net")
    if not real.is_dir():
        pytest.skip("no directory of devices: /dev/net")
    names = sorted(p.name for p in real.iterdir() if p.is_char_device())
    assert vrun("run", "--rm", *NONE, "--device", "/dev/net", "base", "ls", "/dev/net").ok().out.split() == names
    assert vrun("run", "--rm", *NONE, "--device", "/dev/net:/dev/it:r", "base", "ls", "/dev/it").ok().out.split() == names
    vrun("run", "--rm", *NONE, "--device", "/dev", "base", "true").fails("all of /dev", rc=125)
    vrun("run", "--rm", *NONE, "--device", "/etc", "base", "true").fails("--device '/etc'", rc=125)


def an_update_takes_the_place_of_a_quota(vrun):
    vrun("create", "--name", "q", *NONE, "--cpu-quota", "50000", "base").ok()
    vrun("update", "--cpus", "0.2", "q").ok()
    request = vrun.inspect("q")["request"]
    assert request["cpus"] == "0.2" and "cpuQuota" not in request
    vrun("rm", "q").ok()


@pytest.fixture
def host(work):
    it = netlab.Host(work)
    yield it
    for line in it.vrun("ps", "-aq").out.split():
        it.vrun("rm", "-f", line)
    it.end()


def all_exposed_ports_and_a_hardware_address(host):
    mac = "02:42:ac:11:00:77"
    host.vrun("run", "-d", "--name", "web", "-P", "--expose", "80", "--expose", "53/udp", "-p", "8080:80",
              "--mac-address", mac, "base", "sleep", "1000").ok()
    settings = host.vrun("inspect", "web").ok().json[0]["networkSettings"]
    assert settings["macAddress"] == mac and mac in host.vrun("exec", "web", "ip", "link").ok().out
    assert settings["ports"]["80/tcp"][0]["hostPort"] == "8080" and int(settings["ports"]["53/udp"][0]["hostPort"]) > 1024
    host.vrun("run", "--net", "none", "--mac-address", mac, "base").fails("--mac-address", rc=125)
    host.vrun("run", "--mac-address", "x", "base").fails("not a hardware address", rc=125)
    host.vrun("run", "--net", "none", "-P", "base").fails("--publish-all", rc=125)
