"""System guests: an init as process 1, with its cgroup, its console, its machine id and its end.

BusyBox's init in the image that comes with vrun, so that they run everywhere; distribution_test.py
has a whole Debian with systemd.
"""
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from harness import everyday, host, runtime

NONE = ("--network", "none")
# What stands in for an init where the test is about something else: it reaps nothing.
SLEEPER = ("sh", "-c", "while :; do sleep 1000; done")
INITTAB = "::sysinit:/bin/echo the machine is up\n::respawn:/bin/sleep 1000\n::shutdown:/bin/echo going down\n"


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


@pytest.fixture
def machine(vrun):
    """A system guest with BusyBox's init."""
    vrun("create", "--system", *NONE, "--name", "m", "base", "/bin/busybox", "init").ok()
    table = vrun.data / "inittab"
    table.write_text(INITTAB)
    vrun("cp", table, "m:/etc/inittab").ok()
    vrun("start", "m").ok()
    vrun.wait_for_log("m", "the machine is up")
    return vrun


def _shell(vrun, script, *flags, guest="m"):
    return vrun("exec", *flags, guest, "sh", "-c", script)


def the_init_is_process_1_and_its_console_is_in_the_logs(machine):
    assert _shell(machine, "readlink /proc/1/exe").ok().out.strip() == "/bin/busybox"
    assert _shell(machine, "cat /proc/1/comm").ok().out.strip() in ("init", "busybox")
    assert "the machine is up" in machine("logs", "m").ok().out
    _shell(machine, "echo written to the console > /dev/console").ok()
    machine.wait_for_log("m", "written to the console")
    assert _shell(machine, "ls -l /dev/console").ok().out.startswith("crw")


def attach_is_its_console(vrun):
    vrun("run", "-d", "--system", *NONE, "--name", "m", "base", "sh", "-c", "exec sh -i </dev/console >/dev/console 2>&1").ok()
    terminal = everyday.Terminal(vrun, "attach", "m")
    terminal.type("echo $((20 + 22)) and no more\n")
    terminal.expect("42 and no more")
    terminal.type("\x10\x11")
    assert terminal.wait() == 0
    assert vrun.state("m")["status"] == "running"


def it_is_root_in_its_user_namespace_only(machine):
    first, outside, count = _shell(machine, "cat /proc/self/uid_map").ok().out.split()
    assert (first, count) == ("0", "65536") and int(outside) > 0
    # Mounts of its own, but no machine-wide knob, module, clock or log.
    _shell(machine, "mkdir -p /x && mount -t tmpfs none /x && umount /x").ok()
    for words in ("echo 1 > /proc/sys/kernel/panic", "dmesg", "swapon /dev/null", "mknod /d b 8 0"):
        assert _shell(machine, words).rc != 0, words
    assert "Operation not permitted" in _shell(machine, "date -s 2001-01-01").err
    assert _shell(machine, "echo 77 > /proc/sys/kernel/msgmni && cat /proc/sys/kernel/msgmni").ok().out == "77\n"


def its_cgroup_is_its_own_to_divide_and_its_limits_are_not(vrun):
    limit = ["--pids-limit", "50"] if host.has("pids controller") else []
    vrun("run", "-d", "--system", *NONE, "--name", "m", *limit, "base", *SLEEPER).ok()
    out = _shell(vrun, "cd /sys/fs/cgroup && mkdir a a/b && echo $$ > a/b/cgroup.procs && cat /proc/self/cgroup && cat cgroup.controllers").ok().out
    assert "0::/a/b" in out
    assert _shell(vrun, "stat -f -c %T /sys/fs/cgroup").ok().out.strip() in ("cgroup2fs", "UNKNOWN", "0x63677270")
    # The files of limits stay the host's.
    assert _shell(vrun, "cd /sys/fs/cgroup; for f in cgroup.freeze cgroup.kill pids.max memory.max cgroup.max.descendants; do test -e $f && { echo 1 > $f; } 2>/dev/null && echo $f; done; true").ok().out == ""
    # Nothing outside of its own is to be seen.
    assert _shell(vrun, "ls /sys/fs/cgroup | grep -c vrun").out.strip() == "0"
    vrun("pause", "m").ok()
    vrun("unpause", "m").ok()


def run_tmp_and_lock_are_in_memory(machine):
    for place, mode in (("/run", "755"), ("/run/lock", "1777"), ("/tmp", "1777")):
        assert f" {place} tmpfs " in _shell(machine, "cat /proc/mounts").ok().out
        assert _shell(machine, f"stat -c %a {place}").ok().out.strip() == mode


def nested_proc_and_sys_can_be_mounted(machine):
    # mount_namespaces(7): only where a whole one is to be seen.
    _shell(machine, "unshare -Ur -m -p -f sh -c 'mount -t proc none /proc && cat /proc/self/stat'").ok()
    _shell(machine, "unshare -Ur -m -n sh -c 'mount -t sysfs none /sys && ls /sys/class/net'").ok()
    # Only the guest's root comes near the whole ones.
    assert _shell(machine, "ls /dev/.vrun", "--user", "33").rc != 0


def devices_for_nested_mounts_and_networks_are_there(machine):
    for device in ("/dev/fuse", "/dev/net/tun"):
        there = _shell(machine, f"test -c {device} && test -w {device}").rc == 0
        assert there == (Path(device).exists() and Path(device).stat().st_mode & 6 == 6)
    assert _shell(machine, "ls /dev/kmsg /dev/mem /dev/kvm /dev/sda 2>/dev/null").out == ""


def the_init_knows_that_it_is_in_a_container(machine):
    words = _shell(machine, "tr '\\0' '\\n' < /proc/1/environ").ok().out
    assert "container=vrun\n" in words
    uuid = re.search("container_uuid=(.*)", words).group(1)
    assert uuid.replace("-", "") == machine("machine-id", "m").ok().out.strip()


def machine_ids_last_and_no_two_guests_share_one(machine):
    mine = machine("machine-id", "m").ok().out.strip()
    assert re.fullmatch("[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}", mine)
    assert _shell(machine, "cat /etc/machine-id").ok().out.strip() == mine
    assert _shell(machine, "ls -l /etc/machine-id").ok().out.startswith("-r--r--r--")
    machine("restart", "-t", "20", "m").ok()
    assert _shell(machine, "cat /etc/machine-id").ok().out.strip() == mine
    # An image that is made of it brings its id along, and another guest does not take that.
    machine("commit", "m", "copy").ok()
    machine("run", "-d", "--system", *NONE, "--name", "other", "copy", *SLEEPER).ok()
    other = machine("machine-id", "other").ok().out.strip()
    assert other != mine and _shell(machine, "cat /etc/machine-id", guest="other").ok().out.strip() == other
    machine("run", "-d", *NONE, "--name", "plain", "base", *SLEEPER).ok()
    machine("machine-id", "plain").fails("is no system guest", "run --system", rc=125)


def a_planted_link_for_the_machine_id_leads_nowhere(machine):
    machine("stop", "-t", "20", "m").ok()
    victim = machine.data / "victim"
    victim.write_text("mine")
    plant = machine.data / "plant"
    plant.symlink_to(victim)
    # The guest's own root could do this from inside.
    subprocess.run(["cp", "-P", plant, machine.data / "guests/default/m/upper/etc/machine-id.new"], check=True)
    os.rename(machine.data / "guests/default/m/upper/etc/machine-id.new", machine.data / "guests/default/m/upper/etc/machine-id")
    machine("start", "m").ok()
    assert victim.read_text() == "mine"
    assert _shell(machine, "cat /etc/machine-id").ok().out == machine("machine-id", "m").ok().out


def stop_asks_the_init_to_power_off(machine):
    begun = time.monotonic()
    machine("stop", "m").ok()
    state = machine.state("m")
    assert state["status"] == "exited" and state["exitCode"] == 0, state
    assert state["reason"] == "powered off from inside"
    assert time.monotonic() - begun < 60, "it was killed after its whole time"
    assert "going down" in machine("logs", "m").ok().out


def reboot_inside_begins_a_new_life_of_the_same_guest(machine):
    before = machine.inspect("m")
    _shell(machine, "touch /kept; touch /tmp/gone").ok()
    _shell(machine, "reboot -f", "-d")
    runtime.wait_for(lambda: machine("logs", "m").out.count("the machine is up") == 2, "it is up again")
    machine.wait_for("m", status="running")
    after = machine.inspect("m")
    assert after["id"] == before["id"] and after["state"]["pid"] != before["state"]["pid"]
    assert _shell(machine, "ls /kept /tmp").ok().out.split() == ["/kept", "/tmp:"] or "gone" not in _shell(machine, "ls /tmp").out
    assert machine("machine-id", "m").ok().out.strip() == _shell(machine, "cat /etc/machine-id").out.strip()


def power_off_inside_ends_it(machine):
    _shell(machine, "poweroff -f", "-d")
    machine.wait_for("m", status="exited")
    assert machine.state("m")["reason"] == "powered off from inside" and machine.state("m")["exitCode"] == 0


def a_stop_that_meets_a_reboot_wins(machine):
    _shell(machine, "reboot -f", "-d")
    machine("stop", "-t", "20", "m").ok()
    machine.wait_for("m", status="exited")


def shell_is_a_login_of_the_guests_own_users(machine):
    _shell(machine, "echo 'worker:x:1000:1000::/home/worker:/bin/sh' >> /etc/passwd; mkdir -p /home/worker").ok()
    out = machine("shell", "m", "sh", "-c", "echo $HOME $USER; pwd; id -u; echo 'two  words'").ok().out
    assert out.splitlines() == ["/root root", "/root", "0", "two  words"] or out.splitlines()[2:] == ["0", "two  words"], out
    out = machine("shell", "--user", "worker", "m", "env").ok().out
    for word in ("HOME=/home/worker", "USER=worker", "LOGNAME=worker", "SHELL=/bin/sh", "PWD=/home/worker"):
        assert word in out.splitlines(), out
    machine("shell", "--user", "nobody-here", "m").fails("no user 'nobody-here'", rc=125)
    assert machine("shell", "m", "sh", "-c", "exit 7").rc == 7
    terminal = everyday.Terminal(machine, "shell", "m")
    terminal.type("test -t 0 && echo on a $((40 + 2)) terminal; exit\n")
    terminal.expect("on a 42 terminal")
    assert terminal.wait() == 0
    machine("stop", "-t", "20", "m").ok()
    machine("shell", "m").fails("is not running", "vrun start m", rc=125)


def restore_starts_in_the_order_that_was_asked_for(vrun):
    for name, *after in (("a", "b"), ("b", "c"), ("c",), ("d", "e"), ("e", "d")):
        flags = [word for one in after for word in ("--start-after", one)]
        vrun("run", "-d", *NONE, "--restart", "always", "--name", name, *flags, "base", *SLEEPER).ok()
    assert vrun.inspect("a")["request"]["startAfter"] == ["b"]
    for name in "abcde":
        vrun("kill", name).ok()
        vrun.wait_for(name, status="exited")
    vrun("restore").ok()
    started = {name: vrun.state(name)["startedAt"] for name in "abcde"}
    assert started["c"] < started["b"] < started["a"]
    # Those that wait for each other are started all the same.
    assert started["a"] < started["d"] < started["e"]


def an_order_without_a_restart_policy_is_refused(vrun):
    vrun("create", "--start-after", "db", "base", "true").fails("--start-after without --restart", "--restart unless-stopped", rc=125)


@pytest.mark.parametrize("flags, words", [
    (("--userns", "host"), "its init needs namespaces of its own"),
    (("--pid", "host"), "its init needs namespaces of its own"),
    (("--uts", "host"), "its init needs namespaces of its own"),
    (("--cgroupns", "host"), "its init needs namespaces of its own"),
    (("--network", "host"), "its init would set up the host's network"),
    (("--init",), "the init is the image's own"),
    (("--user", "33"), "an init is root"),
])
def what_an_init_cannot_have_is_refused(vrun, flags, words):
    vrun("run", "--rm", "--system", *flags, "base", "true").fails(f"{' '.join(flags)} and --system: {words}", rc=125)


def isolation_system_is_the_same(vrun):
    vrun("run", "-d", "--isolation", "system", *NONE, "--name", "m", "base", *SLEEPER).ok()
    assert vrun("machine-id", "m").ok().out.strip() == _shell(vrun, "cat /etc/machine-id").ok().out.strip()
    vrun("run", "--rm", "--isolation", "zone", "base", "true").fails("there are: container, system", rc=125)


def without_a_command_it_is_sbin_init(vrun):
    # The image that comes with vrun has a shell as its command, which is taken.
    plan = vrun("plan", "--system", *NONE, "base").ok().out
    assert "exec '/bin/sh'" in plan
    vrun("run", "-d", *NONE, "--name", "p", "base", "true").ok()
    runtime.wait_for(lambda: vrun.state("p")["status"] == "exited", "it ends")
    subprocess.run(f"{vrun.program} export p | {vrun.program} import - bare", shell=True, check=True, env=vrun.env, capture_output=True)
    assert '"/sbin/init"' in vrun("plan", "--system", *NONE, "bare").ok().out


def a_foreground_machine_ends_well_when_it_powers_off(vrun):
    terminal = everyday.Terminal(vrun, "run", "--rm", "--system", *NONE, "--name", "m", "base", "sh")
    terminal.type("echo $((20 + 22)) on the console; poweroff -f\n")
    terminal.expect("42 on the console")
    assert terminal.wait() == 0


def a_host_that_cannot_carry_it_is_refused_with_the_remedy(vrun):
    place = host.v2_root()
    script = f'umount -l {place} && exec "$0" run -d --system --network none --name m base sleep 9'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, vrun.program], env=vrun.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 125
    assert "--system: this host has no cgroup v2 tree" in done.stderr and "mount -t cgroup2" in done.stderr
    assert vrun("ps", "-aq").out == "", "nothing half-made is left"


def a_manifest_says_isolation_system(vrun):
    text = """apiVersion: vrun/v1
kind: Guest
name: m
image: base
isolation: system
network: none
stopSignal: KILL
args: [sh, -c, "while :; do sleep 1000; done"]
"""
    vrun("apply", "--manifest", "one", "-f", "-", input=text).ok()
    assert vrun.inspect("m")["request"]["isolation"] == "system"
    assert vrun("machine-id", "m").ok().out.strip() == _shell(vrun, "cat /etc/machine-id").ok().out.strip()
    assert vrun("apply", "--manifest", "one", "-f", "-", input=text).ok().out == "unchanged Guest m\n"
    vrun("delete", "--manifest", "one", "-f", "-", input=text).ok()
