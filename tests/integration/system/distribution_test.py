"""A whole Debian 12 with systemd as process 1, made by debootstrap (tests/lab/debian)."""
import subprocess
import time
from pathlib import Path

import pytest

from harness import everyday, host, runtime

BUILD = Path(__file__).resolve().parents[3] / "build"
NONE = ("--network", "none")


def _tar(name="debian-12"):
    """Made before the tests: they have no network."""
    host.need("Debian root file system with Podman" if name.endswith("podman") else "Debian root file system")
    return BUILD / f"{name}.tar"


@pytest.fixture
def vrun(work):
    with everyday.fresh(work, disk="2G") as it:
        yield it


def _systemd(vrun, *words):
    return vrun("exec", "deb", *words, timeout=300)


def _boot(vrun, tar, *flags):
    vrun("import", tar, "debian", timeout=900).ok()
    vrun("run", "-d", "--system", *NONE, *flags, "--name", "deb", "debian", timeout=300).ok()
    _wait_until_up(vrun)


def _wait_until_up(vrun):
    """Its bus comes some time after the init."""
    end = time.monotonic() + 600
    while "running" != (said := _systemd(vrun, "systemctl", "is-system-running").out.strip()):
        assert time.monotonic() < end and said not in ("degraded", "maintenance"), f"{said}: {vrun('logs', 'deb').out[-3000:]}"
        time.sleep(1)


def systemd_boots_works_reboots_and_powers_off(vrun):
    _boot(vrun, _tar(), *(["--memory", "1g"] if host.has("memory controller") else []))
    out = _systemd(vrun, "systemctl", "list-units", "--failed", "--no-legend", "--plain").ok().out
    assert out == "", "no unit has failed"
    assert _systemd(vrun, "systemctl", "list-unit-files", "--state=masked-runtime", "--no-legend").out == "", "vrun masks none"
    assert _systemd(vrun, "cat", "/proc/1/comm").ok().out == "systemd\n"
    # The console and the journal.
    vrun.wait_for_log("deb", "login:")
    _systemd(vrun, "logger", "-t", "test", "a line for the journal").ok()
    runtime.wait_for(lambda: "a line for the journal" in _systemd(vrun, "journalctl", "-t", "test", "--no-pager").out, "the journal has it")
    # A unit of its own, in a group of its own, with walls that want mounts and namespaces.
    _systemd(vrun, "systemd-run", "--wait", "-p", "PrivateTmp=yes", "-p", "ProtectSystem=strict", "-p", "ProtectProc=invisible",
             "-p", "PrivateUsers=yes", "-p", "DynamicUser=yes", "sh", "-c", "grep system.slice/run- /proc/self/cgroup").ok()
    if host.has("v2 hierarchy with memory"):
        _systemd(vrun, "systemd-run", "--wait", "-p", "MemoryMax=64M", "-p", "TasksMax=20", "sh", "-c",
                 "test $(cat /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/memory.max) = 67108864").ok()
    mine = vrun("machine-id", "deb").ok().out
    assert _systemd(vrun, "cat", "/etc/machine-id").ok().out == mine
    assert "container-other" in _systemd(vrun, "systemd-detect-virt", "-c").out
    # Another life of the same guest.
    _systemd(vrun, "touch", "/kept").ok()
    first = vrun.state("deb")["pid"]
    _systemd(vrun, "systemctl", "reboot")
    runtime.wait_for(lambda: vrun.state("deb")["status"] == "running" and vrun.state("deb")["pid"] != first, "it begins again")
    _wait_until_up(vrun)
    _systemd(vrun, "test", "-e", "/kept").ok()
    assert _systemd(vrun, "cat", "/etc/machine-id").ok().out == mine
    # Its own shutdown, well before it would be killed.
    vrun("stop", "deb", timeout=120).ok()
    state = vrun.state("deb")
    assert (state["exitCode"], state["reason"]) == (0, "powered off from inside"), state
    assert "Stopped" in vrun("logs", "deb").out, "its services were stopped"


def vrun_in_a_system_guest_runs_guests_of_its_own(vrun):
    # The programs and the image that comes with them.
    _boot(vrun, _tar(), "-v", f"{Path(vrun.program).resolve().parents[1]}:/opt/vrun:ro,noidmap", "-v", "inner:/var/lib/vrun")
    inner = ("/opt/vrun/bin/vrun",)
    out = _systemd(vrun, *inner, "run", "--rm", *NONE, "base", "sh", "-c", "echo $((6 * 7)) inside of $(hostname); cat /proc/1/comm").ok().out
    assert out.startswith("42 inside of")
    limit = ["--memory", "64m", "--pids-limit", "20"] if host.has("v2 hierarchy with memory") else []
    _systemd(vrun, *inner, "run", "-d", *NONE, *limit, "--name", "in", "base", "sleep", "1000").ok()
    assert "in" in _systemd(vrun, *inner, "ps").ok().out
    _systemd(vrun, *inner, "exec", "in", "true").ok()
    _systemd(vrun, *inner, "rm", "-f", "in").ok()


def _podman(vrun):
    _boot(vrun, _tar("debian-12-podman"))
    vrun("create", *NONE, "--name", "source", "base").ok()
    tar = vrun.data / "base.tar"
    vrun("export", "--output", tar, "source").ok()
    vrun("cp", tar, "deb:/base.tar").ok()


# Podman asks for a limit by itself, which needs the controller in the guest's tree.
def _podman_run():
    return ("podman", "run", "--rm", *([] if host.has("v2 hierarchy with memory") else ["--pids-limit", "0"]))


def podman_in_a_system_guest_runs_containers(vrun):
    _podman(vrun)
    _systemd(vrun, "podman", "import", "/base.tar", "tiny").ok()
    out = _systemd(vrun, *_podman_run(), "--network", "none", "tiny", "echo", "a container in a guest").ok().out
    assert "a container in a guest" in out
    # With namespaces of users again below that, and on a bridge of its own.
    out = _systemd(vrun, *_podman_run(), "--network", "none", "--uidmap", "0:1000:1000", "tiny", "cat", "/proc/self/uid_map").ok().out
    assert out.split() == ["0", "1000", "1000"]
    out = _systemd(vrun, *_podman_run(), "tiny", "ip", "addr").ok().out
    assert "inet 10.88.0." in out


def podman_of_a_user_in_a_system_guest_runs_containers(vrun):
    _podman(vrun)
    _systemd(vrun, "sh", "-c", "useradd -m -s /bin/bash bob && for f in uid gid; do echo bob:10000:50000 > /etc/sub$f; done && loginctl enable-linger bob").ok()
    uid = _systemd(vrun, "id", "-u", "bob").ok().out.strip()
    runtime.wait_for(lambda: _systemd(vrun, "test", "-S", f"/run/user/{uid}/systemd/private").rc == 0, "bob's systemd is up")
    script = f"export XDG_RUNTIME_DIR=/run/user/{uid}; podman import -q /base.tar tiny && {' '.join(_podman_run())} --network none tiny cat /proc/self/uid_map"
    out = vrun("shell", "--user", "bob", "deb", "sh", "-c", script, timeout=300).ok().out
    assert out.split()[-6:] == ["0", uid, "1", "1", "10000", "50000"]
