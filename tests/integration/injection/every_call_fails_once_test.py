"""Failure injection: every system call of create, start, exec and delete is made to fail once, and after
`delete --force` nothing is left. Wants the dev preset (VRUN_FAULT_INJECTION); run by tools/test."""
import errno
import os
import re
import subprocess

import pytest

from harness import leaks, runtime


def _env(**more):
    return {**os.environ, **more}


def _count(rt, work, *args):
    """How many calls this command makes when nothing fails."""
    report = work / "report"
    report.unlink(missing_ok=True)
    with open(os.devnull, "w") as null:
        rc = subprocess.run(rt.command(*args), env=_env(VRUN_FAIL_REPORT=str(report)), stdin=subprocess.DEVNULL, stdout=null, stderr=null).returncode
    assert rc == 0, args
    assert report.exists(), "this build has no failure injection: use the dev preset"
    return int(re.search(r"\d+", report.read_text()).group())


def _fail(rt, work, number, code, *args):
    err = work / "fail.err"
    with open(err, "w") as e:
        rc = subprocess.run(rt.command(*args), env=_env(VRUN_FAIL_CALL=str(number), VRUN_FAIL_ERRNO=str(code)), stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=e, timeout=6 * runtime.DEADLINE).returncode
    return rc, err.read_text()


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOMEM, errno.EPERM])
def every_failing_call_of_create_leaves_nothing(rt, bundle, work, code):
    bundle.args("sleep", "100").save()
    id = rt.new_id()
    calls = _count(rt, work, "create", "--bundle", bundle.path, id)
    rt.delete(id, "--force").ok()
    assert calls > 30, calls
    for number in range(1, calls + 1):
        rc, err = _fail(rt, work, number, code, "create", "--bundle", bundle.path, id)
        assert rc in (0, 1), (number, rc, err)
        if rc:
            assert err.strip(), f"call {number}: an error without words"
            # A failed create is gone by itself: no delete is needed.
            assert id not in rt("list", "--quiet").ok().out, f"call {number}: state is left: {err}"
            assert not [g for g in leaks.cgroups() if id in g], f"call {number}: its cgroup is left: {err}"
        rt.delete(id, "--force").ok()
        assert not leaks.cgroups(), f"call {number}"
    runtime.wait_for(lambda: not [p for p, s in leaks.descendants().items() if s != "Z"], "no process is left")


@pytest.mark.parametrize("verb", ["start", "delete", "kill", "state", "pause", "exec"])
def every_failing_call_of_a_verb_is_an_error_or_no_matter(rt, bundle, work, verb):
    bundle.args("sleep", "100").save()
    id = rt.new_id()
    more = {"kill": ["KILL"], "exec": ["true"]}.get(verb, [])
    flags = ["--force"] if verb == "delete" else []

    def prepare():
        rt("delete", "--force", id)
        rt._detached(id, "create", "--bundle", bundle.path, id).ok()
        if verb != "start":
            rt("start", id).ok()
    prepare()
    calls = _count(rt, work, verb, *flags, id, *more)
    for number in range(1, calls + 1):
        prepare()
        rc, err = _fail(rt, work, number, errno.EIO, verb, *flags, id, *more)
        assert 0 <= rc < 128 or rc in (137, 255), (number, rc, err)
        assert rc == 0 or err.strip(), f"call {number}: an error without words"
        rt.delete(id, "--force").ok()
        assert not leaks.cgroups(), f"call {number}: {err}"
