"""The guest's own process and further ones: streams, ends, terminals, signals."""
import struct

import pytest
from harness import agent_frames as wire


def test_the_guests_process_has_three_streams_and_an_end(agent):
    it = agent.run("sh", "-c", "read line; echo got $line; echo bad >&2; exit 7")
    it.send(wire.INPUT, b"word\n")
    assert it.end() == (7, 0)
    assert (it.out, it.err) == (b"got word\n", b"bad\n")
    assert it.pid > 0
    assert agent.process.wait(10) == 0, "the agent's work is done with the guest's process"


def test_the_end_of_input_reaches_the_process(agent):
    it = agent.run("cat")
    it.send(wire.INPUT, b"x" * 60000)
    it.send(wire.INPUT, b"y" * 60000)
    it.send(wire.INPUT_END)
    assert it.end() == (0, 0)
    assert it.out == b"x" * 60000 + b"y" * 60000


def test_a_signal_arrives_behind_input_that_nobody_reads(agent):
    it = agent.started("sh", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done")
    it.wait_for(b"up")
    for _ in range(2):
        it.send(wire.INPUT, b"x" * 65536)
    it.numbers(wire.SIGNAL, 15)
    assert it.end() == (9, 0)


def test_input_that_was_read_or_that_nobody_will_read_is_told(agent):
    it = agent.started("sh", "-c", "head -c 70000 >/dev/null; exec <&-; echo up; read line </dev/null; sleep 1000")
    for _ in range(3):
        it.send(wire.INPUT, b"x" * 65536)
    while it.taken < 3 * 65536:
        assert it._take(it.frame()) is None
    assert it.taken == 3 * 65536
    it.numbers(wire.SIGNAL, 9)
    assert it.end() == (137, 9)


def test_much_output_comes_whole(agent):
    it = agent.run("sh", "-c", "dd if=/dev/zero bs=64k count=160 2>/dev/null")
    assert it.end() == (0, 0)
    assert len(it.out) == 160 * 65536


def test_a_process_that_a_signal_ends(agent):
    it = agent.started("sh", "-c", "kill -9 $$; sleep 100 & wait")
    it.numbers(wire.SIGNAL, 9)
    assert it.end() == (137, 9)


def test_a_signal_reaches_its_handler(agent):
    it = agent.started("sh", "-c", "trap 'echo caught; exit 3' USR1; echo ready; while :; do sleep 0.05; done")
    it.wait_for(b"ready")
    it.numbers(wire.SIGNAL, 10)
    assert it.end() == (3, 0)
    assert b"caught" in it.out


@pytest.mark.parametrize("program, status, words", [
    ("/bin/nothing", 127, "no such file or directory"),
    ("/etc/passwd", 126, "permission denied"),
])
def test_a_program_that_cannot_run(agent, program, status, words):
    error = agent.run(program).end()
    assert error["status"] == status
    assert words in error["text"]


def test_the_agent_is_not_visible(agent):
    it = agent.run("sh", "-c", "echo $$; ls /proc | grep -c '^[0-9]'; grep SigBlk /proc/self/status")
    assert it.end() == (0, 0)
    lines = it.out.split(b"\n")
    assert lines[0] == b"1"
    assert int(lines[1]) <= 3
    assert lines[2].split()[1] == b"0" * 16, "no signal is blocked"


def test_a_terminal(agent):
    it = agent.run("sh", "-c", "tty; read x; stty size", terminal=True)
    it.wait_for(b"/dev/")
    it.numbers(wire.RESIZE, 33, 99)
    it.send(wire.INPUT, b"\n")
    assert it.end() == (0, 0)
    assert b"33 99" in it.out


def test_exec_shares_the_guest(agent):
    main = agent.started("sh", "-c", "echo here > /tmp/x; echo ready; sleep 60")
    main.wait_for(b"ready")
    it = agent.exec("sh", "-c", "cat /tmp/x; pwd; echo $A; id -u; exit 4", cwd="/bin", env=["A=b"],
                    user={"uid": 1000, "gid": 1000})
    assert it.end() == (4, 0)
    assert it.out == b"here\n/bin\nb\n1000\n"
    main.numbers(wire.SIGNAL, 9)
    assert main.end() == (137, 9)


def test_exec_with_a_terminal(agent):
    main = agent.started("sleep", "60")
    it = agent.exec("sh", "-c", "tty; stty size", terminal=True, consoleSize={"height": 12, "width": 34})
    assert it.end() == (0, 0)
    assert b"/dev/pts/" in it.out and b"12 34" in it.out
    main.close()


def test_exec_of_a_missing_program(agent):
    main = agent.started("sleep", "60")
    error = agent.exec("/bin/nothing").end()
    assert error["status"] == 127
    assert "no such file or directory" in error["text"]
    main.close()


def test_exec_without_a_guest_process(agent):
    error = agent.exec("true").end()
    assert error["code"] == "not found"
    assert error["status"] == 125


def test_output_that_nobody_reads_ends_the_writer(agent):
    main = agent.started("sleep", "60")
    it = agent.exec("yes")
    it.wait_for(b"y\n")
    it.numbers(wire.OUTPUT_END, 1)
    code, signal = it.end()
    assert code != 0
    main.close()


def test_a_second_process_of_its_own_is_refused(agent):
    main = agent.started("sleep", "60")
    error = agent.run("true").end()
    assert error["code"] == "exists"
    assert agent.exec("true").end() == (0, 0), "the first goes on"
    main.close()


def test_a_host_that_goes_ends_the_guests_process(agent):
    agent.started("sleep", "600").close()
    assert agent.process.wait(20) == 0


def test_info_and_stats(agent):
    info = agent.client().ask(wire.CALL, {"call": "info"}).end()
    assert info["processors"] >= 1 and info["memory"] > 1 << 20
    stats = agent.client().ask(wire.CALL, {"call": "stats"}).end()
    assert 0 < stats["memory"]["free"] <= stats["memory"]["total"]
    assert 0 < stats["cpu"]["idle"] <= stats["cpu"]["total"]


@pytest.mark.parametrize("call", ["set-clock", "power-off"])
def test_the_machine_is_not_the_agents_own(agent, call):
    error = agent.client().ask(wire.CALL, {"call": call, "seconds": 1}).end()
    assert error["code"] == "unsupported"
    assert agent.process.poll() is None


def test_a_call_that_there_is_not(agent):
    error = agent.client().ask(wire.CALL, {"call": "dance"}).end()
    assert error["code"] == "invalid" and "info" in error["hint"]


def _closes(client):
    """True when the agent ends the connection and says nothing more of use."""
    while True:
        frame = client.frame()
        if frame is None:
            return True
        if frame[0] not in (wire.HELLO, wire.ERROR):
            return False


@pytest.mark.parametrize("bytes", [
    b"\xff\xff\xff\xff\x01", b"\x00\x00\x00\x00\x63", b"\x04\x00\x00\x00\x07\x00\x00\x00\x00", b"GET / HTTP/1.1\r\n\r\n",
    struct.pack("<IBI", 4, wire.HELLO, 99)])
def test_what_is_no_greeting_costs_the_connection_only(agent, bytes):
    bad = agent.client(hello=False)
    bad.socket.sendall(bytes)
    assert _closes(bad)
    assert agent.client().ask(wire.CALL, {"call": "info"}).end()


@pytest.mark.parametrize("request_text", [b"", b"{", b"[]", b'{"spec": 5}', b'{"args": []}'])
@pytest.mark.parametrize("type", [wire.RUN, wire.EXEC, wire.CALL, wire.ADOPT])
def test_a_damaged_request_is_an_error(agent, type, request_text):
    it = agent.client()
    it.send(type, request_text)
    assert it.end()["code"] == "invalid"
    assert agent.client().ask(wire.CALL, {"call": "info"}).end()


def test_half_frames_and_many_connections(agent):
    idle = [agent.client() for _ in range(40)]
    for client in idle[:20]:
        client.socket.sendall(b"\x10\x00")
        client.close()
    assert agent.run("echo", "hi").end() == (0, 0)


def test_the_guest_stands_still_as_long_as_one_asks_for_it(agent):
    guest = agent.started("sh", "-c", "while :; do echo x; sleep 0.02; done")
    guest.wait_for(b"x")
    freezer = agent.client().ask(wire.CALL, {"call": "freeze"})
    assert freezer.end() == {}
    guest.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):  # after what it had said before
        while guest.frame():
            pass
    guest.socket.settimeout(20)
    freezer.send(wire.INPUT_END)
    assert guest.frame()[0] == wire.OUTPUT


def test_an_agent_that_did_not_boot_the_machine_adopts_nothing(agent):
    agent.started("sleep", "1000")
    error = agent.client().ask(wire.ADOPT, {"guest": {"hostname": "other"}, "seed": "0" * 64, "seconds": 1}).end()
    assert error["code"] == "unsupported" and "did not boot" in error["text"], error
