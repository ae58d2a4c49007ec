"""The policy of a tenant: strict by default, every refusal names its rule and who may change it."""
import os
import subprocess
import threading
from pathlib import Path

import pytest

from .tenants_test import NONE, _run, acme, vrun  # noqa: F401


REFUSED = [
    (["--cap-add", "SYS_ADMIN"], "rule capabilities: CAP_SYS_ADMIN", ["--allow-cap", "sys_admin"]),
    (["-v", "{dir}:/x"], "rule mounts: '{dir}' of the host on '/x'", ["--allow-mount", "{dir}"]),
    (["--mount", "type=bind,source={dir},target=/x"], "rule mounts: '{dir}'", ["--allow-mount", "{dir}"]),
    (["--device", "/dev/fuse"], "rule devices: '/dev/fuse'", ["--allow-device", "/dev/fuse"]),
    (["-v", "/dev/zero:/x"], "rule devices: '/dev/zero'", ["--allow-device", "/dev/zero"]),
    (["--pid", "host"], "rule namespaces: the pid namespace of the host", ["--allow-host", "pid"]),
    (["--uts", "host"], "rule namespaces: the uts namespace of the host", ["--allow-host", "uts"]),
    (["--cgroupns", "host"], "rule namespaces: the cgroup namespace of the host", ["--allow-host", "cgroup"]),
    (["--userns", "host"], "rule namespaces: the user namespace of the host", ["--allow-host", "user"]),
    (["--sysctl", "kernel.shmmax=65536"], "rule sysctls: kernel.shmmax", ["--allow-sysctl", "kernel.shm*"]),
    (["--privileged"], "rule unsafe: --privileged", ["--allow-unsafe", "privileged", "--allow-cap", "ALL"]),
    (["--security-opt", "seccomp=unconfined"], "rule unsafe: a seccomp filter of its own", ["--allow-unsafe", "seccomp"]),
]


@pytest.mark.parametrize("flags,words,allow", REFUSED, ids=[" ".join(r[0]) for r in REFUSED])
def what_is_not_allowed_is_refused_and_what_root_allows_works(vrun, acme, work, flags, words, allow):
    folder = work / "shared"
    folder.mkdir()
    fill = lambda texts: [t.format(dir=folder) for t in texts]
    vrun("tenant", "create", acme).ok()
    out = _run(vrun, acme, "true", *fill(flags)).fails(words.format(dir=folder), rc=125)
    assert f"only root may change a policy: vrun tenant update {acme} --allow-" in out.err
    vrun("--tenant", acme, "run", "-d", *NONE, *fill(flags), "base", "sleep", "9").fails(words.format(dir=folder), rc=125)
    assert vrun("--tenant", acme, "ps", "-aq").out == "", "nothing half-made is left"
    vrun("tenant", "update", acme, *fill(allow)).ok()
    if "/dev/zero:/x" in flags:
        return  # its file system maps no ids: allowed, but not possible
    _run(vrun, acme, "true", *fill(flags)).ok()
    assert _run(vrun, acme, "true", "--cap-add", "SYS_TIME").rc == (0 if "ALL" in allow else 125)


def all_refusals_are_said_at_once(vrun, acme):
    vrun("tenant", "create", acme).ok()
    out = _run(vrun, acme, "true", "--pid", "host", "-v", "/etc:/x", "--cap-add", "SYS_TIME").fails("3 faults", rc=125)
    for rule in ("rule capabilities", "rule mounts", "rule namespaces"):
        assert rule in out.err


def the_host_network_is_refused(vrun, acme):
    vrun("tenant", "create", acme).ok()
    vrun("--tenant", acme, "run", "--rm", "--network", "host", "base", "true").fails("rule namespaces: the network namespace", rc=125)


def the_default_tenant_has_no_policy(vrun, work):
    vrun.sh("true", *NONE, "--cap-add", "SYS_ADMIN", "-v", f"{work}:/x").ok()


def exec_gives_no_more_than_run(vrun, acme):
    vrun("tenant", "create", acme).ok()
    vrun("--tenant", acme, "run", "-d", "--name", "g", *NONE, "base", "sleep", "1000").ok()
    vrun("--tenant", acme, "exec", "--privileged", "g", "true").fails("rule unsafe: --privileged", rc=125)
    vrun("--tenant", acme, "exec", "g", "true").ok()


def limits_of_a_guest_hold_at_run_and_at_update(vrun, acme):
    from harness import host
    host.need("memory controller")
    vrun("tenant", "create", acme, "--guest-memory", "64M", "--guest-pids", "50").ok()
    _run(vrun, acme, "true").fails("rule limits per guest: --memory has to be given, at most 64MiB", "--pids-limit has to be given, at most 50",
                                   f"ask root of this host, as only root may change a policy: vrun tenant update {acme} --guest-memory SIZE --guest-pids NUMBER", rc=125)
    _run(vrun, acme, "true", "--memory", "65m", "--pids-limit", "50").fails("rule limits per guest", rc=125)
    flags = ["--memory", "64m", "--pids-limit", "50"]
    _run(vrun, acme, "true", *flags).ok()
    vrun("--tenant", acme, "run", "-d", "--name", "g", *flags, *NONE, "base", "sleep", "1000").ok()
    vrun("--tenant", acme, "update", "--memory", "1g", "g").fails("rule limits per guest", rc=125)
    vrun("--tenant", acme, "update", "--memory", "32m", "g").ok()


def a_policy_that_becomes_stricter_holds_at_the_next_start(vrun, acme):
    vrun("tenant", "create", acme, "--allow-cap", "SYS_TIME").ok()
    vrun("--tenant", acme, "create", "--name", "g", "--cap-add", "SYS_TIME", *NONE, "base", "true").ok()
    vrun("tenant", "update", acme, "--allow-cap", "none").ok()
    vrun("--tenant", acme, "start", "g").fails("rule capabilities", rc=125)


def registries_are_checked_before_anything_is_fetched(vrun, acme):
    vrun("tenant", "create", acme, "--only-registry", "good.example").ok()
    for words in (["pull", "bad.example/a:1"], ["push", "bad.example/a:1"], ["run", *NONE, "bad.example/a:1"]):
        vrun("--tenant", acme, *words).fails("rule registries: images of 'bad.example'", rc=125)
    _run(vrun, acme, "true").ok()  # the image is here


def links_lead_nowhere(vrun, acme, work):
    """An allowed directory in which the tenant may write: a link there must not open the rest of the host."""
    allowed = work / "allowed"
    (allowed / "real").mkdir(parents=True)
    (work / "secret").mkdir()
    (work / "secret/file").write_text("secret")
    (allowed / "link").symlink_to(work / "secret")
    (allowed / "up").symlink_to("..")
    vrun("tenant", "create", acme, "--allow-mount", allowed).ok()
    _run(vrun, acme, "ls /x", "-v", f"{allowed}/real:/x").ok()
    for path in ("link", "link/file", "up", "up/secret", "real/../../secret"):
        out = _run(vrun, acme, "cat /x/file /x", "-v", f"{allowed}/{path}:/x")
        assert out.rc == 125 and "secret" not in out.out, out
    for flag in (f"type=bind,source={allowed}/link,target=/x",):
        assert _run(vrun, acme, "cat /x/file", "--mount", flag).rc == 125


def a_directory_that_becomes_a_link_at_the_last_moment_leads_nowhere(vrun, acme, work):
    allowed = work / "allowed"
    allowed.mkdir()
    (work / "secret").mkdir()
    (work / "secret/file").write_text("secret")
    (allowed / "a").mkdir()
    (allowed / "b").symlink_to(work / "secret")
    vrun("tenant", "create", acme, "--allow-mount", allowed).ok()
    stop = threading.Event()

    def swap():
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        a, b = os.fsencode(allowed / "a"), os.fsencode(allowed / "b")
        while not stop.is_set():
            libc.renameat2(-100, a, -100, b, 2)  # RENAME_EXCHANGE

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        codes = set()
        for _ in range(25):
            out = _run(vrun, acme, "cat /x/file 2>/dev/null; true", "-v", f"{allowed}/a:/x")
            assert "secret" not in out.out, out
            codes.add(out.rc)
    finally:
        stop.set()
        thread.join()
    assert 0 in codes or 125 in codes


def guests_of_others_and_vruns_own_files_cannot_be_mounted(vrun, acme):
    vrun("tenant", "create", acme).ok()
    vrun("tenant", "create", acme + "b").ok()
    vrun("--tenant", acme + "b", "create", "--name", "g", *NONE, "base", "true").ok()
    vrun("--tenant", acme, "create", "--name", "own", *NONE, "base", "true").ok()
    for path in (vrun.data, vrun.data / "guests" / (acme + "b") / "g", vrun.data / "guests" / acme / "own",
                 vrun.data / "guests" / acme / "own/guest.json", vrun.data / "tenants" / acme, vrun.data / "tenants" / acme / "tenant.json", vrun.run_dir):
        out = _run(vrun, acme, "ls /x", "-v", f"{path}:/x")
        assert out.rc == 125 and "rule mounts" in out.err, out
