"""The six kinds of hooks: when and where they run, what they get, and what their failure does."""
import json
import os
import signal
import subprocess
import time

import pytest

from harness import leaks, runtime

KINDS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
IN_GUEST = {"createContainer": False, "startContainer": True}


def _log(work):
    path = work / "log"
    return path.read_text().split() if path.exists() else []


def hooks_run_in_the_order_of_the_specification(rt, bundle, work):
    for kind in KINDS:
        if kind != "startContainer":
            bundle.hook(kind, f"echo {kind} >> {work}/log")
    # startContainer runs inside, so its program and its file are the guest's.
    bundle.spec["hooks"]["startContainer"] = [{"path": "/bin/sh", "args": ["sh", "-c", "echo startContainer >> /log"]}]
    bundle.mount("/log", "bind", work / "log", "bind")
    (work / "log").write_text("")
    id = rt.create(bundle.sh("echo process >> /log; sleep 100"))
    assert _log(work) == ["prestart", "createRuntime", "createContainer"]
    rt("start", id).ok()
    runtime.wait_for(lambda: len(_log(work)) == 6, "process and poststart ran")
    assert _log(work)[3] == "startContainer"
    assert set(_log(work)[4:]) == {"process", "poststart"}
    rt.kill(id).ok()
    rt.wait_stopped(id)
    rt.delete(id).ok()
    assert _log(work)[6:] == ["poststop"]


@pytest.mark.parametrize("kind, status", [("prestart", "creating"), ("createRuntime", "creating"), ("createContainer", "creating"),
                                          ("poststart", "running"), ("poststop", "stopped")])
def the_state_is_on_stdin(rt, bundle, work, kind, status):
    bundle.spec["annotations"] = {"k": "v"}
    id = rt.new_id()
    bundle.hook(kind, f"cat > {work}/state.json")
    rt.run(bundle.args("true"), id=id).ok()
    state = json.loads((work / "state.json").read_text())
    assert (state["id"], state["bundle"], state["annotations"]) == (id, str(bundle.path), {"k": "v"})
    assert state["status"] == status or (kind == "poststart" and state["status"] in ("running", "stopped"))
    assert state["ociVersion"].startswith("1.")
    if kind not in ("poststop", "poststart"):
        assert state["pid"] > 0
    if kind == "poststop":
        assert state.get("pid", 0) == 0


def the_state_of_startContainer_is_on_stdin_inside(rt, bundle, work):
    bundle.spec["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "cat > /state.json"]}]}
    id = rt.new_id()
    rt.run(bundle.args("true"), id=id).ok()
    state = json.loads((bundle.rootfs / "state.json").read_text())
    assert state["id"] == id and state["status"] in ("created", "creating")


def env_and_args_of_a_hook_are_exactly_those_asked(rt, bundle, work):
    bundle.spec["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["odd name", "-c", f"/usr/bin/env > {work}/env; echo $0 $1 >> {work}/env", "zero", "one"],
                                               "env": ["A=b c"]}]}
    rt.run(bundle.args("true")).ok()
    lines = (work / "env").read_text().splitlines()
    assert "A=b c" in lines and lines[-1] == "zero one"
    assert not [l for l in lines[:-1] if l.split("=")[0] not in ("A", "PWD", "SHLVL", "_", "OLDPWD")]


@pytest.mark.parametrize("kind", ["prestart", "createRuntime"])
def runtime_hooks_run_in_the_namespaces_of_the_caller(rt, bundle, work, kind):
    bundle.hook(kind, f"readlink /proc/self/ns/mnt /proc/self/ns/pid /proc/self/ns/net > {work}/ns")
    rt.run(bundle.args("true")).ok()
    assert (work / "ns").read_text().split() == [os.readlink(f"/proc/self/ns/{n}") for n in ("mnt", "pid", "net")]


def createContainer_runs_in_the_mount_namespace_of_the_guest_before_pivot(rt, bundle, work):
    """The program is found in the host's tree, yet the namespace is the guest's."""
    bundle.hook("createContainer", f"readlink /proc/self/ns/mnt > {work}/ns; ls -d {bundle.rootfs}/bin >> {work}/ns")
    id = rt.create(bundle)
    lines = (work / "ns").read_text().split()
    assert lines[0] == os.readlink(f"/proc/{rt.pid(id)}/ns/mnt") and lines[1].endswith("/bin")


def network_of_the_guest_is_reachable_by_the_pid_of_the_state(rt, bundle, work):
    """What CNI and Docker's libnetwork do in a prestart or createRuntime hook."""
    bundle.hook("createRuntime", "pid=$(/usr/bin/jq .pid); /usr/bin/nsenter -t $pid -n /usr/sbin/ip link add d0 type veth peer name d1",
                env=())
    assert "d0" in rt.run(bundle.args("ip", "link")).ok().out


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def a_failing_hook_of_create_fails_it_and_leaves_nothing(rt, bundle, work, kind):
    bundle.hook(kind, "echo because >&2; exit 3").hook("poststop", f"echo poststop >> {work}/log")
    r = rt.try_create(bundle).fails(rc=1)
    assert "hook" in r.err
    assert rt("list", "--quiet").ok().out == ""
    assert _log(work) == ["poststop"]


def a_failing_startContainer_hook_fails_start(rt, bundle):
    bundle.spec["hooks"] = {"startContainer": [{"path": "/bin/false"}]}
    id = rt.create(bundle.sh("echo ran"))
    rt("start", id).fails(rc=1)
    assert "ran" not in rt.output_file(id).read_text()


def a_failing_poststart_hook_fails_start_and_ends_the_guest(rt, bundle):
    bundle.hook("poststart", "exit 3")
    id = rt.create(bundle.args("sleep", "100"))
    rt("start", id).fails("hook", rc=1)
    rt.wait_stopped(id) if rt("state", id).rc == 0 else None


def a_failing_poststop_hook_does_not_keep_the_container(rt, bundle, work):
    bundle.hook("poststop", "exit 3").hook("poststop", f"echo second >> {work}/log")
    id = rt.start(bundle.args("true"))
    rt.wait_stopped(id)
    rt.delete(id)
    rt("state", id).fails("does not exist")
    assert _log(work) == ["second"]


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def a_hook_that_takes_longer_than_its_timeout_is_ended(rt, bundle, work, kind):
    bundle.hook(kind, "exec sleep 4321", timeout=1)
    start = time.monotonic()
    rt.try_create(bundle).fails()
    assert time.monotonic() - start < 1 + runtime.DEADLINE
    runtime.wait_for(lambda: not [p for p in leaks.descendants() if "4321" in leaks.name_of(p)], "the hook ended")


def a_hook_with_a_timeout_that_is_enough_succeeds(rt, bundle):
    rt.run(bundle.hook("createRuntime", "sleep 0.1", timeout=30).args("true")).ok()


@pytest.mark.parametrize("change", [{"path": "bin/sh"}, {"path": "/nosuch/program"}, {"path": "/bin/sh", "timeout": 0}, {"path": "/bin/sh", "timeout": -1}, {}])
def bad_hooks_are_refused(rt, bundle, change):
    bundle.spec["hooks"] = {"createRuntime": [change]}
    rt.try_create(bundle).fails()


def a_hook_gets_no_descriptor_of_the_runtime(rt, bundle, work):
    bundle.hook("createRuntime", f"ls -l /proc/self/fd > {work}/fds")
    bundle.hook("createContainer", f"ls -l /proc/self/fd > {work}/fds2")
    rt.run(bundle.args("true")).ok()
    for name in ("fds", "fds2"):
        fds = [l.split("->")[0].split()[-1] for l in (work / name).read_text().splitlines()[1:]]
        assert set(fds) <= {"0", "1", "2", "3"}, (work / name).read_text()


def a_hook_may_ask_for_the_state_itself(rt, bundle, work):
    """OCI tools call `state` in a poststart hook: no lock may be held over it."""
    id = rt.new_id()
    bundle.hook("poststart", f"{' '.join(map(str, rt.command('state', id)))} > {work}/asked")
    rt.start(bundle.args("sleep", "100"), id=id)
    assert json.loads((work / "asked").read_text())["status"] in ("running", "created")


def many_hooks_run_one_after_the_other(rt, bundle, work):
    for i in range(20):
        bundle.hook("createRuntime", f"echo {i} >> {work}/log")
    rt.run(bundle.args("true")).ok()
    assert _log(work) == [str(i) for i in range(20)]


def _hanging(rt, bundle, work, kind):
    """A create or start that hangs in a hook; answers the id and the command."""
    bundle.spec["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo $$ > {'/mark' if kind == 'startContainer' else work / 'mark'}; exec sleep 300"]}]}
    if kind == "startContainer":
        (work / "mark").write_text("")
        bundle.mount("/mark", "bind", work / "mark", "bind")
    id = rt.new_id()
    verb = ["create", "--bundle", bundle.path]
    if kind in ("startContainer", "poststart"):
        rt.create(bundle.args("sleep", "100"), id=id)
        verb = ["start"]
    else:
        bundle.args("sleep", "100").save()
    process = rt.popen(*verb, id, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    runtime.wait_for(lambda: (work / "mark").exists() and (work / "mark").read_text(), "the hook runs")
    return id, process


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer", "startContainer"])
def delete_force_does_not_wait_for_a_hook_that_hangs(rt, bundle, work, kind):
    id, process = _hanging(rt, bundle, work, kind)
    began = time.monotonic()
    rt.delete(id, "--force").ok()
    assert time.monotonic() - began < runtime.DEADLINE
    process.communicate(timeout=runtime.DEADLINE)
    assert process.returncode != 0
    rt("state", id).fails("does not exist")


def delete_force_does_not_wait_for_a_poststart_hook_that_hangs(rt, bundle, work):
    id, process = _hanging(rt, bundle, work, "poststart")
    rt.delete(id, "--force").ok()
    rt("state", id).fails("does not exist")
    # The hook itself is the engine's; it outlives the container, as with runc.
    os.kill(int((work / "mark").read_text()), signal.SIGKILL)
    process.communicate(timeout=runtime.DEADLINE)


def a_hook_whose_children_write_for_ever_does_not_hold_create(rt, bundle, work):
    (work / "writer.sh").write_text("while :; do echo 0123456789012345678901234567890123456789; done\n")
    bundle.hook("createRuntime", f"setsid sh {work}/writer.sh & echo $! > {work}/pid; sleep 0.1; exit 0")
    writer = None
    try:
        rt.create(bundle.args("true"))
    finally:
        writer = int((work / "pid").read_text())
        try:
            os.kill(writer, signal.SIGKILL)
        except ProcessLookupError:  # SIGPIPE has ended it already
            pass
