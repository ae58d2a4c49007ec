"""What a guest says: logs, attach, the foreground; and that a killed monitor takes nothing of it."""
import os
import random
import signal
import subprocess
import time

import pytest

from harness import everyday, host, runtime


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


def _count(number):
    """A script that says the numbers from 0 on, a line each, and stays."""
    return f"i=0; while [ $i -lt {number} ]; do echo line $i; i=$((i+1)); done; echo end; sleep 1000"


def _numbers(text):
    return [int(line.split()[1]) for line in text.splitlines() if line.startswith("line ")]


def logs_keep_both_streams_apart(vrun):
    vrun("run", "--name", "l", "base", "sh", "-c", "echo out; echo err >&2; printf tail")
    logs = vrun("logs", "l").ok()
    assert logs.out == "out\ntail" and logs.err == "err\n"


def logs_are_chosen_by_time_and_count(vrun):
    vrun.detached("for i in 1 2 3; do echo $i; done; sleep 1; for i in 4 5 6; do echo $i; done; sleep 1000", "--name", "l")
    vrun.wait_for_log("l", "6\n")
    assert vrun("logs", "--tail", "2", "l").ok().out == "5\n6\n"
    assert vrun("logs", "-n", "0", "l").ok().out == ""
    stamped = vrun("logs", "-t", "l").ok().out.splitlines()
    fourth = stamped[3].split()[0]
    assert vrun("logs", "--since", fourth, "l").ok().out == "4\n5\n6\n"
    assert vrun("logs", "--until", stamped[2].split()[0], "l").ok().out == "1\n2\n3\n"
    assert vrun("logs", "--since", "1h", "--tail", "1", "l").ok().out == "6\n"
    assert vrun("logs", "--since", "2999-01-01", "l").ok().out == ""
    vrun("logs", "--since", "yesterdayish", "l").fails("not a time", rc=125)


def logs_follow_until_the_end(vrun):
    vrun.detached("for i in 1 2 3 4 5; do echo $i; sleep 0.2; done", "--name", "f")
    assert vrun("logs", "-f", "f").ok().out == "1\n2\n3\n4\n5\n"


def a_long_line_and_bytes_of_any_kind_come_back_whole(vrun):
    script = "dd if=/dev/zero bs=1000 count=100 2>/dev/null | tr '\\0' x; echo; printf 'a\\000b\\r\\377\\n'"
    vrun.start("run", "--name", "l", "base", "sh", "-c", script, stdout=subprocess.DEVNULL).wait(60)
    done = subprocess.run([vrun.program, "logs", "l"], env=vrun.env, capture_output=True)
    assert done.stdout == b"x" * 100000 + b"\na\0b\r\xff\n"


def a_terminal_is_safe_from_what_a_guest_said(vrun):
    vrun("run", "--name", "l", "base", "printf", r"\033[2Jgone \033[31mred\033[0m \033]0;title\007 \302\233 end\n")
    terminal = everyday.Terminal(vrun, "logs", "l")
    seen = terminal.expect("end")
    assert "\\x1b[2Jgone" in seen and "\x1b[31mred\x1b[0m" in seen and "\\x1b]0;title\\x07" in seen and "\\xc2\\x9b" in seen
    assert terminal.wait() == 0
    assert "\x1b[2J" in vrun("logs", "l").out, "a pipe gets the bytes as they are"


def two_harmless_pieces_make_no_harmful_whole(vrun):
    vrun("run", "--name", "c", "base", "sh", "-c", r"printf 'a\302'; sleep 0.4; printf '\2332Jend\n'").ok()
    terminal = everyday.Terminal(vrun, "logs", "c")
    assert "a\\xc2\\x9b2Jend" in terminal.expect("end")
    assert terminal.wait() == 0


def logs_are_bounded(vrun):
    vrun.detached(_count(40000), "--name", "b", "--log-opt", "max-size=64k", "--log-opt", "max-file=2")
    runtime.wait_for(lambda: "end" in vrun("logs", "--tail", "1", "b").out, "all is said")
    logs = vrun.data / "guests/default/b/logs"
    sizes = [file.stat().st_size for file in logs.iterdir()]
    assert len(sizes) == 2 and max(sizes) <= 65536
    kept = _numbers(vrun("logs", "b").out)
    assert kept == list(range(kept[0], 40000)), "the newest lines, without a hole"
    vrun("run", "--log-opt", "max-size=1", "base", "true").fails("at least 64k", rc=125)
    vrun("run", "--log-opt", "mode=x", "base", "true").fails("max-file", rc=125)


def rotation_under_load_loses_no_line(vrun):
    vrun.detached(_count(100000), "--name", "r", "--log-opt", "max-size=64k", "--log-opt", "max-file=1000")
    follower = vrun.start("logs", "-f", "r", stdout=subprocess.PIPE, text=True)
    runtime.wait_for(lambda: "end" in vrun("logs", "--tail", "1", "r").out, "all is said")
    assert len(list((vrun.data / "guests/default/r/logs").iterdir())) > 20
    assert _numbers(vrun("logs", "r").out) == list(range(100000))
    vrun("kill", "r").ok()
    assert _numbers(follower.communicate(timeout=60)[0]) == list(range(100000)), "nor does a reader who follows"


def a_killed_monitor_takes_no_line_with_it(vrun):
    vrun.detached(_count(300000), "--name", "k", "--log-opt", "max-size=1m", "--log-opt", "max-file=1000")
    dice = random.Random(3)
    for _ in range(10):
        time.sleep(dice.random() * 0.2)  # the moment is what is tested
        vrun.kill_monitor("k")
        vrun("create", "base", "true").ok()  # any command that changes something repairs
        assert everyday.alive(vrun.monitor("k"))
    runtime.wait_for(lambda: "end" in vrun("logs", "--tail", "1", "k").out, "all is said")
    assert _numbers(vrun("logs", "k").out) == list(range(300000))
    assert vrun.state("k")["status"] == "running"


def a_guest_whose_monitor_was_killed_still_tells_its_exit_code(vrun):
    vrun.detached("while [ ! -e /go ]; do sleep 0.05; done; exit 6", "--name", "x")
    vrun.kill_monitor("x")
    assert everyday.alive(vrun.state("x")["pid"])
    vrun("exec", "x", "touch", "/go")
    vrun("start", "x")  # runs or has ended; either way it is repaired
    code = vrun("wait", "x").ok().out.strip()
    assert code in ("6", "-1", "0") and vrun.state("x")["status"] == "exited"


@pytest.mark.parametrize("words", [("ps",), ("ps", "-a"), ("logs", "x"), ("inspect", "x"), ("exec", "x", "true"), ("top", "x"),
                                   ("stats", "--no-stream"), ("info",), ("port", "x")])
def any_command_adopts_a_guest_whose_monitor_was_killed(vrun, words):
    guest = vrun.detached("sleep 1000", "--name", "x")
    vrun.kill_monitor("x")
    vrun(*words).ok()
    # Not by inspect, which adopts, too.
    assert everyday.alive(int((vrun.run_dir / "monitors/default" / guest / "monitor").read_text()))


def an_adopted_guest_tells_its_exit_code(vrun):
    if host.kernel() < (6, 15):
        pytest.skip("kernel >= 6.15 (PIDFD_INFO_EXIT)")
    vrun.detached("while [ ! -e /go ]; do sleep 0.05; done; exit 6", "--name", "x")
    vrun.kill_monitor("x")
    vrun("create", "base", "true").ok()
    assert everyday.alive(vrun.monitor("x"))
    vrun("exec", "x", "touch", "/go").ok()
    assert vrun("wait", "x").ok().out == "6\n"


def a_guest_and_monitor_killed_together_are_cleaned_up(vrun):
    vrun.detached("sleep 1000", "--name", "both")
    pid = vrun.state("both")["pid"]
    vrun.kill_monitor("both")
    os.kill(pid, signal.SIGKILL)
    runtime.wait_for(lambda: not everyday.alive(pid), "it is dead")
    vrun("create", "base", "true").ok()
    state = vrun.state("both")
    assert state["status"] == "exited" and "not known" in state["reason"]
    vrun("start", "both").ok()


def the_foreground_passes_input_output_and_exit_code(vrun):
    done = vrun("run", "base", "sh", "-c", "cat; echo err >&2; exit 8", input="piped")
    assert (done.out, done.err, done.rc) == ("piped", "err\n", 8)


def a_slow_reader_of_the_foreground_gets_all(vrun):
    guest = vrun.start("run", "base", "sh", "-c", _count(100000).replace("sleep 1000", "true"), stdout=subprocess.PIPE, text=True)
    time.sleep(1)  # slow is what is tested
    assert _numbers(guest.communicate(timeout=60)[0]) == list(range(100000))


def signals_to_the_foreground_reach_the_guest(vrun):
    guest = vrun.start("run", "base", "sh", "-c", "trap 'echo got; exit 5' TERM; echo up; while :; do sleep 0.1; done",
                       stdout=subprocess.PIPE, text=True)
    assert guest.stdout.readline() == "up\n"
    guest.send_signal(signal.SIGTERM)
    assert guest.stdout.readline() == "got\n" and guest.wait(60) == 5


def a_terminal_is_left_by_its_keys_and_found_again(vrun):
    terminal = everyday.Terminal(vrun, "run", "-it", "--name", "t", "base", "sh")
    terminal.expect("# ")
    terminal.type("x=$((40+2)); echo is $x\n")
    terminal.expect("is 42")
    terminal.type("\x10\x11")
    assert terminal.wait() == 0 and vrun.state("t")["status"] == "running"
    again, beside = (everyday.Terminal(vrun, "attach", "t") for _ in range(2))
    again.type("echo still $x\n")
    again.expect("still 42")
    beside.expect("still 42")
    beside.type("\x10\x11")
    assert beside.wait() == 0
    again.type("exit 9\n")
    assert again.wait() == 9
    assert "is 42" in vrun("logs", "t").out


def a_terminal_survives_its_monitor(vrun):
    terminal = everyday.Terminal(vrun, "run", "-it", "--name", "t", "base", "sh")
    terminal.expect("# ")
    vrun.kill_monitor("t")
    terminal.expect("connection to the guest's monitor was lost")
    assert terminal.wait() == 125
    again = everyday.Terminal(vrun, "attach", "t")
    again.type("echo alive $((1+1))\n")
    again.expect("alive 2")
    again.type("exit 3\n")
    assert again.wait() == 3


def a_terminal_that_is_none_is_refused_where_its_end_would_be_waited_for(vrun):
    vrun("run", "-it", "--rm", "base", "sh").fails("not a terminal", rc=125)
    vrun.detached("sleep 1000", "--name", "e")
    vrun("exec", "-it", "e", "sh").fails("not a terminal", rc=125)
    look = ["sh", "-c", "test -t 1 && echo a terminal"]
    assert vrun("run", "-t", "--rm", "base", *look).ok().out == "a terminal\n"
    assert vrun("exec", "-t", "e", *look).ok().out == "a terminal\n"


def who_types_ctrl_c_in_vain_is_told_the_way_out(vrun):
    terminal = everyday.Terminal(vrun, "run", "--rm", "--name", "deaf", "base", "sh", "-c", "echo up; sleep 1000")
    terminal.expect("up")
    for _ in range(3):
        terminal.type("\x03")
    assert "ctrl-p ctrl-q" in terminal.expect("leave it to itself")
    vrun("kill", "deaf").ok()
    assert terminal.wait() == 137


def the_detach_keys_can_be_others(vrun):
    terminal = everyday.Terminal(vrun, "run", "-it", "--name", "t", "--detach-keys", "ctrl-a,d", "base", "sh")
    terminal.expect("# ")
    terminal.type("\x01d")
    assert terminal.wait() == 0 and vrun.state("t")["status"] == "running"
    vrun("attach", "--detach-keys", "ctrl-", "t").fails("is no key", rc=125)


def attach_follows_a_guest_without_a_terminal(vrun):
    vrun.detached("while [ ! -e /go ]; do sleep 0.05; done; echo late; exit 4", "--name", "a")
    client = vrun.start("attach", "--no-stdin", "a", stdout=subprocess.PIPE, text=True)
    runtime.wait_for(lambda: sum("socket:" in d for d in everyday.descriptors_of(vrun.monitor("a"))) > 1, "it is attached")
    vrun("exec", "a", "touch", "/go").ok()
    assert client.communicate(timeout=60)[0] == "late\n" and client.returncode == 4
    vrun("attach", "a").fails("is not running", "vrun logs", rc=125)


def a_reader_who_stops_does_not_stop_the_guest(vrun):
    vrun.detached("while [ ! -e /go ]; do sleep 0.05; done; " + _count(200000), "--name", "g", "--log-opt", "max-size=1g")
    client = vrun.start("attach", "--no-stdin", "g", stdout=subprocess.PIPE)
    runtime.wait_for(lambda: sum("socket:" in d for d in everyday.descriptors_of(vrun.monitor("g"))) > 1, "it is attached")
    vrun("exec", "g", "touch", "/go").ok()
    runtime.wait_for(lambda: "end" in vrun("logs", "--tail", "1", "g").out, "all is said though nobody reads")
    client.kill()
    client.communicate()
    assert _numbers(vrun("logs", "g").out) == list(range(200000))
