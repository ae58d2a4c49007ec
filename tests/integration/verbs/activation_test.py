"""Sockets that the caller was activated with, and descriptors that it asks to keep."""
import os
import subprocess

import pytest


def _with_descriptor(rt, shell, *args):
    """Runs the runtime by exec from a shell, as an activating manager would: pid and descriptors stay."""
    return rt.run_command(["sh", "-c", f"{shell} exec \"$@\"", "sh", *rt.command(*args)])


@pytest.fixture
def note(work):
    (work / "note").write_text("from outside\n")
    return work / "note"


def sockets_of_activation_reach_the_process(rt, bundle, note):
    bundle.sh("echo $LISTEN_FDS $LISTEN_PID; cat <&3").save()
    r = _with_descriptor(rt, f"exec 3<{note}; LISTEN_FDS=1 LISTEN_PID=$$", "run", "--bundle", bundle.path, rt.new_id()).ok()
    assert r.out == "1 1\nfrom outside\n"


def sockets_meant_for_another_process_do_not(rt, bundle, note):
    bundle.sh("echo ${LISTEN_FDS-none}; test -e /proc/self/fd/3 && echo open || echo closed").save()
    r = _with_descriptor(rt, f"exec 3<{note}; LISTEN_FDS=1 LISTEN_PID=1", "run", "--bundle", bundle.path, rt.new_id()).ok()
    assert r.out == "none\nclosed\n"


def preserved_descriptors_follow_those_of_activation(rt, bundle, note):
    bundle.sh("cat <&3; cat <&4").save()
    (note.parent / "more").write_text("and more\n")
    r = _with_descriptor(rt, f"exec 3<{note} 4<{note.parent}/more; LISTEN_FDS=1 LISTEN_PID=$$",
                         "run", "--preserve-fds", "1", "--bundle", bundle.path, rt.new_id()).ok()
    assert r.out == "from outside\nand more\n"


def a_preserved_descriptor_that_is_closed_is_named(rt, bundle):
    bundle.args("true").save()
    rt("run", "--preserve-fds", "2", "--bundle", bundle.path, rt.new_id()).fails("descriptor 3", rc=1)


def more_descriptors_than_a_process_can_have_are_refused(rt, bundle):
    bundle.args("true").save()
    for count in ("-1", "99999999999", "many"):
        rt("run", f"--preserve-fds={count}", "--bundle", bundle.path, rt.new_id()).fails("--preserve-fds", rc=1)
