"""Terminals: the console socket, the foreground relay, exec -t, sizes, and raw mode given back."""
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import time

import pytest

from harness import host, runtime


def _size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@pytest.fixture
def tty():
    """A terminal as a user has one: (master, slave)."""
    master, slave = pty.openpty()
    _size(slave, 33, 99)
    yield master, slave
    os.close(master)
    os.close(slave)


def _on(rt, tty, *args):
    """Runs the runtime with that terminal as its controlling one."""
    def own():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    return rt.popen(*args, stdin=tty[1], stdout=tty[1], stderr=tty[1], preexec_fn=own)


def the_console_socket_receives_the_master(rt, bundle, console):
    bundle.process["terminal"] = True
    id = rt.create(bundle.sh("echo on $(tty)"), "--console-socket", console.path)
    console.receive()
    assert os.isatty(console.master)
    rt("start", id).ok()
    assert "on /dev/" in console.read_until("on /dev/")


def the_message_names_the_terminal(rt, bundle, console):
    bundle.process["terminal"] = True
    rt.create(bundle.args("true"), "--console-socket", console.path)
    console.receive()
    assert console.message


def the_terminal_is_controlling_and_in_the_foreground(rt, bundle, console):
    bundle.process["terminal"] = True
    id = rt.create(bundle.args("/bin/probe", "tty"), "--console-socket", console.path)
    console.receive()
    rt("start", id).ok()
    text = console.read_until("size")
    assert "controlling yes" in text and "foreground yes" in text and "tty /dev/" in text


def dev_console_is_the_terminal(rt, bundle, console):
    bundle.process["terminal"] = True
    id = rt.create(bundle.sh("echo through > /dev/console; stat -c %F /dev/console; sleep 100"), "--console-socket", console.path)
    console.receive()
    rt("start", id).ok()
    text = console.read_until("character special file")
    assert "through" in text


def consoleSize_is_the_first_size(rt, bundle, console):
    bundle.process["terminal"] = True
    bundle.process["consoleSize"] = {"height": 41, "width": 121}
    id = rt.create(bundle.args("/bin/probe", "tty"), "--console-socket", console.path)
    console.receive()
    rt("start", id).ok()
    assert "size 41 121" in console.read_until("size 41 121")


def a_resize_by_the_engine_reaches_the_guest(rt, bundle, console):
    bundle.process["terminal"] = True
    id = rt.create(bundle.args("/bin/probe", "tty"), "--console-socket", console.path)
    console.receive()
    rt("start", id).ok()
    console.read_until("size")
    _size(console.master, 50, 60)
    console.read_until("size 50 60")


def the_terminal_belongs_to_the_user_of_the_process(rt, bundle, console):
    bundle.process["terminal"] = True
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    id = rt.create(bundle.sh("stat -c 'owner %u' $(tty); sleep 100"), "--console-socket", console.path)
    console.receive()
    rt("start", id).ok()
    console.read_until("owner 1000")


def a_terminal_works_in_a_user_namespace(rt, bundle, console):
    bundle.user_namespace().process["terminal"] = True
    id = rt.create(bundle.sh("stat -c 'owner %u' $(tty); sleep 100"), "--console-socket", console.path)
    console.receive()
    rt("start", id).ok()
    console.read_until("owner 0")


def terminal_and_detach_without_console_socket_is_refused(rt, bundle):
    bundle.process["terminal"] = True
    rt.try_create(bundle).fails("onsole")


def console_socket_without_terminal_is_refused(rt, bundle, console):
    rt.try_create(bundle, "--console-socket", console.path).fails("onsole")


def a_console_socket_that_is_missing_is_named(rt, bundle, work):
    bundle.process["terminal"] = True
    rt.try_create(bundle, "--console-socket", work / "nosuch.sock").fails("nosuch.sock")


def run_in_the_foreground_relays_the_terminal(rt, bundle, tty):
    bundle.process["terminal"] = True
    bundle.sh("read line; echo got $line; exit 5").save()
    child = _on(rt, tty, "run", "--bundle", bundle.path, rt.new_id())
    os.write(tty[0], b"words\n")
    runtime.read_until(tty[0], "got words")
    assert child.wait(runtime.DEADLINE) == 5


def the_callers_terminal_is_raw_while_it_runs_and_given_back(rt, bundle, tty):
    bundle.process["terminal"] = True
    before = termios.tcgetattr(tty[1])
    bundle.sh("echo ready; read line").save()
    child = _on(rt, tty, "run", "--bundle", bundle.path, rt.new_id())
    runtime.read_until(tty[0], "ready")
    assert not termios.tcgetattr(tty[1])[3] & termios.ICANON
    os.write(tty[0], b"\n")
    assert child.wait(runtime.DEADLINE) == 0
    assert termios.tcgetattr(tty[1]) == before


def the_terminal_is_given_back_when_the_guest_is_killed(rt, bundle, tty):
    bundle.process["terminal"] = True
    before = termios.tcgetattr(tty[1])
    id = rt.new_id()
    bundle.sh("echo ready; sleep 100").save()
    child = _on(rt, tty, "run", "--bundle", bundle.path, id)
    runtime.read_until(tty[0], "ready")
    rt.kill(id).ok()
    assert child.wait(runtime.DEADLINE) == 137
    assert termios.tcgetattr(tty[1]) == before


def the_first_size_is_that_of_the_callers_terminal(rt, bundle, tty):
    bundle.process["terminal"] = True
    bundle.args("/bin/probe", "tty").save()
    _on(rt, tty, "run", "--bundle", bundle.path, rt.new_id())
    runtime.read_until(tty[0], "size 33 99")


def a_resize_of_the_callers_terminal_reaches_the_guest(rt, bundle, tty):
    bundle.process["terminal"] = True
    bundle.args("/bin/probe", "tty").save()
    child = _on(rt, tty, "run", "--bundle", bundle.path, rt.new_id())
    runtime.read_until(tty[0], "size 33 99")
    _size(tty[0], 20, 70)
    child.send_signal(signal.SIGWINCH)
    runtime.read_until(tty[0], "size 20 70")


def control_c_reaches_the_guest(rt, bundle, tty):
    bundle.process["terminal"] = True
    bundle.sh('trap "echo interrupted; exit 3" INT; echo ready; while :; do sleep 0.05; done').save()
    child = _on(rt, tty, "run", "--bundle", bundle.path, rt.new_id())
    runtime.read_until(tty[0], "ready")
    os.write(tty[0], b"\x03")
    runtime.read_until(tty[0], "interrupted")
    assert child.wait(runtime.DEADLINE) == 3


def all_output_arrives_before_the_end(rt, bundle, tty):
    bundle.process["terminal"] = True
    bundle.sh("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo the end").save()
    child = _on(rt, tty, "run", "--bundle", bundle.path, rt.new_id())
    text = runtime.read_until(tty[0], "the end")
    assert child.wait(runtime.DEADLINE) == 0
    assert [l for l in text.split("\r\n") if l.startswith("line ")] == [f"line {i}" for i in range(2000)]


def exec_tty_gets_a_terminal_of_its_own(rt, bundle, tty):
    id = rt.start(bundle.args("sleep", "100"))
    before = termios.tcgetattr(tty[1])
    child = _on(rt, tty, "exec", "--tty", id, "sh", "-c", "tty; echo size $(stty size); read x; exit 6")
    text = runtime.read_until(tty[0], "size 33 99")
    assert "/dev/pts/" in text
    os.write(tty[0], b"\n")
    assert child.wait(runtime.DEADLINE) == 6
    assert termios.tcgetattr(tty[1]) == before


def exec_tty_detached_uses_the_console_socket(rt, bundle, console):
    id = rt.start(bundle.args("sleep", "100"))
    rt._detached(id, "exec", "--tty", "--detach", "--console-socket", console.path, id, "sh", "-c", "echo on $(tty); sleep 100").ok()
    console.receive()
    console.read_until("on /dev/pts/")


def exec_without_tty_has_none(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    assert rt.exec(id, "/bin/probe").ok().json["isatty"] == 0


def run_without_terminal_keeps_the_callers_streams(rt, bundle, tty):
    bundle.sh("echo plain").save()
    child = _on(rt, tty, "run", "--bundle", bundle.path, rt.new_id())
    runtime.read_until(tty[0], "plain")
    assert child.wait(runtime.DEADLINE) == 0


@pytest.mark.parametrize("number", ["TERM", "HUP", "USR1"])
def signals_to_a_foreground_run_reach_the_guest(rt, bundle, number):
    bundle.sh(f'trap "echo got {number}; exit 4" {number}; echo ready; while :; do sleep 0.05; done').save()
    child = rt.popen("run", "--bundle", bundle.path, rt.new_id(), stdout=subprocess.PIPE)
    runtime.read_until(child.stdout.fileno(), "ready")
    child.send_signal(getattr(signal, f"SIG{number}"))
    runtime.read_until(child.stdout.fileno(), f"got {number}")
    assert child.wait(runtime.DEADLINE) == 4
    child.stdout.close()


def _read_until_end(master, process, seconds=20):
    """What comes out of the terminal until the program has ended."""
    seen, end = b"", time.monotonic() + seconds
    os.set_blocking(master, False)
    while time.monotonic() < end:
        try:
            seen += os.read(master, 65536)
        except BlockingIOError:
            if process.poll() is not None:
                return seen
            time.sleep(0.01)
    process.kill()
    pytest.fail(f"still running after {seconds} s; {len(seen)} bytes seen", pytrace=False)


def a_terminal_that_the_guest_closed_and_opened_again_goes_on(rt, bundle, tty):
    bundle.process["terminal"] = True
    bundle.sh("exec 0<&- 1>&- 2>&-; sleep 0.3; i=0; while [ $i -lt 3000 ]; do echo hello hello hello >/dev/console; i=$((i+1)); done; exit 4").save()
    process = _on(rt, tty, "run", "--bundle", bundle.path, rt.new_id())
    seen = _read_until_end(tty[0], process)
    assert process.wait() == 4 and seen.count(b"hello hello hello") == 3000


def exec_with_a_terminal_ends_although_another_process_writes_to_it(rt, bundle, tty):
    id = rt.start(bundle.args("sleep", "100"))
    process = _on(rt, tty, "exec", "--tty", id, "sh", "-c", "setsid sh -c 'while :; do echo y; done' </dev/tty & sleep 0.3; exit 3")
    _read_until_end(tty[0], process)
    assert process.wait() == 3


def the_last_words_reach_a_slow_reader_whole(rt, bundle):
    bundle.process["terminal"] = True
    bundle.sh("i=0; while [ $i -lt 1500 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done; echo last words").save()
    process = rt.popen("run", "--bundle", bundle.path, rt.new_id(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(1)  # longer than anybody waits for a pause in the output
    out, _ = process.communicate(timeout=20)
    assert out.count(b"0123456789") == 6000 and b"last words" in out


def the_end_of_a_stdin_that_is_no_terminal_reaches_the_terminal_of_the_guest(rt, bundle):
    bundle.process["terminal"] = True
    bundle.args("cat").save()
    process = rt.popen("run", "--bundle", bundle.path, rt.new_id(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, _ = process.communicate(b"one line\n", timeout=20)
    assert process.returncode == 0 and out.count(b"one line") == 2  # echoed by the terminal, and by cat
