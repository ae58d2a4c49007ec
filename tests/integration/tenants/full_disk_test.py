"""The disk of the host is full: what must work all the same."""
import json
import os
import subprocess

import pytest

from harness import everyday, runtime

from .tenants_test import NONE, acme  # noqa: F401


@pytest.fixture
def small(work):
    """A vrun whose data lie on a file system of its own, and a function that fills it."""
    image, top = work / "small.img", work / "small"
    subprocess.run(["truncate", "-s", "48M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", "-m", "0", image], check=True)
    top.mkdir()
    subprocess.run(["mount", "-o", "loop", image, top], check=True)
    try:
        with everyday.fresh(top) as vrun:
            yield vrun, lambda: _fill(top)
    finally:
        (top / "ballast").unlink(missing_ok=True)
        subprocess.run(["umount", "-R", top], check=True)


def _fill(top):
    os.sync()
    with open(top / "ballast", "wb", buffering=0) as out:
        for size in (1 << 20, 4096):
            try:
                while True:
                    out.write(b"x" * size)
            except OSError:
                pass
    # The last entries of directories, too: nothing new can be made.
    stats = os.statvfs(top)
    assert stats.f_bavail * stats.f_frsize < 8192, stats


def guests_are_stopped_and_stay_so(small):
    vrun, fill = small
    vrun("run", "-d", "--name", "web", "--restart", "always", *NONE, "base", "sleep", "1000").ok()
    vrun("run", "-d", "--name", "other", *NONE, "base", "sleep", "1000").ok()
    fill()
    vrun("stop", "-t", "0", "web").ok()
    assert vrun.state("web")["status"] == "exited", "its restart policy does not bring it back"
    vrun("kill", "other").ok()
    vrun.wait_for("other", status="exited")
    (vrun.data.parent / "ballast").unlink()
    assert vrun("start", "web").ok()
    vrun("rm", "-f", "web", "other").ok()


def tenants_are_listed_and_measured(small, acme):
    vrun, fill = small
    vrun("tenant", "create", acme, "--disk", "20M").ok()
    vrun("--tenant", acme, "create", "--name", "kept", *NONE, "base", "true").ok()
    mounts = [line.split()[4] for line in open("/proc/self/mountinfo") if f"/{acme}" in line.split()[4]]
    for point in sorted(mounts, key=lambda p: p.endswith("/disk")):
        subprocess.run(["umount", point], check=True)
    fill()
    assert acme in vrun("tenant", "ls").ok().out
    assert f'tenant="{acme}"' in vrun("metrics").ok().out
    assert json.loads(vrun("tenant", "show", "--format", "json", acme).ok().out)[0]["name"] == acme
    # Not even its file is there: the rest is told, and what is not known is left out.
    image = vrun.data / "tenants" / acme / "disk.img"
    for line in open("/proc/self/mountinfo"):
        if f"/{acme}" in line.split()[4]:
            subprocess.run(["umount", line.split()[4]])
    runtime.wait_for(lambda: not [p for p in os.listdir("/sys/block") if p.startswith("loop") and _backing(p) == str(image)], "the loop device is free")
    image.rename(image.with_suffix(".away"))
    out = vrun("tenant", "ls").ok()
    assert acme in out.out and "its disk" in out.err, out
    assert f'vrun_tenant_guests{{tenant="{acme}"}}' not in vrun("metrics").ok().out
    image.with_suffix(".away").rename(image)
    (vrun.data.parent / "ballast").unlink()
    vrun("tenant", "rm", "--force", acme).ok()


def _backing(loop):
    try:
        return open(f"/sys/block/{loop}/loop/backing_file").read().strip()
    except OSError:
        return ""
