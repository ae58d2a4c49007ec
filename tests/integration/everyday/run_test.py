"""`vrun run`, `vrun plan`, `vrun images`: what a first user does, and that nothing is left of it."""
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import everyday, host, runtime

IDS = 65536


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


def a_guest_has_a_name_and_ids_of_its_own(vrun):
    out = vrun.sh("hostname; cat /proc/self/uid_map; echo $$; id -u").ok().out.split()
    assert re.fullmatch(r"base-[0-9a-f]{6}", out[0])
    assert out[1] == "0" and int(out[2]) >= 524288 and out[3] == str(IDS)
    assert out[4:] == ["1", "0"]


def names_are_taken_from_flags(vrun):
    assert vrun.sh("hostname; cat /etc/hostname", "--name", "web").ok().out.split() == ["web", "web"]
    assert vrun.sh("hostname; grep -c inner /etc/hosts", "--hostname", "inner", "--network", "none").ok().out.split() == ["inner", "1"]
    vrun.sh("true", "--hostname", "a\nb").fails("not a host name", rc=125)


def exit_codes_are_those_of_docker(vrun):
    assert vrun.sh("exit 42").rc == 42
    assert vrun.sh("sh -c 'kill -9 $$'; exit $?").rc == 137
    vrun("run", "--rm", "base", "no-such-program").fails("executable file not found in $PATH", rc=127)
    vrun("run", "--rm", "base", "/etc/passwd").fails("permission denied", rc=126)
    vrun("run", "--rm", "base", "/no/such/file").fails("no such file or directory", rc=127)
    vrun("run", "--rm", "nothing").fails(rc=125)


def what_a_guest_writes_goes_with_it(vrun):
    vrun.sh("echo x > /etc/motd; rm /bin/vi; mkdir -p /a/b; chown 5:6 /a; mknod /p p").ok()
    assert vrun.sh("ls /etc/motd /a /p 2>/dev/null; ls /bin/vi").ok().out == "/bin/vi\n"


def files_belong_to_the_guests_own_ids(vrun):
    out = vrun.sh("touch /f /tmp/g; chown 1000:50 /tmp/g; stat -c '%u %g' / /f /tmp/g /etc/passwd").ok().out.split("\n")
    assert out[:4] == ["0 0", "0 0", "1000 50", "0 0"]


def two_guests_at_once_share_no_ids(vrun):
    running = [vrun.start("run", "--rm", "base", "sh", "-c", "cat /proc/self/uid_map; cat", stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) for _ in range(8)]
    starts = [int(one.stdout.readline().split()[1]) for one in running]
    for one in running:
        one.stdin.close()
        assert one.wait(60) == 0
    assert len(set(starts)) == 8 and all(abs(a - b) >= IDS for a in starts for b in starts if a != b)


def a_name_is_used_once_at_a_time(vrun):
    first = vrun.start("run", "--rm", "--name", "web", "base", "sh", "-c", "echo up; cat", stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "up\n"
    vrun("run", "--rm", "--name", "web", "base", "true").fails("already exists", rc=125)
    first.stdin.close()
    assert first.wait(60) == 0
    vrun("run", "--rm", "--name", "web", "base", "true").ok()


def memory_limit_holds(vrun):
    host.need("memory controller")
    assert vrun.sh("dd if=/dev/zero of=/dev/null bs=200M count=1", "--memory", "32m").rc == 137
    vrun.sh("dd if=/dev/zero of=/dev/null bs=8M count=1", "--memory", "64m").ok()


def pids_limit_holds(vrun):
    host.need("pids controller")
    out = vrun.sh("(for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done); set -- /proc/[0-9]*; echo $#", "--pids-limit", "6")
    assert "can't fork" in out.err and int(out.out) <= 6


def cpu_limit_holds(vrun):
    host.need("cpu controller")
    script = "time -p sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'"
    lines = dict(line.split() for line in vrun.sh(script, "--cpus", "0.2").ok().err.splitlines())
    assert float(lines["real"]) > 2.5 * (float(lines["user"]) + float(lines["sys"]))


def environment_comes_from_flags_files_and_caller(vrun, work):
    (work / "env").write_text("# comment\nFROM_FILE=file\nBOTH=file\nTOKEN\n")
    out = vrun("run", "--rm", "--env-file", work / "env", "-e", "BOTH=flag", "-e", "ABSENT", "base", "env",
               env={"TOKEN": "abc", "SECRET": "x"}).ok().out.split("\n")
    assert {"FROM_FILE=file", "BOTH=flag", "TOKEN=abc", "HOME=/root"} <= set(out)
    assert not [line for line in out if line.startswith(("ABSENT", "SECRET"))]


def user_and_folder_are_those_asked_for(vrun):
    assert vrun.sh("id -u; id -g; pwd; grep CapEff /proc/self/status", "-u", "nobody", "-w", "/tmp").ok().out.split() == \
        ["65534", "65534", "/tmp", "CapEff:", "0000000000000000"]
    vrun.sh("true", "-u", "nobdy").fails("no user 'nobdy' in the image", rc=125)


def capabilities_are_few_and_can_be_changed(vrun):
    def effective(*flags):
        return int(vrun.sh("grep CapEff /proc/self/status", *flags).ok().out.split()[1], 16)
    assert bin(effective()).count("1") == 12
    assert effective("--cap-drop", "ALL") == 0
    assert effective("--cap-drop", "ALL", "--cap-add", "chown") == 1
    assert effective("--cap-add", "NET_ADMIN") >> 12 & 1
    vrun.sh("true", "--cap-add", "NET_ADMON").fails("no such capability", "CAP_NET_ADMIN", rc=125)


def volumes_show_the_hosts_owners_and_obey_ro(vrun, work):
    folder = vrun.data.parent / "volume"
    folder.mkdir()
    (folder / "f").write_text("hello")
    os.chown(folder / "f", 1000, 50)
    out = vrun.sh("cat /v/f; stat -c ' %u %g' /v/f; echo new > /v/new", "-v", f"{folder}:/v").ok().out
    assert out == "hello 1000 50\n"
    assert (folder / "new").stat().st_uid == 0
    assert "Read-only" in vrun.sh("echo x > /v/f", "-v", f"{folder}:/v:ro").err
    vrun.sh("true", "-v", "/no/such/folder:/v").fails("no such file or directory", rc=125)
    vrun.sh("true", "-v", "na/med:/v").fails("not a name for a volume", rc=125)


def tmpfs_and_read_only_root(vrun):
    out = vrun.sh("touch /x 2>&1; touch /cache/y && ls /cache", "--read-only", "--tmpfs", "/cache:size=1m").ok().out
    assert "Read-only" in out and out.endswith("y\n")


def the_network_is_one_s_own_loopback_only_or_the_host_s(vrun):
    assert "eth0" in vrun.sh("ls /sys/class/net").ok().out.split()
    assert vrun.sh("ls /sys/class/net", "--network", "none").ok().out.split() == ["lo"]
    inside = vrun.sh("readlink /proc/self/ns/net", "--network", "host").ok().out.strip()
    assert inside == os.readlink("/proc/self/ns/net")
    vrun.sh("true", "--network", "nosuch").fails("nosuch", rc=125)


def stdin_reaches_the_guest_unless_told_otherwise(vrun):
    assert vrun("run", "--rm", "base", "cat", input="piped").ok().out == "piped"
    assert vrun("run", "--rm", "--interactive=false", "base", "cat", input="piped").ok().out == ""


def a_terminal_is_given_on_a_terminal(vrun):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(vrun.program, ["vrun", "run", "--rm", "base", "sh", "-c", "tty; exit 7"], vrun.env)
    out = b""
    try:
        while chunk := os.read(terminal, 4096):
            out += chunk
    except OSError:
        pass  # EIO: the other end is closed
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert b"/dev/pts/" in out
    assert vrun("run", "--rm", "base", "tty").rc == 1, "no terminal here"
    assert "/dev/pts/" in vrun("run", "--rm", "-t", "base", "tty").ok().out


def signals_reach_the_guest(vrun):
    guest = vrun.start("run", "--rm", "base", "sh", "-c", "trap 'echo got; exit 5' TERM; echo up; while :; do sleep 0.1; done",
                       stdout=subprocess.PIPE, text=True)
    assert guest.stdout.readline() == "up\n"
    guest.send_signal(signal.SIGTERM)
    assert guest.stdout.readline() == "got\n"
    assert guest.wait(60) == 5


def mistakes_have_a_hint(vrun):
    vrun("run", "--rm", "--pull", "never", "bsae", "true").fails("no such image 'bsae'", "did you mean 'base'?", "there is: base", rc=125)
    vrun("run", "--rm", "bsae", "true").fails("bsae", "did you mean 'base'?", rc=125)
    vrun("run", "--rm", "--memory", "", "base", "true").fails("--memory: its value is empty", rc=125)
    vrun("run", "--rm", "--memory", "5q", "base", "true").fails("--memory '5q': not a size", "hint:", rc=125)
    vrun("run", "--rm", "--memroy", "5m", "base").fails("unknown flag '--memroy'", "--memory", rc=125)
    vrun("rum", "base").fails("unknown verb 'rum'", "did you mean run?", rc=125)
    vrun("run", "--rm", "--isolation", "vm", "--privileged", "base").fails("--isolation vm with", "--privileged", rc=125)
    vrun("run").fails("usage: vrun run", rc=125)


def a_data_folder_on_overlayfs_is_refused_with_a_hint(vrun, work):
    host.need("overlay")
    for name in ("lower", "upper", "inner", "merged"):
        (vrun.data.parent / name).mkdir(exist_ok=True)
    at = vrun.data.parent
    subprocess.run(["mount", "-t", "overlay", "none", "-o", f"lowerdir={at}/lower,upperdir={at}/upper,workdir={at}/inner",
                    at / "merged"], check=True)
    try:
        vrun("--data-dir", at / "merged/data", "run", "--rm", "base", "true").fails("is itself on overlayfs", "--data-dir", rc=125)
    finally:
        subprocess.run(["umount", at / "merged"], check=True)


def images_are_listed(vrun):
    lines = vrun("images").ok().out.splitlines()
    assert lines[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert lines[1].split()[:2] == ["base", "latest"]
    assert vrun("images", "--format", "names").ok().out == "base\n"
    assert vrun("images", "-q").ok().out.strip() == lines[1].split()[2]


def a_plan_says_all_and_changes_nothing(vrun):
    before = sorted(str(p) for p in vrun.data.rglob("*")) if vrun.data.exists() else []
    out = vrun("plan", "--memory", "64m", "--name", "web", "base", "true").ok().out
    assert "guest web\n" in out and "ids 524288 to 589823\n" in out and "exec 'true'" in out
    spec = json.loads(out[out.index("{"):out.index("\nsteps:")])
    assert spec["linux"]["resources"]["memory"]["limit"] == 64 << 20
    assert (sorted(str(p) for p in vrun.data.rglob("*")) if vrun.data.exists() else []) == before


def what_a_guest_changed_in_deep_folders_is_removed(vrun):
    vrun.sh("i=0; while [ $i -lt 1500 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done").ok()


def kill_9_at_any_moment_is_cleaned_up_by_the_next_run(vrun):
    vrun.sh("true").ok()
    dice = random.Random(7)
    for _ in range(30):
        guest = vrun.start("run", "--rm", "base", "true")
        time.sleep(dice.random() * 0.12)  # the moment is what is tested
        guest.kill()
        guest.wait()
    deadline = time.monotonic() + runtime.DEADLINE
    while True:
        vrun.sh("true").ok()
        if not vrun.left() or time.monotonic() > deadline:
            break


def a_guest_outlives_its_killed_command_and_keeps_its_ids(vrun):
    guest = vrun.start("run", "--rm", "--name", "orphan", "base", "sh", "-c", "echo up; exec sleep 1000",
                       stdout=subprocess.PIPE, text=True)
    assert guest.stdout.readline() == "up\n"
    guest.kill()
    guest.wait()
    start = int(vrun.sh("cat /proc/self/uid_map").ok().out.split()[1])
    assert start != 524288, "the orphan has that range"
    vrun("kill", "orphan").ok()
    runtime.wait_for(lambda: vrun.sh("true").rc == 0 and not vrun.left(), "the orphan is cleaned up")


def a_damaged_image_is_refused_and_leaves_nothing(vrun, work):
    prefix = vrun.data.parent / "copy"
    (prefix / "bin").mkdir(parents=True)
    for name in ("vrun", "vrun-image"):
        shutil.copy2(Path(vrun.program).with_name(name), prefix / "bin" / name)
    shutil.copytree(Path(vrun.program).parents[1] / "share/vrun", prefix / "share/vrun")
    blob = max((prefix / "share/vrun/images/base/blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    vrun.program = str(prefix / "bin/vrun")
    vrun("run", "--rm", "base", "true").fails("unpack image 'base'", rc=125)
    assert not list((vrun.data / "images/layers").iterdir())


@pytest.mark.parametrize("flags", [[], ["--health-cmd", "true"]])  # with and without a monitor
def the_third_signal_ends_a_guest_that_heeds_none(vrun, flags):
    guest = vrun.start("run", "--rm", *flags, "base", "sh", "-c", "trap '' INT TERM; echo up; sleep 300 & wait; wait", stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert guest.stdout.readline() == b"up\n"
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        guest.send_signal(signal_number)
        time.sleep(0.1)
        assert guest.poll() is None
    guest.send_signal(signal.SIGTERM)
    assert guest.wait(10) == 137
    assert not vrun.left()


def a_run_does_not_touch_a_guest_of_another_data_directory(vrun, work):
    host_of_both = {**vrun.env, "VRUN_DATA_DIR": str(vrun.data)}
    guest = subprocess.Popen([vrun.program, "run", "--rm", "--name", "twin", "base", "sh", "-c", "echo up; exec sleep 300"], env=host_of_both, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert guest.stdout.readline() == b"up\n"
    # What a killed command leaves in the other directory: a guest of the same name, and nobody who holds it.
    other = vrun.data.parent / "other"
    dead = other / "guests/default/twin"
    (dead / "upper").mkdir(parents=True)
    (dead / "work").mkdir()
    try:
        done = subprocess.run([vrun.program, "run", "--rm", "base", "true"], env={**vrun.env, "VRUN_DATA_DIR": str(other)}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done
        assert guest.poll() is None and not dead.exists()
    finally:
        for _ in range(3):
            guest.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        guest.wait(10)
        subprocess.run(["rm", "-rf", str(other)])


def trees_with_mounts_that_cannot_be_mapped_are_volumes_too(vrun):
    """What can be mapped is; the rest shows the host's owners, so the guest's root may less there."""
    seen = vrun.sh("stat -c %u /h /h/proc/1 /h/etc/passwd; cat /h/proc/1/environ", "--network", "none", "-v", "/:/h:ro")
    assert seen.out.split()[:3] in (["0", "65534", "0"], ["65534", "65534", "65534"]) and "denied" in seen.err, seen
    assert "id-mapped: files there show the host's owners" in seen.err
    for place in ("/proc", "/sys", "/dev"):
        done = vrun.sh("ls /h >/dev/null && stat -c %u /h; test ! -e /h/null || ! echo x 2>/dev/null >/h/null", "--network", "none", "-v", f"{place}:/h")
        assert done.ok().out == "65534\n" and f"the file system of '{place}' is not id-mapped" in done.err, done
    whole = vrun.data / "whole"
    whole.mkdir()
    assert "id-mapped" not in vrun.sh("stat -c %u /h", "--network", "none", "-v", f"{whole}:/h").ok().err


def completions_of_every_shell_know_names(vrun, work):
    vrun("create", "--name", "wonderful", "--network", "none", "base").ok()
    vrun("volume", "create", "wares").ok()
    (work / "bash").write_text(vrun("completion", "bash").ok().out)
    for words, wanted in ((["rm", "won"], "wonderful"), (["volume", "rm", "wa"], "wares"), (["history", "ba"], "base"), (["pau"], "pause")):
        script = (f"source {work}/bash; vrun() {{ {vrun.program} \"$@\"; }}; COMP_WORDS=(vrun {' '.join(words)}); COMP_CWORD={len(words)}; "
                  "_vrun; echo ${COMPREPLY[@]}")
        done = subprocess.run(["bash", "-c", script], env=vrun.env, capture_output=True, text=True, timeout=60)
        assert done.stdout.split() == [wanted], (words, done)
    for shell, first in (("zsh", "#compdef vrun"), ("fish", "# fish completion for vrun")):
        assert vrun("completion", shell).ok().out.startswith(first)
    vrun("completion", "csh").fails("no completions for 'csh'", "bash, zsh, fish", rc=125)
    vrun("rm", "wonderful").ok()


def a_guest_on_the_hosts_network_has_its_name(vrun):
    ours = os.uname().nodename
    assert vrun.sh("hostname; echo $HOSTNAME", "--network", "host").ok().out == f"{ours}\n{ours}\n"
    assert vrun.sh("hostname", "--network", "host", "--hostname", "own").ok().out == "own\n"
    assert vrun.sh("hostname", "--network", "none", "--name", "web").ok().out == "web\n"
