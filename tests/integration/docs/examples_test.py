"""Every example in README.md and docs/ is run as it stands there, and the man pages and completions fit the programs."""
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from harness import host, runtime, users

ROOT = Path(__file__).resolve().parents[3]


def _examples(kind="needs-root"):
    found = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        if page.exists():
            for i, m in enumerate(re.finditer(rf"<!-- test: {kind} -->\n```(?:sh|bash)\n(.*?)```", page.read_text(), re.S)):
                found.append(pytest.param(m.group(1), id=f"{page.relative_to(ROOT)}-{i + 1}"))
    return found


@pytest.mark.parametrize("script", _examples())
def the_example_does_what_it_says(rt, work, script):
    """With `sh -e`, in an empty folder, with the programs of the build first in PATH and data of its own."""
    if "vrun" not in rt.path:
        return
    if "pids" in script:
        host.need("pids controller")
    if "--memory" in script:
        host.need("memory controller")
    env = {**os.environ, "PATH": f"{Path(rt.path).parent}:/usr/sbin:/usr/bin:/sbin:/bin", "VRUN_DATA_DIR": str(work / "data"),
           "VRUN_RUN_DIR": str(work / "run"), "HOME": str(work)}
    (work / "here").mkdir()
    before = {name for _, name in socket.if_nameindex()}
    done = subprocess.run(["sh", "-e", "-c", script], cwd=work / "here", env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=12 * runtime.DEADLINE)
    # A tenant's default network stays when its guests are gone; here its name space is the tests' own.
    for _, name in socket.if_nameindex():
        if name.startswith("vr-") and name not in before:
            subprocess.run(["ip", "link", "del", name], check=True)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("script", _examples("needs-user"))
def the_example_works_without_root(rt, work, script):
    """The same as a user without privileges, in a home of its own."""
    if "vrun" not in rt.path:
        return
    host.need("newuidmap")
    with users.fresh(work) as vrun:
        env = {**vrun.env, "PATH": f"{Path(rt.path).parent}:/usr/sbin:/usr/bin:/sbin:/bin"}
        done = subprocess.run([*vrun.become, "sh", "-e", "-c", script], cwd=vrun.home, env=env, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=12 * runtime.DEADLINE)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
