"""Directories of the host in guests of tenants: what a guest writes there is never root's on the host."""
import os
import subprocess

import pytest

from .tenants_test import NONE, _run, _show, acme, vrun  # noqa: F401

OWNER = 65534


@pytest.fixture
def shared(work):
    """On the disk of the host, whose file system maps ids and honours set-user-id programs."""
    folder = work / "shared"
    folder.mkdir()
    if os.statvfs(folder).f_flag & os.ST_NOSUID:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,suid", "tmpfs", folder], check=True)
        yield folder
        subprocess.run(["umount", folder], check=True)
        return
    yield folder


def _files(folder):
    return {path.name: path.lstat() for path in folder.iterdir()}


PLANT = "cp /bin/busybox /x/root && chmod 6755 /x/root; cp /bin/busybox /x/other && chown 1000:1000 /x/other && chmod 6755 /x/other"


def a_set_user_id_program_of_a_guest_is_never_roots(vrun, acme, shared):
    os.chown(shared, OWNER, OWNER)
    vrun("tenant", "create", acme, "--allow-mount", shared).ok()
    first = _show(vrun, acme)["ids"][0]["first"]
    _run(vrun, acme, PLANT, "-v", f"{shared}:/x").ok()
    files = _files(shared)
    assert (files["root"].st_uid, files["root"].st_gid) == (OWNER, OWNER), files
    assert (files["other"].st_uid, files["other"].st_gid) == (first + 1000, first + 1000), files
    assert files["root"].st_mode & 0o4000, "it works as set-user-id of the owner's, who lent the directory"
    # Another guest, with other ids of the tenant, sees the same owners.
    assert _run(vrun, acme, "stat -c %u:%g /x/root /x/other", "-v", f"{shared}:/x").ok().out.split() == ["0:0", "1000:1000"]


def what_belongs_to_root_stays_as_it_is(vrun, acme, shared):
    (shared / "file").write_text("roots")
    (shared / "file").chmod(0o644)
    vrun("tenant", "create", acme, "--allow-mount", shared).ok()
    out = _run(vrun, acme, "cat /x/file; echo more >>/x/file; chmod 4755 /x/file; chown 0 /x/file; touch /x/new", "-v", f"{shared}:/x")
    assert out.out == "roots" and out.rc != 0 and "belongs to root, so the guest may not write there" in out.err, out
    assert _files(shared).keys() == {"file"} and (shared / "file").stat().st_mode & 0o7777 == 0o644
    assert (shared / "file").read_text() == "roots"
    # Where all may write, so may the guest, as itself.
    shared.chmod(0o777)
    out = _run(vrun, acme, PLANT, "-v", f"{shared}:/x")
    assert out.rc == 0 and "belongs to root" not in out.err, out
    first = _show(vrun, acme)["ids"][0]["first"]
    assert {name: s.st_uid for name, s in _files(shared).items()} == {"file": 0, "root": first, "other": first + 1000}
    # What cannot be written shows the host's owners.
    assert _run(vrun, acme, "stat -c %u /x/file", "-v", f"{shared}:/x:ro").ok().out == "0\n"


def the_group_root_is_not_lent_either(vrun, acme, shared):
    os.chown(shared, OWNER, 0)
    vrun("tenant", "create", acme, "--allow-mount", shared).ok()
    _run(vrun, acme, "cp /bin/busybox /x/root && chmod 6755 /x/root", "-v", f"{shared}:/x").ok()
    planted = _files(shared)["root"]
    assert planted.st_uid == OWNER and planted.st_gid == _show(vrun, acme)["ids"][0]["first"], planted


def a_file_system_without_set_user_id_shows_its_owners(vrun, acme, work):
    folder = work / "nosuid"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nosuid,mode=755", "tmpfs", folder], check=True)
    try:
        vrun("tenant", "create", acme, "--allow-mount", folder).ok()
        out = _run(vrun, acme, "touch /x/root; touch /x/other; chown 33 /x/other", "-v", f"{folder}:/x")
        if "not id-mapped" in out.err:
            pytest.skip("the kernel's tmpfs maps no ids (Linux 6.3)")
        assert out.rc == 0 and {n: s.st_uid for n, s in _files(folder).items()} == {"root": 0, "other": 33}, out
        # A mount below it that honours them undoes that.
        below = folder / "below"
        below.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "suid,mode=777", "tmpfs", below], check=True)
        _run(vrun, acme, "cp /bin/busybox /x/below/sh && chmod 4755 /x/below/sh", "-v", f"{folder}:/x")
        assert all(s.st_uid != 0 for s in _files(below).values())
    finally:
        subprocess.run(["umount", "-R", folder], check=True)


def a_block_device_that_is_none_is_not_told_from_one_that_is_absent(vrun, acme, work):
    (work / "there").touch()
    vrun("tenant", "create", acme).ok()
    for flag in ("--device-read-bps", "--device-write-bps", "--device-read-iops", "--device-write-iops"):
        said = {_run(vrun, acme, "true", flag, f"{work / name}:10").err.replace(name, "X") for name in ("there", "nowhere", "there/x", "a/b")}
        assert len(said) == 1 and "not a block device" in said.pop(), said
