"""create, start, state, kill, delete, run: order, output and exit codes as runc's."""
import os
import re
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from harness import host, leaks, runtime

STATE_KEYS = {"ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "owner"}


def run_gives_the_output_and_the_exit_code(rt, bundle):
    r = rt.run(bundle.sh("echo out; echo err >&2; exit 7"))
    assert (r.rc, r.out, r.err) == (7, "out\n", "err\n")


@pytest.mark.parametrize("signal, code", [("KILL", 137), ("TERM", 143), ("SEGV", 139)])
def run_answers_128_and_the_signal_of_a_killed_process(rt, bundle, signal, code):
    # The first process of a pid namespace ignores its own signals but for a handler: so a child dies.
    assert rt.run(bundle.without_namespace("pid").sh(f"kill -{signal} $$; sleep 5")).rc == code


def run_removes_the_container(rt, bundle):
    rt.run(bundle.args("true")).ok()
    assert rt("list", "--quiet").ok().out == ""


def run_keep_leaves_a_stopped_container(rt, bundle):
    id = rt.new_id()
    r = rt.run(bundle.args("true"), "--keep", id=id).ok()
    assert rt.status(id) == "stopped"
    rt.delete(id).ok()


def run_passes_stdin_on(rt, bundle):
    bundle.args("cat").save()
    assert rt("run", "--bundle", bundle.path, rt.new_id(), input="through\n").ok().out == "through\n"


def run_detach_comes_back_while_the_process_runs(rt, bundle):
    id = rt.new_id()
    r = rt.run_detached(bundle.args("sleep", "100"), id=id).ok()
    assert rt.status(id) == "running"
    rt.kill(id).ok()
    rt.wait_stopped(id)
    rt.delete(id).ok()


def run_uses_the_working_folder_without_bundle(rt, bundle):
    bundle.args("echo", "here").save()
    assert rt("run", rt.new_id(), cwd=bundle.path).ok().out == "here\n"


def create_runs_nothing_until_start(rt, bundle):
    id = rt.create(bundle.sh("echo started"))
    assert rt.status(id) == "created"
    assert rt.output_file(id).read_text() == ""
    rt("start", id).ok()
    assert rt.output_of(id) == "started\n"


def start_says_nothing(rt, bundle):
    id = rt.create(bundle.args("sleep", "100"))
    r = rt("start", id).ok()
    assert (r.out, r.err) == ("", "")


def create_says_nothing(rt, bundle):
    r = rt.try_create(bundle.args("true")).ok()
    assert (r.out, r.err) == ("", "")


def state_has_the_fields_of_runc(rt, bundle):
    bundle.spec["annotations"] = {"org.example.key": "value"}
    id = rt.start(bundle.args("sleep", "100"))
    state = rt.state(id)
    assert set(state) == STATE_KEYS | {"annotations"}
    assert state["id"] == id
    assert state["status"] == "running"
    assert state["bundle"] == str(bundle.path)
    assert state["rootfs"] == str(bundle.rootfs)
    assert state["annotations"] == {"org.example.key": "value"}
    assert re.fullmatch(r"1\.\d+\.\d+(-dev)?", state["ociVersion"])
    assert Path(f"/proc/{state['pid']}/cmdline").read_text() == "sleep\x00100\x00"
    created = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", state["created"]).replace("Z", "+00:00"))
    assert abs((datetime.now(timezone.utc) - created).total_seconds()) < 60
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", state["created"])


def state_is_printed_as_runc_prints_it(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    lines = rt("state", id).ok().out.splitlines()
    assert lines[0] == "{" and lines[-1] == "}"
    assert all(line.startswith('  "') for line in lines[1:-1])


def state_follows_the_life_of_a_container(rt, bundle):
    id = rt.create(bundle.args("sleep", "100"))
    seen = [rt.status(id)]
    rt("start", id).ok()
    seen.append(rt.status(id))
    rt("pause", id).ok()
    seen.append(rt.status(id))
    rt("resume", id).ok()
    seen.append(rt.status(id))
    rt.kill(id).ok()
    rt.wait_stopped(id)
    seen.append(rt.status(id))
    assert seen == ["created", "running", "paused", "running", "stopped"]
    assert rt.pid(id) == 0


def state_of_a_process_that_ended_by_itself_is_stopped(rt, bundle):
    id = rt.start(bundle.args("true"))
    rt.wait_stopped(id)
    assert rt.pid(id) == 0


def pid_file_holds_the_pid_without_newline(rt, bundle, work):
    id = rt.create(bundle.args("true"), "--pid-file", work / "pid")
    assert (work / "pid").read_text() == str(rt.pid(id))


def kill_sends_TERM_by_default(rt, bundle):
    id = rt.start(bundle.sh('trap "echo got TERM; exit 0" TERM; echo ready; while :; do sleep 0.05; done'))
    runtime.wait_for(lambda: "ready" in rt.output_file(id).read_text(), "the trap is set")
    rt("kill", id).ok()
    assert rt.output_of(id) == "ready\ngot TERM\n"


@pytest.mark.parametrize("name", ["USR1", "SIGUSR1", "usr1", "10"])
def kill_takes_signals_by_name_and_number(rt, bundle, name):
    id = rt.start(bundle.sh('trap "echo got; exit 0" USR1; echo ready; while :; do sleep 0.05; done'))
    runtime.wait_for(lambda: "ready" in rt.output_file(id).read_text(), "the trap is set")
    rt("kill", id, name).ok()
    assert rt.output_of(id) == "ready\ngot\n"


def kill_with_an_unknown_signal_is_refused(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    rt("kill", id, "NOSUCH").fails("NOSUCH", rc=1)
    assert rt.status(id) == "running"


def kill_of_a_created_container_ends_it(rt, bundle):
    id = rt.create(bundle.args("sleep", "100"))
    rt.kill(id).ok()
    rt.wait_stopped(id)
    rt.delete(id).ok()


def kill_all_reaches_every_process_of_a_shared_pid_namespace(rt, bundle):
    id = rt.start(bundle.without_namespace("pid").sh("sleep 100 & sleep 100 & echo ready; wait"))
    runtime.wait_for(lambda: "ready" in rt.output_file(id).read_text(), "children are there")
    pids = rt("ps", "--format", "json", id).ok().json
    assert len(pids) == 3
    rt("kill", "--all", id, "KILL").ok()
    rt.wait_stopped(id)
    runtime.wait_for(lambda: not set(pids) & {p for p, s in leaks.descendants().items() if s != "Z"}, "all ended")


def delete_of_a_shared_pid_namespace_leaves_no_process(rt, bundle):
    id = rt.start(bundle.without_namespace("pid").sh("sleep 100 & echo $!"))
    rt.wait_stopped(id)
    background = int(rt.output_file(id).read_text())
    rt.delete(id).ok()
    runtime.wait_for(lambda: leaks.descendants().get(background, "Z") == "Z", "all ended")


def delete_refuses_a_running_container(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    rt.delete(id).fails(id, "not stopped", rc=1)
    assert rt.status(id) == "running"


def delete_force_ends_and_removes_a_running_container(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    pid = rt.pid(id)
    rt.delete(id, "--force").ok()
    runtime.wait_for(lambda: leaks.descendants().get(pid, "Z") == "Z", "its process ended")
    rt("state", id).fails("does not exist", rc=1)


def delete_force_of_a_missing_container_succeeds(rt):
    rt.delete("nosuch", "--force").ok()


def delete_removes_a_created_container(rt, bundle):
    """runc ends a container that was never started, as an engine that gives up expects."""
    id = rt.create(bundle.args("sleep", "100"))
    rt.delete(id).ok()
    assert rt("list", "--quiet").ok().out == ""


def an_id_is_free_again_after_delete(rt, bundle):
    id = rt.new_id()
    for _ in range(3):
        rt.create(bundle.args("true"), id=id)
        rt.delete(id, "--force").ok()


def paused_containers_do_not_advance_and_keep_their_pid(rt, bundle):
    host.need("v2 tree for freezing")
    id = rt.start(bundle.sh("i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done"))
    runtime.wait_for(lambda: rt.output_file(id).read_text().count("\n") > 3, "it counts")
    pid = rt.pid(id)
    rt("pause", id).ok()
    stopped_at = rt.output_file(id).read_text()
    time.sleep(0.2)  # a clock that stands still is seen only by letting time pass
    assert rt.output_file(id).read_text() == stopped_at
    assert (rt.status(id), rt.pid(id)) == ("paused", pid)
    rt("resume", id).ok()
    runtime.wait_for(lambda: rt.output_file(id).read_text() != stopped_at, "it counts again")


def kill_reaches_a_paused_container(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    rt("pause", id).ok()
    rt.kill(id).ok()
    # runc thaws for SIGKILL only on v1; what engines rely on is that delete --force works.
    rt.delete(id, "--force").ok()


def delete_force_removes_a_paused_container(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    rt("pause", id).ok()
    rt.delete(id, "--force").ok()


def pidfd_socket_receives_a_pidfd_of_the_init_process(rt, bundle, work):
    import array
    import socket
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(work / "pidfd.sock"))
    listener.listen(1)
    listener.settimeout(runtime.DEADLINE)
    id = rt.create(bundle.args("sleep", "100"), "--pidfd-socket", work / "pidfd.sock")
    peer, _ = listener.accept()
    fds = array.array("i")
    _, ancillary, _, _ = peer.recvmsg(4096, socket.CMSG_SPACE(16))
    for _, _, payload in ancillary:
        fds.frombytes(payload)
    peer.close()
    listener.close()
    pid = [line.split()[1] for line in Path(f"/proc/self/fdinfo/{fds[0]}").read_text().splitlines()
           if line.startswith("Pid:")]
    os.close(fds[0])
    assert pid == [str(rt.pid(id))]


@pytest.mark.parametrize("verb", ["create", "run"])
def preserve_fds_passes_just_those_descriptors(rt, bundle, verb, work):
    bundle.sh("ls /proc/self/fd; cat <&3; cat <&4").save()
    a, b = os.memfd_create("a", 0), os.memfd_create("b", 0)
    for fd, text in ((a, b"three\n"), (b, b"four\n")):
        os.write(fd, text)
        os.lseek(fd, 0, 0)

    def arrange():
        os.dup2(a, 203), os.dup2(b, 204)
        os.dup2(203, 3), os.dup2(204, 4)
        os.close(203), os.close(204)
    id = rt.new_id()
    try:
        if verb == "run":
            text = rt("run", "--bundle", bundle.path, "--preserve-fds", "2", id, preexec_fn=arrange,
                      close_fds=False).ok().out
        else:
            rt._detached(id, "create", "--bundle", bundle.path, "--preserve-fds", "2", id,
                         preexec_fn=arrange, close_fds=False).ok()
            rt("start", id).ok()
            text = rt.output_of(id)
    finally:
        os.close(a), os.close(b)
    words = text.split()
    assert words[-2:] == ["three", "four"]
    assert [w for w in words[:-2] if int(w) > 4] in (["5"], []), "one more, of ls itself"


def no_pivot_and_no_new_keyring_are_taken(rt, bundle):
    facts = rt.facts(bundle, "--no-new-keyring")
    keyring = runtime.Result([], 0, "", "")
    assert facts["session_keyring"] == _own_keyring()
    assert rt.facts(bundle)["session_keyring"] != _own_keyring()


def _own_keyring():
    import ctypes
    return ctypes.CDLL(None).syscall(250, 0, -3, 0)


def no_pivot_makes_the_root_by_moving_the_mount(rt, bundle):
    r = rt.run(bundle.sh("ls /bin/probe; ls /work /boot 2>/dev/null; true"), "--no-pivot").ok()
    assert r.out == "/bin/probe\n"
