"""What goes wrong is said in one sentence, with the words that engines look for, and runc's exit codes."""
import json
import re
from datetime import datetime

import pytest

from harness import host, runtime

def _ours(rt):
    return "vrun" in rt.path


def a_missing_program_in_PATH_has_the_words_of_127(rt, bundle):
    """Docker and Podman answer 127 when they read these words."""
    rt.run(bundle.args("nosuch")).fails("nosuch", "executable file not found in $PATH", rc=1)


def a_missing_program_by_path_has_the_words_of_127(rt, bundle):
    rt.run(bundle.args("/bin/nosuch")).fails("/bin/nosuch", "no such file or directory", rc=1)


def a_program_without_x_has_the_words_of_126(rt, bundle):
    rt.run(bundle.args("/etc/passwd")).fails("/etc/passwd", "permission denied", rc=1)


def a_folder_as_program_has_the_words_of_126(rt, bundle):
    rt.run(bundle.args("/etc")).fails(rc=1)
    assert re.search("permission denied|is a directory", rt.run(bundle.args("/etc")).err)


@pytest.mark.parametrize("args, words", [(["nosuch"], "executable file not found in $PATH"), (["/bin/nosuch"], "no such file or directory"),
                                         (["/etc/passwd"], "permission denied")])
def create_or_start_says_the_same_as_run(rt, bundle, args, words):
    """runc finds out at create; both ways engines read the same words."""
    id = rt.new_id()
    r = rt.try_create(bundle.args(*args), id=id)
    if r.rc == 0:
        r = rt("start", id)
    r.fails(words, rc=1)


def a_missing_interpreter_is_named(rt, bundle):
    (bundle.rootfs / "script").write_text("#!/bin/nosuch-interpreter\n")
    (bundle.rootfs / "script").chmod(0o755)
    r = rt.run(bundle.args("/script")).fails("no such file or directory")
    assert not _ours(rt) or "/bin/nosuch-interpreter" in r.err


def a_carriage_return_in_the_interpreter_line_is_named(rt, bundle):
    (bundle.rootfs / "script").write_bytes(b"#!/bin/sh\r\necho hi\r\n")
    (bundle.rootfs / "script").chmod(0o755)
    r = rt.run(bundle.args("/script")).fails("no such file or directory")
    assert not _ours(rt) or "CRLF" in r.err or "carriage return" in r.err


def a_program_of_another_architecture_is_named(rt, bundle):
    elf = bytearray((bundle.rootfs / "bin/probe").read_bytes())
    elf[18:20] = (183).to_bytes(2, "little")  # EM_AARCH64
    (bundle.rootfs / "foreign").write_bytes(elf)
    (bundle.rootfs / "foreign").chmod(0o755)
    r = rt.run(bundle.args("/foreign")).fails("exec format error")
    assert not _ours(rt) or "aarch64" in r.err or "arm64" in r.err


def a_script_without_an_interpreter_line_is_an_exec_format_error(rt, bundle):
    (bundle.rootfs / "script").write_text("echo hi\n")
    (bundle.rootfs / "script").chmod(0o755)
    rt.run(bundle.args("/script")).fails("exec format error")


VERBS = ["state", "start", "kill", "delete", "pause", "resume", "ps", "events", "update", "exec", "checkpoint"]


@pytest.mark.parametrize("verb", VERBS)
def a_container_that_is_not_there_does_not_exist(rt, verb):
    more = {"exec": ["true"], "update": [], "kill": ["KILL"]}.get(verb, [])
    flags = {"update": ["--pids-limit", "5"]}.get(verb, [])
    rt(verb, *flags, "nosuch", *more).fails("does not exist", rc=255 if verb == "exec" else 1)


@pytest.mark.parametrize("verb", ["create", "run"])
def an_id_in_use_already_exists(rt, bundle, verb):
    id = rt.create(bundle)
    r = rt._detached(id, verb, "--bundle", bundle.path, id) if verb == "create" else rt("run", "--bundle", bundle.path, id)
    r.fails("exist", rc=1)
    assert not _ours(rt) or "already exists" in r.err
    assert rt.status(id) == "created"


@pytest.mark.parametrize("verb, args", [("start", []), ("pause", []), ("exec", ["true"]), ("kill", ["TERM"])])
def a_stopped_container_is_not_running(rt, bundle, verb, args):
    id = rt.start(bundle.args("true"))
    rt.wait_stopped(id)
    r = rt(verb, id, *args).fails(rc=255 if verb == "exec" else 1)
    assert re.search("not running|stopped", r.err)
    assert not _ours(rt) or "not running" in r.err or verb == "start"


def start_of_a_running_container_is_refused(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    rt("start", id).fails("running", rc=1)


def resume_of_a_running_container_is_refused(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    rt("resume", id).fails("not paused", rc=1)


def pause_of_a_paused_container_is_refused_or_done(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    rt("pause", id).ok()
    rt("pause", id)
    assert rt.status(id) == "paused"


def a_missing_bundle_is_named(rt, work):
    rt("run", "--bundle", work / "nosuch", rt.new_id()).fails(str(work / "nosuch"), "no such file or directory", rc=1)


def a_bundle_without_config_is_named(rt, work):
    (work / "empty").mkdir()
    rt("run", "--bundle", work / "empty", rt.new_id()).fails("config.json", rc=1)


def a_missing_rootfs_is_named(rt, bundle):
    bundle.spec["root"]["path"] = "nosuchroot"
    rt.run(bundle).fails("nosuchroot", "no such file or directory", rc=1)


@pytest.mark.parametrize("id", ["", ".", "..", "a/b", "../x", "a b", "a\nb", "ü", "a" * 1025, "/abs", "-dash\x1b[31m"])
def odd_ids_are_refused(rt, bundle, id):
    bundle.args("true").save()
    rt("create", "--bundle", bundle.path, "--", id).fails(rc=1)
    assert rt("list", "--quiet").ok().out == ""


@pytest.mark.parametrize("id", ["a", "A.b_c+d-e", "0123", "x" * 100])
def ordinary_ids_are_taken(rt, bundle, id):
    full = runtime.fresh_id() + id
    rt.ids.append(full)
    rt.run(bundle.args("true"), id=full).ok()


@pytest.mark.parametrize("args, near", [(["crate"], "create"), (["lsit"], "list"), (["statte"], "state"), (["exce"], "exec")])
def an_unknown_verb_gets_the_nearest_right_one(rt, args, near):
    r = rt(*args)
    assert r.rc != 0
    assert not _ours(rt) or near in r.err


@pytest.mark.parametrize("args, near", [(["create", "--bundel", "x", "id"], "--bundle"), (["kill", "--al", "id"], "--all"),
                                        (["--rooot", "/x", "list"], "--root"), (["delete", "--forc", "id"], "--force")])
def an_unknown_flag_gets_the_nearest_right_one(rt, args, near):
    r = rt.run_command([rt.path, *args])
    assert r.rc != 0
    assert not _ours(rt) or near in r.err


@pytest.mark.parametrize("args", [["state"], ["start"], ["create"], ["run"], ["exec"], ["kill"], ["delete"], ["state", "a", "b"], ["exec", "a"]])
def missing_or_surplus_arguments_are_refused(rt, args):
    r = rt(*args)
    assert r.rc != 0 and (r.err or r.out)


def an_error_is_one_short_text(rt):
    r = rt("state", "nosuch").fails(rc=1)
    assert len(r.err.strip().splitlines()) <= 2
    assert not _ours(rt) or r.err.startswith("vrun"), r


def the_json_log_has_the_fields_of_runc(rt, work):
    log = work / "log.json"
    rt("--log", log, "--log-format", "json", "state", "nosuch").fails(rc=1)
    lines = [json.loads(l) for l in log.read_text().splitlines()]
    (error,) = [l for l in lines if l["level"] == "error"]
    assert {"level", "msg", "time"} <= set(error)
    assert "does not exist" in error["msg"]
    datetime.fromisoformat(error["time"].replace("Z", "+00:00"))


def the_text_log_has_the_words_of_runc(rt, work):
    log = work / "log.txt"
    rt("--log", log, "state", "nosuch").fails(rc=1)
    assert re.search(r'time="[^"]+" level=error msg="[^\n]*does not exist', log.read_text())


def the_json_log_of_a_failed_start_names_the_program(rt, bundle, work):
    """What containerd's shim and conmon hand to the user."""
    log = work / "log.json"
    rt.globals = ["--log", str(log), "--log-format", "json"]
    rt.run(bundle.args("/bin/nosuch")).fails(rc=1)
    rt.globals = []
    errors = [json.loads(l) for l in log.read_text().splitlines() if json.loads(l)["level"] == "error"]
    assert errors and "/bin/nosuch" in errors[-1]["msg"] and "no such file or directory" in errors[-1]["msg"]


def nothing_is_logged_when_all_is_well(rt, bundle, work):
    log = work / "log.json"
    rt.globals = ["--log", str(log), "--log-format", "json"]
    rt.run(bundle.args("true")).ok()
    rt.globals = []
    assert not log.exists() or log.read_text() == ""


def debug_says_more(rt, bundle, work):
    log = work / "log.json"
    rt.globals = ["--debug", "--log", str(log), "--log-format", "json"]
    rt.run(bundle.args("true")).ok()
    rt.globals = []
    assert any(json.loads(l)["level"] == "debug" for l in log.read_text().splitlines())


def an_unknown_log_format_is_refused(rt):
    rt("--log-format", "xml", "list").fails("xml")


def a_log_that_cannot_be_opened_is_named(rt, work):
    rt("--log", work / "nosuch" / "log", "list").fails("nosuch")


def errors_name_the_path_in_the_config(rt, bundle, work):
    bundle.mount("/mnt", "bind", work / "nosuch", "bind")
    r = rt.run(bundle).fails(rc=1)
    assert not _ours(rt) or f"mounts[{len(bundle.spec['mounts']) - 1}]" in r.err


def checkpoint_without_criu_is_a_clear_error(rt, bundle, work):
    id = rt.start(bundle.args("sleep", "100"))
    r = rt("checkpoint", "--image-path", work / "image", id, env={"PATH": "/nosuch"})
    r.fails("criu", rc=1)
    assert rt.status(id) == "running"


def checkpoint_and_restore_bring_the_process_back(rt, bundle, work):
    host.need("criu")
    id = rt.start(bundle.sh("i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"))
    runtime.wait_for(lambda: "5\n" in rt.output_file(id).read_text(), "it counts")
    rt("checkpoint", "--image-path", work / "image", id).ok()
    rt._detached(id, "restore", "--detach", "--image-path", work / "image", "--bundle", bundle.path, id).ok()
    assert rt.status(id) == "running"


def a_memory_limit_that_kills_the_stage_is_named(rt, bundle):
    host.need("memory controller")
    bundle.resources["memory"] = {"limit": 4096}
    r = rt.run(bundle)
    assert r.rc == 1 and "memory" in r.err and ("linux.resources.memory.limit" in r.err or "linux.resources.memory" in r.err), r
