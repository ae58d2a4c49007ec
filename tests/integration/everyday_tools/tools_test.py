"""`vrun stats`, `top`, `pause`, `update`, `port`, `debug`, `info`, `version`, `doctor`: by what they do to real guests."""
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import everyday, host, runtime

BUSY = "while :; do :; done"
IDLE = "echo up; while :; do sleep 1; done"


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


def _stats(vrun, *names):
    return {one["name"]: one for one in json.loads(vrun("stats", "--no-stream", "--format", "json", *names).ok().out)}


def _top(vrun, name):
    return json.loads(vrun("top", name, "--format", "json").ok().out)


# ---- stats ----

def a_busy_guest_shows_its_cpu_and_an_idle_one_does_not(vrun):
    vrun.detached(BUSY, "--name", "busy")
    vrun.detached(IDLE, "--name", "idle")
    seen = _stats(vrun)
    assert set(seen) == {"busy", "idle"}
    if host.has("cpu controller"):
        assert seen["busy"]["cpuPercent"] > 20 > seen["idle"]["cpuPercent"], seen


def the_limit_of_memory_and_processes_is_shown(vrun):
    host.need("memory controller")
    host.need("pids controller")
    vrun.detached(IDLE, "--name", "web", "--memory", "64m", "--pids-limit", "30")
    web = _stats(vrun, "web")["web"]
    assert web["memoryLimit"] == 64 << 20 and 0 < web["memory"] < 64 << 20
    assert web["pidsLimit"] == 30 and 1 <= web["pids"] <= 3
    assert " / 64.0MiB" in vrun("stats", "--no-stream").ok().out


def stats_go_on_until_they_are_ended(vrun):
    vrun.detached(IDLE, "--name", "web")
    watching = vrun.start("stats", "--interval", "100ms", "--format", "json", stdout=subprocess.PIPE, text=True)
    lines = [json.loads(watching.stdout.readline()) for _ in range(3)]
    assert all(line[0]["name"] == "web" for line in lines)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(10) == -signal.SIGINT


def on_a_terminal_the_view_is_renewed_in_place(vrun):
    vrun.detached(IDLE, "--name", "web")
    terminal = everyday.Terminal(vrun, "stats", "--interval", "100ms")
    terminal.expect("\x1b[2J\x1b[HNAME")
    terminal.expect("web")
    terminal.expect("\x1b[HNAME")
    terminal.type("\x03")
    assert terminal.wait() == -signal.SIGINT


def stats_of_what_is_not_there_fail(vrun):
    vrun("stats", "--no-stream", "nobody").fails("no such guest 'nobody'", rc=125)
    vrun("stats", "--format", "jsno").fails("--format 'jsno': unknown", rc=125)


# ---- top ----

def top_shows_both_numbers_of_each_process(vrun):
    vrun.detached("sleep 1000 & exec sleep 2000", "--name", "web")
    runtime.wait_for(lambda: len(_top(vrun, "web")) == 2, "both processes run")
    rows = {row["command"]: row for row in _top(vrun, "web")}
    assert rows["sleep 2000"]["inside"] == 1 and rows["sleep 2000"]["uid"] == 0
    for row in rows.values():
        words = Path(f"/proc/{row['pid']}/cmdline").read_bytes().split(b"\0")
        assert " ".join(w.decode() for w in words if w) == row["command"]
    assert rows["sleep 2000"]["pid"] == vrun.state("web")["pid"]


def top_shows_nothing_raw(vrun):
    vrun("run", "-d", "--name", "web", "base", "sh", "-c", "sleep 1000; : '\x1b[31m'").ok()
    assert "\x1b" not in vrun("top", "web").ok().out
    assert "\x1b" not in vrun("top", "web", "--format", "json").ok().out
    assert "\x1b" not in vrun("ps", "--format", "yaml").ok().out


def top_of_a_guest_that_does_not_run_is_a_fault(vrun):
    vrun("create", "--name", "web", "base", "true").ok()
    vrun("top", "web").fails("guest 'web' is not running (created)", rc=125)


# ---- pause ----

def a_paused_guest_stands_still_and_goes_on(vrun):
    vrun.detached("i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done", "--name", "web")
    vrun.wait_for_log("web", "2\n")
    vrun("pause", "web").ok()
    assert vrun.state("web")["status"] == "paused"
    before = vrun("logs", "web").ok().out
    time.sleep(0.4)
    assert vrun("logs", "web").ok().out == before
    vrun("pause", "web").fails("guest 'web' is paused already", rc=125)
    vrun("unpause", "web").ok()
    runtime.wait_for(lambda: vrun("logs", "web").out != before, "it goes on")
    vrun("unpause", "web").fails("guest 'web' is not paused", rc=125)


def what_does_not_run_cannot_be_paused(vrun):
    vrun("create", "--name", "web", "base", "true").ok()
    vrun("pause", "web").fails("guest 'web' is not running", rc=125)


# ---- update ----

def a_limit_of_processes_holds_at_once_and_after_a_restart(vrun):
    host.need("pids controller")
    vrun.detached(IDLE, "--name", "web")
    fork = ["exec", "web", "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait"]
    assert vrun(*fork).rc == 0
    vrun("update", "--pids-limit", "5", "web").ok()
    assert "fork" in vrun(*fork).err
    vrun("restart", "-t", "0", "web").ok()
    assert vrun.inspect("web")["request"]["pidsLimit"] == "5"
    assert "fork" in vrun(*fork).err
    vrun("update", "--pids-limit", "-1", "web").ok()
    assert vrun(*fork).rc == 0
    assert "pidsLimit" not in vrun.inspect("web")["request"]


def a_limit_of_memory_changes_while_the_guest_runs(vrun):
    host.need("memory controller")
    vrun.detached(IDLE, "--name", "web", "--memory", "64m")
    for size, limit in (("128m", 128 << 20), ("32m", 32 << 20)):
        vrun("update", "--memory", size, "web").ok()
        assert _stats(vrun, "web")["web"]["memoryLimit"] == limit
    vrun("update", "--memory", "-1", "web").ok()
    assert _stats(vrun, "web")["web"]["memoryLimit"] > 1 << 30


def a_guest_that_does_not_run_is_updated_for_its_next_start(vrun):
    host.need("pids controller")
    vrun("create", "--name", "web", "base", "sh", "-c", IDLE).ok()
    vrun("update", "--pids-limit", "40", "--restart", "always", "web").ok()
    vrun("start", "web").ok()
    assert _stats(vrun, "web")["web"]["pidsLimit"] == 40
    assert vrun.inspect("web")["request"]["restart"] == "always"


def a_refused_update_changes_nothing(vrun):
    vrun.detached(IDLE, "--name", "web")
    before = vrun.inspect("web")["request"]
    vrun("update", "--memory", "lots", "--cpus", "1", "web").fails("--memory 'lots': not a size", rc=125)
    vrun("update", "--restart", "sometimes", "web").fails("--restart", rc=125)
    vrun("update", "web").fails("nothing to change", rc=125)
    assert vrun.inspect("web")["request"] == before


# ---- debug ----

def debug_brings_tools_into_the_guest_s_world(vrun):
    vrun.detached("echo secret > /tmp/file; hostname inner-name 2>/dev/null; exec sleep 1000", "--name", "web", "--hostname", "inner")
    runtime.wait_for(lambda: any(r["command"] == "sleep 1000" for r in _top(vrun, "web")), "the guest is up")
    out = vrun("debug", "web", "sh", "-c", "hostname; cat /proc/1/root/tmp/file; ls /tmp; ps | grep -c 'sleep 1000$'; id -u; cat /proc/self/uid_map").ok().out.split()
    assert out[:4] == ["inner", "secret", "1", "0"], out
    pid = vrun.state("web")["pid"]
    assert out[4:] == Path(f"/proc/{pid}/uid_map").read_text().split()


def debug_shares_the_guest_s_namespaces_but_for_the_mounts(vrun):
    vrun.detached(IDLE, "--name", "web")
    names = ["user", "pid", "net", "ipc", "uts", "mnt"]
    inside = vrun("debug", "web", "sh", "-c", "for n in " + " ".join(names) + "; do readlink /proc/self/ns/$n; done").ok().out.split()
    pid = vrun.state("web")["pid"]
    guests = [os.readlink(f"/proc/{pid}/ns/{n}") for n in names]
    assert inside[:-1] == guests[:-1]
    assert inside[-1] != guests[-1]


@pytest.mark.parametrize("flags", ["--userns host", "--privileged", "--pid host", "--network host", "--ipc host --uts host", "--user 1000", "--read-only"])
def debug_works_whatever_the_guest_shares_with_the_host(vrun, flags):
    vrun("run", "-d", "--name", "web", *flags.split(), "base", "sleep", "1000").ok()
    assert vrun("debug", "web", "sh", "-c", "grep -c root $GUEST_ROOT/etc/passwd; id -u").ok().out.split()[1] == "0"


def nothing_of_a_debug_shell_stays(vrun):
    vrun.detached(IDLE, "--name", "web")
    folders = lambda: sorted(p.name for p in (vrun.data / "guests/default").iterdir())  # noqa: E731
    assert vrun("debug", "web", "sh", "-c", "sleep 1000 & echo x > /file; exit 5").rc == 5
    assert [r["command"] for r in _top(vrun, "web") if "sleep 1000" in r["command"]] == []
    assert folders() == ["web"]
    assert vrun("exec", "web", "ls", "/file").rc == 1
    assert vrun("diff", "web").out.count("/file") == 0


def a_killed_debug_shell_is_cleaned_up_by_the_next_command(vrun):
    vrun.detached(IDLE, "--name", "web")
    shell = vrun.start("debug", "web", "sh", "-c", "echo up; sleep 1000", stdout=subprocess.PIPE, text=True)
    assert shell.stdout.readline() == "up\n"
    shell.kill()
    shell.wait()
    vrun.sh("true").ok()
    runtime.wait_for(lambda: not [r for r in _top(vrun, "web") if "sleep 1000" in r["command"]], "its processes are gone")
    assert [p.name for p in (vrun.data / "guests/default").iterdir()] == ["web"]


def the_guest_s_limits_hold_for_a_debug_shell(vrun):
    host.need("pids controller")
    vrun.detached(IDLE, "--name", "web", "--pids-limit", "8")
    done = vrun("debug", "web", "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait")
    assert "fork" in done.err


def debug_needs_a_guest_that_runs(vrun):
    vrun("create", "--name", "web", "base", "true").ok()
    vrun("debug", "web").fails("guest 'web' is not running (created)", rc=125)
    vrun("debug", "nobody").fails("no such guest 'nobody'", rc=125)
    vrun("start", "web").ok()
    vrun("wait", "web").ok()
    vrun("debug", "--image", "nothing", "web").fails(rc=125)


# ---- the host ----

def doctor_is_content_with_a_host_that_runs_guests(vrun):
    vrun.sh("true").ok()
    done = vrun("doctor", "--format", "json").ok()
    findings = {one["subject"]: one for one in json.loads(done.out)}
    for subject in ("kernel", "root", "own groups", "user namespaces", "id-mapped mounts", "overlay", "seccomp"):
        assert findings[subject]["grade"] == "ok", findings[subject]
    assert all(one["grade"] == "ok" or one["remedy"] for one in findings.values())


def doctor_finds_a_data_directory_that_cannot_carry_guests(vrun, work):
    parts = {name: work / f"doctor-{name}" for name in ("lower", "upper", "work", "merged")}
    disk = vrun.data.parent / "doctor"
    disk.mkdir()
    parts["upper"], parts["work"] = disk / "upper", disk / "work"
    for part in parts.values():
        part.mkdir()
    merged = parts["merged"]
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                    f"lowerdir={parts['lower']},upperdir={parts['upper']},workdir={parts['work']}", merged], check=True)
    try:
        done = vrun("doctor", env={"VRUN_DATA_DIR": str(merged)})
        assert done.rc == 1
        assert "FAULT  data directory" in done.out and "--data-dir DIR" in done.out
        assert not list(merged.iterdir()), "doctor left something"
    finally:
        subprocess.run(["umount", merged], check=True)


def doctor_without_user_namespaces_says_which_knob(vrun):
    script = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --reuid 0 " + vrun.program + " doctor"
    done = subprocess.run(["unshare", "-Ur", "sh", "-c", script], env=vrun.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert "FAULT  user namespaces" in done.stdout
    assert "sysctl -w user.max_user_namespaces" in done.stdout


def info_counts_the_guests(vrun):
    vrun.detached(IDLE, "--name", "a")
    vrun.detached(IDLE, "--name", "b")
    vrun("create", "--name", "c", "base", "true").ok()
    vrun("pause", "b").ok()
    info = json.loads(vrun("info", "--format", "json").ok().out)
    assert (info["running"], info["paused"], info["stopped"]) == (1, 1, 1)
    assert info["data"] == str(vrun.data)


def version_has_all_its_forms(vrun):
    version = json.loads(vrun("version", "--format", "json").ok().out)
    assert version["version"] in vrun("--version").ok().out
    assert f"version: \"{version['version']}\"\n" in vrun("version", "--format", "yaml").ok().out
    assert vrun("version").ok().out.startswith("version:")


def ps_and_inspect_speak_yaml(vrun):
    vrun("create", "--name", "web", "--label", "a=no", "base", "true").ok()
    out = vrun("ps", "-a", "--format", "yaml").ok().out
    assert "  name: web\n" in out and "    a: \"no\"\n" in out
    assert "  name: web\n" in vrun("inspect", "--format", "yaml", "web").ok().out


def port_lists_what_is_published(vrun):
    vrun("create", "--name", "web", "base", "true").ok()
    assert vrun("port", "web").ok().out == ""
    vrun("port", "web", "80").fails("has no published port '80'", rc=125)
