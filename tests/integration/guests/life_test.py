"""Guests that go on without their command: start, stop, restart, remove, find, tell why they ended."""
import json
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import everyday, host, runtime


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


def a_detached_guest_goes_on_and_prints_its_id(vrun):
    guest = vrun.detached("echo up; sleep 1000", "--name", "web")
    assert re.fullmatch("[0-9a-f]{64}", guest)
    vrun.wait_for_log("web", "up\n")
    state = vrun.state("web")
    assert state["status"] == "running" and everyday.alive(state["pid"])
    assert vrun("ps", "-q").ok().out.strip() == guest[:12]
    assert "web" in vrun("ps").out and "Up " in vrun("ps").out


def a_guest_is_kept_when_it_ends_and_starts_again_with_what_it_wrote(vrun):
    assert vrun("run", "--name", "k", "base", "sh", "-c", "echo x >> /file; cat /file; exit 3").rc == 3
    assert "Exited (3)" in vrun("ps", "-a").ok().out
    assert "k" not in vrun("ps", "-q").out
    vrun("start", "k").ok()
    assert vrun("wait", "k").ok().out == "3\n"
    assert vrun("logs", "k").ok().out == "x\nx\nx\n"
    vrun("run", "--name", "k", "base", "true").fails("already exists", rc=125)
    vrun("rm", "k").ok()
    assert not (vrun.data / "guests/default/k").exists()


def create_makes_and_start_starts(vrun):
    guest = vrun("create", "--name", "c", "base", "sh", "-c", "echo hello; exit 5").ok().out.strip()
    assert vrun.state("c")["status"] == "created" and vrun.inspect("c")["id"] == guest
    assert vrun("start", "--attach", "c").out == "hello\n"
    assert vrun.state("c")["exitCode"] == 5


def ids_may_be_shortened_and_doubts_are_errors(vrun):
    ids = [vrun("create", "base", "true").ok().out.strip() for _ in range(17)]
    assert vrun.inspect(ids[0][:12])["id"] == ids[0]
    counts = {d: sum(i.startswith(d) for i in ids) for d in "0123456789abcdef"}
    shared = max(counts, key=counts.get)
    assert counts[shared] > 1, "17 ids begin with 16 digits"
    vrun("inspect", shared).fails(f"is the beginning of {counts[shared]} ids", rc=125)
    vrun("create", "--name", "server", "base", "true").ok()
    vrun("inspect", "sevrer").fails("no such guest 'sevrer'", "did you mean server?", rc=125)


def stop_asks_first_and_kills_then(vrun):
    vrun.detached("trap 'echo asked; exit 7' TERM; echo up; while :; do sleep 0.1; done", "--name", "polite")
    vrun.detached("trap '' TERM; echo up; while :; do sleep 0.1; done", "--name", "deaf")
    for guest in ("polite", "deaf"):
        vrun.wait_for_log(guest, "up")
    assert vrun("stop", "-t", "5", "polite").ok().out == "polite\n"
    assert vrun.state("polite")["exitCode"] == 7 and "asked" in vrun("logs", "polite").out
    vrun("stop", "-t", "1", "deaf").ok()
    state = vrun.state("deaf")
    assert (state["exitCode"], state["signal"]) == (137, 9) and "`vrun stop`" in state["reason"]
    vrun("stop", "deaf").ok()


def the_stop_signal_is_the_flags(vrun):
    vrun.detached("trap 'exit 9' USR1; echo up; while :; do sleep 0.1; done", "--name", "s", "--stop-signal", "USR1")
    vrun.wait_for_log("s", "up")
    vrun("stop", "s").ok()
    assert vrun.state("s")["exitCode"] == 9


def kill_sends_what_it_is_told(vrun):
    vrun.detached("trap 'echo got' HUP; echo up; while :; do sleep 0.1; done", "--name", "k")
    vrun.wait_for_log("k", "up")
    vrun("kill", "-s", "HUP", "k").ok()
    vrun.wait_for_log("k", "got")
    vrun("kill", "k").ok()
    vrun.wait_for("k", status="exited", signal=9)
    assert "`vrun kill`" in vrun.state("k")["reason"]
    vrun("kill", "k").fails("is not running", rc=125)
    vrun("kill", "-s", "TREM", "k").fails("did you mean TERM?", rc=125)


def the_reason_of_an_end_is_told(vrun):
    vrun.detached("kill -SEGV $$; sleep 5", "--name", "inside", "--init")
    vrun.wait_for("inside", status="exited")
    assert vrun.state("inside")["exitCode"] == 139
    vrun.detached("sleep 1000", "--name", "outside")
    subprocess.run(["kill", "-9", str(vrun.state("outside")["pid"])], check=True)
    vrun.wait_for("outside", status="exited", signal=9)
    assert "by a process of the host" in vrun.state("outside")["reason"]
    vrun("run", "--name", "absent", "base", "/no/such").fails("no such file or directory", rc=127)
    state = vrun.state("absent")
    assert state["exitCode"] == 127 and state["reason"].startswith("cannot start: exec")
    assert "cannot start" in vrun("ps", "-a").out


def a_guest_that_dies_of_memory_says_so_with_its_limit(vrun):
    host.need("memory controller")
    vrun.detached("x=a; while :; do x=$x$x; done", "--name", "big", "--memory", "16m")
    vrun.wait_for("big", status="exited")
    state = vrun.state("big")
    assert state["oomKilled"] and "its limit is 16m" in state["reason"] and "--memory" in state["hint"]
    for flags in (["--rm"], [], ["--rm", "-t"]):  # in the foreground a bare 137 would say nothing
        done = vrun("run", *flags, "--memory", "16m", "base", "sh", "-c", "x=a; while :; do x=$x$x; done")
        assert done.rc == 137 and "its limit is 16m" in done.err and "--memory" in done.err
    assert vrun.sh("exit 137").err == ""


def a_guest_that_never_ran_is_not_kept(vrun):
    vrun("run", "-d", "--name", "n", "--cpuset-mems", "77", "--network", "none", "base", "true").fails("", rc=125)
    assert vrun("ps", "-aq").out == "", "the name is free for another try"
    vrun("run", "-d", "--name", "x", "base", "/nonexistent").fails("nonexistent", rc=127)
    assert "nonexistent" in vrun.state("x")["reason"], "a program that cannot be executed is an end"


def rm_wants_force_for_a_running_guest(vrun):
    vrun.detached("sleep 1000", "--name", "r")
    vrun("rm", "r").fails("is running", "--force", rc=125)
    vrun("rm", "-f", "r").ok()
    vrun("rm", "r").fails("no such guest", rc=125)
    vrun("rm", "-f", "r").ok()


def a_detached_guest_with_rm_is_gone_when_it_ends(vrun):
    vrun.detached("sleep 0.3", "--name", "gone", "--rm")
    runtime.wait_for(lambda: "gone" not in vrun("ps", "-a").out, "it is removed")
    assert not vrun.left()


def rename_works_while_it_runs_and_its_end_is_written_down(vrun):
    vrun.detached("sleep 1000", "--name", "old")
    before = vrun.state("old")["pid"]
    vrun("rename", "old", "new").ok()
    assert vrun.state("new")["pid"] == before
    vrun("inspect", "old").fails("no such guest", rc=125)
    vrun("create", "--name", "other", "base", "true").ok()
    vrun("rename", "new", "other").fails("already exists", rc=125)
    vrun("stop", "-t", "0", "new").ok()
    assert vrun.state("new")["status"] == "exited"
    vrun("start", "new").ok()
    assert vrun.state("new")["status"] == "running"


def twenty_starts_and_twenty_stops_at_once_agree(vrun):
    vrun("create", "--name", "one", "base", "sleep", "1000").ok()
    with ThreadPoolExecutor(20) as pool:
        for done in pool.map(lambda _: vrun("start", "one"), range(20)):
            done.ok()
        assert len(vrun("ps", "-q").out.split()) == 1 and len(vrun.processes()) == 1
        for done in pool.map(lambda _: vrun("stop", "-t", "0", "one"), range(20)):
            done.ok()
    assert vrun.state("one")["status"] == "exited"
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda i: vrun("start" if i % 2 else "stop", *(["-t", "0"] if i % 2 == 0 else []), "one"), range(40)))
    vrun("stop", "-t", "0", "one").ok()
    assert not vrun.processes()


def restart_policies_do_what_they_say(vrun):
    vrun.detached("echo life; exit 1", "--name", "fails", "--restart", "on-failure:2")
    vrun.wait_for("fails", status="exited")
    assert vrun("logs", "fails").out == "life\n" * 3 and vrun.state("fails")["restarts"] == 2
    vrun.detached("echo life; exit 0", "--name", "well", "--restart", "on-failure")
    vrun.wait_for("well", status="exited")
    assert vrun("logs", "well").out == "life\n"
    vrun.detached("echo life; exit 0", "--name", "always", "--restart", "always")
    runtime.wait_for(lambda: vrun("logs", "always").out.count("life") >= 3, "it lives again and again")
    vrun("stop", "-t", "0", "always").ok()
    lives = vrun("logs", "always").out.count("life")
    assert vrun.state("always")["status"] == "exited"
    assert vrun("logs", "always").out.count("life") == lives
    vrun("run", "--rm", "--restart", "always", "base", "true").fails("--rm and --restart", rc=125)
    vrun("run", "--restart", "alway", "base", "true").fails("unless-stopped", rc=125)


def the_pause_between_lives_grows(vrun):
    vrun.detached("date +%s%N 2>/dev/null; exit 1", "--name", "b", "--restart", "on-failure:4")
    vrun.wait_for("b", status="exited")
    times = [line.split()[0] for line in vrun("logs", "-t", "b").ok().out.splitlines()]
    seconds = [float(t[17:29]) + 60 * int(t[14:16]) for t in times]
    gaps = [b - a for a, b in zip(seconds, seconds[1:])]
    assert len(gaps) == 4 and gaps[0] >= 0.1 and gaps[3] >= 0.8 and gaps[3] > gaps[1]


def restore_starts_what_ran_before_the_boot(vrun):
    for name, policy in (("always", "always"), ("unless", "unless-stopped"), ("no", "no"), ("stopped", "unless-stopped")):
        vrun.detached("sleep 1000", "--name", name, "--restart", policy)
    vrun("stop", "-t", "0", "stopped").ok()
    # A boot: every process dies at once, the run directory is empty.
    # No command in between: it would repair.
    names = ("always", "unless", "no")
    pids = [pid for name in names for pid in (vrun.monitor(name), vrun.state(name)["pid"])]
    ids = [vrun.inspect(name)["id"] for name in names]
    subprocess.run(["kill", "-9", *map(str, pids)], check=True)
    runtime.wait_for(lambda: not vrun.processes(), "all are dead")
    oci = vrun.program + "-oci"
    for id in ids:
        subprocess.run([oci, "--root", vrun.run_dir / "guests/default", "delete", "--force", id], check=True)
    subprocess.run(["rm", "-rf", vrun.run_dir], check=True)
    vrun("restore").ok()
    running = {guest["name"] for guest in json.loads(vrun("ps", "--format", "json").ok().out)}
    assert running == {"always", "unless"}


def the_health_check_sees_and_acts(vrun):
    flags = ["--health-cmd", "test -e /ok", "--health-interval", "100ms", "--health-retries", "2"]
    vrun.detached("touch /ok; sleep 1000", "--name", "h", *flags)
    vrun.wait_for("h", health="healthy")
    assert "(healthy)" in vrun("ps").out
    vrun("exec", "h", "rm", "/ok").ok()
    vrun.wait_for("h", health="unhealthy")
    vrun.detached("touch /ok; sleep 0.3; rm /ok; sleep 1000", "--name", "a", "--health-on-failure", "kill", *flags)
    vrun.wait_for("a", status="exited")
    assert "health check failed" in vrun.state("a")["reason"]
    vrun.detached("echo life; rm -f /ok; sleep 1000", "--name", "r", "--health-on-failure", "restart", *flags)
    runtime.wait_for(lambda: vrun("logs", "r").out.count("life") > 1, "it is started again")


def health_is_checked_without_a_program_too(vrun):
    quick = ["--health-interval", "100ms", "--health-retries", "2"]
    vrun.detached("mkdir /w; echo ok > /w/ready; httpd -p 8080 -h /w; sleep 1000", "--name", "h", "--health-cmd", "http://:8080/ready", *quick)
    vrun.wait_for("h", health="healthy")
    vrun("exec", "h", "rm", "/w/ready").ok()
    vrun.wait_for("h", health="unhealthy")
    vrun.detached("httpd -p 8080; sleep 1000", "--name", "t", "--health-cmd", "tcp://:8080", *quick)
    vrun.wait_for("t", health="healthy")
    vrun.detached("sleep 1000", "--name", "n", "--health-cmd", "tcp://:8080", *quick)
    vrun.wait_for("n", health="unhealthy")
    vrun("create", "--health-cmd", "tcp://db:5432", "base", "true").fails("only the guest itself", rc=125)
    vrun("create", "--health-cmd", "tcp://:99999", "base", "true").fails("not a port", rc=125)


def a_slow_health_check_counts_as_failed(vrun):
    vrun.detached("sleep 1000", "--name", "h", "--health-cmd", "sleep 1000", "--health-interval", "50ms",
                  "--health-timeout", "200ms", "--health-retries", "1")
    vrun.wait_for("h", health="unhealthy")


def checks_that_hang_leave_nothing_in_the_guest(vrun):
    vrun.detached("sleep 1000", "--name", "h", "--health-cmd", "sleep 100 & sleep 1000", "--health-interval", "50ms",
                  "--health-timeout", "200ms", "--health-retries", "4")
    vrun.wait_for("h", health="unhealthy")  # four of them hung
    def sleeping():
        return [line for line in vrun("top", "h").ok().out.splitlines() if "sleep" in line]
    assert len(sleeping()) <= 4, "the guest's own, and one check at work"


def labels_and_filters_choose(vrun):
    vrun("create", "--name", "a", "--label", "tier=web", "base", "true").ok()
    vrun("create", "--name", "b", "--label", "tier=db", "base", "true").ok()
    def names(*filters):
        out = vrun("ps", "-a", "--format", "json", *sum((["--filter", f] for f in filters), [])).ok().out
        return {guest["name"] for guest in json.loads(out)}
    assert names("label=tier=web") == {"a"} and names("label=tier") == {"a", "b"}
    assert names("name=b", "status=created") == {"b"} and names("status=running") == set()
    assert names("name=a", "name=b") == {"a", "b"}
    vrun("ps", "--filter", "lable=x").fails("did you mean label?", rc=125)


def wait_prints_the_exit_code(vrun):
    vrun.detached("sleep 0.3; exit 4", "--name", "w")
    assert vrun("wait", "w").ok().out == "4\n"


def wait_learns_the_exit_code_of_guests_that_are_removed(vrun):
    for name in ("a", "b"):
        vrun.detached("while [ ! -e /go ]; do sleep 0.05; done; exit 4", "--rm", "--name", name)
    waiting = vrun.start("wait", "a", "b", stdout=subprocess.PIPE, text=True)
    marks = lambda: [f for f in (vrun.run_dir / "monitors/default").glob("*/exit")]
    runtime.wait_for(lambda: len(marks()) == 2, "wait holds on to both")
    vrun("exec", "a", "touch", "/go").ok()
    vrun("kill", "b").ok()
    out, _ = waiting.communicate(timeout=20)
    assert out == "4\n137\n" and waiting.returncode == 0
    vrun("wait", "a").fails("no such guest", rc=125)


def wait_learns_the_exit_code_of_a_guest_in_the_foreground(vrun):
    run = vrun.start("run", "--rm", "--network", "none", "--name", "f", "base", "sh", "-c",
                     "while [ ! -e /go ]; do sleep 0.05; done; exit 5")
    runtime.wait_for(lambda: vrun("exec", "f", "true").rc == 0, "it runs")
    waiting = vrun.start("wait", "f", stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)  # it waits, and does not spin: its processor time says so
    with open(f"/proc/{waiting.pid}/stat") as stat:
        ticks = sum(int(x) for x in stat.read().rsplit(")", 1)[1].split()[11:13])
    assert ticks < 10
    vrun("exec", "f", "touch", "/go").ok()
    out, _ = waiting.communicate(timeout=20)
    assert run.wait(timeout=20) == 5
    assert out == "5\n" or host.kernel() < (6, 15)


def events_are_told_in_order(vrun):
    vrun("run", "--name", "e", "base", "sh", "-c", "exit 3")
    vrun("rm", "e").ok()
    out = vrun("events", "--since", "1h", "--until", "0s", "--format", "json", "--filter", "guest=e").ok().out
    events = [json.loads(line) for line in out.splitlines()]
    assert [e["action"] for e in events] == ["create", "start", "die", "destroy"]
    assert events[2]["attributes"]["exitCode"] == "3"
    follower = vrun.start("events", stdout=subprocess.PIPE, text=True)
    runtime.wait_for(lambda: any("inotify" in t for t in everyday.descriptors_of(follower.pid)), "it watches")
    vrun("create", "--name", "f", "base", "true").ok()
    assert " create " in follower.stdout.readline()
    follower.send_signal(signal.SIGINT)
    follower.wait(10)
