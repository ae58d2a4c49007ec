"""The everyday verbs, the same for a container and a micro-VM: every test runs for both."""
import fcntl
import json
import os
import signal
import struct
import subprocess
import tarfile
import tempfile
import termios
import time
from pathlib import Path

import pytest

from harness import bundle, everyday, host, micro_vms, runtime
from harness.micro_vms import BOOT

LOOP = "while :; do sleep 0.1; done"


class Both:
    """A Vrun whose guests are of one kind."""

    def __init__(self, vrun, kind):
        self.vrun, self.kind, self.is_vm = vrun, kind, kind == "vm"
        self.flags = ["--isolation", kind, "--network", "none"]

    def __call__(self, *words, **more):
        return self.vrun(*words, **{"timeout": 2 * BOOT, **more})

    def run(self, *words, **more):
        return self("run", *self.flags, *words, **more)

    def sh(self, script, *flags, **more):
        return self.run("--rm", *flags, "base", "sh", "-c", script, **more)

    def detached(self, name, script, *flags, first="true"):
        """A guest that goes on, and has said `up` after `first`."""
        self.run("-d", "--name", name, *flags, "base", "sh", "-c", f"{first}; echo up; {script}").ok()
        self.wait_for_log(name, "up")

    def terminal(self, *words):
        return everyday.Terminal(self.vrun, *words)

    def state(self, name):
        return self.vrun.state(name)

    def wait_for(self, name, **wanted):
        runtime.wait_for(lambda: all(self.state(name).get(k) == v for k, v in wanted.items()),
                         f"{name} becomes {wanted}, is {self.state(name)}", BOOT)

    def wait_for_log(self, name, text):
        runtime.wait_for(lambda: text in self("logs", name).out, f"{name} says {text!r}", BOOT)

    def remove(self, *names):
        self("rm", "-f", *names).ok()


@pytest.fixture(scope="module", params=["container", "vm"])
def both(request, place):
    folder = Path(tempfile.mkdtemp(dir=place))
    folder.chmod(0o711)
    with everyday.fresh(folder, disk="900M") as vrun:
        if request.param == "vm":
            host.need("micro-VMs")
        yield Both(vrun, request.param)


@pytest.fixture(scope="module")
def web(both):
    """A guest that many tests look at: its name is `web`, and it counts in its log."""
    limit = ["--memory", "256m"] if host.has("memory controller") else []
    both.detached("web", f"i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.1; done", "-e", "COLOR=red", "-w", "/srv", "--hostname", "inside", *limit)
    yield both
    both.remove("web")


# ---- run ----

def streams_and_exit_code_come_out_and_nothing_else(both):
    done = both.sh("echo out; echo err >&2; exit 7")
    assert (done.rc, done.out, done.err) == (7, "out\n", "err\n")


def what_is_typed_reaches_the_program(both):
    text = "".join(f"line {i}\n" for i in range(5000))
    assert both.run("--rm", "-i", "base", "cat", input=text).ok().out == text


def the_process_is_who_it_was_told_to_be(both):
    done = both.sh("id -u; id -g; pwd; echo $A $HOME; hostname; grep -e CapEff -e NoNewPrivs /proc/self/status; ulimit -n; cat /proc/self/oom_score_adj",
                   "-u", "daemon", "-w", "/tmp", "-e", "A=b", "--hostname", "me", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--ulimit", "nofile=77:88", "--oom-score-adj", "100")
    assert done.ok().out.split() == ["1", "1", "/tmp", "b", "/usr/sbin", "me", "CapEff:", "0000000000000000", "NoNewPrivs:", "1", "77", "100"], done


def capabilities_are_added_and_dropped(both):
    show = "grep CapEff /proc/self/status"
    assert int(both.sh(show, "--cap-drop", "ALL", "--cap-add", "NET_RAW").ok().out.split()[1], 16) == 1 << 13
    usual = int(both.sh(show).ok().out.split()[1], 16)
    assert int(both.sh(show, "--cap-drop", "CHOWN").ok().out.split()[1], 16) == usual & ~1


def a_read_only_root_has_its_tmpfs(both):
    done = both.sh("touch /x 2>/dev/null || echo no; touch /scratch/x && echo yes; df -k /scratch | tail -1 | tr -s ' ' | cut -d' ' -f2", "--read-only", "--tmpfs", "/scratch:size=1m")
    assert done.ok().out.split() == ["no", "yes", "1024"], done


def volumes_and_folders_come_and_go_while_it_runs(both, work):
    folder = work / "come"
    folder.mkdir(mode=0o755)
    os.chown(folder, 1000, 1000)
    (folder / "word").write_text("outside\n")
    both.detached("g", LOOP)
    look = lambda script, **more: both("exec", "g", "sh", "-c", script, **more)
    look("ls /srv/deep/in").fails("No such file")
    both("update", "--volume-add", "coming:/data", "--volume-add", f"{folder}:/srv/deep/in:ro", "g").ok()
    # A file system that cannot map ids shows the host's owners, as at a start.
    assert look("stat -c %u /srv/deep/in").ok().out.strip() == ("1000" if host.has("idmapped tmpfs") else "65534")
    assert look("cat /srv/deep/in/word; echo kept > /data/file; stat -c %u /data/file").ok().out.split() == ["outside", "0"]
    look("echo x > /srv/deep/in/more").fails("Read-only file system")
    both("volume", "rm", "coming").fails("g", rc=125)
    both("update", "--volume-add", "other:/data", "g").fails("mounted at '/data' already", rc=125)
    both("update", "--volume-add", "other:/", "g").fails("is not a path inside the guest", rc=125)
    both("update", "--volume-add", "other:/x/../..", "g").fails("is not a path inside the guest", rc=125)
    both("update", "--volume-add", "other:/proc/x", "g").fails("is the kernel's", rc=125)
    both("update", "--volume-add", f"{work}/none:/none", "g").fails("none", rc=125)
    both("update", "--volume-rm", "/none", "g").fails("no volume there", rc=125)
    look("sleep 1000 < /data/file > /dev/null 2>&1 & echo $! > /sleeper").ok()
    both("update", "--volume-rm", "/data", "g").fails("the guest uses it", rc=125)
    assert look("cat /data/file").ok().out == "kept\n"
    look("kill $(cat /sleeper); sleep 0.2").ok()
    both("update", "--volume-rm", "/srv/deep/in", "g").ok()
    look("cat /srv/deep/in/word").fails("No such file")
    both("restart", "-t", "1", "g").ok()
    assert look("cat /data/file; ls /srv/deep/in").ok().out.split() == ["kept"]
    both("update", "--volume-rm", "/data", "g").ok()
    both("stop", "-t", "1", "g").ok()
    both("update", "--volume-add", "coming:/again", "g").ok()
    both("start", "g").ok()
    assert look("cat /again/file").ok().out == "kept\n"
    both.remove("g")
    both("volume", "rm", "coming").ok()


def volumes_outlive_their_guests_and_folders_are_shared(both, work):
    (work / "in").write_text("from the host\n")
    work.chmod(0o777)
    script = "echo x >> /data/file; cat /data/file; cat /host/in; echo back > /host/out; echo no > /fixed/out || echo refused"
    flags = ["-v", "data:/data", "-v", f"{work}:/host", "-v", f"{work}:/fixed:ro"]
    for lines in (1, 2):
        done = both.sh(script, *flags)
        assert done.ok().out.split("\n")[:-1] == ["x"] * lines + ["from the host", "refused"], done
    assert (work / "out").read_text() == "back\n"
    both("volume", "rm", "data").ok()


def files_of_the_guest_are_as_usual(both):
    script = "ln -s a /l; mkdir /d; mkfifo /f; echo x > /d/a; mv /d/a /d/b; chown 5:6 /d/b; chmod 4750 /d/b; stat -c '%a %u %g' /d/b; ls -l /f | cut -c1; readlink /l; rm -r /d; ls /d 2>&1 | grep -c 'No such'"
    assert both.sh(script).ok().out.split() == ["4750", "5", "6", "p", "a", "1"]


# ---- exec ----

def exec_runs_beside_and_tells_its_end(web):
    done = web("exec", "web", "sh", "-c", "pwd; echo $COLOR; hostname; echo err >&2; exit 9")
    assert (done.rc, done.out.split(), done.err) == (9, ["/srv", "red", "inside"], "err\n")
    done = web("exec", "-w", "/tmp", "-e", "A=b", "-u", "daemon", "web", "sh", "-c", "pwd; echo $A; id -u")
    assert done.ok().out.split() == ["/tmp", "b", "1"]
    assert web("exec", "web", "no-such-program").rc == 127
    assert web("exec", "web", "/etc/passwd").rc == 126
    assert web("exec", "web", "sh", "-c", "kill -9 $$").rc == 137


def exec_takes_input_and_can_be_left(web):
    assert web("exec", "-i", "web", "cat", input="a\nb\n").ok().out == "a\nb\n"
    assert web("exec", "web", "cat", input="a\n").ok().out == ""
    web("exec", "-d", "web", "sh", "-c", "sleep 0.5; echo done > /left").ok()
    runtime.wait_for(lambda: web("exec", "web", "cat", "/left").out == "done\n", "it ran on", BOOT)


def exec_gives_a_terminal_that_changes_its_size(web):
    terminal = web.terminal("exec", "-it", "web", "sh")
    terminal.expect("# ")
    terminal.type("tty; " + _until_sized(33, 77))
    _resize(terminal, 33, 77)
    terminal.expect("sized to 33")
    terminal.type("exit 5\n")
    assert terminal.wait() == 5


def a_signal_to_exec_reaches_its_process(web):
    command = web.vrun.start("exec", "web", "sh", "-c", "trap 'echo got; exit 4' TERM; echo up; " + LOOP, stdout=subprocess.PIPE, text=True)
    assert command.stdout.readline() == "up\n"
    command.send_signal(signal.SIGTERM)
    assert command.communicate(timeout=BOOT)[0] == "got\n" and command.returncode == 4


def a_signal_arrives_behind_input_that_nobody_reads(both, work):
    (work / "much").write_bytes(bytes(8 << 20))
    script = f"trap 'echo got term; exit 9' TERM; echo up; {LOOP}"
    with (work / "much").open() as much:
        run = both.vrun.start("run", *both.flags, "-i", "--name", "g", "base", "sh", "-c", script, stdin=much, stdout=subprocess.DEVNULL)
    try:
        both.wait_for_log("g", "up")
        with (work / "much").open() as much:
            beside = both.vrun.start("exec", "-i", "g", "sh", "-c", f"trap 'exit 7' TERM; touch /tmp/up; {LOOP}", stdin=much)
        runtime.wait_for(lambda: both("exec", "g", "test", "-e", "/tmp/up").rc == 0, "the exec runs", BOOT)
        time.sleep(1)  # the input fills all that is between
        beside.terminate()
        assert beside.wait(BOOT) == 7
        both("stop", "-t", "60", "g").ok()
        assert run.wait(BOOT) == 9 and "got term" in both("logs", "g").ok().out
    finally:
        run.kill()
        run.wait()
        both.remove("g")


def ten_execs_at_once(web):
    commands = [web.vrun.start("exec", "web", "sh", "-c", f"echo {i}; exit {i}", stdout=subprocess.PIPE, text=True) for i in range(10)]
    for i, command in enumerate(commands):
        assert command.communicate(timeout=BOOT)[0] == f"{i}\n" and command.returncode == i


# ---- terminals ----

def _until_sized(rows, columns):
    return f"while [ \"$(stty size)\" != '{rows} {columns}' ]; do sleep 0.1; done; echo sized to $(({rows}))\n"


def _resize(terminal, rows, columns):
    fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def a_terminal_is_left_found_again_and_changes_its_size(both):
    terminal = both.terminal("run", *both.flags, "-it", "--name", "t", "base", "sh")
    terminal.expect("# ")
    terminal.type("x=$((40+2)); " + _until_sized(44, 99))
    _resize(terminal, 44, 99)
    terminal.expect("sized to 44")
    terminal.type("echo is $x\n")
    terminal.expect("is 42")
    terminal.type("\x10\x11")
    assert terminal.wait() == 0 and both.state("t")["status"] == "running"
    again = both.terminal("attach", "t")
    again.type("sh -c 'echo be''gun; exec sleep 1000'\n")
    again.expect("begun")  # by who has the terminal now
    again.type("\x03")  # the guest's terminal makes a signal of it
    again.expect("# ")
    again.type("echo still $x; exit 9\n")
    again.expect("still 42")
    assert again.wait() == 9
    assert "is 42" in both("logs", "t").out
    both.remove("t")


def attach_follows_a_guest_without_a_terminal(both):
    both.detached("a", "while [ ! -e /go ]; do sleep 0.1; done; echo late; exit 4")
    client = both.vrun.start("attach", "--no-stdin", "a", stdout=subprocess.PIPE, text=True)
    runtime.wait_for(lambda: sum("socket:" in d for d in everyday.descriptors_of(both.vrun.monitor("a"))) > 1, "it is attached")
    assert both("exec", "a", "touch", "/go").rc in (0, 137)  # its file may end the guest before it has ended itself
    assert client.communicate(timeout=BOOT)[0] == "late\n" and client.returncode == 4
    both.remove("a")


def a_signal_to_the_foreground_reaches_the_guest(both):
    command = both.vrun.start("run", "--rm", *both.flags, "base", "sh", "-c", "trap 'echo got; exit 5' TERM; echo up; " + LOOP, stdout=subprocess.PIPE, text=True)
    assert command.stdout.readline() == "up\n"
    command.send_signal(signal.SIGTERM)
    assert command.stdout.readline() == "got\n" and command.wait(BOOT) == 5


# ---- signals, ends, further lives ----

def kill_and_stop_do_what_they_say(both):
    both.detached("k", LOOP, first="trap 'echo usr' USR1; trap 'echo asked; exit 7' TERM")
    both("kill", "-s", "USR1", "k").ok()
    both.wait_for_log("k", "usr")
    both("stop", "-t", "30", "k").ok()
    assert both.state("k")["exitCode"] == 7 and "asked" in both("logs", "k").out
    both("start", "k").ok()
    both.wait_for("k", status="running")
    runtime.wait_for(lambda: both("logs", "k").out.count("up") == 2, "it lives again", BOOT)
    both("kill", "k").ok()
    both.wait_for("k", status="exited", exitCode=137, signal=9)
    assert "`vrun kill`" in both.state("k")["reason"]
    both.remove("k")


def who_does_not_hear_is_killed_when_the_time_is_over(both):
    both.detached("deaf", LOOP, first="trap '' TERM")
    begin = time.monotonic()
    both("stop", "-t", "2", "deaf").ok()
    assert 2 <= time.monotonic() - begin
    state = both.state("deaf")
    assert (state["exitCode"], state["signal"]) == (137, 9) and "`vrun stop`" in state["reason"]
    both.remove("deaf")


def a_signal_from_inside_is_an_end_by_signal(both):
    done = both.sh("kill -TERM $$; sleep 5", "--init") if not both.is_vm else both.sh("sh -c 'kill -TERM $$'; exit $?")
    assert done.rc == 143


def a_restart_keeps_what_was_written(both):
    both.detached("r", "echo x >> /file; echo written; " + LOOP)
    both.wait_for_log("r", "written")
    both("restart", "-t", "0", "r").ok()
    runtime.wait_for(lambda: both("exec", "r", "cat", "/file").out == "x\nx\n", "it began again", BOOT)
    both("rename", "r", "s").ok()
    both("stop", "-t", "0", "s").ok()
    both("rm", "s").ok()


def restart_policies_do_what_they_say(both):
    both.run("-d", "--name", "fails", "--restart", "on-failure:2", "base", "sh", "-c", "echo life; exit 1").ok()
    both.wait_for("fails", status="exited", restarts=2)
    assert both("logs", "fails").out == "life\n" * 3
    both.remove("fails")


def wait_learns_the_exit_code(both):
    both.detached("w", "while [ ! -e /go ]; do sleep 0.1; done; exit 4")
    waiting = both.vrun.start("wait", "w", stdout=subprocess.PIPE, text=True)
    both("exec", "w", "touch", "/go").ok()
    assert waiting.communicate(timeout=BOOT)[0] == "4\n"
    both.remove("w")


def events_tell_a_life(both):
    both.run("--name", "e", "base", "sh", "-c", "exit 3")
    both("rm", "e").ok()
    out = both("events", "--since", "1h", "--until", "0s", "--format", "json", "--filter", "guest=e").ok().out
    events = [json.loads(line) for line in out.splitlines()]
    assert [e["action"] for e in events] == ["create", "start", "die", "destroy"]
    assert events[2]["attributes"]["exitCode"] == "3"


def a_program_that_is_not_there_is_said(both):
    done = both.run("--name", "none", "base", "/no/such")
    assert done.rc == 127 and "/no/such" in done.err, done
    assert both.state("none")["exitCode"] == 127
    both.remove("none")


def the_health_check_sees_and_acts(both):
    both.detached("h", "touch /ok; " + LOOP, "--health-cmd", "test -e /ok", "--health-interval", "1s", "--health-retries", "2", "--health-timeout", "20s", "--health-on-failure", "kill")
    both.wait_for("h", health="healthy")
    both("exec", "h", "rm", "/ok").ok()
    both.wait_for("h", status="exited")
    assert "health check failed" in both.state("h")["reason"]
    both.remove("h")


def the_health_check_asks_a_port(both):
    both.detached("p", "echo hello > /page; while [ ! -e /go ]; do sleep 0.1; done; exec httpd -f -p 8080 -h /",
                  "--health-cmd", "http://:8080/page", "--health-interval", "1s", "--health-retries", "1", "--health-timeout", "20s", "--health-start-period", "10m")
    both.wait_for("p", health="starting")
    both("exec", "p", "touch", "/go").ok()
    both.wait_for("p", health="healthy")
    both("exec", "p", "rm", "/page").ok()
    both.wait_for("p", health="unhealthy")
    both.remove("p")


# ---- output ----

def logs_follow_until_the_end(both):
    both.detached("l", "for i in 1 2 3; do echo out $i; echo err $i >&2; sleep 0.2; done; while [ ! -e /go ]; do sleep 0.1; done; echo last")
    follow = both.vrun.start("logs", "-f", "l", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    both("exec", "l", "touch", "/go").ok()
    out, err = follow.communicate(timeout=BOOT)
    assert out.split("\n")[:-1] == ["up", "out 1", "out 2", "out 3", "last"]
    assert err.split("\n")[:-1] == ["err 1", "err 2", "err 3"]
    both.remove("l")


def much_output_comes_whole(both):
    done = both.sh("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done")
    assert done.ok().out == "".join(f"line {i}\n" for i in range(20000))


# ---- files ----

def files_are_copied_both_ways_while_it_runs_and_when_it_does_not(both, work):
    both.detached("c", LOOP)
    for life in ("runs", "stands"):
        (work / "in").write_bytes(os.urandom(200_000))
        (work / "in").chmod(0o640)
        both("cp", work / "in", f"c:/etc/{life}").ok()
        both("cp", f"c:/etc/{life}", work / "out").ok()
        assert (work / "out").read_bytes() == (work / "in").read_bytes()
        if life == "runs":
            done = both("exec", "c", "sh", "-c", f"stat -c '%u %g %s' /etc/{life}; echo y > /mine")
            assert done.ok().out == "0 0 200000\n"
            both("cp", "c:/mine", work / "mine").ok()
            assert (work / "mine").read_text() == "y\n"
            both("stop", "-t", "0", "c").ok()
    both("start", "c").ok()
    assert both("exec", "c", "stat", "-c", "%s", "/etc/stands").ok().out == "200000\n"
    both.remove("c")


def changes_are_told_exported_and_committed(both, work):
    both.run("--name", "d", "base", "sh", "-c", "echo changed > /etc/motd; rm /bin/vi; mkdir /new").ok()
    assert {"A /new", "C /etc", "D /bin/vi"} <= set(both("diff", "d").ok().out.splitlines())
    both("export", "-o", work / "all.tar", "d").ok()
    with tarfile.open(work / "all.tar") as tar:
        names = {name.removeprefix("./") for name in tar.getnames()}
    assert "etc/motd" in names and "bin/vi" not in names
    both("commit", "d", f"mine-{both.kind}:1").ok()
    done = both.run("--rm", f"mine-{both.kind}:1", "sh", "-c", "cat /etc/motd; ls /bin/vi 2>&1 | grep -c 'No such'")
    assert done.ok().out == "changed\n1\n"
    both.remove("d")


def a_running_guest_is_committed_and_goes_on(web):
    web("exec", "web", "sh", "-c", "echo here > /made").ok()
    web("commit", "web", f"web-{web.kind}:1").ok()
    assert web.state("web")["status"] == "running"
    assert web.run("--rm", f"web-{web.kind}:1", "cat", "/made").ok().out == "here\n"
    before = web("exec", "web", "cat", "/count").ok().out
    runtime.wait_for(lambda: web("exec", "web", "cat", "/count").out not in (before, ""), "it counts on", BOOT)


def a_snapshot_of_a_running_guest_has_what_programs_wrote_to_mapped_files_and_the_guest_goes_on(both, work):
    """The kernel of a micro-VM hands on such pages when it likes: it has to be asked."""
    both.detached("mapper", LOOP)
    both("cp", bundle.probe_program(), "mapper:/probe").ok()
    both("exec", "-d", "mapper", "/bin/sh", "-c", "/probe map /mapped words-of-a-page > /said").ok()
    runtime.wait_for(lambda: both("exec", "mapper", "cat", "/said").out == "mapped\n", "it has written", BOOT)
    told = both("snapshot", "create", "mapper", "now").ok()
    assert "may be missing" not in told.err
    both("exec", "mapper", "true").ok()
    assert both.state("mapper")["status"] == "running"
    both("clone", "mapper@now", "copy").ok()
    both("cp", "copy:/mapped", work / "mapped").ok()
    assert (work / "mapped").read_bytes().startswith(b"words-of-a-page\0")
    both.remove("mapper", "copy")


def a_paused_guest_is_copied_as_it_lies(both):
    both.detached("lies", LOOP)
    both("pause", "lies").ok()
    both("snapshot", "create", "lies", "now").ok()
    assert both.state("lies")["status"] == "paused"
    both("unpause", "lies").ok()
    both.remove("lies")


# ---- what runs, and how much of it ----

def top_and_stats_show_the_guest(web):
    web("exec", "-d", "web", "sleep", "1234").ok()
    top = lambda: json.loads(web("top", "web", "--format", "json").ok().out)
    runtime.wait_for(lambda: any(row["command"] == "sleep 1234" for row in top()), f"top shows it: {top()}", BOOT)
    assert any(row["inside"] == 1 and row["uid"] == 0 and "/count" in row["command"] for row in top()), top()
    if not host.has("memory controller"):
        return
    stats = json.loads(web("stats", "--no-stream", "--format", "json", "web").ok().out)[0]
    assert stats["memoryLimit"] == 256 << 20 and 0 < stats["memory"] < 256 << 20, stats


def a_paused_guest_stands_still_and_goes_on(web):
    count = lambda: int(web("exec", "web", "cat", "/count").ok().out or 0)
    before = count()
    web("pause", "web").ok()
    assert web.state("web")["status"] == "paused"
    web("exec", "web", "true").fails("is paused", rc=125)
    if web.is_vm:
        web("update", "--memory", "200m", "web").fails("is paused", "vrun unpause", rc=125)
    time.sleep(3)
    web("unpause", "web").ok()
    inside = int(web("exec", "web", "date", "+%s").ok().out)
    assert abs(inside - time.time()) < 10, "its clock is that of the host again"
    runtime.wait_for(lambda: count() > before, "it counts on", BOOT)


def a_paused_guest_can_be_ended(both):
    both.detached("p", LOOP)
    both("pause", "p").ok()
    both("rm", "-f", "p").ok()


def limits_change_while_it_runs(web):
    host.need("memory controller")
    limit = lambda: json.loads(web("stats", "--no-stream", "--format", "json", "web").ok().out)[0]["memoryLimit"]
    web("update", "--memory", "240m", "web").ok()
    assert limit() == 240 << 20 and web.vrun.inspect("web")["request"]["memory"] == "240m"
    web("update", "--cpus", "0.5", "web").ok()
    web("update", "--memory", "256m", "web").ok()
    assert limit() == 256 << 20
    assert web("exec", "web", "echo", "alive").ok().out == "alive\n"


def who_takes_too_much_memory_is_told_so(both):
    host.need("memory controller")
    done = both.run("--name", "big", "--memory", "96m", "base", "tail", "/dev/zero")
    assert done.rc == 137 and "its limit is 96m" in done.err and "--memory" in done.err, done
    state = both.state("big")
    assert state["oomKilled"] and state["signal"] == 9 and "its limit is 96m" in state["reason"], state
    both.remove("big")
    for flags in (["--rm"], ["--rm", "-t"]):  # its record is gone with it
        done = both.run(*flags, "--memory", "96m", "base", "tail", "/dev/zero")
        assert done.rc == 137 and "its limit is 96m" in done.err and "--memory" in done.err, (flags, done)


def processes_are_limited(both):
    host.need("pids controller")
    done = both.sh("for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait", "--pids-limit", "5")
    assert "fork" in done.err, done
