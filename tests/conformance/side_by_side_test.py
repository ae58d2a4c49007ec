"""The same command lines given to runc and to the runtime under test: same exit codes, same shape of output.

RUNTIME_REFERENCE is Debian's runc by default. What is compared is what engines and scripts read: exit
codes, columns, JSON keys; not the words of errors, which have tests of their own."""
import json
import os
import re
import shutil

import pytest

from harness import bundle as bundles
from harness import host, runtime

REFERENCE = shutil.which(os.environ.get("RUNTIME_REFERENCE", "runc")) or "/usr/sbin/runc"


@pytest.fixture
def pair(rt, work):
    """(the runtime under test, runc), each with a state root and a bundle of its own."""
    (work / "reference").mkdir(mode=0o711)
    other = runtime.Runtime(REFERENCE, work / "reference")
    for it, name in ((rt, "one"), (other, "two")):
        it.bundle = bundles.Bundle(work / name)
    yield rt, other
    other.clean_up()


def _both(pair, action):
    return [action(it) for it in pair]


COMMANDS = [
    ["list"], ["list", "--quiet"], ["list", "--format", "json"], ["list", "-f", "nosuch"], ["state"], ["state", "nosuch"], ["state", "a", "b"],
    ["start"], ["start", "nosuch"], ["delete"], ["delete", "nosuch"], ["delete", "--force", "nosuch"], ["kill"], ["kill", "nosuch"], ["pause"], ["pause", "nosuch"],
    ["resume", "nosuch"], ["ps", "nosuch"], ["events", "nosuch"], ["update", "nosuch"], ["exec"], ["exec", "nosuch"], ["exec", "nosuch", "true"], ["create"],
    ["create", "id"], ["create", "--bundle", "/nosuch", "id"], ["run", "--bundle", "/nosuch", "id"], ["create", "a", "b"], ["features"], ["--version"], ["--help"],
    ["help"], ["list", "--help"], ["spec", "--bundle", "/nosuch"], ["checkpoint", "nosuch"], ["restore", "--bundle", "/nosuch", "nosuch"],
]


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def a_command_line_has_the_exit_code_of_runc(pair, args, work):
    ours, theirs = _both(pair, lambda it: it(*args, cwd=work))
    assert ours.rc == theirs.rc, (ours, theirs)


RUNS = {
    "true": (["true"], {}), "false": (["false"], {}), "code 77": (["sh", "-c", "exit 77"], {}), "killed": (["sh", "-c", "kill -9 $$"], {"no_pid": True}),
    "no such program": (["nosuch"], {}), "no such path": (["/bin/nosuch"], {}), "not executable": (["/etc/passwd"], {}),
}


@pytest.mark.parametrize("name", RUNS)
def run_has_the_exit_code_of_runc(pair, name):
    args, more = RUNS[name]

    def action(it):
        if more.get("no_pid"):
            it.bundle.without_namespace("pid")
        return it.run(it.bundle.args(*args))
    ours, theirs = _both(pair, action)
    assert (ours.rc, ours.out) == (theirs.rc, theirs.out), (ours, theirs)


EXECS = {"true": ["true"], "code": ["sh", "-c", "exit 5"], "missing": ["nosuch"], "missing path": ["/bin/nosuch"], "folder": ["/etc"], "output": ["echo", "x"]}


@pytest.mark.parametrize("name", EXECS)
def exec_has_the_exit_code_of_runc(pair, name):
    def action(it):
        id = it.start(it.bundle.args("sleep", "100"))
        return it.exec(id, *EXECS[name])
    ours, theirs = _both(pair, action)
    assert (ours.rc, ours.out) == (theirs.rc, theirs.out), (ours, theirs)


def _keys(value, path=""):
    if isinstance(value, dict):
        return {k for key, v in value.items() for k in _keys(v, f"{path}.{key}")} | {path}
    return {path}


@pytest.mark.parametrize("status", ["created", "running", "paused", "stopped"])
def state_has_the_keys_of_runc_in_each_status(pair, status):
    def action(it):
        it.bundle.spec["annotations"] = {"k": "v"}
        id = it.create(it.bundle.args("sleep", "100"))
        if status != "created":
            it("start", id).ok()
        if status == "paused":
            it("pause", id).ok()
        if status == "stopped":
            it.kill(id).ok()
            it.wait_stopped(id)
        return it.state(id)
    ours, theirs = _both(pair, action)
    assert list(ours) == list(theirs), "same keys in the same order"
    assert ours["status"] == theirs["status"] == status
    assert {k: type(v) for k, v in ours.items()} == {k: type(v) for k, v in theirs.items()}


def list_has_the_columns_and_widths_of_runc(pair):
    def action(it):
        it.start(it.bundle.args("sleep", "100"), id=f"{runtime.TOKEN}-{'ours' if it is pair[0] else 'them'}")
        it.ids.append(f"{runtime.TOKEN}-{'ours' if it is pair[0] else 'them'}")
        header, row = it("list").ok().out.splitlines()
        return [m.start() for m in re.finditer(r"\S+", header)][:3], header.split(), len(row.split())
    ours, theirs = _both(pair, action)
    assert ours == theirs


def list_as_json_has_the_keys_of_runc(pair):
    def action(it):
        it.create(it.bundle)
        return it("list", "--format", "json").ok().json[0]
    ours, theirs = _both(pair, action)
    assert set(ours) == set(theirs)


def ps_prints_the_table_of_runc(pair):
    def action(it):
        id = it.start(it.bundle.args("sleep", "1234"))
        lines = it("ps", id).ok().out.splitlines()
        return lines[0].split(), len(lines), lines[1].split()[-2:]
    ours, theirs = _both(pair, action)
    assert ours == theirs


def spec_writes_the_keys_of_runc(pair, work):
    def action(it):
        folder = it.root / "spec"
        folder.mkdir()
        it("spec", "--bundle", folder).ok()
        value = json.loads((folder / "config.json").read_text())
        (folder / "config.json").unlink()
        folder.rmdir()
        return value
    ours, theirs = _both(pair, action)
    assert set(ours) == set(theirs) and set(ours["process"]) >= set(theirs["process"]) - {"rlimits"}
    assert [m["destination"] for m in ours["mounts"]] == [m["destination"] for m in theirs["mounts"]]
    assert {n["type"] for n in ours["linux"]["namespaces"]} >= {n["type"] for n in theirs["linux"]["namespaces"]}
    assert ours["linux"]["maskedPaths"] == theirs["linux"]["maskedPaths"] and ours["linux"]["readonlyPaths"] == theirs["linux"]["readonlyPaths"]


def features_have_at_least_the_keys_of_runc(pair):
    ours, theirs = _both(pair, lambda it: it("features").ok().json)
    missing = {k for k in _keys(theirs) - _keys(ours) if not k.startswith(".annotations")}
    assert not missing, missing


def events_have_the_keys_of_runc(pair):
    def action(it):
        id = it.start(it.bundle.args("sleep", "100"))
        return it("events", "--stats", id).ok().json
    ours, theirs = _both(pair, action)
    assert set(ours) == set(theirs)
    for key in ("cpu", "memory", "pids"):
        if theirs["data"].get(key):
            missing = _keys(theirs["data"][key]) - _keys(ours["data"].get(key, {}))
            assert not missing, (key, missing)


def the_json_log_of_an_error_has_the_keys_of_runc(pair, work):
    def action(it):
        log = it.root.parent / f"log-{it is pair[0]}"
        it("--log", log, "--log-format", "json", "state", "nosuch")
        return set(json.loads(log.read_text().splitlines()[-1])), json.loads(log.read_text().splitlines()[-1])["level"]
    ours, theirs = _both(pair, action)
    assert ours == theirs


FLAGS = {
    "create": ["bundle", "console-socket", "pidfd-socket", "pid-file", "no-pivot", "no-new-keyring", "preserve-fds"],
    "run": ["bundle", "console-socket", "pidfd-socket", "pid-file", "no-pivot", "no-new-keyring", "preserve-fds", "detach", "keep", "no-subreaper"],
    "exec": ["process", "cwd", "env", "tty", "user", "additional-gids", "detach", "pid-file", "process-label", "apparmor", "no-new-privs", "cap", "preserve-fds",
             "ignore-paused", "cgroup", "console-socket", "pidfd-socket"],
    "kill": ["all"], "delete": ["force"], "list": ["format", "quiet"], "ps": ["format"], "events": ["stats", "interval"], "spec": ["bundle", "rootless"],
    "update": ["resources", "blkio-weight", "cpu-period", "cpu-quota", "cpu-burst", "cpu-share", "cpu-rt-period", "cpu-rt-runtime", "cpuset-cpus", "cpuset-mems", "cpu-idle",
               "memory", "memory-reservation", "memory-swap", "pids-limit", "l3-cache-schema", "mem-bw-schema"],
    "checkpoint": ["image-path", "work-path", "parent-path", "leave-running", "tcp-established", "ext-unix-sk", "shell-job", "lazy-pages", "status-fd", "page-server",
                   "file-locks", "pre-dump", "manage-cgroups-mode", "empty-ns", "auto-dedup"],
    "restore": ["console-socket", "image-path", "work-path", "tcp-established", "ext-unix-sk", "shell-job", "file-locks", "manage-cgroups-mode", "bundle", "detach",
                "pid-file", "no-subreaper", "no-pivot", "empty-ns", "auto-dedup", "lazy-pages", "lsm-profile", "lsm-mount-context"],
    "": ["root", "log", "log-format", "debug", "systemd-cgroup", "rootless", "criu"],
}


@pytest.mark.parametrize("verb", FLAGS)
def every_flag_of_runc_is_known(rt, verb):
    text = rt.run_command([rt.path, *([verb] if verb else []), "--help"]).ok().out
    missing = [f for f in FLAGS[verb] if not re.search(rf"--{f}\b", text)]
    assert not missing, missing
