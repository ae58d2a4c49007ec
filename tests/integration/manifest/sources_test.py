"""Where a manifest may come from: files, directories, pipes; what is none of these is said so."""
import os
import subprocess
import threading
import time

import pytest

from harness import everyday

GUEST = "apiVersion: vrun/v1\nkind: Guest\nname: web\nimage: base\n"


@pytest.fixture
def vrun(work):
    return everyday.Vrun(work)


def a_null_byte_is_told_with_its_place(vrun, work):
    one, two = work / "one.yaml", work / "two.yaml"
    one.write_bytes(GUEST.encode().replace(b"web", b"w\0b"))
    two.write_bytes(b"\0")
    out = vrun("validate", "-f", one, "-f", two).fails("one.yaml:3:8: a null byte", rc=125)
    assert "two.yaml:1:1: a null byte" in out.err
    vrun("validate", "-f", "-", input=GUEST.replace("base", "ba\0se")).fails("-:4:10: a null byte", rc=125)


def a_pipe_without_a_writer_is_an_error_and_one_with_a_writer_is_read(vrun, work):
    pipe = work / "pipe"
    os.mkfifo(pipe)
    began = time.monotonic()
    vrun("validate", "-f", pipe, timeout=20).fails("a pipe that nobody writes to", rc=125)
    assert time.monotonic() - began < 15
    writer = threading.Thread(target=lambda: pipe.write_text(GUEST))
    writer.start()
    assert "1 object" in vrun("validate", "-f", pipe).ok().out
    writer.join()


def what_a_shell_puts_in_place_of_a_command_is_read_when_it_comes(vrun):
    script = f'exec "$0" validate -f <(sleep 4; printf "%s" "$1")'
    done = subprocess.run(["bash", "-c", script, vrun.program, GUEST], env=vrun.env, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and "1 object" in done.stdout, done


def devices_sockets_and_empty_directories_are_refused(vrun, work):
    vrun("validate", "-f", "/dev/zero", timeout=20).fails("is no file but a device", rc=125)
    (work / "empty").mkdir()
    vrun("validate", "-f", work / "empty").fails("has no *.yaml, *.yml or *.json", rc=125)
    vrun("validate", "-f", work / "nowhere").fails("no such file or directory", rc=125)


def faults_of_convert_name_the_source(vrun, work):
    compose = work / "compose.yml"
    compose.write_text("services:\n  web:\n    image: base\n    mem_limit: lots\n")
    vrun("convert", "-f", compose).fails("compose.yml:4:16: guests.web.limits.memory: 'lots' is not a size", rc=1)
